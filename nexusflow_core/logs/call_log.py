"""Reader of our own call log, one CallRecord per line, and of the log lines of `nexusflow serve`."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from nexusflow_core.errors import InvalidUsageError
from nexusflow_core.logs.entry import CountedElsewhereError, Entry, NotAnEntryError, femto_of, read_moment
from nexusflow_core.record import SCHEMA_VERSION
from nexusflow_core.usage import Billing, Usage, read_metered

__all__ = ["HEAD_BYTES", "read_log_line", "read_record", "shortened"]

_NULL = b"null"
_MAX_WAIT = 7 * 86400.0  # seconds; no answer begins later

HEAD_BYTES = 256 * 1024
"""Bytes of a long line that are read at its beginning, and at its end."""

_LISTS, _AFTER = b',"dropped":[', b'],"cost_usd":'
"""The bytes before and after the only long members of a record. JSON escapes quotes inside strings, so these
bytes cannot occur there."""


class _Attempt(Struct):
    upstream: str | None = None
    model: str = ""


class _Record(Struct):
    """The members needed here. Members newer than the first log format are optional."""

    schema: int
    request_id: str
    started_at: str
    model: str = ""
    response_model: str | None = None
    route: str | None = None
    principal: str | None = None
    metadata: dict[str, str] = {}
    stream: bool = False
    ending: str = ""
    attempts: tuple[_Attempt, ...] = ()
    usage: Raw = Raw(_NULL)
    usage_source: str = "none"
    cost_usd: str | None = None
    price_row: str | None = None
    cost_flags: tuple[str, ...] = ()
    billing: Billing | None = None
    stop_reason: str | UnsetType | None = UNSET
    price_vendor: str | None = None
    session_id: str | None = None
    agent_id: str | None = None
    upstream_cache_miss: str | None = None
    cache_miss: str | None = None
    cache_disagreement: int | None = None
    time_to_first_byte: float | None = None


class _Head(Struct):
    schema: int


class _LogLine(Struct):
    logger: str
    call: Raw | UnsetType = UNSET


_record = msgspec.json.Decoder(_Record)
_head = msgspec.json.Decoder(_Head)
_log_line = msgspec.json.Decoder(_LogLine)
_members = msgspec.json.Decoder(dict[str, Any])


def read_record(line: bytes, at: datetime | None = None) -> Entry:
    """Returns the entry of a call log line. Its key is `principal`. A session in `metadata` takes precedence.

    Raises NotAnEntryError for a newer schema, CountedElsewhereError for the line written before the call,
    InvalidUsageError, or msgspec's errors.
    """
    try:
        record = _record.decode(line)
    except msgspec.ValidationError:
        _check_schema(_head.decode(line).schema)  # a newer schema may look different
        raise
    _check_schema(record.schema)
    if record.ending == "started":
        raise CountedElsewhereError("the call was still running")
    return Entry(
        models=_models(record),
        at=read_moment(record.started_at),
        id=record.request_id,
        upstream=record.attempts[-1].upstream if record.attempts else None,
        route=record.route,
        metadata=record.metadata,
        usage=_usage(record),
        key=record.principal,
        session=record.metadata.get("session") or record.session_id,
        agent=record.agent_id,
        answered_at=_answered_at(record),
        upstream_cache_miss=record.upstream_cache_miss,
        cache_miss=record.cache_miss,
        cache_disagreement=record.cache_disagreement,
        vendor=record.price_vendor or (record.price_row.partition("/")[0] if record.price_row else None),
        stop_reason=_stop_reason(record),
        partial=record.usage_source == "partial",
        endpoint=record.billing.endpoint if record.billing is not None else None,
        logged_femto_usd=None if record.cost_usd is None else femto_of(record.cost_usd),
        flags=_flags(record),
    )


def read_log_line(line: bytes, at: datetime | None = None) -> Entry:
    """Returns the entry of a line of `nexusflow serve --log-format json`: its `call` is a record.

    Raises as `read_record` does, and CountedElsewhereError for a line of the server that is about no call.
    """
    found = _log_line.decode(line)
    if found.call is not UNSET:
        return read_record(bytes(found.call), at)
    if found.logger.partition(".")[0] in ("nexusflow", "uvicorn"):
        raise CountedElsewhereError("a line of the server's log that is about no call")
    raise NotAnEntryError("a line of a log that is about no call")


def _answered_at(record: _Record) -> datetime | None:
    waited = record.time_to_first_byte
    if waited is None or not 0 <= waited <= _MAX_WAIT:
        return None
    return read_moment(record.started_at) + timedelta(seconds=waited)


def shortened(head: bytes, tail: bytes) -> bytes | None:
    """Returns a record without `dropped` and `edits`, from the two ends of its line; None for other lines."""
    before, lists, _ = head.partition(_LISTS)
    _, after, rest = tail.rpartition(_AFTER)
    return before + b',"dropped":[],"edits":[' + _AFTER + rest if lists and after else None


def _flags(record: _Record) -> tuple[str, ...]:
    """Returns the flags that pricing cannot derive again."""
    estimated = ("estimated_usage",) if record.usage_source == "estimated" else ()
    payer = tuple(flag for flag in record.cost_flags if flag.startswith("billed_to_"))
    return (*estimated, *payer)


def _check_schema(schema: int) -> None:
    if schema > SCHEMA_VERSION:
        raise NotAnEntryError(f"schema {schema} is newer than {SCHEMA_VERSION}, the newest known here")
    if schema < 1:
        raise NotAnEntryError(f"schema {schema} does not exist; schemas begin at 1")


def _stop_reason(record: _Record) -> str | None:
    """Returns the stop reason. The first logs did not record it; a refusal shows in their flags."""
    if record.stop_reason is not UNSET:
        return record.stop_reason
    return "refusal" if "refusal_free" in record.cost_flags else None


def _models(record: _Record) -> tuple[str, ...]:
    """Returns the answer's model and the one sent upstream; without either, the client's, maybe an alias."""
    sent = record.attempts[-1].model if record.attempts else ""
    names = tuple(dict.fromkeys(name for name in (record.response_model, sent) if name))
    return names or (record.model,)


def _usage(record: _Record) -> Usage | None:
    """Returns the usage with the vendor's own bill. The bill is kept even if the counts are impossible."""
    raw, billing = bytes(record.usage), record.billing
    if raw == _NULL or record.usage_source == "none":
        return None
    try:
        usage = _counts(raw, record.stream)
    except InvalidUsageError:
        if billing is None or billing.reported_femto_usd is None:
            raise
        usage = Usage(flags=("impossible_usage",))
    return billing.applied(usage) if billing is not None else usage


def _counts(usage: bytes, stream: bool) -> Usage:
    """Returns the counts. A stream's usage is merged, so a later total may be below its earlier split."""
    try:
        members = _members.decode(usage)
    except msgspec.DecodeError as error:
        raise InvalidUsageError(f"impossible usage: {error}") from None
    return read_metered(members, stream=stream)
