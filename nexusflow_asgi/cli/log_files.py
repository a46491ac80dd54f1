"""Log files and ledgers of a command: which they are, and the calls in them. Each counts once, by its id."""

import argparse
import asyncio
import io
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Final, TypeAlias

from msgspec import Struct

from nexusflow_asgi.cli.log_bytes import DAMAGED, is_parquet, plain_bytes, raw_bytes
from nexusflow_asgi.cli.log_values import (
    Row,
    Take,
    csv_rows,
    first_line,
    is_value,
    json_values,
    left_lines,
    parquet_rows,
)
from nexusflow_asgi.cli.table import printable
from nexusflow_asgi.stores.opening import check_exists, open_ledger
from nexusflow_asgi.stores.protocol import LedgerPage
from nexusflow_core.errors import ConfigError, InvalidUsageError
from nexusflow_core.ledger import line_of
from nexusflow_core.logs import (
    Entry,
    LogReading,
    NotAnEntryError,
    PlainLines,
    Skipped,
    columns_of,
    read_log,
    read_row,
)

__all__ = ["Found", "LogFile", "Reading", "add_files_argument", "ledger_lines", "log_files"]

_SUFFIXES: Final = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
_PACKED: Final = (".gz", ".zst")
_EVERY: Final = 4096
_PAGE: Final = 2000  # rows of a ledger
_ENV: Final = "env:"
_DUPLICATE: Final = Skipped("another line has the same id", expected=True)

Found: TypeAlias = tuple[int, Entry | Skipped]


class LogFile(Struct, frozen=True):
    """A file to read. `named`: the user named it; others were found in a folder that the user named."""

    name: str
    named: bool = True

    @property
    def shown(self) -> str:
        """The name as it is printed. The URL of a database may have a password."""
        if self.is_ledger:
            return "ledger"
        return "stdin" if self.name == "-" else printable(self.name)

    @property
    def is_ledger(self) -> bool:
        """True for the URL of a database."""
        return _is_ledger(self.name)


def add_files_argument(parser: argparse.ArgumentParser, help: str) -> None:
    """Adds `FILE ...`, for commands that read logs. Without one, they read standard input."""
    parser.add_argument("files", nargs="*", default=["-"], metavar="FILE", help=help)


def log_files(names: list[str]) -> list[LogFile]:
    """Returns the files, and those inside of folders in the order of their names.

    Raises ConfigError for a file that cannot be read, before any is read: reading them may take hours.
    """
    found: list[LogFile] = []
    for name in names:
        path = Path(name)
        if name == "-" or _is_ledger(name):
            found.append(LogFile(name))
            continue
        try:
            path.stat()
        except OSError as error:
            raise _unreadable(name, error) from None
        found.extend(_inside(path) if path.is_dir() else (LogFile(name),))
    return found


class Reading:
    """Reads files. `seen` has the ids of their calls: a call that is in several files counts once.

    `columns` maps the columns of tables, and `zone` is the zone of their times. `source` and `at` are those of
    `read_log`.
    """

    def __init__(
        self,
        *,
        source: str | None = None,
        at: datetime | None = None,
        columns: Mapping[str, str] | None = None,
        zone: tzinfo | None = None,
    ) -> None:
        self.seen: set[int] = set()
        self.end: int | None = None
        """The end of the file that was read last, if each of its lines is a value."""
        self._taken = 0
        self.has_sessions = False
        """True if lines of the file that was read last depend on each other."""
        self._source, self._at, self._columns, self._zone = source, at, columns, zone

    def entries(
        self, file: LogFile, progress: Callable[[int], None] | None = None, plain: PlainLines | None = None
    ) -> Iterator[Found]:
        """Yields the calls of a file with their lines, and a Skipped for what is none.

        `progress` gets the number of bytes read so far, now and then. `plain` gets the plain usage lines; they
        are not yielded then. Raises ConfigError if the file cannot be opened.
        """
        line, count, self.end, self._taken = 0, 0, None, 0
        if file.name == "-":
            progress = None  # a pipe has neither a size nor a position
        try:
            with raw_bytes(os.devnull if file.is_ledger else file.name) as raw:
                at = None if progress is None else lambda: progress(raw.tell())
                take = self._take(plain, at)
                for line, entry in self._ledger(file) if file.is_ledger else self._each(file, raw, take):
                    count += 1
                    if progress is not None and count % _EVERY == 0:
                        progress(raw.tell())
                    yield line, self._once(entry)
        except DAMAGED as error:
            why = printable(str(error))[:100]
            yield max(line, self._taken), Skipped(f"the file is damaged after this line: {why}", lost=True)
        except OSError as error:
            raise _unreadable(file.name, error) from None

    def _ledger(self, file: LogFile) -> Iterator[Found]:
        yield from read_log(enumerate(ledger_lines(file.name), 1), self._source, self._at)

    def appended(self, number: int, block: bytes, plain: PlainLines | None = None) -> Iterator[Found]:
        """Yields the calls of whole lines that were appended to a file; `number` is that of the first.

        `plain` as for `entries`.
        """
        log, take = LogReading(self._source, self._at), self._take(plain) or _take_nothing
        for line, entry in log.rows(left_lines(number, block, take)):
            yield line, self._once(entry)
        self.has_sessions = log.has_sessions

    def _once(self, entry: Entry | Skipped) -> Entry | Skipped:
        """Returns the entry, or a Skipped if its id was there before."""
        if isinstance(entry, Entry) and entry.id is not None:
            if (key := hash(entry.id)) in self.seen:  # a text would take ten times the memory
                return _DUPLICATE
            self.seen.add(key)
        return entry

    def _take(self, plain: PlainLines | None, progress: Callable[[], None] | None = None) -> Take | None:
        """Returns the taker of plain lines; None if the values were said to be of another format."""
        if plain is None or self._source not in (None, "usage"):
            return None

        def take(block: bytes) -> Iterator[int]:
            if progress is not None:
                progress()
            self._taken += block.count(b"\n")
            return plain.take(block, self.seen)

        return take

    def _each(self, file: LogFile, raw: io.BufferedReader, take: Take | None) -> Iterator[Found]:
        if is_parquet(raw):
            yield from self._rows(*parquet_rows(file.name))
            return
        content = plain_bytes(raw)
        number, first = first_line(content)
        if isinstance(first, Skipped):
            yield number, first
        elif self._is_table(file, first):
            try:
                names, rows = csv_rows(number, first, content)
            except NotAnEntryError as error:
                yield number, Skipped.because(error)
                return
            yield from self._rows(names, rows)
        else:
            self._taken = number - 1  # blank lines before the first
            log, lines = LogReading(self._source, self._at), is_value(first) and content is raw
            yield from log.rows(json_values(number, first, content, take))
            self.end = raw.tell() if lines and file.name != "-" else None
            self.has_sessions = log.has_sessions

    def _is_table(self, file: LogFile, first: bytes) -> bool:
        if first.lstrip()[:1] in (b"{", b"[") or not first or self._source is not None:
            return False
        if self._columns is not None or any(end in file.name for end in (".csv", ".tsv")):
            return True
        try:
            columns_of(csv_rows(1, first, io.BytesIO())[0])
        except NotAnEntryError:  # no header that is known: the lines are read as JSON, and named there
            return False
        return True

    def _rows(self, names: list[str], rows: Iterator[Row]) -> Iterator[Found]:
        try:
            columns = columns_of(names, self._columns, self._zone)
        except NotAnEntryError as error:
            yield 1, Skipped.because(error)
            return
        for line, row in rows:
            if isinstance(row, Skipped):
                yield line, row
                continue
            try:
                yield line, read_row(row, columns, self._at)
            except (NotAnEntryError, InvalidUsageError) as error:
                yield line, Skipped.because(error)


def _take_nothing(block: bytes) -> Iterator[int]:
    yield from range(block.count(b"\n"))


def _inside(folder: Path) -> list[LogFile]:
    found = [path for path in sorted(folder.rglob("*")) if _is_log(path) and path.is_file()]
    if not found:
        raise ConfigError("", f"{printable(str(folder))} cannot be read: the folder has no log in it")
    return [LogFile(str(path), named=False) for path in found]


def _is_log(path: Path) -> bool:
    name = path.name.lower()
    for end in _PACKED:
        name = name.removesuffix(end)
    return name.endswith(_SUFFIXES)


def _unreadable(name: str, error: OSError) -> ConfigError:
    return ConfigError("", f"{printable(name)} cannot be read: {error.strerror}")


def _is_ledger(name: str) -> bool:
    """True for the URL of a database instead of a file's name: `sqlite:///nexusflow.db`, or `env:NAME`."""
    return "://" in name or name.startswith(_ENV)


def ledger_lines(name: str) -> Iterator[bytes]:
    """Yields every call of a ledger as a line of our call log, the oldest first. Holds one page at a time.

    `env:NAME` names a variable with the URL, for one with a password. Raises ConfigError.
    """
    url = name
    if name.startswith(_ENV):
        url = os.environ.get(name.removeprefix(_ENV), "")
        if not url:
            raise ConfigError("", f"the environment variable {name.removeprefix(_ENV)} is not set")
    check_exists(url)
    store = open_ledger(url)
    with asyncio.Runner() as runner:
        try:
            page = LedgerPage(limit=_PAGE, oldest_first=True)
            while rows := runner.run(store.rows(page)):
                for row in rows:
                    yield line_of(row)
                last = rows[-1].started_ms, rows[-1].request_id
                page = LedgerPage(limit=_PAGE, oldest_first=True, behind=last)
        except Exception as error:  # SQLAlchemy's and the driver's: their text may hold the password
            raise ConfigError("", f"the ledger cannot be read: {type(error).__name__}") from None
        finally:
            runner.run(store.aclose())
