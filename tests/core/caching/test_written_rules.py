"""Rules that no public recording shows: each is tested as Anthropic's documentation states it."""

from __future__ import annotations

from typing import Any

import pytest

from nexusflow_core.caching import ANTHROPIC, CacheSimulator, Level, Miss, Prediction, Reason
from nexusflow_core.errors import InvalidRequestError
from tests.core.caching.asking import after, assistant, marked, request, text, tool, usage, user
from tests.core.caching.oracle import WeightCounter


def simulator() -> CacheSimulator:
    return CacheSimulator(counter=WeightCounter())


def miss(found: Prediction) -> Miss:
    assert found.miss is not None
    return found.miss


def short_blocks(count: int, name: str = "b") -> list[dict[str, Any]]:
    return [text(f"{name}{number}", 8) for number in range(count)]


@pytest.mark.parametrize(("between", "hits"), [(19, True), (20, False)])
def test_a_read_looks_at_twenty_positions(between: int, hits: bool) -> None:
    """The breakpoint's own is the first of them; one block further back is not found, and the miss says so."""
    cache = simulator()
    cache.step(request(user(text("a", mark="5m"))), at=after(0))
    blocks = [*short_blocks(between - 1), text("end", 8, mark="5m")]
    found = cache.step(request(user(text("a"), *blocks)), at=after(1))
    assert (found.hit is not None) == hits
    if not hits:
        assert miss(found) == Miss(Reason.LOOKBACK, "messages[0].content[0]", positions=1)


@pytest.mark.parametrize("kind", ["tool_use", "tool_result"])
def test_a_run_of_tool_blocks_is_one_position(kind: str) -> None:
    """Thirty calls, or thirty results, in a row do not exhaust the lookback."""
    members = {"tool_use": {"name": "a", "input": {}}, "tool_result": {"content": "ok"}}[kind]
    run = [{"type": kind, "id": f"t{number}", **members} for number in range(30)]
    cache = simulator()
    cache.step(request(user(text("a", mark="5m"))), at=after(0))
    found = cache.step(request(user(text("a"), *run, text("end", 8, mark="5m"))), at=after(1))
    assert found.hit is not None
    assert found.hit.path == "messages[0].content[0]"


@pytest.mark.parametrize(("lifetime", "seconds"), [("5m", 300), ("1h", 3600)])
def test_an_entry_lives_for_its_lifetime(lifetime: str, seconds: int) -> None:
    """Up to its last second it is read; at its end it is gone, and the miss says since when."""
    asked = request(user(text("a", mark=lifetime)))
    for late, hits in [(-1, True), (0, False), (7, False)]:
        cache = simulator()
        cache.step(asked, at=after(0))
        found = cache.step(asked, at=after(seconds + late))
        assert (found.hit is not None) == hits
        if not hits:
            assert miss(found).reason is Reason.EXPIRED
            assert miss(found).seconds == late


def test_a_hit_refreshes_the_lifetime() -> None:
    """Counted from the request that read, not from the one that wrote."""
    cache, asked = simulator(), request(user(text("a", mark="5m")))
    for at in (0, 299, 598, 897):
        found = cache.step(asked, at=after(at))
    assert found.hit is not None
    assert cache.step(asked, at=after(897 + 300)).hit is None


def test_an_entry_is_readable_once_the_answer_begins() -> None:
    """A request that is sent before reads nothing, and the miss says how long it would have had to wait."""
    cache, asked = simulator(), request(user(text("a", mark="5m")))
    cache.step(asked, at=after(0), answered_at=after(3))
    early = cache.step(asked, at=after(1), answered_at=after(4))
    assert miss(early) == Miss(Reason.NOT_YET_VISIBLE, "messages[0].content[0]", seconds=2.0)
    assert early.write_5m.best == early.total.best
    assert cache.step(asked, at=after(3)).hit is not None


def test_two_lifetimes_in_one_request() -> None:
    """Read up to A, written for an hour from A to B, for five minutes from B to C; the rest is not cached."""
    cache = simulator()
    cache.step(request(user(text("q", 8)), system=[text("a", mark="1h")]), at=after(0))
    asked = request(
        user(text("c", mark="5m"), text("d", 500)), system=[text("a", mark="1h"), text("b", mark="1h")]
    )
    found = cache.step(asked, at=after(1))
    assert (found.read.best, found.write_1h.best) == (2001, 2001)
    assert 2000 < found.write_5m.best < 2010
    assert 499 < found.uncached.best < 503


def test_writes_happen_at_breakpoints_only() -> None:
    """A block that nobody marked is found by no later request, though it was part of what was written."""
    cache = simulator()
    cache.step(request(user(text("a"), text("b", mark="5m"))), at=after(0))
    found = cache.step(request(user(text("a"), text("c", mark="5m"))), at=after(1))
    assert found.hit is None
    assert miss(found) == Miss(Reason.MESSAGE_CHANGED, "messages[0].content[1]")


def test_the_automatic_breakpoint_is_on_the_last_block_that_can_have_one() -> None:
    """Not on thinking, and not on an empty text; the next turn reads what it wrote."""
    cache = simulator()
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    automatic = {"cache_control": {"type": "ephemeral"}}
    first = cache.step(request(user(text("a")), assistant(text("b", 8), thought), **automatic), at=after(0))
    assert first.uncached.best > 0
    asked = request(user(text("a")), assistant(text("b", 8), thought), user(text("c", 8)), **automatic)
    found = cache.step(asked, at=after(1))
    assert found.hit is not None
    assert (found.hit.path, found.hit.breakpoint) == ("messages[1].content[0]", "messages[2].content[0]")


REFUSED = {
    "five breakpoints": [text(name, 8, "5m") for name in "abcde"],
    "an hour after five minutes": [text("a", 8, "5m"), text("b", 8, "1h")],
    "a marked thinking block": [marked({"type": "thinking", "thinking": "hm", "signature": ""}, "5m")],
    "a marked empty text": [marked({"type": "text", "text": ""}, "5m")],
}


@pytest.mark.parametrize("blocks", REFUSED.values(), ids=REFUSED.keys())
def test_breakpoints_that_the_api_refuses(blocks: list[dict[str, Any]]) -> None:
    """They are refused here too, with a sentence, and the simulator goes on unchanged."""
    cache = simulator()
    with pytest.raises(InvalidRequestError, match="cache_control: "):
        cache.step(request(user(*blocks)), at=after(0))
    assert len(cache) == 0


def test_below_the_minimum_nothing_is_cached() -> None:
    """The miss says how many tokens are missing."""
    found = simulator().step(request(user(text("a", 1000, mark="5m"))), at=after(0))
    assert (found.read.best, found.write_5m.best) == (0, 0)
    assert found.uncached.best == found.total.best
    assert miss(found) == Miss(Reason.BELOW_MINIMUM, tokens=1024 - found.total.best)


@pytest.mark.parametrize(
    ("model", "month", "day", "minimum"),
    [
        ("claude-sonnet-4-6", 2, 26, 1024),
        ("claude-sonnet-4-6", 2, 27, 2048),
        ("claude-sonnet-4-6", 5, 13, 2048),
        ("claude-sonnet-4-6", 5, 14, 1024),
        ("claude-opus-4-7", 6, 9, 4096),
        ("claude-opus-4-7", 6, 10, 2048),
        ("a-model-that-nobody-knows", 6, 10, 1024),
    ],
)
def test_minimums_are_dated(model: str, month: int, day: int, minimum: int) -> None:
    """The day of the request decides, by the price book."""
    at = after(0).replace(month=month, day=day)
    for tokens, written in [(minimum - 20, False), (minimum + 20, True)]:
        asked = {**request(user(text("a", tokens, mark="5m"))), "model": model}
        assert bool(simulator().step(asked, at=at).write_5m.best) == written


CHANGES: dict[str, dict[str, Any]] = {
    "model": {"model": "claude-opus-5"},
    "web_search": {"tools": [tool("t", "5m"), {"type": "web_search_20250305", "name": "web_search"}]},
    "citations": {
        "messages": [
            user(
                text("m", mark="5m"),
                {"type": "document", "source": {"type": "text", "data": "x"}, "citations": {"enabled": True}},
            )
        ]
    },
    "speed": {"speed": "fast"},
    "tool_choice": {"tool_choice": {"type": "any"}},
    "disable_parallel_tool_use": {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    "images": {
        "messages": [
            user(text("m", mark="5m"), {"type": "image", "source": {"type": "url", "url": "https://x"}})
        ]
    },
    "thinking": {"thinking": {"type": "enabled", "budget_tokens": 2048}},
    "effort": {"output_config": {"effort": "low"}},
}


@pytest.mark.parametrize("row", ANTHROPIC.invalidations, ids=lambda row: row.parameter)
def test_a_parameter_loses_its_level_and_no_lower_one(row: Any) -> None:
    """What stands below is read on, and the miss names the parameter. Back again, all is read."""
    base = request(user(text("m", mark="5m")), tools=[tool("t", "5m")], system=[text("s", mark="5m")])
    cache = simulator()
    cache.step(base, at=after(0))
    found = cache.step({**base, **CHANGES[row.parameter]}, at=after(1))
    kept = {Level.TOOLS: None, Level.SYSTEM: "tools[0]", Level.MESSAGES: "system[0]"}[row.level]
    assert (found.hit and found.hit.path) == kept
    assert miss(found).reason is (
        Reason.MODEL_CHANGED if row.parameter == "model" else Reason.PARAMETERS_CHANGED
    )
    assert row.parameter in (*miss(found).parameters, "model")
    again = cache.step(base, at=after(2))
    assert again.hit is not None
    assert again.hit.path == "messages[0].content[0]"
    assert again.miss is None


@pytest.mark.parametrize(
    "members",
    [
        {"tool_choice": {"type": "auto"}},
        {"speed": "standard"},
        {"thinking": {"type": "disabled"}},
        {"stream": True, "max_tokens": 7, "temperature": 0.5, "metadata": {"user_id": "u"}},
    ],
    ids=str,
)
def test_what_the_cache_does_not_go_by(members: dict[str, Any]) -> None:
    """A default that is spelled out, and every other member, change nothing."""
    base = request(user(text("m", mark="5m")), tools=[tool("t")])
    cache = simulator()
    cache.step(base, at=after(0))
    assert cache.step({**base, **members}, at=after(1)).miss is None


def test_a_string_is_one_text_block() -> None:
    """However a text is spelled, and in whichever order its members stand."""
    cache, said = simulator(), text("m")["text"]
    cache.step(request({"role": "user", "content": said}, cache_control={"type": "ephemeral"}), at=after(0))
    spelled = {"text": said, "cache_control": {"type": "ephemeral"}, "type": "text"}
    assert cache.step(request(user(spelled)), at=after(1)).hit is not None


def test_a_mark_inside_a_tool_result_counts_at_its_end() -> None:
    """And taking it away later does not change the prefix."""
    parts = [marked({"type": "text", "text": "r" * 9000}, "5m")]
    call = {"type": "tool_use", "id": "t", "name": "a", "input": {}}
    turns = [user(text("q", 8)), assistant(call)]
    cache = simulator()
    result = {"type": "tool_result", "tool_use_id": "t", "content": parts}
    cache.step(request(*turns, user(result)), at=after(0))
    plain = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "r" * 9000}]}
    found = cache.step(request(*turns, user(plain, text("next", 8, "5m"))), at=after(1))
    assert found.hit is not None
    assert found.hit.path == "messages[2].content[0]"


def test_scopes_share_nothing() -> None:
    """Another workspace has a cache of its own."""
    cache, asked = simulator(), request(user(text("a", mark="5m")))
    cache.step(asked, at=after(0), scope="one")
    assert cache.step(asked, at=after(1), scope="two").hit is None
    assert cache.step(asked, at=after(2), scope="one").hit is not None


def test_an_alias_and_its_dated_id_are_one_model() -> None:
    """They name one row of the price book."""
    cache, asked = simulator(), request(user(text("a", 5000, mark="5m")))
    cache.step({**asked, "model": "claude-haiku-4-5"}, at=after(0))
    assert cache.step({**asked, "model": "claude-haiku-4-5-20251001"}, at=after(1)).hit is not None


def test_what_usage_contradicts_is_forgotten() -> None:
    """An entry that the answer did not read is not expected the next time, unless it was written again."""
    cache, asked = CacheSimulator(), request(user(text("a", mark="5m")))
    cache.step(asked, at=after(0), usage=usage(short=1990))
    assert cache.step(asked, at=after(1), usage=usage(uncached=1993)).read.best == 1990
    assert cache.step(asked, at=after(2), usage=usage(short=1990)).read.best == 0
    assert cache.step(asked, at=after(3), usage=usage(read=1990)).read.best == 1990


def test_server_tools_leave_an_entry_behind_their_results() -> None:
    """The next turn reads it; not where it leaves out the thinking that the answer began with."""
    call = {"type": "server_tool_use", "id": "s", "name": "web_fetch", "input": {}}
    result = {"type": "web_fetch_tool_result", "tool_use_id": "s", "content": {"type": "web_fetch_result"}}
    fetch = [{"type": "web_fetch_20250910", "name": "web_fetch"}]
    first = request(user(text("q", mark="5m")), tools=fetch)
    turn = user(text("and?", 8, "5m"))
    for thinking, read in [(0, 3500), (26, 1150)]:
        cache = CacheSimulator()
        told = {
            "server_tool_use": {"web_fetch_requests": 1},
            "output_tokens_details": {"thinking_tokens": thinking},
        }
        cache.step(first, at=after(0), usage=usage(1150, 3500, **told))
        asked = request(user(text("q")), assistant(call, result, text("so", 8)), turn, tools=fetch)
        assert cache.step(asked, at=after(1)).read.best == read


def test_memory_goes_by_the_live_entries() -> None:
    """A day of requests that have nothing in common leaves little behind."""
    cache = simulator()
    for number in range(5000):
        cache.step(request(user(text(str(number), 1100, "5m"))), at=after(number * 20))
    assert len(cache) < 1100
