"""LedgerStore: where the rows of the ledger and the sums beside them are kept."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from nexusflow_core.ledger import LedgerRow, Spend

__all__ = ["LedgerPage", "LedgerStore"]


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
