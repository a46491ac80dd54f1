"""Rows of the ledger: exact, and readable as our call log; sums that are those of the records."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusflow_core import Billing, CallRecord
from nexusflow_core.ledger import EVERYTHING, line_of, row_of, spends_of
from nexusflow_core.logs import Entry, read_line
from nexusflow_core.record import AttemptRecord

AT = datetime(2026, 11, 22, 23, 59, 59, 999000, tzinfo=UTC)


def record(**changes: Any) -> CallRecord:
    """A record of a finished call; `changes` are its members."""
    members: dict[str, Any] = {
        "request_id": "req_1",
        "upstream_request_id": None,
        "started_at": AT,
        "duration": 2.5,
        "time_to_first_byte": 0.25,
        "endpoint": "messages",
        "model": "fast",
        "response_model": "claude-haiku-4-5",
        "route": "fast",
        "principal": "u1",
        "metadata": {"team": "red"},
        "stream": True,
        "status": 200,
        "error_type": None,
        "ending": "complete",
        "attempts": (
            AttemptRecord(upstream="anthropic", model="claude-haiku-4-5", status=200, reason="", duration=2.4),
        ),
        "usage": {"input_tokens": 50, "output_tokens": 500},
        "usage_source": "upstream",
        "service_tier": None,
        "speed": None,
        "inference_geo": None,
        "dropped": (),
        "edits": (),
        "cost_usd": "0.002550000000001",
        "cache_saved_usd": "0.45",
        "cache_write_extra_usd": "0",
        "price_row": "anthropic/claude-haiku-4-5",
        "price_vendor": "anthropic",
        "scopes": ("caller:u1", "team:red"),
    }
    return CallRecord(**{**members, **changes})


USAGES = [
    {"input_tokens": 50, "output_tokens": 500},
    {"input_tokens": 1, "cache_read_input_tokens": 100_000, "output_tokens": 2},
    {
        "input_tokens": 1,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "output_tokens": 2,
        "server_tool_use": {"web_search_requests": 3},
    },
    {"input_tokens": 1, "cache_creation_input_tokens": 30, "output_tokens": 2},
    {"input_tokens": 1, "output_tokens": 2, "service_tier": "priority", "inference_geo": "us", "speed": "fast"},
    {"input_tokens": 1, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 5}},
    {
        "input_tokens": 1,
        "output_tokens": 2,
        "iterations": [{"type": "message", "model": "claude-opus-4-7", "input_tokens": 9, "output_tokens": 9}],
    },
    None,
]


@pytest.mark.parametrize("usage", USAGES)
@pytest.mark.parametrize("billing", [None, Billing(reported_femto_usd=7, endpoint="regional", thinking=True)])
@pytest.mark.parametrize("ending", ["complete", "error", "client_gone", "refused", "lost"])
def test_a_row_reads_as_the_line_of_its_record(usage: Any, billing: Any, ending: Any) -> None:
    """Pricing and summaries see the same call in the ledger and in the call log."""
    it = record(
        usage=usage, usage_source="none" if usage is None else "upstream", billing=billing, ending=ending
    )
    entry, kept = read_line(line_of(row_of(it))), read_line(msgspec.json.encode(it))
    assert isinstance(entry, Entry)
    assert entry == kept


def test_money_is_exact() -> None:
    """To the femto-dollar, also below a nano-dollar and above nine thousand dollars."""
    for usd in ("0.002550000000001", "0", "0.000000000000001", "123456.789012345678901", "9000000.1"):
        row = row_of(record(cost_usd=usd))
        assert row.cost_nano is not None
        assert msgspec.json.decode(line_of(row))["cost_usd"] == usd
        assert Decimal(row.cost_nano) / 10**9 + Decimal(row.cost_rest or 0) / 10**15 == Decimal(usd)
    assert row_of(record(cost_usd=None)).cost_nano is None


def test_a_row_is_narrow() -> None:
    """It has no JSON for an ordinary call, and long texts are cut."""
    row = row_of(record(model="m" * 5000, session_id="s" * 999))
    assert row.details == ""
    assert (len(row.model), len(row.session_id or "")) == (200, 200)
    assert len(line_of(row)) < 2000
    huge = {"input_tokens": 1, "output_tokens": 2, "iterations": [{"type": "message", "input_tokens": 1}] * 999}
    assert "details_left_out" in row_of(record(usage=huge)).cost_flags


AMOUNTS = st.integers(0, 10**19).map(lambda femto: f"{Decimal(femto).scaleb(-15):f}")
RECORDS = st.builds(
    record,
    request_id=st.uuids().map(str),
    started_at=st.datetimes(datetime(2026, 10, 30), datetime(2026, 11, 2), timezones=st.just(UTC)),
    cost_usd=st.none() | AMOUNTS,
    cache_saved_usd=st.none() | AMOUNTS,
    scopes=st.lists(st.sampled_from(["caller:a", "caller:b", "team:red"]), unique=True).map(tuple),
    usage=st.sampled_from(USAGES),
    ending=st.sampled_from(["complete", "error", "refused", "lost"]),
)


@given(st.lists(RECORDS, max_size=30))
def test_the_sums_are_those_of_the_records(records: list[CallRecord]) -> None:
    """Of everything, and of each scope, in exact integers."""
    spends = spends_of([row_of(it) for it in records])
    for scope in (EVERYTHING, "caller:a", "team:red"):
        mine = [spend for spend in spends if spend.scope == scope]
        theirs = [it for it in records if scope in (EVERYTHING, *it.scopes)]
        assert sum(spend.calls for spend in mine) == len(theirs)
        assert sum(spend.cost_femto for spend in mine) == _femto(it.cost_usd for it in theirs)
        assert sum(spend.saved_femto for spend in mine) == _femto(it.cache_saved_usd for it in theirs)
        assert sum(spend.refused for spend in mine) == sum(it.ending == "refused" for it in theirs)
        assert {spend.day % 86400 for spend in mine} <= {0}
    assert spends == sorted(spends, key=lambda spend: (spend.day, spend.scope, spend.model))


def _femto(amounts: Any) -> int:
    return int(sum((Decimal(usd or 0) for usd in amounts), Decimal(0)) * 10**15)


def test_a_call_without_usage_names_no_model() -> None:
    """Its client may have invented the name, and each would be a row of sums."""
    [spend, *_] = spends_of(
        [row_of(record(model="invented", response_model=None, usage=None, ending="refused"))]
    )
    assert (spend.model, spend.refused, spend.calls) == ("", 1, 1)
    assert spend.day == int(datetime(2026, 11, 22, tzinfo=UTC).timestamp())
