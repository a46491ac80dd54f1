"""Budget: one meter of a call, with the caps that are set on it. Finds the budgets of a call's scopes."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from msgspec import Struct

from nexusflow_core.budgets.amounts import NANO_PER_USD, Unit, nano_of
from nexusflow_core.budgets.caps import Cap, Scope
from nexusflow_core.budgets.expected import Quantities
from nexusflow_core.budgets.holds import Balance, Charge, Claim, Settled
from nexusflow_core.budgets.windows import Meter, Window

__all__ = ["Budget", "Budgets", "Crossing"]

_MOST_REMEMBERED = 4096
_PER_MILLION = 10**6


class Crossing(Struct, frozen=True):
    """A settled call took a scope over a threshold of a cap. `used` and `limit` are in the cap's unit."""

    scope: Scope
    cap: Cap
    percent: int
    used: int
    window: Window

    @property
    def amount(self) -> Decimal | int:
        """What was used: USD for a cap in USD, else a count."""
        return Decimal(self.used) / NANO_PER_USD if self.cap.unit == "usd" else self.used


class Budget(Struct, frozen=True):
    """One meter, and the caps on it."""

    meter: Meter
    caps: tuple[Cap, ...]

    @property
    def unit(self) -> Unit:
        """What the meter counts."""
        return self.meter.unit

    @property
    def limit(self) -> int | None:
        """The lowest hard limit; None if all caps are soft."""
        return min((cap.limit for cap in self.caps if cap.hard), default=None)

    @property
    def refuses_unpriced(self) -> bool:
        """True if a call without a known price is refused."""
        return any(cap.refuses_unpriced for cap in self.caps)

    def claim(self, window: Window, expected: Quantities) -> Claim:
        """Returns what a call sets aside in this window: at least one, so that no number of calls is free."""
        amount, rest = self._measured(expected, expected)
        return Claim(window, max(1, amount + (1 if rest else 0)), self.limit)

    def charge(self, window: str, actual: Quantities, expected: Quantities) -> Charge:
        """Returns what a call is charged for this window."""
        return Charge(window, *self._measured(actual, expected))

    def degraded_to(self, balance: Balance) -> str | None:
        """Returns the model that serves the call because a soft cap is used up, or None."""
        for cap in self.caps:
            if cap.degrade_to is not None and balance.used + balance.held >= cap.limit:
                return cap.degrade_to
        return None

    def crossings(self, window: Window, settled: Settled) -> list[Crossing]:
        """Returns the thresholds that this settlement crossed. Over all processes each is crossed once."""
        return [
            Crossing(self.meter.scope, cap, percent, settled.after.used, window)
            for cap in self.caps
            for percent in cap.thresholds
            if settled.before.used * 100 < percent * cap.limit <= settled.after.used * 100
        ]

    def _measured(self, used: Quantities, expected: Quantities) -> tuple[int, int]:
        """Returns the amount in the meter's unit, and femto-dollars beside it."""
        if self.unit == "requests":
            return used.requests, 0
        if self.unit == "tokens":
            return used.tokens(self.meter.counts), 0
        if used.femto_usd is not None:
            return nano_of(used.femto_usd)
        rate = max((cap.assumed_rate or 0 for cap in self.caps), default=0)
        if rate:
            return -(-used.tokens() * rate // _PER_MILLION), 0
        if self.refuses_unpriced and expected.femto_usd is not None:
            return nano_of(expected.femto_usd)  # the price was known before the call; unknown is not zero
        return 0, 0


class Budgets:
    """All configured caps. Finds those that count a call, and remembers them by its scopes."""

    def __init__(self, caps: Iterable[Cap]) -> None:
        self.caps = tuple(caps)
        self._remembered: dict[tuple[tuple[Scope, ...], tuple[Cap, ...]], tuple[Budget, ...]] = {}

    def of(
        self, scopes: tuple[Scope, ...], own: tuple[Cap, ...] = (), *, session: bool = True
    ) -> Sequence[Budget]:
        """Returns the budgets of a call. `own`: caps of its caller beside the configured ones.

        Without a session id (`session`), those per session are left out.
        """
        found = self._remembered.get((scopes, own))
        if found is None:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            found = self._remembered[scopes, own] = self._found(scopes, own)
        if session or all(budget.meter.period != "session" for budget in found):
            return found
        return [budget for budget in found if budget.meter.period != "session"]

    def _found(self, scopes: tuple[Scope, ...], own: tuple[Cap, ...]) -> tuple[Budget, ...]:
        by_meter: dict[Meter, list[Cap]] = {}
        for cap in (*self.caps, *own):
            for meter in cap.meters(scopes):
                by_meter.setdefault(meter, []).append(cap)
        return tuple(
            Budget(meter, tuple(by_meter[meter])) for meter in sorted(by_meter, key=lambda one: one.key)
        )
