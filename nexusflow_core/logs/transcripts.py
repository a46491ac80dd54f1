"""Reads Claude Code's transcripts. Each is the file of one session.

An answer has one line per block. All have the answer's id; the last line has its final usage. A resumed session
repeats the lines of the earlier one. A subagent has its own id; older versions show it only by the chain of
parent lines.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw, Struct

from nexusflow_core.errors import InvalidUsageError
from nexusflow_core.logs.entry import Entry, NotAnEntryError, Skipped, read_moment
from nexusflow_core.logs.usage_lines import model_runs
from nexusflow_core.untyped import MALFORMED, object_of
from nexusflow_core.usage import Usage

__all__ = ["TranscriptSession", "read_transcript"]

_SYNTHETIC = "<synthetic>"  # the model of a text by Claude Code itself, in place of an answer


class _Message(Struct):
    id: str | None = None
    model: str | None = None
    usage: dict[str, Any] | None = None
    stop_reason: str | None = None
    diagnostics: Any = None


class _Line(Struct, rename="camel"):
    """The members of a line that are read. All are optional; others are ignored."""

    type: str = ""
    uuid: str | None = None
    parent_uuid: str | None = None
    session_id: str | None = None
    agent_id: str | None = None
    is_sidechain: bool = False
    is_api_error_message: bool = False
    timestamp: str | None = None
    message: Raw = Raw(b"null")


class _Place(Struct):
    """The place of a line in its chain: when its turn was sent, and the first line of its side chain."""

    sent_at: str | None
    root: str | None


_line = msgspec.json.Decoder(_Line)
_message = msgspec.json.Decoder(_Message)


def read_transcript(lines: Iterable[bytes], seen: set[str] | None = None) -> Iterator[Entry | Skipped]:
    """Yields the calls of one transcript, in the order in which they began, and a Skipped per unreadable line.

    The time of a call is when its turn was sent: that of the line before the answer. Messages whose ids are in
    `seen` are left out. The ids of this file are added to it, so that a resumed session counts once.
    """
    session = TranscriptSession()
    seen = seen if seen is not None else set[str]()
    for line in lines:
        yield from session.take(line)
    for entry in session.finish():
        if entry.id is None or entry.id not in seen:
            yield entry
            if entry.id is not None:
                seen.add(entry.id)


class TranscriptSession:
    """Reads the lines of one transcript, in order."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._places: dict[str, _Place] = {}
        self._sent: dict[str, str | None] = {}

    def take(self, value: bytes) -> Iterator[Entry | Skipped]:
        """Reads a line. Yields a Skipped with the reason if it is unreadable."""
        try:
            parsed = _line.decode(value)
            place = self._place(parsed)
            if parsed.type == "assistant" and not parsed.is_api_error_message:
                self._answer(parsed, place, _message.decode(parsed.message))
        except (*MALFORMED, NotAnEntryError, InvalidUsageError) as error:
            yield Skipped.because(error)

    def finish(self) -> Iterator[Entry]:
        """Yields the calls, in the order in which they began."""
        yield from self._entries.values()

    def _place(self, parsed: _Line) -> _Place:
        before = self._places.get(parsed.parent_uuid or "")
        sent_at = parsed.timestamp if parsed.type != "assistant" or before is None else before.sent_at
        root = None if not parsed.is_sidechain else before.root if before and before.root else parsed.uuid
        place = _Place(sent_at, root)
        if parsed.uuid is not None:
            self._places[parsed.uuid] = place
        return place

    def _answer(self, parsed: _Line, place: _Place, message: _Message) -> None:
        if message.usage is None or message.model in (None, _SYNTHETIC):
            return
        name = message.id or parsed.uuid or str(len(self._entries))
        sent = self._sent.setdefault(name, place.sent_at)
        self._entries[name] = _entry(parsed, place.root, message, sent)


def _entry(parsed: _Line, root: str | None, message: _Message, sent: str | None) -> Entry:
    usage = message.usage or {}
    return Entry(
        models=(message.model or "",),
        at=_moment(sent or parsed.timestamp),
        id=message.id or parsed.uuid,
        usage=Usage.from_wire(usage, "anthropic"),
        session=parsed.session_id,
        agent=parsed.agent_id or root,
        vendor="anthropic",
        stop_reason=message.stop_reason,
        upstream_cache_miss=_cache_miss(message.diagnostics),
        model_runs=model_runs(object_of(usage.get("server_tool_use"))),
    )


def _moment(text: str | None) -> datetime:
    if text is None:
        raise NotAnEntryError("no time: it has no `timestamp`")
    return read_moment(text)


def _cache_miss(diagnostics: Any) -> str | None:
    kind = object_of(object_of(diagnostics).get("cache_miss_reason")).get("type")
    return kind if isinstance(kind, str) else None
