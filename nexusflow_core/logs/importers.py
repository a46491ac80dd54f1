"""The table of log formats, with the reader of each."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Raw, Struct

from nexusflow_core.errors import InvalidUsageError
from nexusflow_core.logs.call_log import read_record
from nexusflow_core.logs.entry import CountedElsewhereError, Entry, NotAnEntryError, Skipped
from nexusflow_core.logs.usage_lines import read_usage_line

__all__ = ["IMPORTERS", "Importer", "read_line"]


class Importer(Struct, frozen=True):
    """A log format: the members that every line of it has, and its reader.

    `read(line, at)` returns an Entry; `at` applies to a line without a time. It raises NotAnEntryError,
    InvalidUsageError or an error of msgspec's.
    """

    members: frozenset[str]
    read: Callable[[bytes, datetime | None], Entry]


IMPORTERS: Final[Mapping[str, Importer]] = {
    "call-log": Importer(frozenset({"schema", "request_id"}), read_record),
    "usage": Importer(frozenset({"usage", "model"}), read_usage_line),
}
"""By name. A line belongs to the first format whose members it has."""

_members = msgspec.json.Decoder(dict[str, Raw])


def read_line(line: bytes, source: str | None = None, at: datetime | None = None) -> Entry | Skipped:
    """Returns the entry of a log line, or Skipped with the reason. Never raises for the line's content.

    `source` is a name in IMPORTERS; None detects the format by the line's members. `at` is the UTC moment for
    lines without a time. Raises KeyError for an unknown `source`.
    """
    try:
        importer = IMPORTERS[source] if source is not None else _recognised(line)
        return importer.read(line, at)
    except CountedElsewhereError as error:
        return Skipped(str(error), expected=True)
    except RecursionError:
        return Skipped("nested too deep")
    except UnicodeDecodeError:
        return Skipped("not UTF-8")
    except (msgspec.DecodeError, NotAnEntryError, InvalidUsageError) as error:
        return Skipped.because(error)


def _recognised(line: bytes) -> Importer:
    members = _members.decode(line).keys()
    for importer in IMPORTERS.values():
        if importer.members <= members:
            return importer
    known = ", ".join(f"{name} ({', '.join(sorted(importer.members))})" for name, importer in IMPORTERS.items())
    raise NotAnEntryError(f"matches no known format: {known}")
