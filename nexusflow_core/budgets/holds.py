"""Holds: an expected amount is set aside before a call, and replaced by the actual one after it."""

from collections.abc import Mapping, Sequence
from enum import Enum

from msgspec import Struct

from nexusflow_core.budgets.amounts import FEMTO_PER_NANO
from nexusflow_core.budgets.windows import Window

__all__ = ["EMPTY", "Balance", "Charge", "Claim", "Hold", "Refusal", "RefusalCause", "Settled", "decide"]


class Balance(Struct, frozen=True, gc=False):
    """The state of a window: what was `used`, and what running calls have `held`, in its unit.

    `rest`: femto-dollars beside `used`, for a window in USD.
    """

    used: int = 0
    held: int = 0
    rest: int = 0

    @property
    def femto_usd(self) -> int:
        """The exact sum of all settled calls, for a window in USD."""
        return self.used * FEMTO_PER_NANO + self.rest


EMPTY = Balance()


class Claim(Struct, frozen=True, gc=False):
    """What a call sets aside in one window. `limit`: the lowest hard cap on it, or None."""

    window: Window
    amount: int
    limit: int | None = None


class Charge(Struct, frozen=True, gc=False):
    """What a call really used of one window: nano-dollars and `rest` in femto-dollars, or a count."""

    window: str
    amount: int
    rest: int = 0


class Settled(Struct, frozen=True, gc=False):
    """A window to which a call was charged: its balance before and after."""

    window: str
    before: Balance
    after: Balance


class Hold(Struct, frozen=True):
    """What was set aside for a call. `balances` has its windows before this call, in the order of `claims`."""

    request_id: str
    claims: tuple[Claim, ...]
    balances: tuple[Balance, ...]
    expires_at: int


class RefusalCause(Enum):
    """Why a claim does not fit."""

    SPENT = "spent"
    """Settled calls have used the whole cap. It returns with the next window."""
    HELD = "held"
    """Running calls hold the rest of it. It may return when they end."""


class Refusal(Struct, frozen=True):
    """The first claim that did not fit, with the state of its window."""

    claim: Claim
    balance: Balance
    cause: RefusalCause


def decide(claims: Sequence[Claim], balances: Mapping[str, Balance]) -> Refusal | None:
    """Returns the refusal of a call, or None if it may go on. `balances` are by the windows' keys.

    A call may go on while something of each cap is left. So a balance can become negative by one call, the last
    one, but a call is never refused that would have fitted.
    """
    for claim in claims:
        if claim.limit is None:
            continue
        balance = balances.get(claim.window.key, EMPTY)
        if balance.used >= claim.limit:
            return Refusal(claim, balance, RefusalCause.SPENT)
        if balance.used + balance.held >= claim.limit:
            return Refusal(claim, balance, RefusalCause.HELD)
    return None
