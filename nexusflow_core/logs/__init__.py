"""Usage logs: reads a line into an entry, or gives the reason why not, and prices entries."""

from nexusflow_core.logs.call_log import HEAD_BYTES, shortened
from nexusflow_core.logs.entry import Entry, NotAnEntryError, Skipped, read_moment
from nexusflow_core.logs.importers import IMPORTERS, Importer, read_line
from nexusflow_core.logs.pricing import Priced, Pricer
from nexusflow_core.logs.transcripts import is_transcript, read_transcript

__all__ = [
    "HEAD_BYTES",
    "IMPORTERS",
    "Entry",
    "Importer",
    "NotAnEntryError",
    "Priced",
    "Pricer",
    "Skipped",
    "is_transcript",
    "read_line",
    "read_moment",
    "read_transcript",
    "shortened",
]
