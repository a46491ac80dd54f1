"""The values of a log file with their lines: JSON in lines, pretty or in an array; rows of CSV and Parquet."""

import csv
import importlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, BinaryIO, Final, TypeAlias

import msgspec
from msgspec import Raw

from nexusflow_asgi.cli.log_bytes import other_form
from nexusflow_core.errors import ConfigError
from nexusflow_core.logs import (
    HEAD_BYTES,
    MAX_VALUE,
    JSONSplitter,
    NotAnEntryError,
    Skipped,
    has_rows,
    shortened,
)

__all__ = ["Line", "Take", "csv_rows", "first_line", "is_value", "json_values", "left_lines", "parquet_rows"]

Line: TypeAlias = tuple[int, bytes | Skipped]
Row: TypeAlias = tuple[int, Mapping[str, Any] | Skipped]

Take: TypeAlias = Callable[[bytes], Iterator[int]]
"""Takes whole lines, joined. Yields the index of each that it leaves to the reader of single lines."""

_MAX_LINE = MAX_VALUE
_BLOCK = 2**16
_MAX_IN_BLOCK = 2**20
_CHUNK = 2**20
_HEAD_LINES: Final = 64
_BOM = b"\xef\xbb\xbf"
_DELIMITERS = ",;\t|"

_any = msgspec.json.Decoder(Raw)


def first_line(file: BinaryIO) -> Line:
    """Returns the first line that is not blank, and its number; a Skipped for a file of another form.

    The line is b"" for an empty file.
    """
    number = 0
    while line := file.readline(_MAX_LINE + 1):
        number += 1
        if (form := other_form(line)) is not None:
            return number, Skipped(f"the file is {form}", lost=True)
        line = line.removeprefix(_BOM)
        if line and not line.isspace():
            return number, line
    return number, b""


def json_values(number: int, first: bytes, file: io.BufferedReader, take: Take | None = None) -> Iterator[Line]:
    """Yields the JSON values of a file whose first line was read already: one a line, or split by brackets.

    `take` gets the lines first, many at a time. Those that it leaves are yielded.
    """
    if first.lstrip()[:1] not in (b"{", b"[") or is_value(first):
        return _lines(number, first, file) if take is None else _untaken(number, first, file, take)
    if len(first) > _MAX_LINE and not has_rows(first[:_CHUNK]):
        return _lines(number, first, file)
    head = [first]
    size = len(first)
    while len(head) < _HEAD_LINES and size < _CHUNK and (line := file.readline(_CHUNK)):
        head.append(line)
        size += len(line)
    if _is_split_over_lines(head):
        blank = b"\n" * (number - 1)
        return _split(chain((blank,), head, iter(lambda: file.read(_CHUNK), b"")))
    return _lines_of(number, head, file)


def is_value(line: bytes) -> bool:
    """Returns True for a line that is a whole JSON value: then each line of its file is one."""
    return len(line) <= _MAX_LINE and _is_whole(line)


def csv_rows(number: int, first: bytes, file: BinaryIO) -> tuple[list[str], Iterator[Row]]:
    """Returns the header of a CSV file and an iterator over its rows. The header's line was read already.

    Raises NotAnEntryError for a line that is no header.
    """
    header = first.decode("utf-8", "replace")
    delimiter = max(_DELIMITERS, key=header.count)
    reader = csv.reader(_texts(chain((first,), file)), delimiter=delimiter)
    try:
        names = [name.strip() for name in next(reader)]
    except (csv.Error, StopIteration) as error:
        raise NotAnEntryError(f"the first line is no header of a table: {error}") from None
    return names, _csv_rows(names, reader, number - 1)


def parquet_rows(name: str) -> tuple[list[str], Iterator[Row]]:
    """Returns the columns of a Parquet file and an iterator over its rows. Raises ConfigError."""
    if name == "-":
        raise ConfigError("", "a Parquet file cannot be read from standard input: give its name")
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise ConfigError("", f"{name} is a Parquet file: run pip install 'nexusflow[arrow]'") from None
    file: Any = parquet.ParquetFile(name)

    def rows() -> Iterator[Row]:
        number = 0
        for batch in file.iter_batches(batch_size=8192):
            for row in batch.to_pylist():
                number += 1
                yield number, row

    return list(file.schema_arrow.names), rows()


def _is_whole(text: bytes) -> bool:
    try:
        _any.decode(text)
    except (msgspec.DecodeError, RecursionError):  # part of a value, or none: the reader names what is wrong
        return False
    return True


def _is_split_over_lines(head: list[bytes]) -> bool:
    """Returns True if the first value goes over several lines: pretty JSON, or an array with a value a line.

    In a log of lines whose first one is damaged, some other line is a whole object, and is not indented.
    """
    if head[0].lstrip()[:1] == b"{" and any(line[:1] == b"{" and _is_whole(line) for line in head[1:]):
        return False
    splitter = JSONSplitter()
    for line in head:
        for _, value in splitter.feed(line):
            return isinstance(value, Skipped) or (value[:1] in (b"{", b"[") and _is_whole(value))
    return len(head) == _HEAD_LINES or sum(map(len, head)) >= _CHUNK


def _split(chunks: Iterable[bytes]) -> Iterator[Line]:
    splitter = JSONSplitter(_MAX_LINE)
    for chunk in chunks:
        yield from splitter.feed(chunk)
    yield from splitter.flush()


def _lines_of(number: int, head: list[bytes], file: BinaryIO) -> Iterator[Line]:
    """Yields lines that were read already, and those after them."""
    for line in head[:-1]:
        yield from _lines(number, line, io.BytesIO())
        number += 1
    yield from _lines(number, head[-1], file)


def _lines(number: int, line: bytes, file: BinaryIO) -> Iterator[Line]:
    """Yields a line and those after it that are not blank, with their numbers.

    A line over the bound is never held whole.
    """
    read, most = file.readline, _MAX_LINE
    while line:
        if line[:1] == b"\xef":
            line = line.removeprefix(_BOM)  # joined files have one in the middle
        if len(line) > most and not line.endswith(b"\n"):
            yield number, _long_line(file, line[:HEAD_BYTES]) or Skipped(f"longer than {most} bytes", lost=True)
        elif line and not line.isspace():
            yield number, line
        line = read(most + 1)
        number += 1


def _untaken(number: int, line: bytes, file: io.BufferedReader, take: Take) -> Iterator[Line]:
    """Yields the lines that `take` leaves, of this one and those after it."""
    rest = line
    while True:
        block, newline, rest = rest.rpartition(b"\n")
        if newline:
            yield from left_lines(number, block + newline, take)
            number += block.count(b"\n") + 1
        if len(rest) > _MAX_IN_BLOCK:  # lines of this length are read one by one
            yield from _lines(number, rest + file.readline(_MAX_LINE + 1 - len(rest)), file)
            return
        chunk = file.read1(_BLOCK)  # never waits for more than there is, and loses nothing before damage
        if not chunk:
            yield from left_lines(number, rest, take) if rest else ()
            return
        rest += chunk


def left_lines(number: int, block: bytes, take: Take) -> Iterator[Line]:
    """Yields the lines of a block that `take` leaves."""
    lines: list[bytes] = []
    for index in take(block):
        lines = lines or block.split(b"\n")
        yield from _lines(number + index, lines[index], io.BytesIO())


def _long_line(file: BinaryIO, head: bytes) -> bytes | None:
    """Returns a long record without its lists, or None for another line. The line is never held whole."""
    tail = b""
    while piece := file.readline(_CHUNK):
        tail = (tail + piece)[-HEAD_BYTES:]
        if piece.endswith(b"\n"):
            break
    return shortened(head, tail)


def _texts(lines: Iterable[bytes]) -> Iterator[str]:
    for line in lines:
        yield line.decode("utf-8", "replace")


def _csv_rows(names: list[str], reader: Any, before: int) -> Iterator[Row]:
    while True:
        try:
            cells = next(reader)
        except StopIteration:  # the end of the file
            return
        except csv.Error as error:
            yield before + reader.line_num, Skipped.because(error)
            continue
        if len(cells) == len(names):
            yield before + reader.line_num, dict(zip(names, cells, strict=True))
        elif cells:
            yield before + reader.line_num, Skipped(f"{len(cells)} cells under {len(names)} columns")
