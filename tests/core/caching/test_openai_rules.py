"""OpenAI's rules from gpt-5.6 on, in the same simulator: as they are written, since no recording shows them."""

from __future__ import annotations

from typing import Any

import pytest

from nexusflow_core.caching import OPENAI, CacheSimulator, rules_for
from tests.core.caching.asking import after
from tests.core.caching.oracle import WeightCounter


def part(name: str, ttl: str | None = None, tokens: int = 2000) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "input_text", "text": (name + " ").ljust(tokens * 9 // 2, "x")}
    return found if ttl is None else {**found, "prompt_cache_breakpoint": {"mode": "explicit", "ttl": ttl}}


def asked(*parts: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"model": "gpt-5.6-sol", "input": [{"role": "user", "content": list(parts)}], **members}


EXPLICIT = {"prompt_cache_options": {"mode": "explicit"}}


def cache() -> CacheSimulator:
    return CacheSimulator(OPENAI, WeightCounter())


@pytest.mark.parametrize(("ttl", "seconds"), [("30m", 1800), ("12h", 43200)])
def test_lifetimes(ttl: str, seconds: int) -> None:
    """Half an hour, or twelve hours, each from the request that wrote or read."""
    for late, hits in [(-1, True), (0, False)]:
        it = cache()
        it.step(asked(part("a", ttl), **EXPLICIT), at=after(0))
        assert bool(it.step(asked(part("a", ttl), **EXPLICIT), at=after(seconds + late)).hit) == hits


def test_the_last_part_is_an_implicit_breakpoint() -> None:
    """Without a word about caching the whole prompt is written, and read by the next turn."""
    it = cache()
    first = it.step(asked(part("a")), at=after(0))
    assert first.write_5m.best == first.total.best
    found = it.step(asked(part("a"), part("b")), at=after(1))
    assert found.read == first.total


def test_without_markers_the_explicit_mode_caches_nothing() -> None:
    """Neither write nor read."""
    it = cache()
    for at in (0, 1):
        found = it.step(asked(part("a"), **EXPLICIT), at=after(at))
        assert found.uncached == found.total


def test_the_latest_four_markers_count() -> None:
    """A fifth is no error: the earliest writes no entry."""
    it = cache()
    it.step(asked(*(part(name, "30m") for name in "abcde"), **EXPLICIT), at=after(0))
    for names, hits in [("a", False), ("ab", True)]:
        found = it.step(
            asked(*(part(name, "30m") for name in names), part("x", "30m"), **EXPLICIT), at=after(1)
        )
        assert (found.hit is not None) == hits


@pytest.mark.parametrize(
    "members",
    [
        {"reasoning": {"effort": "high"}},
        {"text": {"verbosity": "low"}},
        {"text": {"format": {"type": "json_object"}}},
        {"tools": [{"type": "function", "name": "a", "parameters": {}}]},
        {"model": "gpt-5.6-terra"},
    ],
    ids=str,
)
def test_what_breaks_the_prefix(members: dict[str, Any]) -> None:
    """Effort, verbosity, format, tools and model: nothing is read."""
    it = cache()
    it.step(asked(part("a")), at=after(0))
    assert it.step(asked(part("a"), **members), at=after(1)).hit is None


def test_rules_are_found_by_vendor_and_day() -> None:
    """An unknown vendor is an error that names the known ones."""
    assert rules_for("openai", after(0).date()) is OPENAI
    with pytest.raises(KeyError, match="there are those of anthropic, openai"):
        rules_for("antropic", after(0).date())
