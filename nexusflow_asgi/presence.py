"""Shows which processes that write a durable call log still live: each locks a file beside the log.

The kernel releases a lock when its process ends in any way. A process that can take the lock therefore knows
that the other is dead. This also works across containers.
"""

import contextlib
import glob
import gzip
import os
import secrets
import stat
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec
from msgspec import Struct

from nexusflow_asgi.call_log import append
from nexusflow_asgi.hooks import logger
from nexusflow_asgi.unsaved import Unsaved
from nexusflow_core.record import CallRecord

if sys.platform != "win32":
    from fcntl import LOCK_EX, LOCK_NB, flock

__all__ = ["Presence", "mark_lost", "sign_of_life", "stamped", "supported"]

_OURS = (".alive", ".unsaved", ".unsaving")
"""Endings of the files beside a log that are not logs themselves."""

_CLOCK_SECONDS = 2.0
"""Seconds by which file systems may round the times of files."""


class _Process(Struct):
    """The writer, recorded in each line. `id` is new for every process."""

    id: str
    pid: int


class _Line(Struct):
    request_id: str
    ending: str
    process: _Process


class _Writer(Struct, frozen=True):
    """A dead process: its lines begin at `offset` of the log, or are in files written after `since`."""

    id: str
    offset: int
    since: float


_line = msgspec.json.Decoder(_Line)
_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
_object = msgspec.json.Decoder(dict[str, Any])


def supported() -> bool:
    """True if this system has the file locks that a durable log needs."""
    return sys.platform != "win32"


def stamped(record: CallRecord, process: _Process) -> bytes:
    """Returns a line of the log: the record, and its writer."""
    return msgspec.json.encode(record)[:-1] + b',"process":' + msgspec.json.encode(process) + b"}\n"


def sign_of_life(log: Path, id: str) -> Path:
    """Returns the file that process `id` keeps locked while it lives."""
    return log.with_name(f"{log.name}.{id}.alive")


class Presence:
    """This process's lock file, until `end()` or the end of the process."""

    def __init__(self, log: Path) -> None:
        self.process = _Process(secrets.token_hex(8), os.getpid())
        self._path = sign_of_life(log, self.process.id)
        while True:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            flock(self._descriptor, LOCK_EX)
            if _is_at(self._descriptor, self._path):  # else another process removed it before it was locked
                break
            os.close(self._descriptor)
        # The log's size now: earlier lines belong to other processes and need not be read.
        os.write(self._descriptor, b"%d" % (log.stat().st_size if log.exists() else 0))

    def end(self) -> None:
        """Removes the lock file, once every call of this process has its result."""
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)

    def leave_to_parent(self) -> None:
        """Closes the file after a fork: it belongs to the parent, whose lock must stay."""
        os.close(self._descriptor)


def mark_lost(log: Path, unsaved: Unsaved | None = None) -> int:
    """Appends a line with the ending `lost` for each call of a dead process that has no result.

    All results of such a process go into `unsaved`, for a ledger that may lack some of them. Returns the number
    of lost calls. Raises OSError.
    """
    alive = sorted(log.parent.glob(f"{glob.escape(log.name)}.*.alive"))
    return sum(_mark_process(log, path, unsaved) for path in alive)


def _mark_process(log: Path, path: Path, unsaved: Unsaved | None) -> int:
    """Marks the open calls of the process with this lock file, if it is dead. Returns their number."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:  # its process has just ended in order
        return 0
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except OSError:  # its process lives
        os.close(descriptor)
        return 0
    try:
        if not _is_at(descriptor, path):
            return 0
        offset, begun_at = os.read(descriptor, 32), os.fstat(descriptor).st_mtime
        writer = _Writer(path.name.split(".")[-2], int(offset) if offset.isdigit() else 0, begun_at)
        lost = _unfinished(log, writer)
        if lost:
            append(log, b"".join(lost), sync=True)
        if unsaved is not None:
            unsaved.keep(raw for line, raw in _lines_of(log, writer) if line.ending != "started")
        path.unlink()
        return len(lost)
    finally:
        os.close(descriptor)


def _unfinished(log: Path, writer: _Writer) -> list[bytes]:
    """Returns `lost` lines for the calls that a process began and did not finish."""
    begun, settled = dict[str, bytes](), set[str]()
    for line, raw in _lines_of(log, writer):
        if line.ending == "started":
            begun[line.request_id] = raw
        else:
            settled.add(line.request_id)
    lost = [_as_lost(raw, log) for request_id, raw in begun.items() if request_id not in settled]
    return [line for line in lost if line]


def _lines_of(log: Path, writer: _Writer) -> Iterator[tuple[_Line, bytes]]:
    """Yields a process's lines. The log may have been rotated, so later neighbouring files are read too."""
    mark = b'"id":"%s"' % writer.id.encode()
    for path in [log, *_rotated(log, writer.since)]:
        with contextlib.suppress(OSError, EOFError, zlib.error), _opened(path) as file:
            if path == log and writer.offset <= file.seek(0, os.SEEK_END):
                file.seek(writer.offset)
            else:
                file.seek(0)  # the log has been replaced by another file
            for line, raw in _lines(file, mark, log):
                if line.process.id == writer.id:
                    yield line, raw


def _rotated(log: Path, since: float) -> list[Path]:
    """Returns files that may be rotated logs: `calls.jsonl.1`, `calls-20261128.jsonl`, `calls.jsonl.2.gz`."""
    found: list[Path] = []
    for path in log.parent.glob(f"{glob.escape(log.stem)}*"):
        with contextlib.suppress(OSError):
            status = path.stat()
            recent = status.st_mtime >= since - _CLOCK_SECONDS
            if path != log and path.suffix not in _OURS and stat.S_ISREG(status.st_mode) and recent:
                found.append(path)
    return sorted(found)


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _as_lost(raw: bytes, log: Path) -> bytes:
    """Returns the line with the ending `lost` and all other members unchanged; b"" if it is unreadable."""
    try:
        return msgspec.json.encode({**_object.decode(raw), "ending": "lost"}) + b"\n"
    except _UNREADABLE:
        _warn(raw, log)
        return b""


def _lines(file: BinaryIO, mark: bytes, log: Path) -> Iterator[tuple[_Line, bytes]]:
    for raw in file:
        if mark in raw:
            try:
                line = _line.decode(raw)
            except _UNREADABLE:  # torn by a crash, or edited
                _warn(raw, log)
            else:
                yield line, raw


def _warn(raw: bytes, log: Path) -> None:
    logger.warning("call log %s: a line of a dead process cannot be read and was left as is: %.200r", log, raw)


def _is_at(descriptor: int, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.fstat(descriptor).st_ino == path.stat().st_ino
    return False
