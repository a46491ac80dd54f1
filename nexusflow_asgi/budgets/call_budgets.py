"""CallBudgets: holds what a call is expected to use, and settles what it used."""

import inspect
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeAlias
from weakref import WeakKeyDictionary

import anyio
from msgspec import Struct
from msgspec.structs import replace

from nexusflow_asgi.backend import loop_identity
from nexusflow_asgi.budgets.keeper import HOLD_SECONDS, Keeper
from nexusflow_asgi.hooks import logger
from nexusflow_asgi.stores import CapStore, open_store
from nexusflow_core.budgets import (
    Budget,
    Budgets,
    Cap,
    Claim,
    Crossing,
    Hold,
    Means,
    Quantities,
    Refusal,
    RefusalCause,
    Scope,
    Sending,
    Window,
    actual,
    refused,
    unasked,
    unpriced,
)
from nexusflow_core.call import Call
from nexusflow_core.gateway import Gateway
from nexusflow_core.record import CallRecord

__all__ = ["CallBudgets", "OnThreshold"]

OnThreshold: TypeAlias = Callable[[Scope, Decimal | int, Cap], Awaitable[None] | None]
"""Called once when a scope crosses a threshold of a cap: the scope, its use (USD or a count), the cap."""


class _Held(Struct):
    """What was set aside for a running call, and for whom."""

    budgets: list[tuple[Budget, Window]]
    expected: Quantities
    caller: str
    model: str


class CallBudgets:
    """The caps of a gateway in use. `clock`: seconds since 1970.

    `store`: the host's; without one, that of the configuration is opened, and closed at the end. It is opened
    at once if there are caps or a database, else when a caller brings its own. Raises ConfigError.
    """

    def __init__(
        self,
        gateway: Gateway,
        store: CapStore | None = None,
        *,
        on_threshold: OnThreshold | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._gateway = gateway
        self._settings = gateway.config.budgets
        self._budgets = Budgets(gateway.config.caps)
        self._means = Means(gateway.book)
        counted = bool(gateway.config.caps) or gateway.config.ledger is not None
        self._store = store or (self._open_store() if counted else None)
        self._owned = store is None
        self._on_threshold = on_threshold
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._armed: dict[str, tuple[int, int]] = {}
        self._keepers: WeakKeyDictionary[object, Keeper] = WeakKeyDictionary()

    @property
    def store(self) -> CapStore | None:
        """The store of windows and holds; None as long as nothing is capped."""
        return self._store

    @property
    def holding(self) -> int:
        """The number of running calls that hold something."""
        return len(self._held)

    def counts(self, call: Call) -> bool:
        """True if some cap may count the call. `count_tokens` is free."""
        if call.endpoint != "messages":
            return False
        return bool(self._budgets.caps) or (call.principal is not None and bool(call.principal.caps))

    async def hold(self, call: Call) -> Call:
        """Sets aside what the call is expected to use, in every window that counts it.

        Returns the call, served by a cheaper model if a soft cap says so. Raises CapReachedError, and
        OverloadedError if the store does not answer and the configuration refuses calls then.
        """
        own = call.principal.caps if call.principal is not None else ()
        budgets = self._budgets.of(call.scopes, own, session=call.session.session_id is not None)
        target = self._gateway.first_target(call.model) if budgets else None
        if target is None:
            return call
        model = target.model or call.model
        caller, at = call.scopes[0], datetime.fromtimestamp(self._clock(), UTC)
        sending = Sending(caller, model, target.upstream.prices, len(call.text), at)
        expected = self._means.expected(sending)
        if expected.femto_usd is None and any(budget.refuses_unpriced for budget in budgets):
            raise unpriced(budgets, model)
        keeper = self._keeper()
        held = _Held([], expected, caller, model)
        found = None if keeper.down else await self._decision(keeper, call, budgets, held, at)
        if isinstance(found, Refusal):
            raise refused(found, at)
        if found is None and self._settings.on_failure == "refuse":
            raise unasked()
        self._held[call.request_id] = held
        keeper.begin(call.request_id)
        return call if found is None else self._degraded(call, held, found)

    async def settle(self, record: CallRecord) -> None:
        """Replaces what was held for a call by what it used. Does nothing for a call that held nothing."""
        held = self._held.pop(record.request_id, None) if self._held else None
        if held is None:
            return
        used = actual(record, held.expected)
        self._means.learn(held.caller, held.model, used)
        charges = [budget.charge(window.key, used, held.expected) for budget, window in held.budgets]
        with anyio.CancelScope(shield=True):
            settled = await self._keeper().settle(record.request_id, charges)
            if self._on_threshold is None:
                return
            by_window = {one.window: one for one in settled}
            for budget, window in held.budgets:
                if window.key in by_window:
                    for crossing in budget.crossings(window, by_window[window.key]):
                        await self._tell(self._on_threshold, crossing)

    async def aclose(self) -> None:
        """Ends the work of this event loop, and closes the store if it is ours."""
        keeper = self._keepers.pop(loop_identity(), None)
        with anyio.CancelScope(shield=True):
            if keeper is not None:
                await keeper.aclose()
            if self._owned and self._store is not None:
                await self._store.aclose()

    async def _decision(
        self, keeper: Keeper, call: Call, budgets: Sequence[Budget], held: _Held, at: datetime
    ) -> Hold | Refusal | None:
        """Returns the store's decision, or None if it did not answer.

        It may still make the hold: that is given back unless the call goes on.
        """
        try:
            return await self._ask(keeper, call, budgets, held, at)
        except Exception as error:  # the setting `on_failure` decides; the driver's text may hold a password
            logger.error("call %s: its budgets could not be checked: %s", call.request_id, type(error).__name__)
            keeper.give_back(call.request_id)
            return None
        except BaseException:  # the call is cancelled
            keeper.give_back(call.request_id)
            raise

    async def _ask(
        self, keeper: Keeper, call: Call, budgets: Sequence[Budget], held: _Held, at: datetime
    ) -> Hold | Refusal:
        """Returns the store's decision. A refusal because of running calls is asked twice: they may be dead."""
        now = int(at.timestamp())
        session = call.session.session_id
        claims: list[Claim] = []
        for budget in budgets:
            started = await self._start(keeper, budget, now) if budget.meter.armed else 0
            window = budget.meter.window(at, started=started, session=session)
            held.budgets.append((budget, window))
            claims.append(budget.claim(window, held.expected))
        for again in (True, False):
            found = await keeper.ask(
                keeper.store.hold(call.request_id, claims, now=now, expires_at=now + HOLD_SECONDS)
            )
            waits = isinstance(found, Refusal) and found.cause is RefusalCause.HELD
            if not (waits and again and await keeper.sweep()):
                return found
        raise AssertionError("unreachable")

    async def _start(self, keeper: Keeper, budget: Budget, now: int) -> int:
        """Returns the start of an armed window. It never changes, so it is remembered until the end."""
        meter = budget.meter
        start, end = self._armed.get(meter.key, (0, 0))
        if now >= end:
            seconds = int(meter.period)
            start = await keeper.ask(keeper.store.arm(meter.key, seconds, now=now))
            if len(self._armed) > 10_000:
                self._armed.clear()
            self._armed[meter.key] = start, start + seconds
        return start

    def _degraded(self, call: Call, held: _Held, hold: Hold) -> Call:
        balances = {
            claim.window.key: balance for claim, balance in zip(hold.claims, hold.balances, strict=True)
        }
        for budget, window in held.budgets:
            model = budget.degraded_to(balances[window.key])
            if model is not None:
                return replace(call, served_as=model)
        return call

    async def _tell(self, on_threshold: OnThreshold, crossing: Crossing) -> None:
        try:
            waiting = on_threshold(crossing.scope, crossing.amount, crossing.cap)
            if waiting is not None and inspect.isawaitable(waiting):
                await waiting
        except Exception:  # the host's function; the call is over
            logger.exception("on_threshold failed for %s", crossing.scope)

    def _keeper(self) -> Keeper:
        loop = loop_identity()
        keeper = self._keepers.get(loop)
        if keeper is None:
            if self._store is None:
                self._store = self._open_store()
            keeper = self._keepers[loop] = Keeper(self._store, self._clock, self._settings.deadline)
        return keeper

    def _open_store(self) -> CapStore:
        config = self._gateway.config
        url = config.budgets.url or config.ledger
        return open_store("memory:" if url is None else url.reveal())
