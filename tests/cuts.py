"""Cutting bytes at arbitrary places, for everything that parses a stream."""

from itertools import pairwise

from hypothesis import strategies as st


def cuts() -> st.SearchStrategy[list[int]]:
    """Places to cut at, to be taken modulo the length."""
    return st.lists(st.integers(0, 2**16), max_size=12)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The pieces, empty ones among them; joined they are the data again."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]
