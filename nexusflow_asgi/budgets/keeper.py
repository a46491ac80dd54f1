"""Keeper: looks after the holds of one event loop while calls run.

It renews them, so that a long stream keeps its hold. It charges expired holds of dead processes. It repeats
settlements that failed, until the store answers again.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import anyio

from nexusflow_asgi.backend import start_apart
from nexusflow_asgi.hooks import logger
from nexusflow_asgi.stores import CapStore
from nexusflow_core.budgets import Charge, Settled

__all__ = ["HOLD_SECONDS", "RENEW_SECONDS", "Keeper"]

T = TypeVar("T")

HOLD_SECONDS = 120
"""Seconds until a hold expires that nobody renews. Clocks of processes may differ by less than that."""

RENEW_SECONDS = 20.0

_AGAIN_SECONDS = 1.0
"""After a failure the store is left alone for this long."""

_MOST_UNSETTLED = 100_000


class Keeper:
    """The holds of one event loop. `clock`: seconds since 1970. `deadline`: seconds for each step."""

    def __init__(self, store: CapStore, clock: Callable[[], float], deadline: float) -> None:
        self.store = store
        self._clock = clock
        self._deadline = deadline
        self._open: set[str] = set()
        self._unsettled: OrderedDict[str, Sequence[Charge]] = OrderedDict()
        self._working: anyio.CancelScope | None = None
        self._down_until = 0.0
        self._swept_at = 0.0

    async def ask(self, step: Awaitable[T]) -> T:
        """Returns the store's answer. Raises TimeoutError after the deadline, and what the store raises."""
        try:
            with anyio.fail_after(self._deadline):
                return await step
        except Exception:  # raised again: whatever it is, the store is left alone for a moment
            self._down_until = self._clock() + _AGAIN_SECONDS
            raise

    @property
    def down(self) -> bool:
        """True for a moment after a failure: a store that hangs must not delay every call."""
        return self._clock() < self._down_until

    def begin(self, request_id: str) -> None:
        """Looks after the hold of a call from now on."""
        self._unsettled.pop(request_id, None)
        self._open.add(request_id)
        self._work()

    async def settle(self, request_id: str, charges: Sequence[Charge]) -> list[Settled]:
        """Charges a call that has ended. Never fails: without the store it is charged later."""
        self._open.discard(request_id)
        try:
            if not self.down:
                return await self.ask(self.store.settle(request_id, charges))
        except (
            Exception
        ) as error:  # the call is over: it is charged later, and the driver's text may hold a password
            logger.error(
                "call %s will be settled later: the store failed: %s", request_id, type(error).__name__
            )
        self._later(request_id, charges)
        return []

    def give_back(self, request_id: str) -> None:
        """Releases, a little later, a hold of which we do not know whether the store has made it."""
        self._later(request_id, ())

    async def sweep(self) -> bool:
        """Charges expired holds, unless that has just been done. Returns True if there were any."""
        now = self._clock()
        if now < self._swept_at + _AGAIN_SECONDS:
            return False
        self._swept_at = now
        lost = await self.ask(self.store.sweep(now=int(now)))
        for one in lost:
            logger.warning(
                "call %s never ended: it was charged what it had held in %s", one.request_id, one.window
            )
        return bool(lost)

    async def aclose(self) -> None:
        """Stops, and repeats the failed settlements once."""
        if self._working is not None:
            self._working.cancel()
            self._working = None
        try:
            await self._settle_late()
        except Exception as error:  # the gateway closes all the same; the holds expire and are charged
            logger.error("%d calls could not be settled: %s", len(self._unsettled), type(error).__name__)

    def _work(self) -> None:
        """Starts the work of `_run`, unless it goes on."""
        if self._working is None:
            self._working = anyio.CancelScope()
            start_apart(partial(self._run, self._working))

    async def _run(self, working: anyio.CancelScope) -> None:
        with working:
            while self._open or self._unsettled:
                try:
                    await self._look()
                except Exception as error:  # the store is away; it is asked again
                    logger.error("the store of budgets does not answer: %s", type(error).__name__)
                await anyio.sleep(_AGAIN_SECONDS if self._unsettled else RENEW_SECONDS)
            self._working = None

    async def _look(self) -> None:
        await self._settle_late()
        if self._open:
            expires_at = int(self._clock()) + HOLD_SECONDS
            await self.ask(self.store.renew(list(self._open), expires_at=expires_at))
        await self.sweep()

    async def _settle_late(self) -> None:
        while self._unsettled:
            request_id, charges = next(iter(self._unsettled.items()))
            await self.ask(self.store.settle(request_id, charges))
            self._unsettled.pop(request_id, None)

    def _later(self, request_id: str, charges: Sequence[Charge]) -> None:
        if len(self._unsettled) < _MOST_UNSETTLED:
            self._unsettled[request_id] = charges
        self._work()
