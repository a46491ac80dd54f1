"""What a report shows: logs read into conversations, their sums, the misses that cost most, and advice."""

import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain, islice

from msgspec import Struct

from nexusflow_asgi.cli.log_files import log_lines
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
"""Lines within which a transcript is known: it may begin with lines that keep house."""


class Findings(Struct):
    """Everything that the report shows, whichever form it has."""

    conversations: Conversations
    ledger: Ledger
    costly: list[Costly]
    advice: list[Advice]
    gaps: Gaps
    outcomes: list[Outcome]
    skipped: int
    book: PriceBook


def find(names: Iterable[str], *, at: datetime | None, book: PriceBook, misses: int) -> Findings:
    """Returns what the logs show. Lines that cannot be read are named on stderr, and counted."""
    conversations, skipped = Conversations(), 0
    entries: list[Entry] = []
    seen: set[str] = set()
    for name in names:
        for place, entry in _entries(name, at, seen):
            if isinstance(entry, Skipped):
                skipped += not entry.expected
                if not entry.expected:
                    print(f"{place}: skipped: {entry.reason}", file=sys.stderr)
                continue
            entries.append(entry)
    for entry in sorted(entries, key=lambda entry: (entry.at, entry.session or "")):
        conversations.add(entry)
    ledger = Ledger.of(conversations, book)
    return Findings(
        conversations,
        ledger,
        ledger.costly[:misses],
        advise(conversations, ledger, book),
        gaps_of(conversations),
        outcomes(conversations, book),
        skipped,
        book,
    )


def _entries(name: str, at: datetime | None, seen: set[str]) -> Iterator[tuple[str, Entry | Skipped]]:
    """The calls of one file: of a transcript as a whole, of any other log line by line."""
    lines = log_lines(name)
    head = list(islice(lines, _HEAD))
    if any(isinstance(line, bytes) and is_transcript(line) for _, line in head):
        whole = (line for _, line in chain(head, lines) if isinstance(line, bytes))
        yield from ((name, entry) for entry in read_transcript(whole, seen))
        return
    for place, line in chain(head, lines):
        yield place, line if isinstance(line, Skipped) else read_line(line, at=at)
