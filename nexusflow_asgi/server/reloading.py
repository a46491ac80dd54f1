"""Reloading: a signal replaces the gateway of `nexusflow serve`, in one process or in each worker."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any

from starlette.types import Receive, Scope, Send
from uvicorn.supervisors import Multiprocess

from nexusflow_asgi.app import NexusFlow
from nexusflow_asgi.signals import OnSignals
from nexusflow_core.errors import ConfigError

if TYPE_CHECKING:
    from nexusflow_asgi.pages.served import ServedPages

__all__ = ["Reloading", "Workers"]

_logger = logging.getLogger("nexusflow")

_UNTIL_THEY_END = float("inf")

_YOUNG_OBJECTS = 20_000
"""Objects that are made, less those freed, before the collector looks at them. Python's default is 700."""


class Reloading:
    """Serves with the gateway that `make` returns. SIGHUP makes a new one, which gets all new calls.

    Running calls finish on the old one. A wrong configuration is logged and changes nothing.
    """

    def __init__(self, make: Callable[[], NexusFlow]) -> None:
        self._make = make
        self._current = make()
        self._pages = _pages(self._current)
        self._before: set[NexusFlow] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "lifespan":
            return self._live(receive, send)
        page = self._pages.page(scope) if self._pages is not None else None
        return (page or self._current)(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        with OnSignals(self._close, self.reload), _fewer_collections():
            self._current.start()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self._close(hurry=False)
            await send({"type": "lifespan.shutdown.complete"})

    def reload(self) -> None:
        """Reads the configuration again. Call it on the event loop."""
        try:
            new = self._make()
            pages = _pages(new, self._pages)
        except ConfigError as error:
            _logger.error("the new configuration has mistakes, the old one stays in use: %s", error)
            return
        old, self._current, self._pages = self._current, new, pages
        new.start()
        self._before.add(old)
        task = asyncio.ensure_future(self._let_end(old))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        _logger.info("the configuration was read again")

    async def _let_end(self, gateway: NexusFlow) -> None:
        await gateway.aclose(_UNTIL_THEY_END)
        self._before.discard(gateway)

    async def _close(self, hurry: bool) -> None:
        gateways: list[Any] = [self._current, *self._before]
        for gateway in gateways:
            gateway.refuse()
        await asyncio.gather(*[gateway.aclose(0.0 if hurry else None) for gateway in gateways])


@contextlib.contextmanager
def _fewer_collections() -> Generator[None]:
    """Lets the garbage collector skip what exists now, and run less often: this process only serves.

    Calls leave next to no cyclic garbage, so most collections would walk over running calls for nothing.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _pages(gateway: NexusFlow, before: "ServedPages | None" = None) -> "ServedPages | None":
    """Returns the pages of a gateway: those of before, which go on counting, or None without any."""
    if not gateway.config.pages.spend and not gateway.config.pages.metrics:
        return None
    from nexusflow_asgi.pages.served import ServedPages

    if before is None:
        return ServedPages(gateway)
    before.follow(gateway)
    return before


class Workers(Multiprocess):
    """Worker processes on one socket, under uvicorn's supervisor.

    At SIGHUP workers read their configuration again. uvicorn would restart them, which ends their calls.
    """

    def handle_hup(self) -> None:
        for process in self.processes:
            if process.pid is not None and hasattr(signal, "SIGHUP"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGHUP)
