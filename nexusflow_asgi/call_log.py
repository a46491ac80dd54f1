"""The call log: one JSON line a call, written in batches by one thread."""

import atexit
import os
import queue
import threading
from pathlib import Path

import anyio.to_thread
import msgspec

from nexusflow_asgi.hooks import logger
from nexusflow_core.record import CallRecord

__all__ = ["CallLog"]

_BATCH_SECONDS = 0.05
_MAX_WAITING = 100_000
"""Lines that may wait for a slow disk; beyond that they are counted and dropped, never the call."""


class CallLog:
    """A hook that appends each record to a file, for as many threads, event loops and processes as there are.

    Lines reach the file within a twentieth of a second, each batch in one write; `aclose()` writes the rest, or
    the end of the process where a server without a lifespan never calls it. One that is killed loses a batch.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._writer: threading.Thread | None = None
        self._closing = threading.Event()
        self._dropped = 0

    def after(self, record: CallRecord) -> None:
        if self._process != os.getpid():
            self._begin()  # after a fork the waiting lines and their thread are the parent's
        if self._lines.qsize() >= _MAX_WAITING:
            self._dropped += 1
            return
        self._lines.put(msgspec.json.encode(record) + b"\n")
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
            self._lines.put(b"")  # wakes it
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
            self._closing.wait(_BATCH_SECONDS)
            self._write([first, *self._waiting()] if first else self._waiting())

    def _waiting(self) -> list[bytes]:
        lines: list[bytes] = []
        while True:
            try:
                lines.append(self._lines.get_nowait())
            except queue.Empty:
                return [line for line in lines if line]

    def _write(self, lines: list[bytes]) -> None:
        batch = b"".join(lines)
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            logger.error("call log %s: %d lines dropped, the disk is too slow", self._path, dropped)
        if not batch:
            return
        try:
            with self._path.open("ab", buffering=0) as file:
                file.write(batch)
        except OSError:
            logger.exception("call log %s: %d lines were not written", self._path, len(lines))
