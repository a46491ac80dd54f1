"""Amounts: a cost, and the lines that add up to it."""

from collections.abc import Sequence
from decimal import Decimal

from msgspec import Struct

from nexusflow_core.prices import UnitPrice, usd

__all__ = ["Cost", "CostLine"]


class CostLine(Struct, frozen=True, gc=False):
    """One part of a cost: a number of tokens (or requests) of one bucket, their rate and its price row."""

    tokens: int
    by: UnitPrice
    """The rate, and its price row. A charge by the vendor itself has no row and no layer: both are ""."""

    @property
    def bucket(self) -> str:
        """The bucket, such as `cache_read`; `provider_reported` for a charge by the vendor itself."""
        return self.by.bucket

    @property
    def rate(self) -> int:
        """Femto-dollars (10^-15 USD) per token or request."""
        return self.by.femto_usd

    @property
    def row(self) -> str:
        """The price row, such as `anthropic/claude-opus-4-7`."""
        return self.by.row

    @property
    def layer(self) -> str:
        """Where that row comes from: `builtin`, or the name of the user's price file."""
        return self.by.layer

    @property
    def femto_usd(self) -> int:
        """This line's amount in femto-dollars."""
        return self.tokens * self.by.femto_usd

    @property
    def usd(self) -> Decimal:
        """This line's amount in USD, exact."""
        return usd(self.femto_usd)


class Cost(Struct, frozen=True, gc=False):
    """An exact amount. `lines` add up to `femto_usd`; `flags` name reasons why it is not certain."""

    femto_usd: int
    lines: Sequence[CostLine] = []
    flags: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash((self.femto_usd, tuple(self.lines), self.flags))

    @property
    def usd(self) -> Decimal:
        """USD, exact: `Decimal('0.06275')`."""
        return usd(self.femto_usd)

    @property
    def row(self) -> str:
        """The price rows of all lines, each once, joined by spaces."""
        return " ".join(dict.fromkeys([line.by.row for line in self.lines if line.by.row]))

    @property
    def cache_saved_femto_usd(self) -> int:
        """Femto-dollars that cache reads saved compared with plain input. A vendor's own bill counts as 0."""
        return -self._beside_input("cache_read")

    @property
    def cache_write_extra_femto_usd(self) -> int:
        """Femto-dollars that cache writes cost more than plain input."""
        return self._beside_input("cache_write_5m", "cache_write_1h")

    def _beside_input(self, *buckets: str) -> int:
        extra = 0
        for line in self.lines:
            by = line.by
            if by.bucket in buckets and by.as_input is not None:
                extra += line.tokens * (by.femto_usd - by.as_input)
        return extra
