"""What an app holds on one event loop: its transports and its calls in flight."""

import asyncio
import time
from collections.abc import Callable
from weakref import WeakKeyDictionary

import anyio

from nexusflow_asgi.backend import loop_identity
from nexusflow_asgi.relay import Relay
from nexusflow_asgi.slots import Slots
from nexusflow_asgi.transports import Transport
from nexusflow_core.config import Limits
from nexusflow_core.errors import NexusFlowError, Overloaded
from nexusflow_core.upstream import Upstream

__all__ = ["CallInFlight", "LoopState", "LoopStates"]

_SETTLE_SECONDS = 1.0  # that calls which were ended get to write their last bytes and their record


class CallInFlight:
    """A call from its first byte to its record, so that closing can wait for it, or end it."""

    def __init__(self) -> None:
        self.relay: Relay | None = None
        self.refusal: NexusFlowError | None = None
        self.has_slot = False  # of the caller `key`, None for a nameless one
        self.key: str | None = None

    def stop(self, error: NexusFlowError) -> None:
        """Ends the answer with this error; a call that has no answer yet will be refused with it."""
        self.refusal = error
        if self.relay is not None:
            self.relay.stop(error)


class LoopState:
    """Transports are made when first used, one an upstream, so that a slow one cannot take the others' pool."""

    def __init__(self, make_transport: Callable[[Upstream], Transport], limits: Limits) -> None:
        self._make_transport = make_transport
        self._transports: dict[str, Transport] = {}
        self.slots = Slots(limits)
        self._idle = anyio.Event()
        self.calls: set[CallInFlight] = set()
        self.closing = False

    def transport_for(self, upstream: Upstream) -> Transport:
        transport = self._transports.get(upstream.name)
        if transport is None:
            transport = self._transports[upstream.name] = self._make_transport(upstream)
        return transport

    def enter(self) -> CallInFlight:
        """A call begins. While closing it is refused at once."""
        call = CallInFlight()
        if self.closing:
            call.stop(_closing())
        self.calls.add(call)
        return call

    def leave(self, call: CallInFlight) -> None:
        """A call is over, its record settled."""
        self.calls.discard(call)
        if self.closing and not self.calls:
            self._idle.set()

    async def aclose(self, grace: float) -> None:
        """Refuses new calls, gives those in flight `grace` seconds, ends the rest, closes the transports."""
        self.closing = True
        self.slots.close()
        with anyio.CancelScope(shield=True):
            deadline = time.monotonic() + grace
            while self.calls and time.monotonic() < deadline:
                with anyio.move_on_after(deadline - time.monotonic()):
                    await self._idle.wait()
            for call in list(self.calls):
                call.stop(_closing())
            with anyio.move_on_after(_SETTLE_SECONDS):
                if self.calls:
                    await self._idle.wait()
            transports, self._transports = self._transports, {}
            for transport in transports.values():
                await transport.aclose()


def _closing() -> Overloaded:
    return Overloaded("the gateway is shutting down")


class LoopStates:
    """The state of whichever event loop is running: a client used in two loops would fail every second call."""

    def __init__(self, make_transport: Callable[[Upstream], Transport], limits: Limits) -> None:
        self._make_transport = make_transport
        self._limits = limits
        self._states: WeakKeyDictionary[object, LoopState] = WeakKeyDictionary()

    def current(self) -> LoopState:
        loop = loop_identity()
        state = self._states.get(loop)
        if state is None or (state.closing and not state.calls):
            self._forget_closed_loops()
            state = self._states[loop] = LoopState(self._make_transport, self._limits)
        return state

    def _forget_closed_loops(self) -> None:
        """A state points back at its loop, so a loop that ended without `aclose` would stay for ever."""
        for loop in list(self._states):
            if isinstance(loop, asyncio.AbstractEventLoop) and loop.is_closed():
                del self._states[loop]

    async def aclose(self, grace: float) -> None:
        state = self._states.get(loop_identity())
        if state is not None:
            await state.aclose(grace)
