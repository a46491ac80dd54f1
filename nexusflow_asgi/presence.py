"""Which processes write to a durable call log, and whether they still live: a locked file each, beside the log.

The kernel gives the lock back when its process ends, however it ends; so who can take it knows that the process
is gone, and a living neighbour is never judged, in whatever container it runs.
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
from nexusflow_core.record import CallRecord

if sys.platform != "win32":
    from fcntl import LOCK_EX, LOCK_NB, flock

__all__ = ["Presence", "mark_lost", "sign_of_life", "stamped", "supported"]

_CLOCK_SECONDS = 2.0
"""What file systems may round times of files to."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class _Process(Struct):
    """What each line says of its writer. `id` is new for every process; `boot` is the machine's."""

    id: str
    pid: int
    boot: str


class _Line(Struct):
    request_id: str
    ending: str
    process: _Process


_line = msgspec.json.Decoder(_Line)
_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
_object = msgspec.json.Decoder(dict[str, Any])


def supported() -> bool:
    """Whether this system has the locks that a durable log needs."""
    return sys.platform != "win32"


def stamped(record: CallRecord, process: _Process) -> bytes:
    """A line of the log: the record, and who writes it."""
    return msgspec.json.encode(record)[:-1] + b',"process":' + msgspec.json.encode(process) + b"}\n"


def sign_of_life(log: Path, id: str) -> Path:
    """Returns the file that the process `id` keeps locked while it lives."""
    return log.with_name(f"{log.name}.{id}.alive")


class Presence:
    """This process's sign of life, until `end()` or its own end."""

    def __init__(self, log: Path) -> None:
        self.process = _Process(secrets.token_hex(8), os.getpid(), _boot_id())
        self._path = sign_of_life(log, self.process.id)
        while True:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            flock(self._descriptor, LOCK_EX)
            if _is_at(self._descriptor, self._path):  # else somebody judged it before it was locked
                break
            os.close(self._descriptor)
        # Where its lines begin: what stands before need not be read to judge them.
        os.write(self._descriptor, b"%d" % (log.stat().st_size if log.exists() else 0))

    def end(self) -> None:
        """Every call of this process is settled: there will be nothing to judge."""
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)

    def leave_to_parent(self) -> None:
        """After a fork: the file is the parent's, and only its own end may unlock it."""
        os.close(self._descriptor)


def mark_lost(log: Path) -> int:
    """Writes a line with the ending `lost` for each call that a dead process began and did not settle; returns
    how many there are. Raises OSError."""
    return sum(_judge(log, path) for path in sorted(log.parent.glob(f"{glob.escape(log.name)}.*.alive")))


def _judge(log: Path, path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:  # its process ended in order just now
        return 0
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except OSError:  # it lives
        os.close(descriptor)
        return 0
    try:
        if not _is_at(descriptor, path):
            return 0
        offset, begun_at = os.read(descriptor, 32), os.fstat(descriptor).st_mtime
        lost = _unsettled(log, path.name.split(".")[-2], int(offset) if offset.isdigit() else 0, begun_at)
        if lost:
            append(log, b"".join(lost), sync=True)
        path.unlink()
        return len(lost)
    finally:
        os.close(descriptor)


def _unsettled(log: Path, id: str, offset: int, since: float) -> list[bytes]:
    """Returns the lines that say `lost`, of the calls that process `id` began and did not settle.

    The log may have been rotated meanwhile, so files beside it that were written to `since` then are read too.
    """
    mark, begun, settled = b'"id":"%s"' % id.encode(), dict[str, bytes](), set[str]()
    for path in [log, *_rotated(log, since)]:
        with contextlib.suppress(OSError, EOFError, zlib.error), _opened(path) as file:
            if path == log and offset <= file.seek(0, os.SEEK_END):
                file.seek(offset)
            else:
                file.seek(0)  # another file has taken its place
            for line, raw in _lines(file, mark, log):
                if line.process.id != id:
                    continue
                if line.ending == "started":
                    begun[line.request_id] = raw
                else:
                    settled.add(line.request_id)
    lost = [_as_lost(raw, log) for request_id, raw in begun.items() if request_id not in settled]
    return [line for line in lost if line]


def _rotated(log: Path, since: float) -> list[Path]:
    """Returns what may once have been the log: `calls.jsonl.1`, `calls-20261128.jsonl`, `calls.jsonl.2.gz`."""
    found: list[Path] = []
    for path in log.parent.glob(f"{glob.escape(log.stem)}*"):
        with contextlib.suppress(OSError):
            status = path.stat()
            recent = status.st_mtime >= since - _CLOCK_SECONDS
            if path != log and path.suffix != ".alive" and stat.S_ISREG(status.st_mode) and recent:
                found.append(path)
    return sorted(found)


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _as_lost(raw: bytes, log: Path) -> bytes:
    """The line with another ending and whatever else it says, be it a record's or not; b"" where it cannot be
    read."""
    try:
        return msgspec.json.encode({**_object.decode(raw), "ending": "lost"}) + b"\n"
    except _UNREADABLE:
        _name(raw, log)
        return b""


def _lines(file: BinaryIO, mark: bytes, log: Path) -> Iterator[tuple[_Line, bytes]]:
    for raw in file:
        if mark in raw:
            try:
                line = _line.decode(raw)
            except _UNREADABLE:  # torn by the death, or edited
                _name(raw, log)
            else:
                yield line, raw


def _name(raw: bytes, log: Path) -> None:
    logger.warning("call log %s: a line of a dead process cannot be read, and stays as it is: %.200r", log, raw)


def _is_at(descriptor: int, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.fstat(descriptor).st_ino == path.stat().st_ino
    return False


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
