"""Reader of tables: CSV and Parquet, whose columns are mapped to the members of a call.

The exports of several vendors are known by their column names. Any other table needs a mapping.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, Final, cast

from msgspec import Struct

from nexusflow_core.errors import InvalidUsageError
from nexusflow_core.logs.entry import Entry, NotAnEntryError, read_moment, rounded_cost, unix_moment
from nexusflow_core.usage import Usage
from nexusflow_core.usage.counts import exact_count

__all__ = ["FIELDS", "TABLES", "Columns", "columns_of", "read_row"]

_COUNTS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "web_searches",
    "reasoning_tokens",
)
_TEXTS = ("id", "key", "session", "agent", "upstream", "route", "vendor", "stop_reason")
_TERMS = ("service_tier", "speed", "inference_geo")

FIELDS: Final = (
    "model",
    "at",
    *_COUNTS,
    "prompt_tokens",
    "calls",
    "batch",
    "context_window",
    "cost_usd",
    "charged_usd",
    *_TERMS,
    *_TEXTS,
    "metadata.NAME",
)
"""Names that a mapping can give a column. `prompt_tokens` includes cached tokens, `input_tokens` does not.
`charged_usd` is the vendor's own bill and overrides every price; `cost_usd` is only compared with it."""

_WINDOWS = {"200k-1M": 200_000, "> 200k": 200_000, "0-200k": 0, "≤ 200k": 0}


class Columns(Struct, frozen=True):
    """The column of each member. `zone` is the zone of times that name none; None refuses such times."""

    of: Mapping[str, str]
    many_requests: bool = False
    vendor: str | None = None
    zone: tzinfo | None = None


TABLES: Final[Mapping[str, Columns]] = {
    "Anthropic Console usage": Columns(
        {
            "at": "usage_date_utc",
            "model": "model_version",
            "key": "api_key",
            "metadata.workspace": "workspace",
            "service_tier": "usage_type",
            "context_window": "context_window",
            "input_tokens": "usage_input_tokens_no_cache",
            "cache_write_5m_tokens": "usage_input_tokens_cache_write_5m",
            "cache_write_1h_tokens": "usage_input_tokens_cache_write_1h",
            "cache_read_tokens": "usage_input_tokens_cache_read",
            "output_tokens": "usage_output_tokens",
            "web_searches": "web_search_count",
            "inference_geo": "inference_geo",
            "speed": "speed",
        },
        many_requests=True,
        vendor="anthropic",
        zone=UTC,
    ),
    "Anthropic Console cost": Columns(
        {
            "at": "usage_date_utc",
            "model": "model",
            "key": "api_key",
            "metadata.workspace": "workspace",
            "metadata.token_type": "token_type",
            "charged_usd": "cost_usd",
        },
        many_requests=True,
        vendor="anthropic",
        zone=UTC,
    ),
    "OpenRouter activity": Columns(
        {
            "id": "generation_id",
            "at": "created_at",
            "model": "model_permaslug",
            "upstream": "provider_name",
            "key": "api_key_name",
            "metadata.app": "app_name",
            "metadata.user": "user",
            "prompt_tokens": "tokens_prompt",
            "cache_read_tokens": "tokens_cached",
            "output_tokens": "tokens_completion",
            "reasoning_tokens": "tokens_reasoning",
            "charged_usd": "cost_total",
        },
        zone=UTC,
    ),
    "OpenAI usage": Columns(
        {
            "at": "start_time",
            "model": "model",
            "key": "api_key_id",
            "metadata.project": "project_id",
            "metadata.user": "user_id",
            "prompt_tokens": "input_tokens",
            "cache_read_tokens": "input_cached_tokens",
            "output_tokens": "output_tokens",
            "calls": "num_model_requests",
            "batch": "batch",
            "service_tier": "service_tier",
        },
        many_requests=True,
        vendor="openai",
        zone=UTC,
    ),
}
"""Exports that are known by their columns."""

_NEEDED: Final[Mapping[str, frozenset[str]]] = {
    "Anthropic Console usage": frozenset({"usage_date_utc", "model_version", "usage_output_tokens"}),
    "Anthropic Console cost": frozenset({"usage_date_utc", "model", "cost_usd", "token_type"}),
    "OpenRouter activity": frozenset({"generation_id", "created_at", "model_permaslug", "cost_total"}),
    "OpenAI usage": frozenset({"start_time", "model", "input_tokens", "num_model_requests"}),
}


def columns_of(
    header: Iterable[str], mapping: Mapping[str, str] | None = None, zone: tzinfo | None = None
) -> Columns:
    """Returns the columns of a table with this header: those of `mapping`, of a known export, or by name.

    `mapping` gives fields their columns, and `zone` is the zone of its times that name none. Raises
    NotAnEntryError that names what is missing.
    """
    names = set(header)
    if mapping is not None:
        missing = [column for column in mapping.values() if column not in names]
        if missing:
            raise NotAnEntryError(f"no column {missing[0]!r}; the columns are {', '.join(sorted(names))[:120]}")
        return Columns(dict(mapping), zone=zone)
    for name, needed in _NEEDED.items():
        if needed <= names:
            known = TABLES[name]
            present = {field: column for field, column in known.of.items() if column in names}
            return Columns(present, known.many_requests, known.vendor, known.zone)
    fields = {name: name for name in names if name in FIELDS or name.startswith("metadata.")}
    if "model" not in fields or not any(name in fields for name in (*_COUNTS, "prompt_tokens", "charged_usd")):
        raise NotAnEntryError(
            "the columns are of no known table: say which is which with --columns model=...,at=...,"
            f"input_tokens=...; they are {', '.join(sorted(names))}"
        )
    return Columns(fields, zone=zone)


def read_row(row: Mapping[str, Any], columns: Columns, at: datetime | None = None) -> Entry:
    """Returns the entry of a row, whose values are text or Python's own. `at` is for tables without a time.

    Raises NotAnEntryError or InvalidUsageError.
    """
    found = {
        field: value for field, column in columns.of.items() if (value := row.get(column)) not in (None, "")
    }
    model = found.get("model")
    if not isinstance(model, str):
        raise NotAnEntryError(f"no model in the column {columns.of.get('model', 'model')!r}")
    when = found.get("at")
    if when is None and at is None:
        raise NotAnEntryError("no time: name its column with --columns at=..., or give one with --at")
    words = {name: str(found[name]) for name in _TEXTS if name in found}
    return Entry(
        models=(model,),
        at=at if when is None and at is not None else _moment(when, columns.zone),
        usage=_usage(found, columns),
        vendor=words.pop("vendor", columns.vendor),
        batch=str(found.get("batch", "")).lower() in ("true", "1"),
        many_requests=columns.many_requests,
        calls=max(_count(found, "calls"), 1),
        logged_femto_usd=_money(found.get("cost_usd")),
        metadata={
            name.removeprefix("metadata."): str(value)
            for name, value in found.items()
            if name.startswith("metadata.")
        },
        **cast(dict[str, Any], words),
    )


def _usage(found: Mapping[str, Any], columns: Columns) -> Usage:
    counts = {name: _count(found, name) for name in _COUNTS}
    if "prompt_tokens" in found:
        cached = sum(counts[name] for name in _COUNTS[1:4])
        counts["input_tokens"] = _count(found, "prompt_tokens") - cached
        if counts["input_tokens"] < 0:
            raise InvalidUsageError(f"impossible usage: {cached} cached tokens in a prompt of fewer")
    terms = {name: str(found[name]) for name in _TERMS if name in found}
    charged = _money(found.get("charged_usd"))
    above = _WINDOWS.get(str(found.get("context_window"))) if columns.many_requests else None
    return Usage(
        **cast(dict[str, Any], {**counts, **terms}),
        prompt_above=above,
        reported_femto_usd=charged,
        flags=("provider_reported",) if charged is not None else () if above is None else ("many_requests",),
    )


def _count(found: Mapping[str, Any], name: str) -> int:
    value = found.get(name, 0)
    if isinstance(value, (str, float)):
        value = _decimal(value, name)
    return exact_count(value, name)


def _money(value: Any) -> int | None:
    if value is None:
        return None
    amount = _decimal(value, "the amount")
    femto = rounded_cost(amount.copy_abs()) or 0
    return -femto if amount.is_signed() else femto


def _decimal(value: Any, name: str) -> Decimal:
    try:
        return Decimal(value if isinstance(value, (str, int)) else str(value))
    except InvalidOperation:
        raise InvalidUsageError(f"impossible usage: {name} is {str(value)[:40]!r}, not a number") from None


def _moment(value: Any, zone: tzinfo | None) -> datetime:
    """Returns the moment of a cell: a time as text, a day, a datetime, or Unix seconds."""
    if isinstance(value, str) and value.isdecimal() and len(value) > 8:
        value = int(value)
    if isinstance(value, int):
        return unix_moment(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return read_moment(value.isoformat())
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value.strip())
        except ValueError:
            return read_moment(value)
        if zone is None or found.tzinfo is not None or len(value.strip()) <= len("2026-11-22"):
            return read_moment(value.strip())
        value = found
    if not isinstance(value, datetime):
        raise NotAnEntryError(f"the time is a {type(value).__name__}")
    moment: datetime = value
    if moment.tzinfo is None:
        if zone is None:
            raise NotAnEntryError(f"the time {str(moment)[:40]!r} has no time zone: give one with --tz")
        moment = moment.replace(tzinfo=zone)
    return moment.astimezone(UTC)
