"""Reads the JSON values of a log into entries: tells the form of each, and why a value is none."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Final, TypeAlias

import msgspec
from msgspec import Raw

from nexusflow_core.errors import InvalidUsageError
from nexusflow_core.logs.entry import CountedElsewhereError, Entry, NotAnEntryError, Skipped
from nexusflow_core.logs.importers import IMPORTERS, Form, Session, form_of
from nexusflow_core.logs.usage_lines import read_plain_line
from nexusflow_core.untyped import MALFORMED

__all__ = ["LogReading", "read_line", "read_log"]

Value: TypeAlias = tuple[int, bytes | Skipped]
Row: TypeAlias = tuple[int, Entry | Skipped]

_HEAD: Final = 20
"""Values at the beginning of a file that may be of a session that only later values show."""

_MAX_REMEMBERED: Final = 1024
_PLAIN_TRIES: Final = 20
"""Values that are no plain usage lines, before a file is taken for one of another kind."""
_ERRORS = (*MALFORMED, NotAnEntryError, InvalidUsageError)

_members = msgspec.json.Decoder(dict[str, Raw])
_elements = msgspec.json.Decoder(list[Raw])


def read_log(values: Iterable[Value], source: str | None = None, at: datetime | None = None) -> Iterator[Row]:
    """Yields the entries of one file's values, each with its line, and a Skipped for each value without any.

    `source` is a name in IMPORTERS; None detects the form of each value by its members. `at` is the UTC moment
    for values without a time. Never raises for a value's content. Raises KeyError for an unknown `source`.
    """
    return LogReading(source, at).rows(values)


def read_line(line: bytes, source: str | None = None, at: datetime | None = None) -> Entry | Skipped:
    """Returns the entry of a single value, or Skipped with the reason: the first one if it holds several.

    Arguments as for `read_log`.
    """
    reading = LogReading(source, at)
    if line[:1] == b"[":
        return Skipped("an array: expected one object")
    rows = [*reading.take(0, line), *reading.finish()]
    return rows[0][1] if rows else Skipped("it holds no call", expected=True)


class LogReading:
    """The state of reading one file: the forms met so far, and the sessions that are open."""

    def __init__(self, source: str | None = None, at: datetime | None = None) -> None:
        """Arguments as for `read_log`. Raises KeyError for an unknown `source`."""
        if source is not None and source not in IMPORTERS:
            raise KeyError(source)
        self._source, self._at = source, at
        self._known: dict[tuple[str, ...], Form | None] = {}
        self._sessions: dict[object, Session] = {}
        self._current: Session | None = None
        self._waiting: list[tuple[int, bytes, Skipped]] | None = [] if source is None else None
        self._line = 0
        self._plain = _PLAIN_TRIES if source in (None, "usage") else 0

    @property
    def has_sessions(self) -> bool:
        """True if lines depend on each other, so that the calls of later lines may replace earlier ones."""
        return bool(self._sessions)

    def rows(self, values: Iterable[Value]) -> Iterator[Row]:
        """Yields what `read_log` yields."""
        for line, value in values:
            if isinstance(value, Skipped):
                yield line, value
            elif (entry := self.entry(value)) is not None:
                yield line, entry
            else:
                yield from self.take(line, value)
        yield from self.finish()

    def entry(self, value: bytes) -> Entry | None:
        """Returns the entry of a value that has one, of a form that was met before; None for any other.

        Nearly every value is of this kind, and takes half the time that `take` needs.
        """
        if self._plain:
            try:
                return read_plain_line(value, self._at)
            except (*_ERRORS, ValueError):
                self._plain -= 1
        try:
            form = self._known.get(tuple(_members.decode(value)))
            if form is None or form.read is None:
                return None
            rows = form.read(value, self._at)
            return rows if type(rows) is Entry else None
        except _ERRORS:  # the general reading names what is wrong
            return None

    def take(self, line: int, value: bytes) -> Iterator[Row]:
        """Yields the rows of a value."""
        self._line = line
        try:
            if value[:1] == b"[":
                yield from self._each(line, _elements.decode(value))
                return
            names = tuple(members := _members.decode(value))
            try:
                form = self._known[names]
            except KeyError:
                form = self._form(names)
            if form is not None and form.read is not None:
                rows = form.read(value, self._at)
                if isinstance(rows, Entry):
                    yield line, rows
                else:
                    for row in rows:
                        yield line, row
            elif form is not None and form.session is not None:
                yield from self._in_session(line, value, form.session)
            elif "data" in members:
                yield from self._unwrapped(line, bytes(members["data"]))
            else:
                yield from self._unknown(line, value)
        except CountedElsewhereError as error:
            yield line, Skipped(str(error), expected=True)
        except _ERRORS as error:
            yield line, _why_not(error)

    def finish(self) -> Iterator[Row]:
        """Yields the rows that were waiting for later values."""
        for line, _, skipped in self._waiting or ():
            yield line, skipped
        for session in self._sessions.values():
            for row in session.finish():
                yield self._line, row

    def _form(self, names: tuple[str, ...]) -> Form | None:
        found = form_of(names, self._source)
        if len(self._known) >= _MAX_REMEMBERED:
            self._known.clear()
        self._known[names] = found
        return found

    def _in_session(self, line: int, value: bytes, opened: Callable[[], Session]) -> Iterator[Row]:
        """Reads a line of a session, after the lines before it that were of no form."""
        session = self._sessions.get(opened)
        if session is None:
            session = self._sessions[opened] = opened()
        self._current = session
        waiting, self._waiting = self._waiting or (), None
        for before, earlier, _ in waiting:
            for row in session.take(earlier):
                yield before, row
        for row in session.take(value):
            yield line, row

    def _unknown(self, line: int, value: bytes) -> Iterator[Row]:
        if self._current is not None:  # sessions have lines of many kinds
            for row in self._current.take(value):
                yield line, row
            return
        skipped = Skipped.because(f"matches no known format: {', '.join(IMPORTERS)}")
        if self._waiting is None:
            yield line, skipped
            return
        self._waiting.append((line, value, skipped))
        if len(self._waiting) >= _HEAD:
            waiting, self._waiting = self._waiting, None
            for before, _, why in waiting:
                yield before, why

    def _unwrapped(self, line: int, data: bytes) -> Iterator[Row]:
        """Reads what stands in `data`: rows of a page, or a single object."""
        if data[:1] == b"[":
            yield from self._each(line, _elements.decode(data))
        elif "data" in _members.decode(data):
            yield line, Skipped("`data` inside `data`")
        else:
            yield from self.take(line, data)

    def _each(self, line: int, elements: list[Raw]) -> Iterator[Row]:
        if not elements:
            yield line, Skipped("it has no rows")
        for element in elements:
            text = bytes(element)
            if text[:1] == b"[":
                yield line, Skipped("an array inside an array")
            else:
                yield from self.take(line, text)


def _why_not(error: Exception) -> Skipped:
    match error:
        case RecursionError():
            return Skipped("nested too deep")
        case UnicodeDecodeError():
            return Skipped("not UTF-8")
        case _:
            return Skipped.because(error)
