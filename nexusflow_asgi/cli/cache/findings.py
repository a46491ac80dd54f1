"""Findings: everything that a report shows: conversations, sums, the most expensive misses, and advice."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from nexusflow_asgi.cli.complaints import Complaints
from nexusflow_asgi.cli.log_files import LogFile, Reading
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
from nexusflow_core.logs import Entry, Skipped
from nexusflow_core.prices import PriceBook

__all__ = ["Findings", "find"]

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


def find(files: Sequence[LogFile], *, at: datetime | None, book: PriceBook, misses: int) -> Findings:
    """Returns the findings of these files. Unreadable lines are reported on stderr and counted.

    It holds few calls with their requests in memory: a window of each file, and `Conversations.sent`.
    """
    conversations, reading = Conversations(book), _Reading(at)
    for entry in heapq.merge(*(_in_order(reading.entries(file)) for file in files), key=_moment):
        conversations.add(entry)
    reading.complaints.write()
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
        self.complaints = Complaints()
        self._reading = Reading(at=at)

    def entries(self, file: LogFile) -> Iterator[Entry]:
        """Yields the calls of one file."""
        for line, entry in self._reading.entries(file):
            if not isinstance(entry, Skipped):
                yield entry
            elif not entry.expected:
                self.skipped += 1
                self.complaints.add(f"{file.shown}:{line}", "skipped", entry.reason)


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
