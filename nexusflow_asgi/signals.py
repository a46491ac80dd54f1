"""Closes the gateway at the signal that ends the process, before its server cancels running calls.

uvicorn waits for running calls, cancels those that take too long, and only then tells the lifespan. A gateway
that ends its calls itself must therefore see the signal at once. No handler is removed: the previous one runs
as before.
"""

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from types import FrameType, TracebackType
from typing import Any, Self

from nexusflow_asgi.backend import runs_on_asyncio
from nexusflow_asgi.hooks import logger

__all__ = ["OnSignals"]

_ENDING = (signal.SIGTERM, signal.SIGINT)


class OnSignals:
    """`with OnSignals(close):` calls `close(hurry)` on the running event loop at SIGTERM and SIGINT.

    The server's own handler also runs. `hurry` is True at a SIGINT that follows an earlier signal. `reload` is
    called at SIGHUP. Without a Python handler of the server, outside the main thread or without asyncio,
    nothing is installed, and a warning is logged.
    """

    def __init__(
        self, close: Callable[[bool], Awaitable[None]], reload: Callable[[], None] | None = None
    ) -> None:
        self._close = close
        self._reload = reload
        self._before: dict[int, Any] = {}
        self._ended = False
        self._tasks: set[asyncio.Future[None]] = set()

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread() or not runs_on_asyncio():
            logger.warning("cannot close on signals: this is not the main thread, or not asyncio")
            return self
        self._loop = asyncio.get_running_loop()
        for number in _ENDING:
            if callable(before := signal.getsignal(number)):
                self._before[number] = before
                signal.signal(number, self._end)
            else:
                logger.warning("cannot close on %s: the server has no handler for it", number.name)
        if self._reload is not None and hasattr(signal, "SIGHUP"):
            self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._again)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restores the previous handlers, unless the server has done so."""
        for number, before in self._before.items():
            if signal.getsignal(number) in (self._end, self._again):
                signal.signal(number, before)
        self._before.clear()

    def _end(self, number: int, frame: FrameType | None) -> None:
        hurry = self._ended and number == signal.SIGINT
        if hurry or not self._ended:
            self._loop.call_soon_threadsafe(self._begin, hurry)
        self._ended = True
        self._before[number](number, frame)

    def _begin(self, hurry: bool) -> None:
        task = asyncio.ensure_future(self._close(hurry))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _again(self, number: int, frame: FrameType | None) -> None:
        if self._reload is not None:
            self._loop.call_soon_threadsafe(self._reload)
