"""The call log: one JSON line per call, written in batches by one thread."""

import atexit
import errno
import os
import queue
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import anyio.to_thread
import msgspec

from nexusflow_asgi.hooks import logger
from nexusflow_core.record import CallRecord

__all__ = ["CallLog", "append", "why_unwritable"]

_BATCH_SECONDS = 0.05
_MAX_WAITING = 100_000
"""Lines that may wait for a slow disk. Further lines are counted and dropped; calls never wait."""

_TORN_SECONDS = 0.02
"""A line unfinished for this long was torn by a crash or a full disk."""

_FAILURE_SECONDS = 30.0
"""Seconds for which a failed write makes the gateway not ready. Only a write shows that a disk is full, and
without calls nothing is written, so it must become ready again by itself."""

_WhenWritten: TypeAlias = Callable[[bool], None]
"""Called from the writing thread: True once a line is on the disk, False if it could not be written."""

_Item: TypeAlias = tuple[bytes, _WhenWritten | None]
_WAKE: _Item = (b"", None)


def append(path: Path, lines: bytes, *, sync: bool) -> None:
    """Appends all lines, after a line break if the file ends in a torn line. `sync`: forces them to the disk.

    Raises OSError.
    """
    with path.open("ab", buffering=0) as file:
        left = memoryview(b"\n" + lines if _ends_torn(path) else lines)
        while left:  # a nearly full disk takes a part, and reports an error only at the next write
            written = file.write(left)
            if not written:
                raise OSError("nothing could be written")
            left = left[written:]
        if sync:
            os.fsync(file.fileno())


def _ends_torn(path: Path) -> bool:
    """True if the last line is torn. A line that another process is writing still grows, so it looks again."""
    try:
        with path.open("rb", buffering=0) as file:
            size = -1
            while size != (size := file.seek(0, os.SEEK_END)) and size:
                file.seek(size - 1)
                if file.read(1) == b"\n":
                    return False
                time.sleep(_TORN_SECONDS)
            return size > 0
    except OSError:  # a pipe, or unreadable
        return False


def why_unwritable(path: Path) -> str | None:
    """Returns why no line can be appended to this file, without its name; None if it is writable.

    Does not write to the file or create it.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return _why_not_made(Path(os.path.realpath(path)).parent)
    except (OSError, ValueError) as error:
        return f"cannot be written: {_reason(error)}"
    if stat.S_ISDIR(mode):
        return "is a folder"
    if not stat.S_ISREG(mode):  # opening a pipe would wait for its reader
        return None if os.access(path, os.W_OK) else "cannot be written: permission denied"
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)))
    except OSError as error:
        return f"cannot be written: {_reason(error)}"
    return None


def _why_not_made(folder: Path) -> str | None:
    """Returns why no file can be created in this folder; None if it is possible."""
    try:
        if not stat.S_ISDIR(folder.stat().st_mode):
            return "cannot be written: its folder is a file"
    except FileNotFoundError:
        return "cannot be written: its folder does not exist"
    except OSError as error:
        return f"cannot be written: {_reason(error)}"
    if os.access(folder, os.W_OK | os.X_OK):
        return None
    return "cannot be written: its folder is not writable"


def _reason(error: OSError | ValueError) -> str:
    """Returns the system's error text without the path. A ValueError means a NUL in the path."""
    if not isinstance(error, OSError):
        return "no file can have this name"
    if error.errno == errno.ENOTDIR:
        return "its folder is a file"
    return (error.strerror or "unknown error").lower()


class CallLog:
    """A hook that appends each record to a file, safely from many threads, event loops and processes.

    Records are written within 50 ms, in batches. `aclose()` writes the rest; without a lifespan, the end of
    the process does. A killed process loses its last batch.
    """

    batch_seconds = _BATCH_SECONDS

    def __init__(self, path: str | os.PathLike[str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = Path(path)
        self._clock = clock
        self._failed: tuple[float, str] | None = None  # the time of the last failed write, and the reason
        self._begin()

    @staticmethod
    def why_unwritable(path: str | os.PathLike[str]) -> str | None:
        """Returns why no call log can be kept at this path; None if it can."""
        return why_unwritable(Path(path))

    def why_not_ready(self) -> str | None:
        """Returns why records cannot be written now; None if they can. Accesses the disk."""
        if (why := self.why_unwritable(self._path)) is not None:
            return why
        failed = self._failed
        if failed is None or self._clock() - failed[0] >= _FAILURE_SECONDS:
            return None
        return f"could not be written: {failed[1]}"

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lines: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._writer: threading.Thread | None = None
        self._closing = threading.Event()
        self._dropped = 0

    def after(self, record: CallRecord) -> None:
        """Queues the record. It never blocks."""
        self._notice_fork()
        self._put(self._encode(record))

    def _encode(self, record: CallRecord) -> bytes:
        return msgspec.json.encode(record) + b"\n"

    def _notice_fork(self) -> None:
        if self._process != os.getpid():
            self._begin()  # after a fork the waiting lines and the thread belong to the parent

    def _put(self, line: bytes, when_written: _WhenWritten | None = None) -> None:
        if self._lines.qsize() >= _MAX_WAITING:
            self._dropped += 1
            if when_written is not None:
                when_written(False)
            return
        self._lines.put((line, when_written))
        writer = self._writer
        if writer is None or not writer.is_alive():  # not started, or closed
            self._start()

    async def aclose(self) -> None:
        """Writes waiting lines, then stops the thread. A later record starts a new one."""
        await anyio.to_thread.run_sync(self.close)

    def close(self) -> None:
        """Does the same, and blocks."""
        atexit.unregister(self.close)
        if self._process != os.getpid():
            return  # after a fork, waiting lines belong to the parent
        writer = self._writer
        if writer is not None and writer.is_alive():
            self._closing.set()
            self._lines.put(_WAKE)
            writer.join()
        self._write(self._waiting())

    def _start(self) -> None:
        with self._lock:
            if self._writer is None or not self._writer.is_alive():
                self._closing.clear()
                self._writer = threading.Thread(target=self._run, name="nexusflow-call-log", daemon=True)
                self._writer.start()
                atexit.register(self.close)

    def _run(self) -> None:
        while not self._closing.is_set():
            first = self._lines.get()
            if self.batch_seconds:
                self._closing.wait(self.batch_seconds)
            self._write([first, *self._waiting()])

    def _waiting(self) -> list[_Item]:
        items: list[_Item] = []
        while True:
            try:
                items.append(self._lines.get_nowait())
            except queue.Empty:
                return items

    def _write(self, items: list[_Item]) -> None:
        batch = b"".join([line for line, _ in items])
        waiting = [when_written for _, when_written in items if when_written is not None]
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            logger.error("call log %s: %d lines dropped, the disk is too slow", self._path, dropped)
        written = True
        try:
            if batch:
                append(self._path, batch, sync=bool(waiting))
                self._failed = None
        except OSError as error:
            written = False
            self._failed = self._clock(), _reason(error)
            count = sum(1 for line, _ in items if line)
            logger.exception("call log %s: %d lines were not written", self._path, count)
        for when_written in waiting:
            when_written(written)
