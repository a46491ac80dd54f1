"""Console: the log lines of `nexusflow serve` on stderr. Lines of calls are formatted and written in batches.

A thread writes them: the first at once, others within 50 ms, so that many calls share one write. All other
messages are written at once, after the waiting calls.
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
"""Calls that may wait for a slow reader of stderr. Further calls are counted and their lines dropped."""


class Console(logging.Handler):
    """A logging handler for all messages, and the queue of calls to log. It keeps their order.

    `flush` writes the waiting calls. `logging` calls it at the end of the process. A killed process loses its
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
        """Writes waiting calls, then the message."""
        try:
            with self._writing:
                self._write([*self._waiting_lines(), self.format(record)])
        except Exception:
            self.handleError(record)

    def call(self, record: CallRecord) -> None:
        """Queues the line of a call. It never blocks."""
        if self._calls.qsize() >= _MAX_WAITING:
            self._dropped += 1
            return
        self._calls.put((time.time(), record))
        if not self._wake.is_set():
            self._wake.set()
            if self._writer is None:
                self._start()

    def flush(self) -> None:
        """Returns once the lines of all calls so far are written."""
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
            except Exception:  # a defect: the other lines must still be written
                lines.append(traceback.format_exc().rstrip())
        return lines

    def _write(self, lines: list[str]) -> None:
        if not lines:
            return
        try:
            sys.stderr.write("\n".join([*lines, ""]))
            sys.stderr.flush()
        except (OSError, ValueError):  # stderr is closed: calls must continue
            pass

    def _line(self, at: float, record: CallRecord) -> str:
        if self._plain:  # the same text as the formatter's, in a third of the time
            return f"{self._time(at)} {call_line(record)}"
        message = logger.makeRecord(
            logger.name, logging.INFO, "", 0, call_line(record), (), None, extra={"record": record}
        )
        message.created = at
        return self.format(message)

    def _time(self, at: float) -> str:
        """Returns a time in the form of `logging`. The text of one second is cached."""
        second = int(at)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        return f"{self._stamp},{int((at - second) * 1000):03d}"


class ConsoleHook:
    """Logs one line per call, with the text of LoggingHook, in the console's own thread."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def after(self, record: CallRecord) -> None:
        """Logs the call."""
        if logger.isEnabledFor(logging.INFO):
            self._console.call(record)

    async def aclose(self) -> None:
        """Writes the lines of all calls: a server may end its process by a signal."""
        self._console.flush()
