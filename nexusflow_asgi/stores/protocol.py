"""Store: where windows and holds of caps are kept. Each method is one step that cannot be seen half done."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from nexusflow_core.budgets import Balance, Charge, Claim, Hold, Refusal, Settled, Window

__all__ = ["CapStore", "Lost", "OpenWindow"]


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
