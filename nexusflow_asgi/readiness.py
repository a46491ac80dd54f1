"""Readiness: the answer to `GET /ready`, for load balancers and orchestrators."""

import threading
from typing import Any, Final

import anyio
import anyio.to_thread

from nexusflow_asgi.call_log import CallLog
from nexusflow_asgi.runtime import LoopStates
from nexusflow_core.gateway import Gateway

__all__ = ["Readiness"]

_DISK_SECONDS: Final = 2.0
"""Seconds for the disk to answer whether the call log is writable."""

_HANGS: Final = "cannot be written: the disk does not answer"


class Readiness:
    """Finds reasons why this gateway cannot serve. It asks no upstream: their failures show in calls."""

    def __init__(self, gateway: Gateway, loops: LoopStates, log: CallLog | None) -> None:
        self._config = gateway.config
        self._loops = loops
        self._log = log
        self._look = threading.Lock()

    async def report(self) -> tuple[int, dict[str, Any]]:
        """Returns the status, 200 or 503, and the body.

        The body has `status`, `reasons` if it is 503, and `left_out`: the optional upstreams without a key,
        each with the missing environment variable.
        """
        reasons = [*self._closing(), *await self._unlogged(), *self._routes_to_nowhere()]
        body: dict[str, Any] = {"status": "not ready", "reasons": reasons} if reasons else {"status": "ready"}
        if self._config.left_out:
            body["left_out"] = dict(self._config.left_out)
        return (503 if reasons else 200), body

    def _closing(self) -> list[str]:
        return ["the gateway is closing"] if self._loops.closing else []

    async def _unlogged(self) -> list[str]:
        if self._log is None:
            return []
        why: str | None = _HANGS
        with anyio.move_on_after(_DISK_SECONDS):
            limiter = self._loops.current().disk
            why = await anyio.to_thread.run_sync(self._ask, self._log, abandon_on_cancel=True, limiter=limiter)
        return [] if why is None else [f"the call log {why}"]

    def _ask(self, log: CallLog) -> str | None:
        """Returns why the log is not writable, or None. If one thread hangs on the disk, others give up."""
        if not self._look.acquire(timeout=_DISK_SECONDS):
            return _HANGS
        try:
            return log.why_not_ready()
        finally:
            self._look.release()

    def _routes_to_nowhere(self) -> list[str]:
        missing = ", ".join(self._config.left_out.values())
        return [
            f"route {route.model} has no upstream left: one of these is not set: {missing}"
            for route in self._config.routes
            if not route.targets
        ]
