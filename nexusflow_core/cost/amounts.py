"""Amounts: a cost, and the lines that add up to it."""

from collections.abc import Sequence
from decimal import Decimal

from msgspec import Struct

from nexusflow_core.prices import Rate, usd

__all__ = ["Cost", "Line"]


class Line(Struct, frozen=True, gc=False):
    """One part of a cost: so many tokens (or requests) of a bucket, at a rate, by a price row."""

    tokens: int
    by: Rate
    """What each of them costs, and why. What the vendor itself billed has no row and no layer: both are ""."""

    @property
    def bucket(self) -> str:
        return self.by.bucket

    @property
    def rate(self) -> int:
        """Femto-dollars, 10^-15 USD, for each of them."""
        return self.by.femto_usd

    @property
    def row(self) -> str:
        """The price row: `anthropic/claude-opus-4-7`."""
        return self.by.row

    @property
    def layer(self) -> str:
        """Where that row stands: `builtin`, or what the user's prices were called."""
        return self.by.layer

    @property
    def femto_usd(self) -> int:
        return self.tokens * self.by.femto_usd

    @property
    def usd(self) -> Decimal:
        return usd(self.femto_usd)


class Cost(Struct, frozen=True, gc=False):
    """An exact amount. `lines` add up to it; `flags` name what makes it less than certain."""

    femto_usd: int
    lines: Sequence[Line] = []
    flags: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash((self.femto_usd, tuple(self.lines), self.flags))

    @property
    def usd(self) -> Decimal:
        """Dollars, exact: `Decimal('0.06275')`."""
        return usd(self.femto_usd)

    @property
    def row(self) -> str:
        """The price rows that made it, each once, joined by a space."""
        return " ".join(dict.fromkeys([line.by.row for line in self.lines if line.by.row]))

    @property
    def cache_saved_femto_usd(self) -> int:
        """What cache reads would have cost as input, less what they did cost; nothing is known of a vendor's
        own bill."""
        return -self._beside_input("cache_read")

    @property
    def cache_write_extra_femto_usd(self) -> int:
        """What cache writes cost, less what they would have cost as input."""
        return self._beside_input("cache_write_5m", "cache_write_1h")

    def _beside_input(self, *buckets: str) -> int:
        extra = 0
        for line in self.lines:
            by = line.by
            if by.bucket in buckets and by.as_input is not None:
                extra += line.tokens * (by.femto_usd - by.as_input)
        return extra
