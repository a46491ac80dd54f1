"""Recorded requests and what Anthropic reported for them: each read is predicted before its usage is seen."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nexusflow_core.caching import CacheSimulator, Prediction
from tests.traffic import folder

FILE = folder().parent / "cache-sequences.jsonl.gz"
PAGE = Path(__file__).parents[3] / "docs" / "caching.md"
START = datetime(2026, 8, 1, tzinfo=UTC)
"""Stands in where a recording has no time of its own."""


class Recorded(msgspec.Struct):
    """One line of the file."""

    source: str
    order: int
    model: str
    recorded_at: str
    request: dict[str, Any]
    usage: dict[str, Any]

    def at(self) -> datetime:
        if not self.recorded_at:
            return START + timedelta(seconds=self.order)
        return datetime.fromisoformat(self.recorded_at).replace(tzinfo=UTC)

    def counts(self) -> tuple[int, int, int]:
        names = "cache_read_input_tokens", "cache_creation_input_tokens", "input_tokens"
        read, written, uncached = (self.usage.get(name) or 0 for name in names)
        return read, written, uncached


def scenarios() -> dict[str, list[Recorded]]:
    if not FILE.exists():
        return {}
    found: dict[str, list[Recorded]] = {}
    with gzip.open(FILE) as lines:
        for line in lines:
            it = msgspec.json.decode(line, type=Recorded)
            found.setdefault(it.source, []).append(it)
    return found


SCENARIOS = scenarios()
needs_recordings = pytest.mark.skipif(not SCENARIOS, reason=f"no recorded traffic: there is no {FILE}")


def replay(scenario: list[Recorded]) -> Iterator[tuple[Recorded, Prediction]]:
    """A cache of its own for each scenario: nothing is known of when another one was recorded."""
    simulator = CacheSimulator()
    for it in scenario:
        request = {**it.request, "model": it.model}
        yield it, simulator.step(request, at=it.at(), usage=it.usage)


def marked_prefix(request: dict[str, Any]) -> list[str]:
    """Every block up to the last breakpoint, as text; the naive view of what a request caches."""
    blocks = [("", tool) for tool in request.get("tools") or []]
    blocks += [("system", block) for block in blocks_of(request.get("system"))]
    for message in request["messages"]:
        blocks += [(message["role"], block) for block in blocks_of(message["content"])]
    places = [number for number, (_, block) in enumerate(blocks) if "cache_control" in block]
    last = len(blocks) - 1 if "cache_control" in request else max(places, default=-1)
    return [
        role + json.dumps({**block, "cache_control": 0}, sort_keys=True) for role, block in blocks[: last + 1]
    ]


def blocks_of(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def is_predictable(it: Recorded, earlier: list[Recorded]) -> bool:
    """An earlier request cached a prefix of this one that is long enough to be what was read."""
    read, own = it.counts()[0], marked_prefix(it.request)
    for before in earlier:
        cached = marked_prefix(before.request)
        if cached and sum(before.counts()[:2]) >= read and own[: len(cached)] == cached:
            return True
    return False


@needs_recordings
@pytest.mark.parametrize("source", SCENARIOS)
def test_a_scenario(source: str) -> None:
    """Each read whose writer was recorded is exact to the token; nothing is expected to be read that was not;
    below the minimum nothing is cached."""
    scenario = SCENARIOS[source]
    for number, (it, found) in enumerate(replay(scenario)):
        read, written, _ = it.counts()
        if read and is_predictable(it, scenario[:number]):
            assert found.exact
            assert found.read.best == read
        elif not read:
            assert found.read.best == 0
        if not read and not written:
            assert found.write_5m.best + found.write_1h.best == 0


@needs_recordings
def test_the_share_that_is_exact() -> None:
    """At least 97% of the predictable reads, and enough of them; docs/caching.md has the numbers."""
    predictable = exact = reads = below = 0
    for scenario in SCENARIOS.values():
        for number, (it, found) in enumerate(replay(scenario)):
            reads += it.counts()[0] > 0
            below += "cache_control" in str(it.request) and not sum(it.counts()[:2])
            if it.counts()[0] and is_predictable(it, scenario[:number]):
                predictable += 1
                exact += found.exact and found.read.best == it.counts()[0]
    print(f"{exact} of {predictable} predictable reads are exact; {reads} reads in all")
    assert (reads, predictable) >= (107, 80)
    assert exact >= 0.97 * predictable
    page = " ".join(PAGE.read_text().split())
    assert f"All {exact} reads whose writer was recorded" in page
    assert f"all {below} marked requests below the minimum" in page


@needs_recordings
def test_the_future_changes_no_prediction() -> None:
    """Whatever the usage of a request and of all later ones is, what was predicted up to it stays the same."""
    for scenario in SCENARIOS.values():
        if len(scenario) < 2:
            continue
        told = [found for _, found in replay(scenario)]
        for change in range(len(scenario)):
            other = [
                it
                if number < change
                else Recorded(it.source, it.order, it.model, it.recorded_at, it.request, OTHER)
                for number, it in enumerate(scenario)
            ]
            assert [found for _, found in replay(other)][: change + 1] == told[: change + 1]


OTHER = {
    "input_tokens": 77,
    "cache_read_input_tokens": 5000,
    "cache_creation_input_tokens": 123,
    "output_tokens": 1,
}
