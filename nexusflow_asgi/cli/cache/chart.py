"""The chart of a conversation: tokens that each request read, wrote and paid in full."""

from collections.abc import Sequence
from itertools import pairwise

from nexusflow_asgi.cli import chart as bars
from nexusflow_asgi.cli.chart import AXES, MOST_BARS, Bar, stacked, thousands
from nexusflow_core.caching import Counted

__all__ = ["COLOURS", "chart", "legend"]

_PARTS = {"read": "read from the cache", "written": "written to it", "uncached": "not cached"}

COLOURS = f"""
  .read {{ fill: #2f8f83 }} .written {{ fill: #e0a030 }} .uncached {{ fill: #c2485b }}{AXES}"""
"""Styles of charts and legends, for a light and a dark background, and for colour-blind readers."""


def chart(turns: Sequence[Counted], *, title: str, most: int) -> str:
    """Returns one chart of a conversation. `most` is the number of tokens at the top of its scale.

    With more than 90 requests each bar is the mean of several neighbours.
    """
    last = f"{len(turns):,}"
    return stacked(
        _bars(turns), list(_PARTS), title=title, most=most, label=thousands, first="request 1", last=last
    )


def legend() -> str:
    """Returns the meaning of the colours, as HTML."""
    return bars.legend(_PARTS)


def _bars(turns: Sequence[Counted]) -> list[Bar]:
    """Returns each bar: a sentence, and three counts of tokens."""
    count = min(len(turns), MOST_BARS)
    edges = [round(number * len(turns) / max(1, count)) for number in range(count + 1)]
    found: list[Bar] = []
    for start, end in pairwise(edges):
        some = turns[start:end]
        sums = sum(it.read for it in some), sum(it.written for it in some), sum(it.uncached for it in some)
        read, written, uncached = (total // len(some) for total in sums)
        which = f"request {end}" if end - start == 1 else f"requests {start + 1} to {end}, on average"
        words = f"{which}: {read:,} read, {written:,} written, {uncached:,} not cached"
        found.append(Bar(words, (read, written, uncached)))
    return found
