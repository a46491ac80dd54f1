"""Counts the calls of files: prices them, adds them up, and keeps a tally of what is in no total.

Progress shows how far it is.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, tzinfo
from typing import TypeAlias

from nexusflow_asgi.cli.complaints import Complaints
from nexusflow_asgi.cli.cost.period import Period
from nexusflow_asgi.cli.log_files import Found, LogFile
from nexusflow_core.logs import Entry, PlainLines, Priced, Pricer, Skipped
from nexusflow_core.logs.report import CostReport
from nexusflow_core.logs.summary import Summary
from nexusflow_core.prices import PriceBook

__all__ = ["Counting", "Progress", "Read", "Tally"]

Read: TypeAlias = Callable[[PlainLines | None], Iterable[Found]]
"""Reads a file, or a part of it. The plain lines go to the argument, unless it is None."""

_AFTER, _EVERY = 1.0, 0.1  # seconds
_WIDTH = 30


class Tally:
    """Counts lines and calls that are in no total. `write` prints each of them, or each kind, to stderr."""

    def __init__(self) -> None:
        self.read = self.skipped = self.unpriced = self.unread = self.lost = 0
        self.complaints = Complaints()

    @property
    def incomplete(self) -> bool:
        """True if calls may be missing: a file or a long line was unreadable."""
        return bool(self.lost or self.unread or (self.skipped and not self.read))

    def add(self, other: "Tally") -> None:
        """Adds another tally, without its complaints."""
        for name in ("read", "skipped", "unpriced", "unread", "lost"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def write(self) -> None:
        """Prints the complaints, and how many there are of each kind."""
        self.complaints.write()
        parts = [
            f"{count} {word}{'' if count == 1 else 's'} {what}"
            for count, word, what in (
                (self.skipped, "line", "skipped"),
                (self.unpriced, "call", "without a known price"),
                (self.unread, "long line", "unreadable and not in any total"),
                (self.lost, "file", "unreadable and not in any total"),
            )
            if count
        ]
        if parts:
            print(", ".join(parts), file=sys.stderr)


class Counting:
    """Adds up the calls of files. `new_summary` makes the empty sum."""

    def __init__(
        self,
        book: PriceBook,
        new_summary: Callable[[], Summary],
        period: Period,
        *,
        zone: tzinfo = UTC,
        logged: bool = False,
        report: CostReport | None = None,
    ) -> None:
        """`zone`: the time zone of days. `report` gets every call too."""
        self.report = report
        pricer = Pricer(book)
        self._book, self._zone, self._logged = book, zone, logged
        self._price = pricer.logged if logged else pricer.price
        self._new_summary, self._period = new_summary, period
        self.begin()

    def begin(self) -> None:
        """Begins anew: no calls, and an empty tally."""
        self.summary, self.tally = self._new_summary(), Tally()

    def count(self, file: LogFile, read: Read) -> None:
        """Adds the calls of a file. A file of which nothing could be read is lost, if the user named it."""
        tally, has = self.tally, self._period.has
        before, skipped, bounded = tally.read, tally.skipped, self._period.bounded
        plain = None
        if not self._logged:
            plain = PlainLines(self._add, self._book, self._zone, has if bounded else None)
        for line, entry in read(plain):
            if isinstance(entry, Skipped):
                tally.read += entry.expected
                if not entry.expected:
                    tally.skipped += 1
                    tally.unread += entry.lost
                    tally.complaints.add(f"{file.shown}:{line}", "skipped", entry.reason)
                continue
            tally.read += 1
            if bounded and not has(entry.at):
                continue
            priced = self._price(entry)
            self._add(entry, priced)
            if priced.why:
                tally.unpriced += 1
                tally.complaints.add(f"{file.shown}:{line}", "not priced", priced.why)
        if plain is not None:
            plain.flush()
            tally.read += plain.read
        tally.lost += file.named and tally.read == before and tally.skipped > skipped

    def _add(self, entry: Entry, priced: Priced) -> None:
        self.summary.add(entry, priced)
        if self.report is not None:
            self.report.add(entry, priced)


class Progress:
    """A bar on stderr, for files that take longer than a second to read. Only a terminal shows it.

    `clear` removes it before other output.
    """

    def __init__(self, files: Iterable[LogFile]) -> None:
        self._sizes = {file.name: _size(file) for file in files}
        self._total = sum(self._sizes.values())
        self._done, self._current = 0, ""
        self._began = self._shown_at = time.monotonic()
        self._shows = sys.stderr.isatty()
        self._visible = False

    def begin(self, file: LogFile) -> None:
        """Says that this file is read next."""
        self._done += self._sizes.get(self._current, 0)
        self._current = file.name

    def at(self, position: int) -> None:
        """Shows the bar: `position` bytes of the current file were read."""
        now = time.monotonic()
        if not self._shows or not self._total or now - self._began < _AFTER or now - self._shown_at < _EVERY:
            return
        self._shown_at, self._visible = now, True
        part = min((self._done + position) / self._total, 1.0)
        bar = "#" * int(part * _WIDTH)
        left = (now - self._began) * (1 - part) / part if part else 0
        print(f"\r[{bar:<{_WIDTH}}] {part:4.0%}, {left:.0f} s left ", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Removes the bar."""
        if self._visible:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._visible = False


def _size(file: LogFile) -> int:
    with contextlib.suppress(OSError):
        return os.stat(file.name).st_size
    return 0
