"""The state of an app on one event loop: its transports and its running calls."""

import asyncio
from collections.abc import Callable
from weakref import WeakKeyDictionary, ref

import anyio

from nexusflow_asgi.backend import loop_identity, runs_on_asyncio
from nexusflow_asgi.body import Arriving
from nexusflow_asgi.hooks import logger
from nexusflow_asgi.relay import LAST_WORDS_SECONDS, Relay, YoungCalls
from nexusflow_asgi.slots import COME_BACK, Slots
from nexusflow_asgi.transports import Transport
from nexusflow_core.call import Call
from nexusflow_core.config import Limits
from nexusflow_core.errors import NexusFlowError, OverloadedError
from nexusflow_core.upstream import Upstream

__all__ = ["CallInFlight", "LoopState", "LoopStates"]

_RECORD_SECONDS = 1.0
"""Seconds an ended call has to write its record. If its client is still receiving, LAST_WORDS_SECONDS more."""


WORKERS = 2
"""Threads per event loop that read and translate large bodies."""


class CallInFlight:
    """A call from its first byte to its record. Shutdown waits for it, or ends it."""

    def __init__(self, arriving: Arriving) -> None:
        self.arriving = arriving
        self.call: Call | None = None  # its known facts, until it has an exchange
        self.relay: Relay | None = None
        self.admitted = False
        self.refusal: NexusFlowError | None = None
        self.has_slot = False  # a place of the caller `key`, which is None for an anonymous one
        self.key: str | None = None

    def stop(self, error: NexusFlowError) -> None:
        """Ends the answer with this error. A call without an answer yet is refused with it.

        It does not wait for a body that is still arriving.
        """
        self.refusal = error
        self.arriving.stop()
        if self.relay is not None:
            self.relay.stop(error)


class LoopState:
    """Transports, made on first use, one per upstream: a slow upstream cannot use up the pool of others."""

    def __init__(self, make_transport: Callable[[Upstream], Transport], limits: Limits) -> None:
        self._make_transport = make_transport
        self._transports: dict[str, Transport] = {}
        self.young_calls = YoungCalls() if runs_on_asyncio() else None
        self.slots = Slots(limits)
        self.workers = anyio.CapacityLimiter(WORKERS)
        self.disk = anyio.CapacityLimiter(1)  # one disk access at a time
        self._left = anyio.Event()
        self.calls: set[CallInFlight] = set()
        self.closing = False

    def transport_for(self, upstream: Upstream) -> Transport:
        transport = self._transports.get(upstream.name)
        if transport is None:
            transport = self._transports[upstream.name] = self._make_transport(upstream)
        return transport

    def enter(self, arriving: Arriving) -> CallInFlight:
        """Returns the state of a new call. While closing, the call is refused."""
        call = CallInFlight(arriving)
        if self.closing:
            call.stop(_closing())
        self.calls.add(call)
        return call

    def leave(self, call: CallInFlight) -> None:
        """Removes a call whose record is written."""
        self.calls.discard(call)
        if self.closing:
            self._left.set()

    def refuse(self) -> None:
        """Refuses new calls and waiting calls."""
        self.closing = True
        self.slots.close()

    async def aclose(self, grace: float) -> None:
        """Refuses new calls, waits `grace` seconds for running ones, ends the rest, closes the transports."""
        self.refuse()
        with anyio.CancelScope(shield=True):
            await self._wait(lambda: not self.calls, grace)
            for call in list(self.calls):
                call.stop(_closing())
            await self._wait(lambda: not self.calls, _RECORD_SECONDS)
            await self._wait(lambda: all(call.relay is None for call in self.calls), LAST_WORDS_SECONDS)
            if self.calls:  # a hook, an authenticate function, or a body takes too long
                logger.warning("closed with %d calls that have no record yet", len(self.calls))
            transports, self._transports = self._transports, {}
            for transport in transports.values():
                await transport.aclose()

    async def _wait(self, over: Callable[[], bool], seconds: float) -> None:
        """Returns once `over()` is True, or after `seconds`."""
        with anyio.move_on_after(seconds):
            while not over():
                if self._left.is_set():
                    self._left = anyio.Event()
                await self._left.wait()


def _closing() -> OverloadedError:
    return OverloadedError("the gateway is shutting down", headers=COME_BACK)


def _no_loop() -> None:
    """Stands for a weak reference whose event loop is gone."""


class LoopStates:
    """The LoopState of each event loop: a client shared by two loops would fail."""

    def __init__(self, make_transport: Callable[[Upstream], Transport], limits: Limits) -> None:
        self._make_transport = make_transport
        self._limits = limits
        self._states: WeakKeyDictionary[object, LoopState] = WeakKeyDictionary()
        self._refusing = False
        self._latest: tuple[Callable[[], object], LoopState | None] = (_no_loop, None)

    def current(self) -> LoopState:
        """Returns the state of the running event loop. After a finished shutdown it is a new one."""
        loop = loop_identity()
        known, state = self._latest
        if known() is not loop:  # a weak dictionary takes ten times as long
            state = self._states.get(loop)
        if state is None or (state.closing and not state.calls and not self._refusing):
            self._forget_closed_loops()
            state = self._states[loop] = LoopState(self._make_transport, self._limits)
            if self._refusing:
                state.refuse()
        if state is not self._latest[1]:
            self._latest = ref(loop), state
        return state

    def totals(self) -> tuple[int, int]:
        """Returns how many calls run, and how many of them wait for a slot, on all event loops."""
        states = list(self._states.values())
        return sum(len(state.calls) for state in states), sum(state.slots.waiting for state in states)

    @property
    def closing(self) -> bool:
        """True if a new call on this event loop would be refused."""
        return self._refusing or self.current().closing

    def refuse(self) -> None:
        """Refuses every new call, before and after `aclose`: the process is ending."""
        self._refusing = True

    def _forget_closed_loops(self) -> None:
        """Drops closed event loops. A state refers to its loop, so nothing else would free them."""
        for loop in list(self._states):
            if isinstance(loop, asyncio.AbstractEventLoop) and loop.is_closed():
                del self._states[loop]

    async def aclose(self, grace: float) -> None:
        """Closes the state of the running event loop, with `grace` seconds for its calls."""
        state = self._states.get(loop_identity())
        if state is not None:
            await state.aclose(grace)
