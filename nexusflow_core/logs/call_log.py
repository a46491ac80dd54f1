"""Our own call log: one CallRecord a line."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from nexusflow_core.errors import InvalidUsage
from nexusflow_core.logs.entry import Entry, NotAnEntry, SaidElsewhere, femto_of, read_moment
from nexusflow_core.record import SCHEMA_VERSION
from nexusflow_core.usage import Billing, Usage, read_metered

__all__ = ["HEAD_BYTES", "read_record", "shortened"]

_NULL = b"null"

HEAD_BYTES = 256 * 1024
"""So much of the beginning and of the end of a long line is looked at."""

_LISTS, _AFTER = b',"dropped":[', b'],"cost_usd":'
"""What stands before and behind the only members of a record that may be long. Inside of a text each quote has
a backslash before it."""


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


class _Head(Struct):
    schema: int


_record = msgspec.json.Decoder(_Record)
_head = msgspec.json.Decoder(_Head)
_members = msgspec.json.Decoder(dict[str, Any])


def read_record(line: bytes, at: datetime | None = None) -> Entry:
    """A line of the call log. `principal` is the key, `metadata["session"]` or else `session_id` the session.

    Raises NotAnEntry for a schema that is newer than ours, SaidElsewhere for a line from before the call, which
    a later one settles, InvalidUsage, or msgspec's errors.
    """
    try:
        it = _record.decode(line)
    except msgspec.ValidationError:
        _check_schema(_head.decode(line).schema)  # a newer one may well look different
        raise
    _check_schema(it.schema)
    if it.ending == "started":
        raise SaidElsewhere("the call was under way")
    return Entry(
        models=_models(it),
        at=read_moment(it.started_at),
        usage=_usage(it),
        key=it.principal,
        session=it.metadata.get("session") or it.session_id,
        agent=it.agent_id,
        vendor=it.price_vendor or (it.price_row.partition("/")[0] if it.price_row else None),
        stop_reason=_stop_reason(it),
        partial=it.usage_source == "partial",
        logged_femto_usd=None if it.cost_usd is None else femto_of(it.cost_usd),
        flags=_flags(it),
    )


def shortened(head: bytes, tail: bytes) -> bytes | None:
    """Returns a record without its `dropped` and `edits`, from the beginning and the end of its line; None
    where the line is no such record."""
    before, lists, _ = head.partition(_LISTS)
    _, after, rest = tail.rpartition(_AFTER)
    return before + b',"dropped":[],"edits":[' + _AFTER + rest if lists and after else None


def _flags(it: _Record) -> tuple[str, ...]:
    """What a price made anew could not know."""
    estimated = ("estimated_usage",) if it.usage_source == "estimated" else ()
    payer = tuple(flag for flag in it.cost_flags if flag.startswith("billed_to_"))
    return (*estimated, *payer)


def _check_schema(schema: int) -> None:
    if schema > SCHEMA_VERSION:
        raise NotAnEntry(f"schema {schema} is newer than {SCHEMA_VERSION}, the newest known here")
    if schema < 1:
        raise NotAnEntry(f"there is no schema {schema}")


def _stop_reason(it: _Record) -> str | None:
    """The first logs did not keep it, only that it had made the call free."""
    if it.stop_reason is not UNSET:
        return it.stop_reason
    return "refusal" if "refusal_free" in it.cost_flags else None


def _models(it: _Record) -> tuple[str, ...]:
    """The answer's model, then the one sent upstream. The client's own may be an alias: the last resort."""
    sent = it.attempts[-1].model if it.attempts else ""
    names = tuple(dict.fromkeys(name for name in (it.response_model, sent) if name))
    return names or (it.model,)


def _usage(it: _Record) -> Usage | None:
    """With the vendor's own bill, which stands whatever its counts are."""
    told, billing = bytes(it.usage), it.billing
    if told == _NULL or it.usage_source == "none":
        return None
    try:
        usage = _counts(told, it.stream)
    except InvalidUsage:
        if billing is None or billing.reported_femto_usd is None:
            raise
        usage = Usage(flags=("impossible_usage",))
    return billing.applied(usage) if billing is not None else usage


def _counts(usage: bytes, stream: bool) -> Usage:
    """A stream's usage is a merged one, whose later total may be below its earlier split."""
    try:
        members = _members.decode(usage)
    except msgspec.DecodeError as error:
        raise InvalidUsage(f"impossible usage: {error}") from None
    return read_metered(members, stream=stream)
