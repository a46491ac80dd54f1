"""Server-sent events without I/O: bytes in, events out, however the bytes are cut.

Only LF, CRLF and CR end a line (WHATWG HTML, section 9.2.5 "Parsing an event stream"): U+2028 and U+0085
inside JSON are text. Sizes are bounded, and no byte is scanned twice.
"""

import re
from functools import lru_cache

from msgspec import Struct

from nexusflow_core.errors import EventTooLargeError

__all__ = ["MAX_EVENT_BYTES", "SSEDecoder", "ServerSentEvent", "encode_sse", "is_stream", "unframed"]

MAX_EVENT_BYTES = 32 * 1024 * 1024
"""Default bound on one event: Anthropic's limit on a whole request."""

_BOM = b"\xef\xbb\xbf"

_FIELD = re.compile(rb"(?:data|event|id|retry)[ \t]*:|:")

_BEGINNINGS = frozenset({b"data: ", b"event:"})

_RETRY_DIGITS = 18  # thirty million years


class ServerSentEvent(Struct, frozen=True):
    """One event. `data` is the received bytes, lines joined by LF; `event` is "" without a name.

    `id` and `retry` (milliseconds) are None if this event had none.
    """

    data: bytes = b""
    event: str = ""
    id: str | None = None
    retry: int | None = None


def encode_sse(data: bytes, event: str = "", *, id: str | None = None, retry: int | None = None) -> bytes:
    """Returns one event as bytes, with its closing blank line. Decoding returns the same event.

    Raises ValueError for a CR in `data`, a line break in `event` or `id`, and a `retry` below 0 or of more than
    18 digits: the format cannot carry them.
    """
    if 13 in data:  # CR; a search for an int is several times faster
        raise ValueError("server-sent events cannot carry a CR in data")
    if 10 in data:
        data = data.replace(b"\n", b"\ndata: ")
    frame = _first_lines(event) + data + b"\n\n"
    if id is not None:
        frame = b"id: " + _one_line(id) + b"\n" + frame
    if retry is not None:
        if not 0 <= retry < 10**_RETRY_DIGITS:
            raise ValueError(f"server-sent events cannot carry a retry of {retry}")
        frame = b"retry: %d\n" % retry + frame
    return frame


@lru_cache(maxsize=64)
def _first_lines(event: str) -> bytes:
    return b"event: " + _one_line(event) + b"\ndata: " if event else b"data: "


def _one_line(text: str) -> bytes:
    if any(c in text for c in "\r\n\0"):
        raise ValueError("server-sent events cannot carry a line break in event or id")
    return text.encode()


class SSEDecoder:
    """Push decoder: `feed(bytes)` returns the completed events, `flush()` the unfinished last one.

    Raises EventTooLargeError once an event exceeds `max_event_bytes`, which also bounds the memory.
    """

    __slots__ = (
        "_after_cr",
        "_between",
        "_data",
        "_event",
        "_head",
        "_id",
        "_max",
        "_named",
        "_partial",
        "_retry",
        "_size",
    )

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._head: bytes | None = b""  # the first bytes, until it is clear whether they are a BOM; then None
        self._after_cr = False  # the last byte was a CR that ended a line; a following LF belongs to it
        self._between = False  # behind the first bytes, and not inside an event
        self._partial = bytearray()  # the unfinished line
        self._named = b"event: \ndata: "  # the beginning of the last chunk that `only_line` took, with its name
        self._begin_event()

    @property
    def pending(self) -> bool:
        """True if an event has begun and its blank line has not arrived."""
        return bool(self._partial or self._size)

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Returns the events that these bytes complete, in order. Raises EventTooLargeError."""
        if data[:6] in _BEGINNINGS and data[-2:] == b"\n\n" and (whole := self._whole_events(data)) is not None:
            return whole
        if self._head is not None:
            data = self._skip_bom(self._head + data)
        if self._after_cr or 13 in data:
            data = self._fold_cr(data)
        events: list[ServerSentEvent] = []
        first, last = data.find(b"\n\n") + 2, data.rfind(b"\n\n") + 2
        if 2 <= first < last:  # whole events stand between the end of one and the beginning of another
            self._take_lines(data[:first], events)
            if (whole := self._framed(data[first:last])) is not None:
                events += whole
            else:
                self._take_lines(data[first:last], events)
            data = data[last:]
        self._take_lines(data, events)
        self._between = self._head is None and not (self._after_cr or self._partial or self._size)
        if len(self._partial) + self._size > self._max:
            raise EventTooLargeError(f"a server-sent event is longer than {self._max} bytes")
        return events

    def flush(self) -> list[ServerSentEvent]:
        """Returns the last event of a stream that ended before its blank line, or an empty list."""
        events = self.feed(b"\n\n")
        self._head = b""
        self._after_cr = self._between = False
        return events

    def only_line(self, data: bytes) -> bytes | None:
        """Returns the data of a chunk that is one whole event with one data line; None if it may be another.

        It changes nothing: `feed` takes the same chunk. `in` and `[]` look for bytes faster than `find`.
        """
        if (
            not self._between
            or 13 in data
            or not 8 < len(data) <= self._max
            or data[-1] != 10
            or data[-2] != 10
        ):
            return None
        if data[0] == 100 and data[:6] == b"data: ":  # 100 is a "d"
            line = data[6:-2]
        elif data.startswith(self._named):
            line = data[len(self._named) : -2]
        elif data[:6] == b"event:":
            name, middle, line = data[:-2].partition(b"\ndata: ")
            if 10 in name or not middle:
                return None
            self._named = name + middle
        else:
            return None
        return None if 10 in line else line

    def _whole_events(self, data: bytes) -> list[ServerSentEvent] | None:
        """Returns the events of a chunk in which each event is one data line, perhaps behind its name.

        None for other chunks. Nearly every chunk is like this. The general way returns the same.
        """
        if not self._between or 13 in data or len(data) > self._max:
            return None
        name, before = "", b"data: "
        if data[:7] == b"event: ":
            before = data[: data.find(b"\n") + 1] + before
            name = before[7:-7].decode(errors="replace")
        if data.startswith(before):
            lines = data[len(before) : -2].split(b"\n\n" + before)
            if data.count(b"\n") == (2 if len(before) == 6 else 3) * len(lines):  # so no line has one inside
                return [ServerSentEvent(line, name) for line in lines]
        return self._framed(data)

    def _framed(self, data: bytes) -> list[ServerSentEvent] | None:
        """Returns the events of whole frames without CR, or None if one has other lines than name and data."""
        if len(data) > self._max:
            return None
        events: list[ServerSentEvent] = []
        for frame in data[:-2].split(b"\n\n"):
            name, line = "", frame
            if frame[:7] == b"event: ":
                first, _, line = frame.partition(b"\n")
                name = first[7:].decode(errors="replace")
            if line[:6] != b"data: " or 10 in line:
                return None
            events.append(ServerSentEvent(line[6:], name))
        return events

    def _skip_bom(self, data: bytes) -> bytes:
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._head = data
            return b""
        self._head = None
        return data.removeprefix(_BOM)

    def _fold_cr(self, data: bytes) -> bytes:
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _begin_event(self) -> None:
        self._data: list[bytes] = []
        self._event = ""
        self._id: str | None = None
        self._retry: int | None = None
        self._size = 0

    def _take_lines(self, data: bytes, events: list[ServerSentEvent]) -> None:
        """Takes text without CR, line by line. Adds the completed events to `events`."""
        lines = data.split(b"\n")
        tail = lines.pop()
        if lines and self._partial:
            lines[0] = bytes(self._partial + lines[0])
            self._partial.clear()
        for line in lines:
            if line:
                self._take_field(line)
            else:
                self._end_event(events)
        self._partial += tail

    def _take_field(self, line: bytes) -> None:
        self._size += len(line) + 1
        if self._size > self._max:
            raise EventTooLargeError(f"a server-sent event is longer than {self._max} bytes")
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = value.decode(errors="replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode(errors="replace")
        elif name == b"retry" and value.isdigit():
            self._retry = int(value[:_RETRY_DIGITS])

    def _end_event(self, events: list[ServerSentEvent]) -> None:
        # "If the data buffer is an empty string, set the data buffer and the event type buffer to the
        # empty string and return": an event without any data line is not dispatched.
        if self._data:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            events.append(ServerSentEvent(data, self._event, self._id, self._retry))
        if self._size:
            self._begin_event()


def unframed(body: bytes) -> bytes:
    """Returns the data of the first event if a whole body is a stream, else the body.

    Some servers send an error as an event, with any status.
    """
    if not body.lstrip().startswith((b"data:", b"event:")):
        return body
    lines = (line.strip() for line in body.splitlines())
    return next((line[5:].strip() for line in lines if line.startswith(b"data:")), body)


def is_stream(body: bytes) -> bool:
    """True if a body begins like a stream of server-sent events."""
    return _FIELD.match(body.lstrip()) is not None
