"""Sums over many calls."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import permutations
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusflow_core.logs import Entry, Priced, Pricer
from nexusflow_core.logs.summary import By, Summary, Totals
from nexusflow_core.usage import Iteration, Usage

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HAIKU, OPUS = "claude-haiku-4-5", "claude-opus-4-7"
PRICER = Pricer()

counts = st.integers(0, 2**63 - 1)
usages = st.builds(
    Usage,
    input_tokens=counts,
    cache_read_tokens=st.sampled_from([0, 0, 7]),
    cache_write_5m_tokens=counts,
    cache_write_1h_tokens=counts,
    output_tokens=counts,
    web_searches=st.integers(0, 3),
    iterations=st.sampled_from([(), (Iteration("message", None, 1, 2, 3, 4, 5), Iteration("compaction"))]),
    assumed_5m_tokens=st.sampled_from([0, 1]),
)
entries = st.builds(
    Entry,
    models=st.sampled_from([(HAIKU,), (OPUS,), ("unknown",)]),
    at=st.sampled_from([NOON, NOON + timedelta(days=1)]),
    usage=st.none() | usages,
    key=st.sampled_from([None, "alice", "bob"]),
    session=st.sampled_from([None, "s1", "s2"]),
    stop_reason=st.sampled_from([None, "refusal"]),
)


def entry(model: str = HAIKU, **changes: Any) -> Entry:
    usage = changes.pop("usage", None) or Usage(
        **{name: changes.pop(name) for name in [*changes] if "_tokens" in name}
    )
    return Entry(**{"models": (model,), "at": NOON, "usage": usage, **changes})


def summed(*entries: Entry, by: tuple[str, ...] = ("model",)) -> Summary:
    summary = Summary(by)
    for each in entries:
        summary.add(each, PRICER.price(each))
    return summary


def total(*entries: Entry) -> Totals:
    return summed(*entries).total()


def test_what_caching_saved() -> None:
    """Reads at the input price less reads at the read price: 1,000 of Haiku's at 1 less 0.1 USD/MTok."""
    assert total(entry(cache_read_tokens=1000)).saved_femto_usd == 900 * 10**9


def test_what_writing_cost_extra() -> None:
    """Writes less the same tokens as input: 0.25 and 1 USD/MTok more on Haiku."""
    got = total(entry(cache_write_5m_tokens=1000, cache_write_1h_tokens=100))
    assert got.extra_femto_usd == (250 + 100) * 10**9


def test_what_was_wasted() -> None:
    """The extra of a session in which nothing was read; a read anywhere in it clears it."""
    write = entry(cache_write_5m_tokens=1000, session="s1")
    read = entry(cache_read_tokens=1, session="s1", at=NOON + timedelta(days=1))
    other = entry(cache_read_tokens=1, session="s2")
    assert total(write, other).wasted_femto_usd == 250 * 10**9
    for order in permutations((write, read, other)):
        assert total(*order).wasted_femto_usd == 0


def test_waste_without_sessions() -> None:
    """There the same key, model and day take the place of the session."""
    write = entry(cache_write_5m_tokens=1000, key="alice")
    for elsewhere in (
        entry(cache_read_tokens=1, key="bob"),
        entry(OPUS, cache_read_tokens=1, key="alice"),
        entry(cache_read_tokens=1, key="alice", at=NOON + timedelta(days=1)),
        entry(cache_read_tokens=1, key="alice", session="s1"),
    ):
        assert total(write, elsewhere).wasted_femto_usd == 250 * 10**9
    assert total(write, entry(cache_read_tokens=1, key="alice")).wasted_femto_usd == 0


def test_prices_are_each_lines_own() -> None:
    """A batch saves half as much; of a vendor's own bill the list price tells, and it is flagged."""
    assert total(entry(cache_read_tokens=1000, batch=True)).saved_femto_usd == 450 * 10**9
    billed = entry(usage=Usage(cache_read_tokens=1000, reported_femto_usd=5))
    assert (total(billed).saved_femto_usd, total(billed).femto_usd) == (900 * 10**9, 5)
    assert total(billed).flags == {"cache_at_list_price": 1}


def test_an_unknown_price_is_not_zero() -> None:
    """Its call and tokens count, apart; a group of nothing else has no cost at all."""
    summary = summed(entry("unknown", input_tokens=9), entry(input_tokens=1))
    known, unknown = (group.totals for group in summary.groups())
    assert (unknown.calls, unknown.unpriced, unknown.input_tokens) == (1, 1, 9)
    assert unknown.known_femto_usd is None
    assert known.known_femto_usd == 10**9
    assert (summary.total().unpriced, summary.total().known_femto_usd) == (1, 10**9)


def test_calls_without_usage() -> None:
    """They count as calls and cost 0: nothing was used."""
    got = total(Entry(models=(HAIKU,), at=NOON), Entry(models=("unknown",), at=NOON))
    assert (got.calls, got.without_usage, got.unpriced, got.known_femto_usd) == (2, 2, 0, 0)


def test_model_calls_inside_an_answer_are_added_up() -> None:
    """With iterations the tokens are theirs; the top level repeats the last of them."""
    steps = (Iteration("compaction", None, 180_000, output_tokens=3_500), Iteration("message", None, 23_000))
    got = total(entry(usage=Usage(input_tokens=23_000, web_searches=2, iterations=steps)))
    assert (got.input_tokens, got.output_tokens, got.web_searches) == (203_000, 3_500, 2)


def test_flags_are_counted_once_a_call() -> None:
    """However often a cost repeats one."""
    got = summed()
    for flags in (("a", "a", "b"), ("a",)):
        cost = PRICER.price(entry(input_tokens=1)).cost
        assert cost is not None
        got.add(entry(input_tokens=1), Priced(HAIKU, type(cost)(cost.femto_usd, (), flags)))
    assert got.total().flags == {"a": 2, "b": 1}


def test_by_the_reason_of_a_cache_miss() -> None:
    """Ours with a place that later calls share, without what differs each time; else the upstream's."""
    said = [
        ("system_changed system[1]", "tools_changed", None),
        ("system_changed system[1]", None, None),
        ("message_changed messages[4].content[0]", None, 70),
        ("message_changed messages[6].content[0]", None, -70),
        ("expired 12s", None, None),
        (None, "tools_changed", None),
        (None, None, None),
    ]
    calls = [
        entry(cache_miss=ours, upstream_cache_miss=theirs, cache_disagreement=differs, input_tokens=1)
        for ours, theirs, differs in said
    ]
    summary = summed(*calls, by=("miss",))
    assert {group.values[0]: group.totals.calls for group in summary.groups()} == {
        "system_changed system[1]": 2,
        "message_changed": 2,
        "expired": 1,
        "tools_changed (upstream)": 1,
        None: 1,
    }
    assert summary.total().cache_disagreements == 2


def test_by_upstream_route_and_metadata() -> None:
    """As the records name them; a call without one is a group of its own."""
    calls = [
        entry(input_tokens=1, upstream="east", route="fast", metadata={"team": "red"}),
        entry(input_tokens=1, upstream="west", route="fast", metadata={"team": "red"}),
        entry(input_tokens=1),
    ]
    for by, expected in (
        ("upstream", {"east": 1, "west": 1, None: 1}),
        ("route", {"fast": 2, None: 1}),
        ("metadata.team", {"red": 2, None: 1}),
    ):
        groups = summed(*calls, by=(by,)).groups()
        assert {group.values[0]: group.totals.calls for group in groups} == expected


def test_days_and_months_of_a_time_zone() -> None:
    """UTC, if none is given. Noon on the last of October in UTC is November in Auckland."""
    call = entry(input_tokens=1, at=datetime(2026, 10, 31, 12, tzinfo=UTC))
    for zone, values in (
        (UTC, ("2026-10-31", "2026-10")),
        (timezone(timedelta(hours=13)), ("2026-11-01", "2026-11")),
    ):
        summary = Summary(("day", "month"), zone)
        summary.add(call, PRICER.price(call))
        assert [group.values for group in summary.groups()] == [values]


@pytest.mark.parametrize("name", ["year", "metadata.", ""])
def test_a_group_that_does_not_exist(name: str) -> None:
    """An error that lists the groups."""
    with pytest.raises(ValueError, match=r"is not one of model, day, .*, metadata\.NAME"):
        Summary((name,))


def test_a_line_that_sums_up_calls() -> None:
    """It counts as many calls as it says."""
    got = total(entry(input_tokens=5, calls=5, many_requests=True), Entry(models=(HAIKU,), at=NOON, calls=2))
    assert (got.calls, got.without_usage, got.priced) == (7, 2, 5)


def test_the_order_of_groups() -> None:
    """The dearest first; days in their order."""
    cheap, dear = entry(input_tokens=1), entry(OPUS, input_tokens=1, at=NOON + timedelta(days=1))
    assert [group.values for group in summed(cheap, dear).groups()] == [(OPUS,), (HAIKU,)]
    days = summed(dear, cheap, by=("day", "model")).groups()
    assert [group.values for group in days] == [("2026-11-22", HAIKU), ("2026-11-23", OPUS)]


@given(parts=st.lists(st.lists(entries, max_size=5), max_size=4))
def test_summaries_of_parts_add_up_to_the_whole(parts: list[list[Entry]]) -> None:
    """Also the waste: a read in one part clears the writes of its session in another."""
    whole, sum_of_parts = summed(*(call for part in parts for call in part)), Summary()
    for part in parts:
        sum_of_parts.update(summed(*part))
    assert sum_of_parts.groups() == whole.groups()


def test_groups_can_be_asked_for_again() -> None:
    """Asking changes nothing, and counting goes on."""
    write = entry(cache_write_5m_tokens=1000)
    summary = summed(write)
    assert summary.groups() == summary.groups()
    summary.add(write, PRICER.price(write))
    assert summary.total().wasted_femto_usd == 500 * 10**9


@given(
    calls=st.lists(entries, max_size=12),
    by=st.lists(st.sampled_from(get_args(By)), min_size=1, max_size=4, unique=True),
    seed=st.randoms(use_true_random=False),
)
def test_groups_add_up_to_the_calls(calls: list[Entry], by: list[By], seed: Any) -> None:
    """In any grouping and any order: the same total, and the cost is the plain sum over the calls."""
    shuffled = list(calls)
    seed.shuffle(shuffled)
    one, other = summed(*calls, by=tuple(by)).total(), summed(*shuffled).total()
    assert one == other
    costs = [priced.cost.femto_usd for priced in map(PRICER.price, calls) if priced.cost is not None]
    assert one.femto_usd == sum(costs)
    assert (one.calls, one.priced) == (len(calls), len(costs))
    assert 0 <= one.wasted_femto_usd <= one.extra_femto_usd
