"""LedgerRow: a call as one narrow row of integers.

Money is nano-dollars and the femto-dollars below them: a 64-bit integer holds every amount, and sums stay
exact. A row keeps no body and no key. A usage that the columns cannot describe stays as its JSON text.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.budgets.amounts import femto_of, nano_of
from nexusflow_core.record import CallRecord
from nexusflow_core.usage import Billing, Usage, read_metered

__all__ = ["EPOCH", "LedgerRow", "row_of", "wire_counts"]

_LONGEST = 200
_MOST_NANO = 2**62
_DETAILS = 8000
"""Bound on the characters of the JSON members of a row. Longer ones are left out and flagged."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LedgerRow(Struct, frozen=True, kw_only=True, gc=False):
    """One call. Times are milliseconds; None means unknown. The counts are None without usage."""

    request_id: str
    started_ms: int
    duration_ms: int
    first_byte_ms: int | None
    endpoint: str
    stream: bool
    model: str
    response_model: str | None
    upstream: str | None
    upstream_model: str | None
    route: str | None
    attempts: int
    principal: str | None
    scopes: str
    """One scope a line."""
    metadata: str
    """JSON text."""
    session_id: str | None
    agent_id: str | None
    status: int | None
    ending: str
    error_type: str | None
    error_code: str | None
    stop_reason: str | None
    usage_source: str
    input_tokens: int | None
    cache_read_tokens: int | None
    cache_write_5m_tokens: int | None
    cache_write_1h_tokens: int | None
    output_tokens: int | None
    web_searches: int | None
    cost_nano: int | None
    cost_rest: int | None
    saved_nano: int | None
    saved_rest: int | None
    extra_nano: int | None
    extra_rest: int | None
    price_row: str | None
    price_vendor: str | None
    cost_flags: str
    """Words with blanks between them."""
    details: str
    """JSON text of what prices depend on beyond the columns: `usage`, `billing`; "" if there is nothing."""


def row_of(record: CallRecord) -> LedgerRow:
    """Returns the row of a record. Never raises for a record of ours."""
    usage, served = record.counts(), record.attempts[-1] if record.attempts else None
    cost, saved, extra = (
        _split(amount) for amount in (record.cost_usd, record.cache_saved_usd, record.cache_write_extra_usd)
    )
    details = _details(record, usage)
    flags = list(record.cost_flags)
    if record.cost_usd is not None and cost[0] is None:
        flags.append("too_large_for_ledger")
    if details is None:
        flags.append("details_left_out")
    return LedgerRow(
        request_id=record.request_id,
        started_ms=(record.started_at - EPOCH) // timedelta(milliseconds=1),
        duration_ms=round(record.duration * 1000),
        first_byte_ms=None if record.time_to_first_byte is None else round(record.time_to_first_byte * 1000),
        endpoint=record.endpoint,
        stream=record.stream,
        model=record.model[:_LONGEST],
        response_model=_cut(record.response_model),
        upstream=_cut(served.upstream) if served else None,
        upstream_model=_cut(served.model) if served else None,
        route=_cut(record.route),
        attempts=len(record.attempts),
        principal=_cut(record.principal),
        scopes="\n".join(record.scopes),
        metadata=_json(dict(record.metadata)) if record.metadata else "",
        session_id=_cut(record.session_id),
        agent_id=_cut(record.agent_id),
        status=record.status,
        ending=record.ending,
        error_type=_cut(record.error_type),
        error_code=_cut(record.error_code),
        stop_reason=_cut(record.stop_reason),
        usage_source=record.usage_source,
        input_tokens=None if usage is None else usage.input_tokens,
        cache_read_tokens=None if usage is None else usage.cache_read_tokens,
        cache_write_5m_tokens=None if usage is None else usage.cache_write_5m_tokens,
        cache_write_1h_tokens=None if usage is None else usage.cache_write_1h_tokens,
        output_tokens=None if usage is None else usage.output_tokens,
        web_searches=None if usage is None else usage.web_searches,
        cost_nano=cost[0],
        cost_rest=cost[1],
        saved_nano=saved[0],
        saved_rest=saved[1],
        extra_nano=extra[0],
        extra_rest=extra[1],
        price_row=_cut(record.price_row),
        price_vendor=_cut(record.price_vendor),
        cost_flags=" ".join(flags)[:_LONGEST],
        details=details or "",
    )


def _details(record: CallRecord, usage: Usage | None) -> str | None:
    """Returns the members that the columns cannot describe, as JSON; "" for none, None if they are too long."""
    members: dict[str, Any] = {}
    if record.billing is not None and record.billing != Billing():
        members["billing"] = record.billing
    if record.usage is not None and (
        usage is None or read_metered(_plain(usage), stream=record.stream) != usage
    ):
        members["usage"] = record.usage
    text = _json(members) if members else ""
    return text if len(text) <= _DETAILS else None


def _plain(usage: Usage) -> Mapping[str, Any]:
    """Returns a usage that has nothing but the counts of the columns, in the names of the wire."""
    return wire_counts(
        usage.input_tokens,
        usage.cache_read_tokens,
        (usage.cache_write_5m_tokens, usage.cache_write_1h_tokens),
        usage.output_tokens,
        usage.web_searches,
    )


def wire_counts(
    fresh: int, read: int, written: tuple[int, int], output: int, searches: int
) -> Mapping[str, Any]:
    """Returns a usage in the names of the wire. `written`: to the cache for 5 minutes, and for an hour."""
    usage: dict[str, Any] = {"input_tokens": fresh, "output_tokens": output}
    if read:
        usage["cache_read_input_tokens"] = read
    if any(written):
        usage["cache_creation_input_tokens"] = sum(written)
        split = {"ephemeral_5m_input_tokens": written[0], "ephemeral_1h_input_tokens": written[1]}
        usage["cache_creation"] = split
    if searches:
        usage["server_tool_use"] = {"web_search_requests": searches}
    return usage


def _split(usd: str | None) -> tuple[int | None, int | None]:
    """Returns nano-dollars and the femto-dollars below them; None for an unknown amount, or one too large."""
    if usd is None:
        return None, None
    nano, rest = nano_of(femto_of(usd))
    return (nano, rest) if abs(nano) < _MOST_NANO else (None, None)


def _cut(text: str | None) -> str | None:
    return text if text is None else text[:_LONGEST]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
