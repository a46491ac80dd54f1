"""StreamTap: reads usage, model, end and error of a Messages answer as it passes."""

import re
from typing import Any

import msgspec
from msgspec import Raw, Struct

from nexusflow_core.errors import EventTooLargeError
from nexusflow_core.sse import ServerSentEvent, SSEDecoder
from nexusflow_core.untyped import MALFORMED, object_of
from nexusflow_core.usage import WireUsage, merge_usage, read_wire_usage

__all__ = ["Answer", "ErrorMember", "StreamTap", "is_stream", "may_be_stream", "read_answer"]

# Every event that matters contains one of these. Text that mentions them contains them too, after a backslash:
# such an event is parsed for nothing, in time proportional to its length.
_MESSAGE = b'"message_'
_ERROR = b'"error"'
_MARK = re.compile(rb'"(?:message_|error")')

_BLANK_LINES = (b"\n\n", b"\n\r\n", b"\r\r")
_BLANK_LINE = re.compile(rb"\n(?:\n|\r\n)|\r\r")

_NO_EVENT = re.compile(rb"(?::[^\r\n]*+[\r\n]|[\r\n])*+")
"""Comments and blank lines; any number may precede an event."""

_MAX_TAIL = 4096
"""A longer unfinished event goes to the decoder, which stores its pieces separately."""


class ErrorMember(Struct):
    """The `error` member of an answer: wire type, message and details."""

    type: str = "api_error"
    message: Any = None
    details: Any = None

    def code(self) -> str:
        """Returns the stable error code, or ""."""
        return str(object_of(self.details).get("error_code") or "")


class _Miss(Struct):
    type: str = ""


class _Diagnostics(Struct):
    cache_miss_reason: _Miss | None = None


class Answer(Struct):
    """A sync body, or the `message` of message_start. Other members are skipped."""

    type: str = ""
    model: str | None = None
    stop_reason: str | None = None
    usage: WireUsage | None = None
    error: ErrorMember | None = None
    cache_miss: str | None = None


_NULL = Raw(b"null")


class _Message(Struct):
    """An answer during decoding. The usage is decoded separately, within its bounds."""

    type: str = ""
    model: str | None = None
    stop_reason: str | None = None
    usage: Raw = Raw(b"null")
    error: ErrorMember | None = None
    diagnostics: Raw = _NULL

    @property
    def cache_miss(self) -> str | None:
        """The reason why the provider's prompt cache missed, or None."""
        if self.diagnostics is _NULL:
            return None
        try:
            decoded = _diagnostics.decode(self.diagnostics)
        except MALFORMED:
            return None
        reason = decoded.cache_miss_reason if decoded is not None else None
        return (reason.type or None) if reason is not None else None


_diagnostics = msgspec.json.Decoder(_Diagnostics | None)


class _Delta(Struct):
    stop_reason: str | None = None


class _Event(Struct):
    type: str = ""
    message: _Message | None = None
    delta: _Delta | None = None
    usage: Raw = Raw(b"null")
    error: ErrorMember | None = None


_answer = msgspec.json.Decoder(_Message)
_event = msgspec.json.Decoder(_Event)


_BOM = b"\xef\xbb\xbf"
_FIELD = re.compile(rb"(?:event|data|id|retry)[ \t]*:|:")
_FIELDS = (b"event", b"data", b"id", b"retry")


def is_stream(head: bytes) -> bool | None:
    """True if a body with these first bytes is a stream of events, False if not, None if it is unclear."""
    if head.startswith(b"{"):  # nearly every whole answer
        return False
    head = head.removeprefix(_BOM).lstrip()
    if _FIELD.match(head):
        return True
    if head[:1] in (b"{", b"["):
        return False
    return None


def may_be_stream(head: bytes) -> bool:
    """True if these few bytes could begin the first line of a stream."""
    head = head.removeprefix(_BOM).lstrip()
    return not head or _BOM.startswith(head) or any(field.startswith(head) for field in _FIELDS)


def read_answer(body: bytes) -> Answer | None:
    """Returns usage, model and error of a sync body; None if it is not a JSON object."""
    body = body.removeprefix(_BOM)
    try:
        answer = _answer.decode(body)
        return Answer(
            answer.type,
            answer.model,
            answer.stop_reason,
            read_wire_usage(answer.usage),
            answer.error,
            answer.cache_miss,
        )
    except msgspec.ValidationError:  # an object of another shape: it has nothing to meter
        return Answer() if body.lstrip()[:1] == b"{" else None
    except MALFORMED:
        return None


class StreamTap:
    """Reads a passing Messages stream in constant memory. It parses only events that matter.

    `feed` takes the bytes in any pieces. `usage` is merged, see `merge_usage`. `third_party`: the upstream
    speaks Anthropic's protocol for its own models.
    """

    __slots__ = (
        "_blind",
        "_decoder",
        "_framing",
        "_tail",
        "_third_party",
        "cache_miss",
        "ended",
        "error_code",
        "error_type",
        "model",
        "started",
        "stop_reason",
        "stopped",
        "usage",
    )

    def __init__(self, *, third_party: bool = False) -> None:
        self.started = False  # the first event has passed
        self.ended = False  # message_stop or an `error` event has passed
        self.stopped = False  # a message_delta with a stop reason has passed
        self.error_type: str | None = None  # from an `error` event
        self.error_code = ""
        self.cache_miss: str | None = None
        self.model: str | None = None
        self.stop_reason: str | None = None
        self.usage: WireUsage | None = None
        self._third_party = third_party
        self._decoder = SSEDecoder()
        self._framing = True  # the decoder has the beginning of the current event
        self._tail = b""  # the unfinished event, if nothing in it matters so far
        self._blind = False  # an event exceeded the decoder's bound: metering has stopped

    @property
    def inside_event(self) -> bool:
        """True if the bytes so far stop inside an event."""
        return bool(self._tail) or self._decoder.pending

    @property
    def blind(self) -> bool:
        """True after an event that was too large: the end of the stream can no longer be recognised."""
        return self._blind

    def feed(self, data: bytes) -> bool:
        """Reads the next bytes. Returns False if they were whole events that do not matter, as most are."""
        calm = not (self._framing or self._tail) and data.endswith(b"\n\n")
        if calm and data.find(_MESSAGE) < 0 and data.find(_ERROR) < 0:
            return False
        self._feed(data)
        return True

    def _feed(self, data: bytes) -> None:
        at = 0
        while self._framing and at < len(data):
            if self._blind:
                return
            if not self._decoder.pending and (skipped := _NO_EVENT.match(data, at)):
                at = skipped.end()
            if end := _end_of_event(data, at) or len(data):
                self._frame(data[at:end])
                at = end
        if at:
            data = data[at:]
        self._skim(self._tail + data)

    def _skim(self, data: bytes) -> None:
        """Parses the events that matter, one by one, and keeps the unfinished one at the end."""
        at = 0
        while mark := _MARK.search(data, at):
            at = max(at, _end_of_last_event(data, at, mark.start()))
            end = _end_of_event(data, mark.start())
            if not end:
                break
            self._frame(data[at:end])
            at = end
        self._tail = data[max(at, _end_of_last_event(data, at, len(data))) :]
        if len(self._tail) > _MAX_TAIL:
            tail, self._tail = self._tail, b""
            self._frame(tail)

    def flush(self) -> None:
        """Ends the stream. A last event without its blank line counts."""
        tail, self._tail = self._tail, b""
        if tail:
            self._frame(tail)
        if not self._blind:
            self._take(self._decoder.flush())

    def _frame(self, data: bytes) -> None:
        try:
            self._take(self._decoder.feed(data))
        except EventTooLargeError:
            self._blind = self.started = True
        self._framing = self._blind or not self.started or self._decoder.pending

    def _take(self, events: list[ServerSentEvent]) -> None:
        for event in events:
            self.started = True
            if _MESSAGE in event.data or _ERROR in event.data:
                self._read(event.data)

    def _read(self, data: bytes) -> None:
        try:
            event = _event.decode(data)
            usage = read_wire_usage(event.message.usage if event.message is not None else event.usage)
        except MALFORMED:
            return  # a relayed stream is not judged here
        if event.type == "message_start" and event.message is not None:
            self.model = event.message.model
            self.stop_reason = event.message.stop_reason
            self.cache_miss = event.message.cache_miss
            self._merge(usage)
        elif event.type == "message_delta":
            if event.delta is not None and event.delta.stop_reason is not None:
                self.stop_reason = event.delta.stop_reason
                self.stopped = True
            self._merge(usage)
        elif event.type == "message_stop":
            self.ended = True
        elif event.type == "error":
            self.ended = True
            self.error_type = event.error.type if event.error else "api_error"
            self.error_code = event.error.code() if event.error else ""

    def _merge(self, usage: WireUsage | None) -> None:
        if usage is not None:
            self.usage = merge_usage(self.usage or {}, usage, third_party=self._third_party)


def _end_of_event(data: bytes, at: int) -> int:
    """Returns the end of the first blank line after `at`; 0 if there is none."""
    blank = _BLANK_LINE.search(data, at)
    return blank.end() if blank is not None else 0


def _end_of_last_event(data: bytes, at: int, before: int) -> int:
    """Returns the end of the last blank line between the two places; 0 if there is none.

    It reads the bytes between them once, and none before `at`.
    """
    return max(
        (i + len(blank) for blank in _BLANK_LINES if (i := data.rfind(blank, at, before)) >= 0), default=0
    )
