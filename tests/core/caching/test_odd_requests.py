"""Requests that no client should send: they are read, or refused with a sentence; nothing else is raised."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexusflow_core.caching import OPENAI, CacheSimulator, explain
from nexusflow_core.errors import InvalidRequestError
from tests.core.caching.asking import after, request, text, user

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "a"]), inner, max_size=3)
    ),
    max_leaves=5,
)
NAMES = "type text content source name input cache_control ttl citations data tool_use_id".split()
KINDS = "text image document tool_use tool_result thinking search_result server_tool_use input_text".split()


def objects(names: list[str], inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(names), inner, max_size=5)


BLOCKS = st.builds(
    lambda kind, members: {"type": kind, **members},
    st.sampled_from(KINDS),
    objects(NAMES[1:], VALUES | st.lists(objects(NAMES, VALUES), max_size=2) | objects(NAMES, VALUES)),
)
CONTENT = VALUES | st.lists(BLOCKS | VALUES, max_size=4)
MESSAGES = st.lists(objects(["role", "content", "type", "output"], CONTENT) | VALUES, max_size=4)
TOP = [
    "model",
    "tools",
    "system",
    "messages",
    "input",
    "instructions",
    "tool_choice",
    "thinking",
    "output_config",
]
TOP += ["cache_control", "speed", "text", "reasoning", "prompt_cache_options"]
REQUESTS = objects(TOP, CONTENT | MESSAGES | objects(NAMES, VALUES))


@settings(max_examples=100, deadline=None)
@given(REQUESTS, REQUESTS)
def test_odd_values_are_read_or_refused(one: dict[str, Any], two: dict[str, Any]) -> None:
    """In any place, in both forms, and by explain; and counts never become negative."""
    for cache in (CacheSimulator(), CacheSimulator(OPENAI)):
        for asked in (one, two, one):
            with contextlib.suppress(InvalidRequestError):
                found = cache.step(asked, at=after(0))
                counts = found.read, found.write_5m, found.write_1h, found.uncached
                assert all(0 <= it.least <= it.best <= it.most for it in counts)
                assert sum(it.best for it in counts) == found.total.best
    with contextlib.suppress(InvalidRequestError):
        explain(one, two)


def test_deep_nesting_is_refused() -> None:
    """With a sentence, not with Python's own limit."""
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    block = {"type": "tool_use", "id": "t", "name": "a", "input": deep}
    with pytest.raises(InvalidRequestError, match="nests too deeply"):
        CacheSimulator().step(request(user(block)), at=after(0))


def test_half_a_surrogate_pair_is_refused() -> None:
    """No JSON in UTF-8 can hold it."""
    block = {"type": "tool_use", "id": "t", "name": "\ud800", "input": {}}
    with pytest.raises(InvalidRequestError, match="surrogate"):
        CacheSimulator().step(request(user(block)), at=after(0))


def test_a_time_needs_its_zone() -> None:
    """Lifetimes are told by it, and so is the day of a minimum."""
    with pytest.raises(ValueError, match="time zone"):
        CacheSimulator().step(request(user(text("a"))), at=datetime(2026, 10, 1))
