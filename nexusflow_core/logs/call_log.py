"""Our own call log: one CallRecord a line."""

from datetime import datetime

import msgspec
from msgspec import Raw, Struct

from nexusflow_core.logs.entry import Entry, NotAnEntry, femto_of, read_moment
from nexusflow_core.record import SCHEMA_VERSION
from nexusflow_core.usage import Billing, Usage

__all__ = ["read_record"]

_NULL = b"null"
_FREE = frozenset({"refusal_free", "declined_attempt_free"})


class _Attempt(Struct):
    model: str = ""


class _Record(Struct):
    """The members that matter here. Those that came later than the first log are optional."""

    schema: int
    request_id: str
    started_at: str
    model: str = ""
    response_model: str | None = None
    principal: str | None = None
    metadata: dict[str, str] = {}
    stream: bool = False
    attempts: tuple[_Attempt, ...] = ()
    usage: Raw = Raw(_NULL)
    usage_source: str = "none"
    cost_usd: str | None = None
    price_row: str | None = None
    cost_flags: tuple[str, ...] = ()
    billing: Billing | None = None


class _Head(Struct):
    schema: int


_record = msgspec.json.Decoder(_Record)
_head = msgspec.json.Decoder(_Head)


def read_record(line: bytes, at: datetime | None = None) -> Entry:
    """A line of the call log. `principal` is the key, `metadata["session"]` the session, where there is one.

    Raises NotAnEntry for a schema that is newer than ours, InvalidUsage, or msgspec's errors.
    """
    try:
        it = _record.decode(line)
    except msgspec.ValidationError:
        _check_schema(_head.decode(line).schema)  # a newer one may well look different
        raise
    _check_schema(it.schema)
    usage = _usage(bytes(it.usage), it.stream) if it.usage_source != "none" else None
    if usage is not None and it.billing is not None:
        usage = it.billing.applied(usage)
    return Entry(
        models=_models(it),
        at=read_moment(it.started_at),
        usage=usage,
        key=it.principal,
        session=it.metadata.get("session"),
        vendor=it.price_row.partition("/")[0] if it.price_row else None,
        # The record does not keep the stop reason, only that it made the call, or parts of it, free.
        stop_reason=None if _FREE.isdisjoint(it.cost_flags) else "refusal",
        partial=it.usage_source == "partial",
        logged_femto_usd=None if it.cost_usd is None else femto_of(it.cost_usd),
        flags=("estimated_usage",) if it.usage_source == "estimated" else (),
    )


def _check_schema(schema: int) -> None:
    if schema > SCHEMA_VERSION:
        raise NotAnEntry(f"schema {schema} is newer than {SCHEMA_VERSION}, the newest known here")
    if schema < 1:
        raise NotAnEntry(f"there is no schema {schema}")


def _models(it: _Record) -> tuple[str, ...]:
    """The answer's model, then the one sent upstream. The client's own may be an alias: the last resort."""
    sent = it.attempts[-1].model if it.attempts else ""
    names = tuple(dict.fromkeys(name for name in (it.response_model, sent) if name))
    return names or (it.model,)


def _usage(usage: bytes, stream: bool) -> Usage | None:
    """A stream's usage is a merged one, whose later total may be below its earlier split."""
    if usage == _NULL:
        return None
    return (
        Usage.from_wire(b"[%s]" % usage, "anthropic-stream") if stream else Usage.from_wire(usage, "anthropic")
    )
