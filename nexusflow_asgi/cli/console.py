"""Console: writes the log lines of `nexusflow serve` to stderr.

A thread writes the lines of calls in batches: the first at once, others within 50 ms. A slow stderr delays no
call by them. Any other message is written by the thread that logs it, after the waiting lines. A slow stderr
delays that thread.
"""

import logging
import queue
import sys
import threading
import time
import traceback

from nexusflow_asgi.hooks import call_line, logger
from nexusflow_core.record import CallRecord

__all__ = ["Console", "ConsoleHook"]

_BATCH_SECONDS = 0.05
_MAX_WAITING = 100_000
"""Maximum number of waiting calls, for a slow stderr. Lines of further calls are dropped and counted."""


class Console(logging.Handler):
    """A logging handler for messages, with a queue for calls. It writes both in order.

    `flush` writes the waiting lines. `logging` calls it at the end of the process. A killed process loses its
    last batch.
    """

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._plain = type(formatter) is logging.Formatter
        self._calls: queue.SimpleQueue[tuple[float, CallRecord]] = queue.SimpleQueue()
        self._wake = threading.Event()
        self._writing = threading.RLock()
        self._writer: threading.Thread | None = None
        self._dropped = 0
        self._second, self._stamp = 0, ""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the waiting lines, then the message. Blocks while stderr is slow."""
        try:
            with self._writing:
                self._write([*self._waiting_lines(), self.format(record)])
        except Exception:  # reported as `logging` reports it: a log line must not fail its caller
            self.handleError(record)

    def call(self, record: CallRecord) -> None:
        """Queues a call for its line. Does not wait for stderr."""
        if self._calls.qsize() >= _MAX_WAITING:
            self._dropped += 1
            return
        self._calls.put((time.time(), record))
        if not self._wake.is_set():
            self._wake.set()
            if self._writer is None:
                self._start()

    def flush(self) -> None:
        """Writes the waiting lines. Returns after the write."""
        with self._writing:
            self._write(self._waiting_lines())

    def _start(self) -> None:
        with self._writing:
            if self._writer is None:
                self._writer = threading.Thread(target=self._run, name="nexusflow-console", daemon=True)
                self._writer.start()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            self.flush()
            time.sleep(_BATCH_SECONDS)

    def _waiting_lines(self) -> list[str]:
        lines: list[str] = []
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            lines.append(f"{self._time(time.time())} {dropped} lines of calls dropped, stderr is too slow")
        for _ in range(self._calls.qsize()):
            try:
                lines.append(self._line(*self._calls.get()))
            except Exception:  # a defect in one line must not lose the others
                lines.append(traceback.format_exc().rstrip())
        return lines

    def _write(self, lines: list[str]) -> None:
        if not lines:
            return
        try:
            sys.stderr.write("\n".join([*lines, ""]))
            sys.stderr.flush()
        except (OSError, ValueError):  # calls must go on after stderr is closed
            pass

    def _line(self, at: float, record: CallRecord) -> str:
        if self._plain:  # the formatter would return the same text in three times the time
            return f"{self._time(at)} {call_line(record)}"
        message = logger.makeRecord(
            logger.name, logging.INFO, "", 0, call_line(record), (), None, extra={"record": record}
        )
        message.created = at
        return self.format(message)

    def _time(self, at: float) -> str:
        """Returns a Unix time as text, in the form of `logging`. Caches the text of one second."""
        second = int(at)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        return f"{self._stamp},{int((at - second) * 1000):03d}"


class ConsoleHook:
    """Logs one line per call, with the text of LoggingHook. The console's thread writes it."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def after(self, record: CallRecord) -> None:
        """Queues the call if the log level is INFO or lower."""
        if logger.isEnabledFor(logging.INFO):
            self._console.call(record)

    async def aclose(self) -> None:
        """Writes the waiting lines, since a signal may end the process without a flush."""
        self._console.flush()
