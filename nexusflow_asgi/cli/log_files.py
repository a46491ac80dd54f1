"""Reads log files line by line. Files that cannot be logs are refused early; long lines are not held whole."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

from nexusflow_asgi.cli.table import printable
from nexusflow_core.errors import ConfigError
from nexusflow_core.logs import HEAD_BYTES, Entry, Skipped, is_transcript, read_transcript, shortened

__all__ = ["add_files_argument", "check_log", "is_too_long", "log_entries", "log_lines"]

_HEAD = 20
"""Lines that are searched for the mark of a transcript: its first lines may be internal ones."""

_MAX_LINE = 16 * 2**20
_CHUNK = 2**20
_BOM = b"\xef\xbb\xbf"
_TOO_LONG = "longer than"
_OTHER_FORMS = {
    b"\x1f\x8b": "compressed with gzip: unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed with zstd: unpack it first",
    b"BZh": "compressed with bzip2: unpack it first",
    b"\xfd7zXZ\x00": "compressed with xz: unpack it first",
    b"PK\x03\x04": "a zip archive: unpack it first",
    b"\xff\xfe\x00\x00": "UTF-32: convert it to UTF-8 first",
    b"\x00\x00\xfe\xff": "UTF-32: convert it to UTF-8 first",
    b"\xff\xfe": "UTF-16: convert it to UTF-8 first",
    b"\xfe\xff": "UTF-16: convert it to UTF-8 first",
}
_WIDE: dict[tuple[bool, ...], str] = {
    (False, True, True, True): "UTF-32: convert it to UTF-8 first",
    (True, True, True, False): "UTF-32: convert it to UTF-8 first",
    (False, True, False, True): "UTF-16: convert it to UTF-8 first",
    (True, False, True, False): "UTF-16: convert it to UTF-8 first",
}
"""Text without a byte order mark, recognised by the zeros among its first four bytes."""


def add_files_argument(parser: argparse.ArgumentParser, help: str) -> None:
    """Adds `FILE ...`, for commands that read logs. Without one, they read standard input."""
    parser.add_argument("files", nargs="*", default=["-"], metavar="FILE", help=help)


def check_log(name: str) -> None:
    """Raises ConfigError for an unreadable file. Call it for all files first: reading them may take hours."""
    if name == "-":
        return
    try:
        Path(name).stat()
    except OSError as error:
        raise _unreadable(name, error) from None
    if Path(name).is_dir():
        raise ConfigError("", f"{printable(name)} cannot be read: it is a folder")


def log_lines(name: str) -> Iterator[tuple[str, bytes | Skipped]]:
    """Yields the lines of a file that are not blank, each with its place `FILE:NUMBER`. `-` is standard input.

    Raises ConfigError if the file cannot be read.
    """
    shown = "stdin" if name == "-" else printable(name)
    try:
        with contextlib.nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb") as file:
            for number, line in _lines(file):
                yield f"{shown}:{number}", line
    except OSError as error:
        raise _unreadable(name, error) from None


def log_entries(
    name: str, read: Callable[[bytes], Entry | Skipped], seen: set[str]
) -> Iterator[tuple[str, Entry | Skipped]]:
    """Yields the calls of a file with their places: a transcript as a whole, other logs line by line by `read`.

    `seen` has the ids of messages of other transcripts; each message counts once. Raises ConfigError.
    """
    lines = log_lines(name)
    head = list(islice(lines, _HEAD))
    if any(isinstance(line, bytes) and is_transcript(line) for _, line in head):
        whole = (line for _, line in chain(head, lines) if isinstance(line, bytes))
        yield from ((printable(name), entry) for entry in read_transcript(whole, seen))
        return
    for place, line in chain(head, lines):
        yield place, line if isinstance(line, Skipped) else read(line)


def is_too_long(skipped: Skipped) -> bool:
    """Returns True if a line was skipped because it is too long."""
    return skipped.reason.startswith(_TOO_LONG)


def _unreadable(name: str, error: OSError) -> ConfigError:
    return ConfigError("", f"{printable(name)} cannot be read: {error.strerror}")


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes | Skipped]]:
    """Yields the lines that are not blank, with their numbers. A line over the bound is never held whole."""
    number = 0
    while line := file.readline(_MAX_LINE + 1):
        number += 1
        if number == 1 and (form := _other_form(line)):
            yield number, Skipped(f"the file is {form}")
            return
        line = line.removeprefix(_BOM)  # concatenated files have one in the middle
        if len(line) > _MAX_LINE and not line.endswith(b"\n"):
            yield number, _long_line(file, line[:HEAD_BYTES]) or Skipped(f"{_TOO_LONG} {_MAX_LINE} bytes")
        elif line and not line.isspace():
            yield number, line


def _other_form(line: bytes) -> str | None:
    """Returns the format of a file that is not UTF-8 text, by its first bytes, or None."""
    found = next((name for magic, name in _OTHER_FORMS.items() if line.startswith(magic)), None)
    return found or _WIDE.get(tuple(byte == 0 for byte in line[:4]))


def _long_line(file: BinaryIO, head: bytes) -> bytes | None:
    """Returns a long record without its lists, or None for another line. The line is never held whole."""
    tail = b""
    while piece := file.readline(_CHUNK):
        tail = (tail + piece)[-HEAD_BYTES:]
        if piece.endswith(b"\n"):
            break
    return shortened(head, tail)
