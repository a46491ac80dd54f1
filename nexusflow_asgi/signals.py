"""Closing when the process is told to end, not when its server has given up waiting.

uvicorn waits for running calls first and cancels those that outlast its patience; only then does it tell the
lifespan. So a gateway that is to end its calls itself must hear of the signal at once. Nothing here takes a
signal away: the handler that was there runs as before.
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
    """`with OnSignals(close):` calls `close(hurry)` on the running event loop at SIGTERM and SIGINT, beside the
    server's own handler; `hurry` is True from a second signal on that is SIGINT, as servers have it.

    `reload` is called at SIGHUP. Where the server has no Python handler for a signal, or this is not the main
    thread, or not asyncio, nothing is installed and the log says so.
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
            logger.warning("signals are not heard: this is not the main thread, or not asyncio")
            return self
        self._loop = asyncio.get_running_loop()
        for number in _ENDING:
            if callable(before := signal.getsignal(number)):
                self._before[number] = before
                signal.signal(number, self._end)
            else:
                logger.warning("%s is not heard: the server has no handler for it", number.name)
        if self._reload is not None and hasattr(signal, "SIGHUP"):
            self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._again)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Puts back what was there, unless the server has already done so."""
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
