"""Usage logs: reads values into entries, or gives the reason why not, and prices entries."""

from nexusflow_core.logs.call_log import HEAD_BYTES, shortened
from nexusflow_core.logs.columns import Columns, columns_of, read_row
from nexusflow_core.logs.entry import Entry, NotAnEntryError, Skipped, read_moment
from nexusflow_core.logs.importers import IMPORTERS, Importer
from nexusflow_core.logs.json_values import MAX_VALUE, JSONSplitter, has_rows
from nexusflow_core.logs.plain_lines import PlainLines
from nexusflow_core.logs.pricing import Priced, Pricer
from nexusflow_core.logs.reading import LogReading, read_line, read_log
from nexusflow_core.logs.transcripts import read_transcript

__all__ = [
    "HEAD_BYTES",
    "IMPORTERS",
    "MAX_VALUE",
    "Columns",
    "Entry",
    "Importer",
    "JSONSplitter",
    "LogReading",
    "NotAnEntryError",
    "PlainLines",
    "Priced",
    "Pricer",
    "Skipped",
    "columns_of",
    "has_rows",
    "read_line",
    "read_log",
    "read_moment",
    "read_row",
    "read_transcript",
    "shortened",
]
