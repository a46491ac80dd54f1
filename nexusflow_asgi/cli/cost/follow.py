"""`--follow`: reads files again as they grow, and shows the sums anew."""

import contextlib
import os
import sys
import time

from msgspec import Struct, field

from nexusflow_asgi.cli.cost.counting import Counting, Tally
from nexusflow_asgi.cli.cost.sums import write_sums
from nexusflow_asgi.cli.log_files import LogFile, Reading
from nexusflow_core.errors import ConfigError
from nexusflow_core.logs.summary import Summary
from nexusflow_core.prices import PriceBook

__all__ = ["follow"]

_POLL = 1.0  # seconds
_IDLE_FACTOR = 5
"""Reading takes at most one part in this many of the time: a large file is read again more rarely."""


class _Followed(Struct):
    """What was read of one file, when it had this state."""

    file: LogFile
    state: tuple[int, int, int] | None = None
    summary: Summary | None = None
    tally: Tally = field(default_factory=Tally)
    ids: set[int] = field(default_factory=set[int])


def follow(files: list[LogFile], reading: Reading, counting: Counting, book: PriceBook, form: str) -> int:
    """Shows the sums now, and after each change of a file. Returns 0 when interrupted."""
    if any(file.name == "-" for file in files):
        raise ConfigError("", "--follow reads files: it cannot read standard input again")
    followed = [_Followed(file) for file in files]
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            began = time.monotonic()
            changed = [_changed(one, reading, counting) for one in followed]
            if any(changed):
                _show(followed, counting, book, form)
            time.sleep(max(_POLL, _IDLE_FACTOR * (time.monotonic() - began)))
    return 0


def _changed(one: _Followed, reading: Reading, counting: Counting) -> bool:
    """Reads a file again if it has changed. Returns True if it has."""
    state = _state(one.file)
    if state == one.state or state is None:
        return False
    reading.seen -= one.ids
    others = set(reading.seen)
    counting.begin()
    counting.count(one.file, reading.entries(one.file))
    one.state, one.summary, one.tally, one.ids = state, counting.summary, counting.tally, reading.seen - others
    return True


def _show(followed: list[_Followed], counting: Counting, book: PriceBook, form: str) -> None:
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
