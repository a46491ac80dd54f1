"""`--follow`: reads what is appended to files, and shows the sums anew.

A file that is not a log of lines, such as a table or a transcript, is read again as a whole.
"""

import functools
import io
import os
import sys
import time
from typing import BinaryIO

from msgspec import Struct, field

from nexusflow_asgi.cli.cost.counting import Counting, Tally
from nexusflow_asgi.cli.cost.sums import write_sums
from nexusflow_asgi.cli.log_files import LogFile, Reading
from nexusflow_core.errors import ConfigError
from nexusflow_core.logs.summary import Summary
from nexusflow_core.prices import PriceBook

__all__ = ["Followed", "changed", "follow"]

_POLL = 1.0  # seconds
_BLOCK = 2**20
_IDLE_FACTOR = 5
"""Reading takes at most one part in this many of the time: a large file is read again more rarely."""


class Followed(Struct):
    """What was read of one file, when it had this state.

    `tail` is the open file, if it has a call a line: then only what is appended is read. `line` is the number
    of its next line.
    """

    file: LogFile
    state: tuple[int, int, int] | None = None
    summary: Summary | None = None
    tally: Tally = field(default_factory=Tally)
    ids: set[int] = field(default_factory=set[int])
    tail: BinaryIO | None = None
    line: int = 1


def follow(files: list[LogFile], reading: Reading, counting: Counting, book: PriceBook, form: str) -> int:
    """Shows the sums now, and after each change of a file. Returns 0 when interrupted.

    A log of lines that is rotated or truncated goes on: its new lines are added to the sums.
    """
    if any(file.name == "-" for file in files):
        raise ConfigError("", "--follow reads files: it cannot read standard input again")
    followed = [Followed(file) for file in files]
    try:
        while True:
            began = time.monotonic()
            found = [changed(one, reading, counting) for one in followed]
            if any(found):
                _show(followed, counting, book, form)
            time.sleep(max(_POLL, _IDLE_FACTOR * (time.monotonic() - began)))
    except KeyboardInterrupt:
        return 0
    finally:
        for one in followed:
            if one.tail is not None:
                one.tail.close()


def changed(one: Followed, reading: Reading, counting: Counting) -> bool:
    """Reads what changed of a file. Returns True if anything has."""
    state = _state(one.file)
    if one.tail is not None:
        return _read_on(one, one.tail, state, reading, counting)
    if state == one.state or state is None:
        return False
    reading.seen -= one.ids
    others = set(reading.seen)
    counting.begin()
    counting.count(one.file, functools.partial(reading.entries, one.file, None))
    one.state, one.summary, one.tally, one.ids = state, counting.summary, counting.tally, reading.seen - others
    if reading.end is not None and not reading.has_sessions:
        one.tail, one.line = _tail(one.file, state, reading.end)
    return True


def _read_on(
    one: Followed,
    tail: BinaryIO,
    state: tuple[int, int, int] | None,
    reading: Reading,
    counting: Counting,
) -> bool:
    """Reads the lines that were appended, and then those of the file that took this one's place."""
    counting.begin()
    now = os.fstat(tail.fileno())
    if now.st_size < tail.tell():  # truncated: what was in it was copied elsewhere
        tail.seek(0)
        one.line = 1
    found = _add_lines(one, tail, reading, counting)
    rotated = state is not None and state[0] != now.st_ino  # nothing more comes into the old file
    if rotated and (new := _opened(one.file)) is not None:
        tail.close()
        one.tail, tail, one.line = new, new, 1
        found = _add_lines(one, tail, reading, counting) or found
    if found and reading.has_sessions:  # a later line may change an earlier call: the next look reads all
        tail.close()
        one.tail, one.state = None, None
        return False
    if found and one.summary is not None:
        counting.tally.lost = 0  # the file is readable, even if none of the new lines was
        one.summary.update(counting.summary)
        one.tally.add(counting.tally)
        one.tally.complaints = counting.tally.complaints
    return found


def _add_lines(one: Followed, tail: BinaryIO, reading: Reading, counting: Counting) -> bool:
    """Counts whole lines up to the file's end. An unfinished line waits. Returns True if there were any."""
    found = False
    while True:
        begin = tail.tell()
        block = tail.read(_BLOCK)
        if len(block) == _BLOCK and b"\n" not in block:  # a line longer than a block
            block += tail.readline()
        block = block[: block.rfind(b"\n") + 1]
        tail.seek(begin + len(block))
        if not block or (found and reading.has_sessions):
            return found
        others = set(reading.seen)
        counting.count(one.file, functools.partial(reading.appended, one.line, block))
        one.ids |= reading.seen - others
        one.line += block.count(b"\n")
        found = True


def _tail(file: LogFile, state: tuple[int, int, int], end: int) -> tuple[BinaryIO | None, int]:
    """Returns the file, open behind its last line, and the number of the next line.

    Returns None for a file whose last line is not whole, or that another file has replaced.
    """
    tail = _opened(file)
    if tail is None:
        return None, 1
    lines, last = 0, b""
    while tail.tell() < end and (chunk := tail.read(min(_BLOCK, end - tail.tell()))):
        lines += chunk.count(b"\n")
        last = chunk[-1:]
    if last == b"\n" and tail.tell() == end and os.fstat(tail.fileno()).st_ino == state[0]:
        return tail, lines + 1
    tail.close()
    return None, 1


def _opened(file: LogFile) -> BinaryIO | None:
    try:
        return io.BufferedReader(io.FileIO(file.name))
    except OSError:  # being rotated: the next look finds the new file
        return None


def _show(followed: list[Followed], counting: Counting, book: PriceBook, form: str) -> None:
    counting.begin()
    for one in followed:
        if one.summary is not None:
            counting.summary.update(one.summary)
        counting.tally.add(one.tally)
    if sys.stdout.isatty():
        print("\x1b[H\x1b[2J", end="")
    write_sums(counting.summary, counting.tally, book, form)
    for one in followed:
        one.tally.complaints.write()  # each once, after the file has changed
    counting.tally.write()


def _state(file: LogFile) -> tuple[int, int, int] | None:
    try:
        found = os.stat(file.name)
    except OSError:  # being rotated: the next look finds the new file
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
