"""What stores are: of caps and of the ledger, as protocols; and what those that keep rows have in common.

Each method is one step that cannot be seen half done. The protocol of keys stands beside the life of a key.
"""

import random
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from nexusflow_core.budgets import Balance, Charge, Claim, Hold, Refusal, Settled, Window
from nexusflow_core.ledger import LedgerRow, Spend

__all__ = [
    "ARMED",
    "KEPT_SECONDS",
    "MOST_SCOPES",
    "PAUSE",
    "SWEPT_AT_ONCE",
    "TRIES",
    "CapStore",
    "LedgerPage",
    "LedgerStore",
    "Lost",
    "MissingWindowError",
    "OpenWindow",
    "RefusedError",
    "balance_before",
    "pause_after",
]


class Lost(Struct, frozen=True, gc=False):
    """A hold whose call never ended: it was charged what it had held."""

    request_id: str
    window: str
    amount: int


class OpenWindow(Struct, frozen=True, gc=False):
    """A window that has not ended, with its balance."""

    window: Window
    balance: Balance


class CapStore(Protocol):
    """Keeps windows and holds. Times are whole seconds since 1970 by the gateway's clock.

    Every method may be repeated after a failure: a hold and a settlement are known by their request id. Any
    exception means that the store could not be asked.
    """

    async def hold(
        self, request_id: str, claims: Sequence[Claim], *, now: int, expires_at: int
    ) -> Hold | Refusal:
        """Checks all claims and sets all of them aside, or none, in one step."""
        ...

    async def settle(self, request_id: str, charges: Sequence[Charge]) -> list[Settled]:
        """Replaces what was held by what was used. A window without a charge is charged nothing.

        Returns the windows that changed: none if the call is settled already. A hold that was swept is
        corrected.
        """
        ...

    async def renew(self, request_ids: Sequence[str], *, expires_at: int) -> None:
        """Moves the expiry of the holds of running calls."""
        ...

    async def sweep(self, *, now: int) -> list[Lost]:
        """Charges each expired hold what it had held, once, and returns it. Forgets what is long over."""
        ...

    async def arm(self, meter: str, seconds: int, *, now: int) -> int:
        """Returns the start of the running window of a meter; begins one at `now` if none is running."""
        ...

    async def windows(self, *, now: int, scope: str | None = None, limit: int = 1000) -> list[OpenWindow]:
        """Returns windows that have not ended, at most `limit`, ordered by key."""
        ...

    async def aclose(self) -> None:
        """Closes what the store has opened itself."""
        ...


class LedgerPage(Struct, frozen=True, kw_only=True):
    """Which rows are wanted: newest first, begun in [since, until) (milliseconds since 1970), at most `limit`.

    `ending`, `scope`: only those. `behind`: only rows that follow this one, by its time and id. `oldest_first`:
    the other way round.
    """

    since: int = 0
    until: int | None = None
    ending: str | None = None
    scope: str | None = None
    behind: tuple[int, str] | None = None
    oldest_first: bool = False
    limit: int = 100


class LedgerStore(Protocol):
    """Keeps rows and sums. Any exception means that the store could not be asked."""

    async def write(self, rows: Sequence[LedgerRow]) -> int:
        """Adds the rows that are new, and what they add to the sums, in one step. Returns their number."""
        ...

    async def rows(self, page: LedgerPage) -> list[LedgerRow]:
        """Returns a page of rows."""
        ...

    async def spending(self, *, since: int, until: int, scope: str | None = "") -> list[Spend]:
        """Returns the sums of the days in [since, until), in seconds, of one scope; None for every named scope.

        A sum of every scope is added up over days and models.
        """
        ...

    async def aclose(self) -> None:
        """Closes what the store has opened itself."""
        ...


# What stores of rows have in common

KEPT_SECONDS = 35 * 86400
"""Seconds that an ended window and a lost hold stay, for calls that end late and for whoever looks."""

SWEPT_AT_ONCE = 500

MOST_SCOPES = 1000
"""Sums of scopes that are returned at once."""

ARMED = "armed"
"""The unit of a row that keeps the start of an armed window."""

TRIES = 6
"""How often a step is tried that met a deadlock, a busy file or a lost connection."""

PAUSE = 0.01
"""Seconds, at most, before the second try. It doubles with each try."""


class MissingWindowError(Exception):
    """A window of a claim has no row yet."""


class RefusedError(Exception):
    """A claim does not fit. Raised to roll back the claims before it."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__()
        self.refusal = refusal


def pause_after(tried: int) -> float:
    """Returns the seconds to wait after so many failed tries. They differ, so that two calls part."""
    return random.uniform(0, PAUSE * 2**tried)  # noqa: S311 - only a pause


def balance_before(balance: Balance, used: int = 0, held: int = 0, rest: int = 0) -> Balance:
    """Returns the balance before a change."""
    return Balance(balance.used - used, balance.held - held, balance.rest - rest)
