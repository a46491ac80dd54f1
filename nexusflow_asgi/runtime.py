"""What an app holds on one event loop: its transports and its calls in flight."""

import time
from collections.abc import Callable

import anyio
from anyio.lowlevel import RunVar

from nexusflow_asgi.relay import Relay
from nexusflow_asgi.transports import Transport
from nexusflow_core.errors import Overloaded
from nexusflow_core.upstream import Upstream

__all__ = ["LoopState", "LoopStates"]


class LoopState:
    """Transports are made when first used, one an upstream, so that a slow one cannot take the others' pool."""

    def __init__(self, make_transport: Callable[[Upstream], Transport]) -> None:
        self._make_transport = make_transport
        self._transports: dict[str, Transport] = {}
        self._idle = anyio.Event()
        self.calls: set[Relay] = set()
        self.closing = False

    def transport_for(self, upstream: Upstream) -> Transport:
        transport = self._transports.get(upstream.name)
        if transport is None:
            transport = self._transports[upstream.name] = self._make_transport(upstream)
        return transport

    def leave(self, relay: Relay) -> None:
        """A call is over, its record settled."""
        self.calls.discard(relay)
        if self.closing and not self.calls:
            self._idle.set()

    async def aclose(self, grace: float) -> None:
        """Refuses new calls, gives those in flight `grace` seconds, ends the rest, closes the transports."""
        self.closing = True
        with anyio.CancelScope(shield=True):
            deadline = time.monotonic() + grace
            while self.calls and time.monotonic() < deadline:
                with anyio.move_on_after(deadline - time.monotonic()):
                    await self._idle.wait()
            for relay in list(self.calls):
                relay.stop(Overloaded("the gateway is shutting down"))
            with anyio.move_on_after(1.0):
                if self.calls:
                    await self._idle.wait()
            for transport in self._transports.values():
                await transport.aclose()
            self._transports.clear()


class LoopStates:
    """The state of whichever event loop is running: a client used in two loops would fail every second call."""

    def __init__(self, make_transport: Callable[[Upstream], Transport]) -> None:
        self._make_transport = make_transport
        self._current: RunVar[LoopState | None] = RunVar("nexusflow_loop_state", None)

    def current(self) -> LoopState:
        state = self._current.get()
        if state is None or (state.closing and not state.calls):
            state = LoopState(self._make_transport)
            self._current.set(state)
        return state

    async def aclose(self, grace: float) -> None:
        state = self._current.get()
        if state is not None:
            await state.aclose(grace)
