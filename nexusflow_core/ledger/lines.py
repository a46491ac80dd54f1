"""Reads rows of the ledger as lines of our call log, so that every reader of logs reads a ledger too."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec

from nexusflow_core.budgets.amounts import FEMTO_PER_NANO
from nexusflow_core.ledger.rows import EPOCH, LedgerRow, wire_counts

__all__ = ["line_of"]


def line_of(row: LedgerRow) -> bytes:
    """Returns the row as a line of our call log, with the members that pricing and summaries read."""
    details: dict[str, Any] = msgspec.json.decode(row.details) if row.details else {}
    usage = details.get("usage") or (_wire(row) if row.input_tokens is not None else None)
    attempt = {"upstream": row.upstream, "model": row.upstream_model or ""}
    return msgspec.json.encode(
        {
            "schema": 1,
            "request_id": row.request_id,
            "started_at": (EPOCH + timedelta(milliseconds=row.started_ms)).isoformat().replace("+00:00", "Z"),
            "duration": row.duration_ms / 1000,
            "time_to_first_byte": None if row.first_byte_ms is None else row.first_byte_ms / 1000,
            "endpoint": row.endpoint,
            "model": row.model,
            "response_model": row.response_model,
            "route": row.route,
            "principal": row.principal,
            "metadata": msgspec.json.decode(row.metadata) if row.metadata else {},
            "stream": row.stream,
            "status": row.status,
            "error_type": row.error_type,
            "ending": row.ending,
            "attempts": [attempt] if row.upstream is not None else [],
            "usage": usage,
            "usage_source": row.usage_source,
            "cost_usd": _dollars(row.cost_nano, row.cost_rest),
            "price_row": row.price_row,
            "cost_flags": row.cost_flags.split(),
            "billing": details.get("billing"),
            "cache_saved_usd": _dollars(row.saved_nano, row.saved_rest),
            "cache_write_extra_usd": _dollars(row.extra_nano, row.extra_rest),
            "stop_reason": row.stop_reason,
            "price_vendor": row.price_vendor,
            "session_id": row.session_id,
            "agent_id": row.agent_id,
            "error_code": row.error_code,
            "scopes": row.scopes.split("\n") if row.scopes else [],
        }
    )


def _wire(row: LedgerRow) -> Mapping[str, Any]:
    written = (row.cache_write_5m_tokens or 0, row.cache_write_1h_tokens or 0)
    return wire_counts(
        row.input_tokens or 0,
        row.cache_read_tokens or 0,
        written,
        row.output_tokens or 0,
        row.web_searches or 0,
    )


def _dollars(nano: int | None, rest: int | None) -> str | None:
    if nano is None:
        return None
    femto = nano * FEMTO_PER_NANO + (rest or 0)
    sign, size = ("-", -femto) if femto < 0 else ("", femto)
    whole, part = divmod(size, 10**15)
    return f"{sign}{whole}" + (f".{part:015d}".rstrip("0") if part else "")
