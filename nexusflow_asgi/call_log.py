"""The call log: one JSON line a call, written in batches by one thread."""

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
"""Lines that may wait for a slow disk; beyond that they are counted and dropped, never the call."""

_TORN_SECONDS = 0.02
"""For so long a line stands unfinished that was torn by a death or a full disk."""

_FAILURE_SECONDS = 30.0
"""So long a failed write counts against the log. Only a write tells that a disk is full. A gateway that is not
ready gets no calls, so it must be tried again after a while."""

_Told: TypeAlias = Callable[[bool], None]
"""To be called from the writing thread once a line is on the disk (True), or could not be written (False)."""

_Item: TypeAlias = tuple[bytes, _Told | None]
_WAKE: _Item = (b"", None)


def append(path: Path, lines: bytes, *, sync: bool) -> None:
    """Writes all of it, on lines of its own where the file ends in a torn one; `sync`: to the disk. Raises
    OSError."""
    with path.open("ab", buffering=0) as file:
        left = memoryview(b"\n" + lines if _ends_torn(path) else lines)
        while left:  # a disk that is nearly full takes a part, and says so only the next time
            written = file.write(left)
            if not written:
                raise OSError("nothing could be written")
            left = left[written:]
        if sync:
            os.fsync(file.fileno())


def _ends_torn(path: Path) -> bool:
    """Whether its last line is nobody's any more; one that another process is just writing grows meanwhile."""
    try:
        with path.open("rb", buffering=0) as file:
            size = -1
            while size != (size := file.seek(0, os.SEEK_END)) and size:
                file.seek(size - 1)
                if file.read(1) == b"\n":
                    return False
                time.sleep(_TORN_SECONDS)
            return size > 0
    except OSError:  # a pipe, or not to be read
        return False


def why_unwritable(path: Path) -> str | None:
    """Returns why no line can be appended to this file, in words that do not name it; None where one can.

    Neither writes to the file nor makes it.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return _why_not_made(Path(os.path.realpath(path)).parent)
    except (OSError, ValueError) as error:
        return f"cannot be written: {_reason(error)}"
    if stat.S_ISDIR(mode):
        return "is a folder"
    if not stat.S_ISREG(mode):  # opening a pipe waits for its reader
        return None if os.access(path, os.W_OK) else "cannot be written: permission denied"
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)))
    except OSError as error:
        return f"cannot be written: {_reason(error)}"
    return None


def _why_not_made(folder: Path) -> str | None:
    """Returns why no file can be made in this folder; None where one can."""
    try:
        if not stat.S_ISDIR(folder.stat().st_mode):
            return "cannot be written: its folder is a file"
    except FileNotFoundError:
        return "cannot be written: its folder does not exist"
    except OSError as error:
        return f"cannot be written: {_reason(error)}"
    if os.access(folder, os.W_OK | os.X_OK):
        return None
    return "cannot be written: no file may be made in its folder"


def _reason(error: OSError | ValueError) -> str:
    """Returns the system's words without the path; a path with a NUL in it is no path to Python."""
    if not isinstance(error, OSError):
        return "no file can have this name"
    if error.errno == errno.ENOTDIR:
        return "its folder is a file"
    return (error.strerror or "it fails").lower()


class CallLog:
    """A hook that appends each record to a file, for as many threads, event loops and processes as there are.

    Lines reach the file within a twentieth of a second, each batch in one write; `aclose()` writes the rest, or
    the end of the process where a server without a lifespan never calls it. One that is killed loses a batch.
    """

    batch_seconds = _BATCH_SECONDS

    def __init__(self, path: str | os.PathLike[str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = Path(path)
        self._clock = clock
        self._failed: tuple[float, str] | None = None  # when the last write failed, and why
        self._begin()

    @staticmethod
    def why_unwritable(path: str | os.PathLike[str]) -> str | None:
        """Returns why such a log could not be kept at this path; None where it could."""
        return why_unwritable(Path(path))

    def why_not_ready(self) -> str | None:
        """Returns why records cannot be written now; None where they can. Looks at the disk."""
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
        self._notice_fork()
        self._put(self._encode(record))

    def _encode(self, record: CallRecord) -> bytes:
        return msgspec.json.encode(record) + b"\n"

    def _notice_fork(self) -> None:
        if self._process != os.getpid():
            self._begin()  # after a fork the waiting lines and their thread are the parent's

    def _put(self, line: bytes, told: _Told | None = None) -> None:
        if self._lines.qsize() >= _MAX_WAITING:
            self._dropped += 1
            if told is not None:
                told(False)
            return
        self._lines.put((line, told))
        writer = self._writer
        if writer is None or not writer.is_alive():  # not yet, or closed
            self._start()

    async def aclose(self) -> None:
        """Writes what waits, then stops the thread. A later record starts another."""
        await anyio.to_thread.run_sync(self.close)

    def close(self) -> None:
        """The same, blocking."""
        atexit.unregister(self.close)
        if self._process != os.getpid():
            return  # forked: what waits is the parent's
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
        waiting = [told for _, told in items if told is not None]
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
        for told in waiting:
            told(written)
