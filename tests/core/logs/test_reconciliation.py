"""Our costs beside a provider's bill: every difference is explained by a rule, or stated."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusflow_core.logs import Entry, NotAnEntryError, Pricer, Skipped, read_log
from nexusflow_core.logs.bills import Bill, Charge, read_charges
from nexusflow_core.logs.reconciliation import Cell, Reconciliation, Rule
from nexusflow_core.prices import PriceBook
from nexusflow_core.usage import Usage
from tests.core.logs.independent import dollars

OPUS = "claude-opus-4-7"
DAY = date(2026, 11, 20)
BOOK = PriceBook.builtin()
PRICER = Pricer(BOOK)
KINDS = {"input": "uncached_input_tokens", "cache_read": "cache_read_input_tokens", "output": "output_tokens"}


def cents(usd: Decimal) -> str:
    return f"{(usd * 100).normalize():f}"


def report(*rows: dict[str, Any], day: date = DAY) -> bytes:
    times = {"starting_at": f"{day}T00:00:00Z", "ending_at": f"{day + timedelta(days=1)}T00:00:00Z"}
    return json.dumps(
        {"data": [{**times, "results": list(rows)}], "has_more": False, "next_page": None}
    ).encode()


def charge(amount: str, kind: str | None = "output", **changes: Any) -> dict[str, Any]:
    terms = {"model": OPUS if kind else None, "cost_type": "tokens", "service_tier": "standard"}
    return {"amount": amount, "currency": "USD", "token_type": kind and KINDS[kind], **terms, **changes}


def used(output: int, **changes: Any) -> dict[str, Any]:
    counts = {"uncached_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": output}
    terms = {"model": OPUS, "service_tier": "standard", "context_window": "0-200k", "inference_geo": "global"}
    return {**counts, "cache_creation": {}, "server_tool_use": {}, **terms, **changes}


def call(output: int, *, day: date = DAY, tier: str | None = None, **changes: Any) -> Entry:
    usage = Usage(output_tokens=output, service_tier=tier, **changes)
    return Entry(
        models=(OPUS,), at=datetime.combine(day, datetime.min.time(), UTC), usage=usage, vendor="anthropic"
    )


def reconciled(bill: bytes, calls: list[Entry], usage: bytes | None = None) -> list[Cell]:
    found = Reconciliation(read_charges([bill], "anthropic"), BOOK)
    for entry in calls:
        found.add(entry, PRICER.price(entry))
    for _, row in read_log([(1, usage)]) if usage else ():
        assert not isinstance(row, Skipped), row
        found.add_usage(row, PRICER.price(row))
    return found.cells()


def femto(usd: Decimal) -> int:
    return int(usd.scaleb(15))


def output(tokens: int, times: str = "1") -> Decimal:
    return dollars("anthropic", OPUS, 0, 0, 0, 0, tokens, times=times)


def test_a_bill_that_agrees() -> None:
    """Nothing is left to explain; a dated name of the model is the same model."""
    bill = report(charge(cents(output(1000)), model=f"{OPUS}-20260401"), charge(cents(output(0)), "input"))
    (_, cell) = reconciled(bill, [call(400), call(600)])
    assert (cell.model, cell.kind, cell.tokens) == (OPUS, "output", 1000)
    assert (cell.explained, cell.unexplained_femto_usd) == ({}, 0)
    assert cell.ours_femto_usd == cell.billed_femto_usd == femto(output(1000))


def test_each_rule_with_the_usage_report() -> None:
    """Batches, calls elsewhere, the priority tier, server tools, each with its amount; the rest is stated."""
    discount = Decimal("0.0001")
    billed = output(1500) + output(1000, "0.5") - discount
    bill = report(charge(cents(billed)), charge("4", None, cost_type="web_search", service_tier=None))
    usage = report(used(1500), used(1000, service_tier="batch"), used(300, service_tier="priority"))
    search, cell = sorted(reconciled(bill, [call(1000), call(300, tier="priority")], usage), key=str)
    if search.kind != "web_search":
        search, cell = cell, search
    assert cell.explained == {
        Rule.PRIORITY: -femto(output(300)),
        Rule.BATCH: femto(output(1000, "0.5")),
        Rule.ELSEWHERE: femto(output(500)),
    }
    assert cell.unexplained_femto_usd == -femto(discount)
    assert (cell.tokens, cell.reported_tokens) == (1300, 2800)
    assert search.explained == {Rule.SERVER_TOOLS: 4 * 10**13}


def test_calls_that_the_report_does_not_have() -> None:
    """Our log has more tokens than the provider counted."""
    ((cell),) = reconciled(report(charge(cents(output(400)))), [call(1000)], report(used(400)))
    assert cell.explained == {Rule.MISSING: -femto(output(600))}
    assert cell.unexplained_femto_usd == 0


def test_the_same_tokens_at_other_terms() -> None:
    """The report says that they ran in the US, which costs 1.1x; our record did not."""
    bill = report(charge(cents(output(1000, "1.1"))))
    ((cell),) = reconciled(bill, [call(1000)], report(used(1000, inference_geo="us")))
    assert cell.explained == {Rule.TERMS: femto(output(1000, "0.1"))}
    assert cell.unexplained_femto_usd == 0


def test_rounding() -> None:
    """At most half of the last digit of each amount; anything above it is unexplained."""
    exact = output(1003)  # 2.5075 cents
    for amount, rule in (("2.508", Rule.ROUNDING), ("2.507", Rule.ROUNDING), ("2.509", None)):
        ((cell),) = reconciled(report(charge(amount)), [call(1003)])
        difference = femto(Decimal(amount) / 100 - exact)
        assert cell.explained == ({rule: difference} if rule else {})
        assert cell.unexplained_femto_usd == (0 if rule else difference)


def test_without_the_usage_report() -> None:
    """Batches are told by the bill's own rows. Models that we never called did not pass here."""
    rows = [
        charge(cents(output(1000))),
        charge(cents(output(500, "0.5")), service_tier="batch"),
        charge("7", model="claude-haiku-4-5"),
    ]
    haiku, opus = reconciled(report(*rows), [call(1000)])
    assert opus.explained == {Rule.BATCH: femto(output(500, "0.5"))}
    assert haiku.explained == {Rule.ELSEWHERE: 7 * 10**13}
    assert (opus.unexplained_femto_usd, haiku.unexplained_femto_usd) == (0, 0)


def test_a_bill_without_models() -> None:
    """It is compared by day alone."""
    bill = report(charge("10", None, model=None, cost_type=None, service_tier=None))
    ((cell),) = reconciled(bill, [call(1000), call(1000, input_tokens=10)])
    assert (cell.day, cell.model, cell.kind) == (DAY, None, None)
    assert cell.ours_femto_usd + cell.unexplained_femto_usd == cell.billed_femto_usd == 10**14


def test_what_is_left_out() -> None:
    """Calls of other vendors, and of days that the bill does not cover."""
    found = Reconciliation(read_charges([report(charge("1"))], "anthropic"), BOOK)
    other = Entry(models=("gpt-5",), at=call(1).at, usage=Usage(output_tokens=1))
    for entry in (call(1), call(1, day=DAY + timedelta(days=1)), other):
        found.add(entry, PRICER.price(entry))
    assert found.left_out == 2
    assert [cell.tokens for cell in found.cells()] == [1]


def test_openai_s_costs() -> None:
    """By line item; amounts are numbers; the priority tier is part of the bill."""
    row = {"object": "organization.costs.result", "project_id": None}
    plain = dollars("openai", "gpt-5", 0, 0, 0, 0, 1000)
    items = {"gpt-5-2025-08-07, output": float(plain), "gpt-5-2025-08-07, input": 0.5, "Web search": 0.25}
    rows = [
        {**row, "amount": {"value": value, "currency": "usd"}, "line_item": item}
        for item, value in items.items()
    ]
    start = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp())
    bucket = {"object": "bucket", "start_time": start, "end_time": start + 86400, "results": rows}
    bill = read_charges([json.dumps({"object": "page", "data": [bucket]}).encode()], "openai")
    found = Reconciliation(bill, BOOK)
    entry = Entry(models=("gpt-5",), at=call(1).at, usage=Usage(output_tokens=1000))
    found.add(entry, PRICER.price(entry))
    cells = {cell.kind: cell for cell in found.cells()}
    assert (cells["output"].model, cells["output"].unexplained_femto_usd) == ("gpt-5", 0)
    assert cells["input"].explained == {Rule.ELSEWHERE: 5 * 10**14}
    assert cells["Web search"].billed_femto_usd == 25 * 10**13


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"{", "no cost report of anthropic"),
        (b'{"data": []}', "it has no time buckets"),
        (b'{"data": [{"results": []}]}', "neither `starting_at` nor `start_time`"),
        (report({"amount": "x", "currency": "USD"}), "not a number of cents"),
        (report({"amount": "1", "currency": "EUR"}), "EUR"),
        (
            b'{"data": [{"starting_at": "2020-01-01", "ending_at": "2026-01-01", "results": []}]}',
            "download the report by day",
        ),
    ],
)
def test_reports_that_cannot_be_read(value: bytes, says: str) -> None:
    """A bill is read as a whole, or not at all."""
    with pytest.raises(NotAnEntryError) as error:
        read_charges([value], "anthropic")
    assert says in str(error.value)


amounts = st.integers(-(10**16), 10**16)
charges = st.builds(
    Charge,
    day=st.sampled_from([DAY, DAY + timedelta(days=1)]),
    femto_usd=amounts,
    model=st.sampled_from([None, OPUS, "acme"]),
    kind=st.sampled_from([None, "input", "output", "web_search", "code_execution"]),
    tier=st.sampled_from([None, "standard", "batch", "priority"]),
    rounding=st.integers(0, 10**12),
)
calls = st.builds(
    call,
    st.integers(0, 10**6),
    day=st.sampled_from([DAY, DAY + timedelta(days=1), DAY + timedelta(days=9)]),
    tier=st.sampled_from([None, "priority", "batch", "standard"]),
    input_tokens=st.integers(0, 10),
    web_searches=st.integers(0, 2),
)


@given(billed=st.lists(charges, max_size=6), ours=st.lists(calls, max_size=6), used=st.lists(calls, max_size=4))
def test_what_is_explained_and_the_rest_add_up(
    billed: list[Charge], ours: list[Entry], used: list[Entry]
) -> None:
    """In every cell, to the femto-dollar; and no call or charge is lost or counted twice."""
    days = {DAY, DAY + timedelta(days=1)}
    found = Reconciliation(Bill("anthropic", days, billed), BOOK)
    total = 0
    for entry in ours:
        priced = PRICER.price(entry)
        found.add(entry, priced)
        assert priced.cost is not None
        total += priced.cost.femto_usd if entry.at.date() in days else 0
    for entry in used:
        found.add_usage(entry, PRICER.price(entry))
    cells = found.cells()
    for cell in cells:
        difference = cell.billed_femto_usd - cell.ours_femto_usd
        assert sum(cell.explained.values()) + cell.unexplained_femto_usd == difference
    assert sum(cell.ours_femto_usd for cell in cells) == total
    assert sum(cell.billed_femto_usd for cell in cells) == sum(charge.femto_usd for charge in billed)
