"""Ledger: a hook that writes every record into a LedgerStore, in batches and from a thread of its own."""

import asyncio
import atexit
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

import anyio.to_thread
import msgspec

from nexusflow_asgi.hooks import logger
from nexusflow_asgi.stores.protocol import LedgerStore
from nexusflow_asgi.unsaved import Unsaved
from nexusflow_core.ledger import LedgerRow, row_of
from nexusflow_core.record import CallRecord

__all__ = ["Ledger"]

BATCH_SECONDS = 0.2
BATCH_ROWS = 500
MAX_WAITING = 100_000
"""Records that may wait for a slow database. Further ones are counted and dropped; calls never wait."""

CLOSING_SECONDS = 10.0
"""Seconds for the last batches at a clean end."""

_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE = 10.0


class Ledger:
    """A hook that writes each record as a row. Calls never wait for it.

    - `open_store`: makes the store, in the thread that writes: it has an event loop of its own.
    - `log`: the durable call log. Calls of a process that was killed are read from it at the next start, and
      so are those that a failing database did not take before the end.

    Rows are written within 0.2 s, in batches. `aclose` writes the rest; without a lifespan the end of the
    process does. While the database fails, rows wait in memory, 100,000 at most.
    """

    def __init__(
        self, open_store: Callable[[], LedgerStore], *, log: str | os.PathLike[str] | None = None
    ) -> None:
        self._open_store = open_store
        self._unsaved = None if log is None else Unsaved(Path(log))
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._records: queue.SimpleQueue[CallRecord | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._dropped = 0
        self._ends_at = float("inf")
        self.failing = False

    def after(self, record: CallRecord) -> None:
        """Queues the record."""
        if self._process != os.getpid():
            self._begin()  # after a fork, waiting records belong to the parent
        if self._records.qsize() >= MAX_WAITING:
            self._dropped += 1
            return
        self._records.put(record)
        self.start()

    def start(self) -> None:
        """Starts the thread, if it does not run. It first reads what a killed process has left."""
        thread = self._thread
        if thread is not None and thread.is_alive():
            return
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._closing.clear()
                self._ends_at = float("inf")
                self._thread = threading.Thread(target=self._run, name="nexusflow-ledger", daemon=True)
                self._thread.start()
                atexit.register(self.close)

    async def aclose(self) -> None:
        """Writes the waiting rows, then stops the thread. A later record starts a new one."""
        await anyio.to_thread.run_sync(self.close)

    def close(self) -> None:
        """Does the same, and blocks for at most ten seconds or so."""
        atexit.unregister(self.close)
        thread = self._thread
        if self._process != os.getpid() or thread is None or not thread.is_alive():
            return
        self._ends_at = time.monotonic() + CLOSING_SECONDS
        self._closing.set()
        self._records.put(None)
        thread.join()

    # The thread

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._write_all())

    async def _write_all(self) -> None:
        store = self._open_store()
        try:
            await self._recover(store)
            while True:
                records = self._batch()
                if records and not await self._write(store, [row_of(record) for record in records]):
                    self._give_up(records)
                    return
                if self._closing.is_set() and self._records.empty():
                    return
        finally:
            await store.aclose()

    def _batch(self) -> list[CallRecord]:
        """Returns the next records: waits for the first one, and a moment for others."""
        records = [self._records.get()]
        self._closing.wait(BATCH_SECONDS)
        while len(records) < BATCH_ROWS:
            try:
                records.append(self._records.get_nowait())
            except queue.Empty:
                break
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            logger.error("ledger: %d records dropped, the database is too slow", dropped)
        return [record for record in records if record is not None]

    async def _write(self, store: LedgerStore, rows: list[LedgerRow]) -> bool:
        """Writes a batch, again and again while the database fails. Returns False if the time is over."""
        pause = _PAUSE_SECONDS
        while True:
            try:
                await store.write(rows)
                self.failing = False
                return True
            except Exception as error:  # the driver's text may hold a password
                if not self.failing:
                    logger.error("ledger: the database fails, rows wait: %s", type(error).__name__)
                self.failing = True
            if time.monotonic() + pause >= self._ends_at:
                return False
            self._closing.wait(pause) if not self._closing.is_set() else time.sleep(pause)  # noqa: ASYNC251
            pause = min(pause * 2, _LONGEST_PAUSE) if not self._closing.is_set() else _PAUSE_SECONDS

    def _give_up(self, records: list[CallRecord]) -> None:
        """Keeps what could not be written in a file beside the log, if there is one."""
        while not self._records.empty():
            if (record := self._records.get()) is not None:
                records.append(record)
        what = "are lost to it"
        if self._unsaved is not None:
            try:
                self._unsaved.keep(msgspec.json.encode(record) + b"\n" for record in records)
                what = "are kept beside the call log for the next start"
            except OSError:
                logger.exception("ledger: no file can be written beside the call log")
        logger.error("ledger: %d records could not be written and %s", len(records), what)

    async def _recover(self, store: LedgerStore) -> None:
        """Writes the calls of processes that could not write them."""
        if self._unsaved is None:
            return
        try:
            for records in self._unsaved.batches(BATCH_ROWS):
                await store.write([row_of(record) for record in records])
        except Exception as error:  # they stay in their file; the driver's text may hold a password
            logger.error(
                "ledger: calls of an earlier process wait for the next start: %s", type(error).__name__
            )
