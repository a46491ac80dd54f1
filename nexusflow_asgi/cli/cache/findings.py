"""Findings: everything that a report shows: conversations, sums, the most expensive misses, and advice."""

import heapq
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain, islice

from msgspec import Struct

from nexusflow_asgi.cli.log_files import log_lines
from nexusflow_asgi.cli.table import printable
from nexusflow_core.caching import (
    Advice,
    Conversations,
    Costly,
    Gaps,
    Ledger,
    Outcome,
    advise,
    gaps_of,
    outcomes,
)
from nexusflow_core.logs import Entry, Skipped, is_transcript, read_line, read_transcript
from nexusflow_core.prices import PriceBook

__all__ = ["Findings", "find"]

_HEAD = 20
"""Lines that are searched for the mark of a transcript: its first lines may be internal ones."""

_WINDOW = 1000
"""Calls of one file that are held in memory to sort them by time."""


class Findings(Struct):
    """Everything that the report shows, in any format."""

    conversations: Conversations
    ledger: Ledger
    costly: list[Costly]
    advice: list[Advice]
    gaps: Gaps
    outcomes: list[Outcome]
    skipped: int
    book: PriceBook


def find(names: Sequence[str], *, at: datetime | None, book: PriceBook, misses: int) -> Findings:
    """Returns the findings of these files. Unreadable lines are reported on stderr and counted.

    It holds few calls with their requests in memory: a window of each file, and `Conversations.sent`.
    """
    conversations, reading, seen = Conversations(), _Reading(at), set[str]()
    files = [_in_order(reading.entries(name, seen)) for name in names]
    for entry in heapq.merge(*files, key=_moment):
        conversations.add(entry)
    ledger = Ledger.of(conversations, book)
    return Findings(
        conversations,
        ledger,
        ledger.costly[:misses],
        advise(conversations, ledger, book),
        gaps_of(conversations),
        outcomes(conversations, book),
        reading.skipped,
        book,
    )


class _Reading:
    """Reads files. Reports unreadable lines and counts them."""

    def __init__(self, at: datetime | None) -> None:
        self.skipped = 0
        self._at = at

    def entries(self, name: str, seen: set[str]) -> Iterator[Entry]:
        """Yields the calls of one file. A transcript is read as a whole, any other log line by line."""
        lines = log_lines(name)
        head = list(islice(lines, _HEAD))
        found: Iterable[tuple[str, Entry | Skipped]]
        if any(isinstance(line, bytes) and is_transcript(line) for _, line in head):
            whole = (line for _, line in chain(head, lines) if isinstance(line, bytes))
            found = ((printable(name), entry) for entry in read_transcript(whole, seen))
        else:
            found = ((place, self._entry(line)) for place, line in chain(head, lines))
        for place, entry in found:
            if not isinstance(entry, Skipped):
                yield entry
            elif not entry.expected:
                self.skipped += 1
                print(f"{place}: skipped: {entry.reason}", file=sys.stderr)

    def _entry(self, line: bytes | Skipped) -> Entry | Skipped:
        return line if isinstance(line, Skipped) else read_line(line, at=self._at)


def _in_order(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yields the entries sorted by time within a window. A log has calls in the order in which they ended."""
    window: list[tuple[tuple[datetime, str], int, Entry]] = []
    for number, entry in enumerate(entries):
        heapq.heappush(window, (_moment(entry), number, entry))
        if len(window) > _WINDOW:
            yield heapq.heappop(window)[2]
    while window:
        yield heapq.heappop(window)[2]


def _moment(entry: Entry) -> tuple[datetime, str]:
    return entry.at, entry.session or ""
