"""What an app holds on one event loop: its transports and its calls in flight."""

import asyncio
from collections.abc import Callable
from weakref import WeakKeyDictionary

import anyio

from nexusflow_asgi.backend import loop_identity
from nexusflow_asgi.body import Arriving
from nexusflow_asgi.hooks import logger
from nexusflow_asgi.relay import LAST_WORDS_SECONDS, Relay
from nexusflow_asgi.slots import COME_BACK, Slots
from nexusflow_asgi.transports import Transport
from nexusflow_core.call import Call
from nexusflow_core.config import Limits
from nexusflow_core.errors import NexusFlowError, OverloadedError
from nexusflow_core.upstream import Upstream

__all__ = ["CallInFlight", "LoopState", "LoopStates"]

_SETTLE_SECONDS = 1.0
"""That calls which were ended get to write their record; those with a client that may be slow to take the last
bytes get LAST_WORDS_SECONDS besides."""


WORKERS = 2
"""Threads of one event loop that read and translate large bodies."""


class CallInFlight:
    """A call from its first byte to its record, so that closing can wait for it, or end it."""

    def __init__(self, arriving: Arriving) -> None:
        self.arriving = arriving
        self.call: Call | None = None  # what is known of it, until it has an exchange
        self.relay: Relay | None = None
        self.refusal: NexusFlowError | None = None
        self.has_slot = False  # of the caller `key`, None for a nameless one
        self.key: str | None = None

    def stop(self, error: NexusFlowError) -> None:
        """Ends the answer with this error; a call that has no answer yet will be refused with it. A body that
        is still arriving is not waited for."""
        self.refusal = error
        self.arriving.stop()
        if self.relay is not None:
            self.relay.stop(error)


class LoopState:
    """Transports are made when first used, one an upstream, so that a slow one cannot take the others' pool."""

    def __init__(self, make_transport: Callable[[Upstream], Transport], limits: Limits) -> None:
        self._make_transport = make_transport
        self._transports: dict[str, Transport] = {}
        self.slots = Slots(limits)
        self.workers = anyio.CapacityLimiter(WORKERS)
        self.disk = anyio.CapacityLimiter(1)  # one look at a time, however many ask
        self._left = anyio.Event()
        self.calls: set[CallInFlight] = set()
        self.closing = False

    def transport_for(self, upstream: Upstream) -> Transport:
        transport = self._transports.get(upstream.name)
        if transport is None:
            transport = self._transports[upstream.name] = self._make_transport(upstream)
        return transport

    def enter(self, arriving: Arriving) -> CallInFlight:
        """A call begins. While closing it is refused at once."""
        call = CallInFlight(arriving)
        if self.closing:
            call.stop(_closing())
        self.calls.add(call)
        return call

    def leave(self, call: CallInFlight) -> None:
        """A call is over, its record settled."""
        self.calls.discard(call)
        self._left.set()

    def refuse(self) -> None:
        """Refuses new calls, and those that wait for their turn."""
        self.closing = True
        self.slots.close()

    async def aclose(self, grace: float) -> None:
        """Refuses new calls, gives those in flight `grace` seconds, ends the rest, closes the transports."""
        self.refuse()
        with anyio.CancelScope(shield=True):
            await self._wait(lambda: not self.calls, grace)
            for call in list(self.calls):
                call.stop(_closing())
            await self._wait(lambda: not self.calls, _SETTLE_SECONDS)
            await self._wait(lambda: all(call.relay is None for call in self.calls), LAST_WORDS_SECONDS)
            if self.calls:  # a hook or an authenticate of the host's, or a body, that takes its time
                logger.warning("closed with %d calls that have no record yet", len(self.calls))
            transports, self._transports = self._transports, {}
            for transport in transports.values():
                await transport.aclose()

    async def _wait(self, over: Callable[[], bool], seconds: float) -> None:
        """Returns once enough calls have left, or the time is up."""
        with anyio.move_on_after(seconds):
            while not over():
                if self._left.is_set():
                    self._left = anyio.Event()
                await self._left.wait()


def _closing() -> OverloadedError:
    return OverloadedError("the gateway is shutting down", headers=COME_BACK)


class LoopStates:
    """The state of whichever event loop is running: a client used in two loops would fail every second call."""

    def __init__(self, make_transport: Callable[[Upstream], Transport], limits: Limits) -> None:
        self._make_transport = make_transport
        self._limits = limits
        self._states: WeakKeyDictionary[object, LoopState] = WeakKeyDictionary()
        self._refusing = False

    def current(self) -> LoopState:
        loop = loop_identity()
        state = self._states.get(loop)
        if state is None or (state.closing and not state.calls and not self._refusing):
            self._forget_closed_loops()
            state = self._states[loop] = LoopState(self._make_transport, self._limits)
            if self._refusing:
                state.refuse()
        return state

    @property
    def closing(self) -> bool:
        """True if a call that came now on this event loop would be refused."""
        return self._refusing or self.current().closing

    def refuse(self) -> None:
        """No call begins any more, before or after `aclose`: the process is ending."""
        self._refusing = True

    def _forget_closed_loops(self) -> None:
        """A state points back at its loop, so a loop that ended without `aclose` would stay for ever."""
        for loop in list(self._states):
            if isinstance(loop, asyncio.AbstractEventLoop) and loop.is_closed():
                del self._states[loop]

    async def aclose(self, grace: float) -> None:
        state = self._states.get(loop_identity())
        if state is not None:
            await state.aclose(grace)
