"""Logs as conversations: what each turn lost, why, what that cost, and what would have been better."""

from __future__ import annotations

from typing import Any

import pytest

from nexusflow_core import Usage
from nexusflow_core.caching import Conversations, Ledger, Lifetime, Reason, advise, gaps_of, what_if
from nexusflow_core.logs import Entry
from tests.core.caching.asking import MODEL, after, request, text, usage, user

INPUT = 2 * 10**9
"""Femto-dollars of a token of input, and so on; the model's prices on the day of these tests."""
READ, WRITE, WRITE_LONG = INPUT // 10, INPUT * 5 // 4, INPUT * 2


def entry(at: float, counts: dict[str, Any], **members: Any) -> Entry:
    members.setdefault("session", "s")
    return Entry(
        models=(members.pop("model", MODEL),),
        at=after(at),
        usage=Usage.from_wire(counts, "anthropic"),
        **members,
    )


def read(*entries: Entry) -> Conversations:
    found = Conversations()
    for it in entries:
        found.add(it)
    return found


def test_the_prices_of_these_tests() -> None:
    """They are those of the price book."""
    found = Ledger.of(read(entry(0, usage(read=1000, short=1000, long=1000))))
    assert found.total.saved == 1000 * (INPUT - READ)
    assert found.total.extra == 1000 * (WRITE - INPUT) + 1000 * (WRITE_LONG - INPUT)


CASES: dict[str, tuple[Entry, str | None, int]] = {
    "all is read, and more written": (entry(60, usage(read=5000, short=700)), None, 0),
    "the lifetime had ended": (entry(720, usage(short=5700)), "expired 420s", 5000),
    "the vendor says why": (
        entry(60, usage(short=5700), upstream_cache_miss="tools_changed"),
        "tools_changed",
        5000,
    ),
    "our doctor says where": (
        entry(60, usage(short=5700), cache_miss="system_changed system[1]", upstream_cache_miss="x"),
        "system_changed system[1]",
        5000,
    ),
    "another model": (entry(60, usage(short=5700), model="claude-opus-5"), "model_changed", 5000),
    "the conversation was cut short": (entry(60, usage(read=1000, short=500)), "message_changed", 503),
    "nothing tells why": (entry(60, usage(read=3000, short=2700)), "unexplained", 2000),
}


@pytest.mark.parametrize(("second", "miss", "lost"), CASES.values(), ids=CASES.keys())
def test_what_counts_alone_tell(second: Entry, miss: str | None, lost: int) -> None:
    """Tokens that were in the cache, were sent again and not read; and why, as far as that shows."""
    found = read(entry(0, usage(short=5000)), second)
    (conversation,) = found
    turn = conversation.turns[1]
    assert (turn.miss and str(turn.miss), turn.lost) == (miss, lost)


def test_the_lifetime_is_the_last_writes() -> None:
    """What was written for an hour is not expired after ten minutes."""
    found = read(entry(0, usage(long=5000)), entry(600, usage(short=5700)), entry(4000, usage(short=5700)))
    (conversation,) = found
    assert [str(turn.miss) for turn in conversation.turns] == ["cold", "unexplained", "expired 3100s"]


def test_sessions_and_subagents_are_told_apart() -> None:
    """A subagent's first request lost nothing; calls without a session are never a miss."""
    found = read(
        entry(0, usage(short=5000)),
        entry(1, usage(short=3000), agent="a1"),
        entry(2, usage(short=4000), session=None),
        entry(3, usage(short=4000), session=None),
        entry(4, usage(read=5000)),
    )
    assert [it.name for it in found] == ["s", "s / a1", "(no session)"]
    assert Ledger.of(found).total.lost == 0


def test_without_a_session_only_the_log_gives_a_reason() -> None:
    """The doctor's word, or Anthropic's. What was lost stays unknown."""
    found = read(
        entry(0, usage(short=4000), session=None),
        entry(1, usage(short=4000), session=None, cache_miss="system_changed system[1]"),
        entry(2, usage(short=4000), session=None, upstream_cache_miss="tools_changed"),
    )
    ledger = Ledger.of(found)
    assert {reason: sums.requests for reason, sums in ledger.reasons.items()} == {
        "system_changed system[1]": 1,
        "tools_changed": 1,
    }
    assert ledger.total.lost == 0


@pytest.mark.parametrize("responses", [False, True])
def test_each_model_is_judged_by_its_own_rules(responses: bool) -> None:
    """OpenAI's entries live for half an hour, without a breakpoint in the request. Claude's policies are not
    replayed for them, nor for models without rules."""
    asked: dict[str, Any] = {"messages": [user(text("q", 3000))]}
    if responses:
        asked = {"input": asked["messages"][0]["content"][0]["text"]}
    counts = [usage(short=3000), usage(read=3000)]
    found = read(
        *(entry(900 * number, counts[number], model="gpt-5.6-sol", request=asked) for number in (0, 1)),
        entry(2000, usage(uncached=3000), model="gpt-4o", request=asked),
    )
    first, second, other = (turn for conversation in found for turn in conversation.turns)
    assert first.predicted is not None
    assert second.predicted is not None
    assert second.predicted.read.best == 3000
    assert (second.miss, other.predicted) == (None, None)
    assert (found.sent, dict(found.not_replayed)) == ([], {"gpt-5.6-sol": 2, "gpt-4o": 1})


def clock(number: int) -> dict[str, Any]:
    return request(user(text("q", 50)), system=[text("s", 3000), text(f"it is {number} o'clock", 50, "5m")])


def test_requests_tell_the_place() -> None:
    """With what was sent at hand the miss names the block, and the breakpoint has its share of the tokens."""
    found = read(*(entry(60 * it, usage(short=3050, uncached=53), request=clock(it)) for it in range(3)))
    ledger = Ledger.of(found)
    assert ledger.reasons["system_changed system[1]"].misses == 2
    assert ledger.reasons["system_changed system[1]"].wasted == 2 * 3050 * (WRITE - READ)
    assert ledger.breakpoints["system[1]"].write_5m == 3 * 3050
    assert [it.number for it in ledger.costly] == [2, 3]
    assert "system[1]" in ledger.costly[0].miss.sentence()


def test_without_a_session_the_beginning_of_the_conversation_names_it() -> None:
    """By a hash, never by its words."""
    found = read(*(entry(it, usage(short=3050), request=clock(0), session=None) for it in (0, 1)))
    (conversation,) = found
    assert conversation.name.startswith("conversation ")
    assert len(conversation.turns) == 2


def test_a_prediction_that_fails_is_counted() -> None:
    """It is shown, never hidden."""
    same = [entry(it, usage(short=3050), request=clock(0)) for it in (0, 1)]
    assert read(*same).disagreements == 1


def test_sums_of_many_requests_and_calls_without_usage_are_left_out() -> None:
    """Neither is a turn."""
    found = read(entry(0, usage(short=5), many_requests=True))
    assert found.add(Entry(models=(MODEL,), at=after(0))) is None
    assert list(found) == []


def paused() -> Conversations:
    """Twelve turns of 10,000 tokens; before every third one a pause of ten minutes, which loses all of them."""
    turns, at = [entry(0, usage(short=10_000))], 0.0
    for number in range(1, 12):
        at += 600 if number % 3 == 0 else 30
        turns.append(entry(at, usage(short=10_000) if number % 3 == 0 else usage(read=10_000)))
    return read(*turns)


def test_what_another_lifetime_would_have_read() -> None:
    """An hour bridges the pauses, and its first write costs more."""
    (conversation,) = paused()
    costs = {it: what_if(conversation, it).femto_usd for it in Lifetime}
    tail = 12 * 3 * INPUT
    assert costs[Lifetime.AS_IT_WAS] == costs[Lifetime.SHORT] == 10_000 * (4 * WRITE + 8 * READ) + tail
    assert costs[Lifetime.LONG] == 10_000 * (WRITE_LONG + 11 * READ) + tail
    assert costs[Lifetime.NONE] == 12 * 10_003 * INPUT


def test_gaps_are_told_with_their_number() -> None:
    """Eleven of them, eight below five minutes."""
    found = gaps_of(paused())
    assert (found.count, found.short * 11, found.long) == (11, 8, 1)


def test_advice_states_amount_and_sample() -> None:
    """An hour for all breakpoints; keep-alive requests as the other way."""
    found = paused()
    advice = {it.what: it for it in advise(found, Ledger.of(found))}
    hour = advice["Give every breakpoint the lifetime 1h"]
    assert hour.femto_usd == 10_000 * (4 * WRITE + 8 * READ - WRITE_LONG - 11 * READ)
    assert hour.sample == 11
    assert "73% of 11 gaps are below 5 minutes" in hour.why
    pings = advice["Send keep-alive requests (max_tokens 0) through short pauses"]
    assert pings.femto_usd == 3 * 10_000 * (WRITE - READ - 2 * READ)


def test_advice_on_what_changes() -> None:
    """What a clock in the system prompt costs, and where a breakpoint would be read."""
    found = read(*(entry(60 * it, usage(short=3050, uncached=53), request=clock(it)) for it in range(8)))
    advice = advise(found, Ledger.of(found))
    moved = next(it for it in advice if it.what.startswith("Move what changes from the system prompt"))
    assert moved.femto_usd == 7 * 3050 * (WRITE - READ)
    assert "system_changed (system[1]): 7 of 8 requests" in moved.why
    assert any(it.what == "Take away the breakpoint at system[1]" for it in advice)


def test_an_entry_of_openai_holds_for_half_an_hour() -> None:
    """A miss after ten minutes is not an expiry there, and one after forty minutes is."""
    for seconds, reason in [(600, Reason.UNEXPLAINED), (2_400, Reason.EXPIRED)]:
        turns = [entry(at, usage(short=5000), model="gpt-5.6-sol", vendor="openai") for at in (0, seconds)]
        (conversation,) = read(*turns)
        miss = conversation.turns[1].miss
        assert miss is not None
        assert miss.reason is reason


@pytest.mark.parametrize("members", [{"session": None}, {"model": "gpt-5.6-sol"}, {"model": "deepseek-v4-pro"}])
def test_no_lifetime_is_advised_where_none_can_be_chosen(members: dict[str, Any]) -> None:
    """Calls without a session need not follow each other; other vendors have no lifetimes of 5m and 1h."""
    turns = [entry(it * 600, usage(short=10_000), **members) for it in range(5)]
    found = read(*turns)
    assert [
        it.what for it in advise(found, Ledger.of(found)) if "lifetime" in it.what or "alive" in it.what
    ] == []
    assert bool(gaps_of(found).count) is ("session" not in members)


def test_no_advice_where_all_is_well() -> None:
    """A conversation that reads all it can."""
    found = read(entry(0, usage(short=9000)), *(entry(60 * it, usage(read=9000)) for it in range(1, 9)))
    assert advise(found, Ledger.of(found)) == []


def test_stable_prefixes_take_away_what_can_be_avoided_only() -> None:
    """A changed tool could have been avoided, a compaction not."""
    turns = [
        entry(0, usage(short=5000)),
        entry(30, usage(short=5500), upstream_cache_miss="tools_changed"),
        entry(60, usage(read=1000, short=500)),
    ]
    (conversation,) = read(*turns)
    found = what_if(conversation, Lifetime.AS_IT_WAS, stable=True)
    assert [it.read for it in found.turns] == [0, 5000, 1000]


def test_a_model_without_a_price() -> None:
    """Its tokens count, no amount is invented, and the miss is told all the same."""
    found = read(*(entry(it, usage(short=5000), model="nobody-knows") for it in (0, 1)))
    ledger = Ledger.of(found)
    assert ledger.total.unpriced == ledger.total.requests == 2
    assert ledger.costly[0].femto_usd is None
    assert ledger.costly[0].miss.reason is Reason.UNEXPLAINED
