"""The simulator against a naive cache that compares whole prefixes: any sequence of requests, any times."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nexusflow_core import Usage, cost
from nexusflow_core.caching import CacheSimulator, Prediction
from tests.core.caching.asking import START, after
from tests.core.caching.oracle import NaiveCache, WeightCounter

MINIMUM = 1024
LONG, SHORT = "x" * 2500, "y"


def texts(names: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda name, size: {"type": "text", "text": name + size},
        st.sampled_from(names),
        st.sampled_from([LONG, SHORT]),
    )


CALLS = st.builds(
    lambda count: [{"type": "tool_use", "id": f"t{n}", "name": "a", "input": {}} for n in range(count)],
    st.integers(1, 4),
)
RESULTS = st.builds(
    lambda count: [{"type": "tool_result", "tool_use_id": f"t{n}", "content": "ok"} for n in range(count)],
    st.integers(1, 4),
)
TURNS = st.lists(texts("mn"), min_size=1, max_size=12) | CALLS | RESULTS


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """Blocks out of small pools, so that prefixes meet again; up to four breakpoints, 1h before 5m."""
    tools = [{"name": name, "input_schema": {}} for name in draw(st.sampled_from(["", "a", "ab"]))]
    system = [dict(it) for it in draw(st.lists(texts("s"), max_size=2))]
    turns = draw(st.lists(TURNS, min_size=1, max_size=4))
    messages = [
        {"role": "assistant" if number % 2 else "user", "content": [dict(it) for it in blocks]}
        for number, blocks in enumerate(turns)
    ]
    blocks = [*tools, *system, *(block for message in messages for block in message["content"])]
    places = sorted(draw(st.sets(st.integers(0, len(blocks) - 1), max_size=3)))
    long = draw(st.integers(0, len(places)))
    for number, place in enumerate(places):
        blocks[place]["cache_control"] = {"type": "ephemeral", "ttl": "1h" if number < long else "5m"}
    request: dict[str, Any] = {
        "model": "claude-sonnet-5",
        "tools": tools,
        "system": system,
        "messages": messages,
    }
    if draw(st.booleans()):
        request["cache_control"] = {"type": "ephemeral"}
    request |= (
        draw(st.sampled_from([{}, {}, {"speed": "fast"}, {"tool_choice": {"type": "any"}}])) if tools else {}
    )
    return request


GAPS = st.sampled_from([0.0, 1.0, 150.0, 299.0, 300.0, 301.0, 3599.0, 3600.0, 3601.0])
SEQUENCES = st.lists(st.tuples(requests(), GAPS, st.booleans()), min_size=1, max_size=8)


def replayed(sequence: list[tuple[dict[str, Any], float, bool]]) -> list[tuple[dict[str, Any], float]]:
    """Requests with their times; some of them are the one before once more, grown by a turn."""
    found: list[tuple[dict[str, Any], float]] = []
    now = 0.0
    for request, gap, grown in sequence:
        now += gap
        if grown and found:
            before = found[-1][0]
            last = {"role": "user", "content": [{"type": "text", "text": f"turn {len(found)}"}]}
            request = {**before, "messages": [*before["messages"], last]}
        found.append((request, now))
    return found


def counts(it: Prediction) -> tuple[int, int, int, int]:
    return it.read.best, it.write_5m.best, it.write_1h.best, it.uncached.best


@settings(max_examples=100, deadline=None)
@given(SEQUENCES)
def test_predicts_what_the_naive_cache_does(sequence: list[tuple[dict[str, Any], float, bool]]) -> None:
    """Reads, both kinds of writes and the rest, of every request; they add up to the whole prompt, and no read
    is longer than what was written before."""
    simulator, naive = CacheSimulator(counter=WeightCounter()), NaiveCache(MINIMUM)
    longest = 0
    for request, at in replayed(sequence):
        found = simulator.step(request, at=after(at))
        assert counts(found) == naive.step(request, START.timestamp() + at)
        assert sum(counts(found)) == found.total.best
        assert found.exact
        assert found.read.best <= longest
        longest = max(longest, found.read.best + found.write_5m.best + found.write_1h.best)
        assert (found.hit is None) == (found.read.best == 0)


@settings(max_examples=60, deadline=None)
@given(requests())
def test_a_breakpoint_more_costs_its_premium(request: dict[str, Any]) -> None:
    """What a further breakpoint adds to a cold request is the premium of what it writes, and no more."""
    bare = {name: value for name, value in request.items() if name != "cache_control"}
    without = CacheSimulator(counter=WeightCounter()).step(bare, at=START)
    more = {**bare, "cache_control": {"type": "ephemeral"}}
    found = CacheSimulator(counter=WeightCounter()).step(more, at=START)
    written = found.write_5m.best + found.write_1h.best - without.write_5m.best - without.write_1h.best
    assert written >= 0
    assert dollars(found) - dollars(without) == written * premium()


@settings(max_examples=60, deadline=None)
@given(requests())
def test_without_reads_the_cost_is_the_plain_one_and_the_premium(request: dict[str, Any]) -> None:
    """1.25 and 2 times the input for what is written, and nothing else."""
    found = CacheSimulator(counter=WeightCounter()).step(request, at=START)
    plain = cost(Usage(input_tokens=found.total.best), model="claude-sonnet-5", at=START).femto_usd
    base = plain // found.total.best
    extra = found.write_5m.best * base // 4 + found.write_1h.best * base
    assert dollars(found) == plain + extra


def dollars(it: Prediction) -> int:
    read, short, long, rest = counts(it)
    used = Usage(
        input_tokens=rest, cache_read_tokens=read, cache_write_5m_tokens=short, cache_write_1h_tokens=long
    )
    return cost(used, model="claude-sonnet-5", at=START).femto_usd


def premium() -> int:
    """Of a token that is written for 5 minutes, in femto-dollars."""
    one, written = Usage(input_tokens=1), Usage(cache_write_5m_tokens=1)
    costs = [cost(it, model="claude-sonnet-5", at=START).femto_usd for it in (written, one)]
    return costs[0] - costs[1]
