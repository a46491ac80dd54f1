"""Reader of plain usage lines: `{"usage": {...}, "model": "...", "at": "..."}`, with any form of usage."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from nexusflow_core.logs.entry import Entry, NotAnEntryError, femto_of, read_moment
from nexusflow_core.untyped import moment_of
from nexusflow_core.usage import READERS, Usage, Wire

__all__ = ["model_runs", "read_plain_line", "read_usage_line"]


class _Line(Struct):
    """`usage`, `model` and one time are required. Unknown members are ignored."""

    usage: Raw
    model: str
    at: str | None = None
    timestamp: str | None = None
    started_at: str | None = None
    wire: Wire = "anthropic"
    id: str | None = None
    request_id: str | None = None
    upstream: str | None = None
    route: str | None = None
    metadata: dict[str, str] = {}
    calls: Annotated[int, Meta(ge=1)] = 1
    key: str | None = None
    session: str | None = None
    agent: str | None = None
    vendor: str | None = None
    batch: bool = False
    endpoint: Literal["regional", "global"] | None = None
    stop_reason: str | None = None
    explicit_cache: bool = False
    partial: bool = False
    many_requests: bool = False
    request: dict[str, Any] | None = None
    answered_at: str | None = None
    cache_miss: str | None = None
    upstream_cache_miss: str | None = None
    cost_usd: str | None = None


class _Plain(Struct, forbid_unknown_fields=True, gc=False):
    """The members that most lines have, and no others: such a line is of no other format."""

    usage: Raw
    model: str
    at: str | None = None
    timestamp: str | None = None
    started_at: str | None = None
    id: str | None = None
    request_id: str | None = None
    key: str | None = None
    session: str | None = None
    agent: str | None = None
    upstream: str | None = None
    route: str | None = None


class _Ran(Struct):
    server_tool_use: dict[str, Any] | None = None


_ran = msgspec.json.Decoder(_Ran)
_line = msgspec.json.Decoder(_Line)
_plain = msgspec.json.Decoder(_Plain)
_read_answer = READERS["anthropic"]


def read_usage_line(line: bytes, at: datetime | None = None) -> Entry:
    """Returns the entry of a usage line. Its time is the first of `at`, `timestamp` and `started_at`.

    A line without a time gets the argument `at`. Raises NotAnEntryError, InvalidUsageError, or msgspec's
    errors.
    """
    parsed = _line.decode(line)
    if not parsed.model.strip():
        raise NotAnEntryError("`model` is empty")
    usage = bytes(parsed.usage)
    return Entry(
        models=(parsed.model,),
        at=_moment(parsed, at),
        id=parsed.id or parsed.request_id,
        upstream=parsed.upstream,
        route=parsed.route,
        metadata=parsed.metadata,
        calls=parsed.calls,
        usage=Usage.from_wire(usage, parsed.wire),
        key=parsed.key,
        session=parsed.session,
        agent=parsed.agent,
        vendor=parsed.vendor,
        batch=parsed.batch,
        endpoint=parsed.endpoint,
        stop_reason=parsed.stop_reason,
        explicit_cache=parsed.explicit_cache,
        partial=parsed.partial,
        many_requests=parsed.many_requests,
        request=parsed.request,
        answered_at=None if parsed.answered_at is None else read_moment(parsed.answered_at),
        cache_miss=parsed.cache_miss,
        upstream_cache_miss=parsed.upstream_cache_miss,
        logged_femto_usd=None if parsed.cost_usd is None else femto_of(parsed.cost_usd),
        model_runs=_model_runs(usage) if parsed.wire == "anthropic" else 1,
    )


def read_plain_line(line: bytes, at: datetime | None = None) -> Entry:
    """Returns the same entry as `read_usage_line` in half the time, for a line of nothing but common members.

    Raises one of msgspec's errors for a line with any other member, which may be of another format.
    """
    parsed = _plain.decode(line)
    if not parsed.model.strip():
        raise NotAnEntryError("`model` is empty")
    usage, text = bytes(parsed.usage), parsed.at
    return Entry(
        models=(parsed.model,),
        at=_moment(parsed, at) if text is None else moment_of(text),
        id=parsed.id or parsed.request_id,
        upstream=parsed.upstream,
        route=parsed.route,
        usage=_read_answer(usage),
        key=parsed.key,
        session=parsed.session,
        agent=parsed.agent,
        model_runs=_model_runs(usage),
    )


def model_runs(server_tool_use: Mapping[str, Any] | None) -> int:
    """Returns how often the model ran for an answer: once, and once more for each call of a server tool."""
    counts = (server_tool_use or {}).values()
    return 1 + sum(count for count in counts if isinstance(count, int) and count > 0)


def _model_runs(usage: bytes) -> int:
    return model_runs(_ran.decode(usage).server_tool_use) if b"server_tool_use" in usage else 1


def _moment(parsed: _Line | _Plain, default: datetime | None) -> datetime:
    for text in (parsed.at, parsed.timestamp, parsed.started_at):
        if text is not None:
            return read_moment(text)
    if default is None:
        raise NotAnEntryError("no time: it has neither `at` nor `timestamp` nor `started_at`")
    return default
