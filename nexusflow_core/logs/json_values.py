"""Splits a text of JSON values: an array, pretty JSON, or values one after another.

Lines of JSON need none of this. Memory is bounded by one value. A large object with its rows in `data` or
`resourceSpans` is split into these rows.
"""

import enum
import re
from collections.abc import Iterator
from typing import Final

from nexusflow_core.logs.entry import Skipped

__all__ = ["MAX_VALUE", "JSONSplitter", "has_rows"]

MAX_VALUE: Final = 16 * 2**20
"""Bound on the bytes of one value."""

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]"]', re.DOTALL)
_REST_OF_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_ENVELOPE = re.compile(
    rb'\s*+\{\s*+(?:"\w*+"\s*+:\s*+(?:"[^"\\]*+"|true|false|null|-?[\d.]++)\s*+,\s*+)*+'
    rb'"(?:data|resourceSpans)"\s*+:\s*+\['
)
_BETWEEN = b" \t\r\n,"
_BLANK = re.compile(rb"[\s,]*+")


def has_rows(text: bytes) -> bool:
    """Returns True for the beginning of an array, or of an object with rows in `data` or `resourceSpans`."""
    return text.lstrip()[:1] == b"[" or _ENVELOPE.match(text) is not None


class _Mode(enum.Enum):
    VALUES = enum.auto()
    """Values are yielded as they end."""
    TOO_LONG = enum.auto()
    """Inside a value that was given up: its bytes are dropped as they come."""
    AFTER_ROWS = enum.auto()
    """Behind the rows of an envelope: the rest of the object means nothing here."""


class JSONSplitter:
    """Takes chunks of bytes and yields the values that they complete, each with the line on which it begins.

    A value that is too long, or no object and no array, is yielded all the same: as a Skipped, or as its bytes.
    """

    def __init__(self, max_value: int = MAX_VALUE) -> None:
        self._max = max_value
        self._buffer = bytearray()
        self._mode = _Mode.VALUES
        self._depth: int = 0
        self._base: int = 0  # values end at this depth: 0; 1 inside an array; 2 inside the rows of an envelope
        self._start: int = 0  # where the value that is being read begins in the buffer
        self._at: int = 0  # where the search for its end goes on
        self._in_string = False  # the buffer begins inside a string whose beginning was dropped
        self._line: int = 1
        self._counted: int = 0

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes | Skipped]]:
        """Yields the values that this chunk completes."""
        self._buffer += chunk
        yield from self._scan()
        if self._mode is _Mode.VALUES and len(self._buffer) - self._start > self._max:
            yield from self._too_long()
        self._drop()

    def flush(self) -> Iterator[tuple[int, bytes | Skipped]]:
        """Yields the rest of the text: a value that was cut short."""
        if self._mode is _Mode.VALUES:
            yield from self._between(len(self._buffer))

    def _scan(self) -> Iterator[tuple[int, bytes | Skipped]]:
        buffer = self._buffer
        if self._in_string:
            if (rest := _REST_OF_STRING.match(buffer)) is None:
                self._at = len(buffer) - (len(buffer) - len(buffer.rstrip(b"\\"))) % 2
                return
            self._in_string, self._at = False, rest.end()
        for found in _TOKEN.finditer(buffer, self._at):
            begin, end = found.span()
            match buffer[begin]:
                case 0x22:
                    if end - begin == 1:  # the string goes on in the next chunk
                        self._at = begin
                        return
                case 0x7B | 0x5B:
                    yield from self._open(begin, end)
                case _:
                    yield from self._close(begin, end)
            self._at = end
        self._at = max(self._at, len(buffer))

    def _open(self, begin: int, end: int) -> Iterator[tuple[int, bytes | Skipped]]:
        if self._mode is _Mode.VALUES and self._depth == self._base:
            yield from self._between(begin)
            if self._depth == 0 and self._buffer[begin] == 0x5B:
                self._base, self._start = 1, end
        self._depth += 1

    def _close(self, begin: int, end: int) -> Iterator[tuple[int, bytes | Skipped]]:
        if self._depth == 0:  # a bracket too many; its text is reported with the next value
            return
        self._depth -= 1
        if self._depth == self._base and self._mode is not _Mode.AFTER_ROWS:
            if self._mode is _Mode.VALUES:
                yield self._line_of(self._start), bytes(self._buffer[self._start : end])
            self._mode, self._start = _Mode.VALUES, end
        elif self._depth < self._base:
            if self._mode is _Mode.VALUES:
                yield from self._between(begin)
            self._mode, self._start = _Mode.AFTER_ROWS, end
            if self._depth == 0:
                self._mode, self._base = _Mode.VALUES, 0

    def _between(self, end: int) -> Iterator[tuple[int, bytes | Skipped]]:
        """Yields text between two values, or cut short. The next value begins at `end`."""
        if text := bytes(self._buffer[self._start : end]).strip(_BETWEEN):
            blank = _BLANK.match(self._buffer, self._start)
            yield self._line_of(blank.end() if blank else self._start), text
        self._start = end

    def _too_long(self) -> Iterator[tuple[int, bytes | Skipped]]:
        """Splits an envelope into its rows, or gives up the value."""
        if self._base == 0 and self._depth and (found := _ENVELOPE.match(self._buffer, self._start)):
            self._base = self._depth = 2
            self._start = self._at = found.end()
            yield from self._scan()
            if self._mode is not _Mode.VALUES or len(self._buffer) - self._start <= self._max:
                return
        yield self._line_of(self._start), Skipped(f"longer than {self._max} bytes", lost=True)
        if self._depth > self._base:
            self._mode = _Mode.TOO_LONG
        self._start = len(self._buffer)

    def _drop(self) -> None:
        """Frees the bytes that are done."""
        done = self._start if self._mode is _Mode.VALUES else self._at
        if self._mode is not _Mode.VALUES and self._at < len(self._buffer):
            self._in_string = self._in_string or self._buffer[self._at] == 0x22
            done = len(self._buffer) - (len(self._buffer) - len(self._buffer.rstrip(b"\\"))) % 2
        self._line_of(done)
        del self._buffer[:done]
        self._at, self._start = max(self._at - done, 0), max(self._start - done, 0)
        self._counted -= done

    def _line_of(self, place: int) -> int:
        """Returns the number of the line at a place of the buffer. Places only grow."""
        if place > self._counted:
            self._line += self._buffer.count(b"\n", self._counted, place)
            self._counted = place
        return self._line
