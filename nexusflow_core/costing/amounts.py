"""Amounts: a cost, and the lines that add up to it."""

from collections.abc import Sequence
from decimal import Context, Decimal, Inexact
from typing import Any

from msgspec import Struct

from nexusflow_core.prices import UnitPrice, usd, usd_text

__all__ = ["Cost", "CostLine"]

_MAX_RATE = 40
_EXACT = Context(prec=200, traps=[Inexact])


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
    """An exact amount. `lines` add up to `femto_usd`; `flags` name reasons why it is not certain.

    Costs add up: `one + other`, and `sum(costs)`. The sum has one line per rate and each flag once.
    """

    femto_usd: int
    lines: Sequence[CostLine] = []
    flags: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash((self.femto_usd, tuple(self.lines), self.flags))

    def __add__(self, other: object) -> "Cost":
        if not isinstance(other, Cost):
            return NotImplemented
        tokens: dict[UnitPrice, int] = {}
        for line in (*self.lines, *other.lines):
            tokens[line.by] = tokens.get(line.by, 0) + line.tokens
        lines = [CostLine(count, by) for by, count in tokens.items()]
        flags = tuple(dict.fromkeys((*self.flags, *other.flags)))
        return Cost(self.femto_usd + other.femto_usd, lines, flags)

    def __radd__(self, other: object) -> "Cost":
        if type(other) is int and other == 0:  # sum() begins with 0
            return self
        return NotImplemented

    def as_dict(self) -> dict[str, Any]:
        """Returns values for JSON, under the names of a record. Amounts are exact decimal text in USD."""
        return {
            "cost_usd": usd_text(self.femto_usd),
            "price_row": self.row,
            "price_layer": self.layer,
            "cost_flags": list(self.flags),
            "lines": [
                {
                    "bucket": line.bucket,
                    "tokens": line.tokens,
                    "rate_usd": usd_text(line.rate),
                    "cost_usd": usd_text(line.femto_usd),
                    "price_row": line.row,
                    "price_layer": line.layer,
                }
                for line in self.lines
            ],
        }

    def converted(self, rate: Decimal | int | str) -> Decimal:
        """Returns the exact amount in another currency. `rate` is the price of one USD in it, such as "0.8617".

        Raises TypeError for a float, which is not exact, and ValueError for a rate that is not above 0.
        """
        if isinstance(rate, (bool, float)):
            raise TypeError(f"rate: {rate!r} is a {type(rate).__name__}; give a Decimal, an int or text")
        try:
            factor = Decimal(rate)
        except ArithmeticError:
            raise ValueError(f"rate: {str(rate)[:40]!r} is not a decimal number") from None
        if not (factor.is_finite() and factor > 0 and len(str(factor)) <= _MAX_RATE):
            raise ValueError(f"rate: {str(rate)[:40]!r} is not a number above 0 of at most {_MAX_RATE} digits")
        return _EXACT.multiply(self.usd, factor)

    @property
    def usd(self) -> Decimal:
        """USD, exact: `Decimal('0.06275')`."""
        return usd(self.femto_usd)

    @property
    def row(self) -> str:
        """The price rows of all lines, each once, joined by spaces."""
        rows = dict.fromkeys([line.by.row for line in self.lines if line.by.row])
        return next(iter(rows)) if len(rows) == 1 else " ".join(rows)

    @property
    def layer(self) -> str:
        """The layers of those rows, each once, joined by spaces: `builtin`, or names of price files."""
        return " ".join(dict.fromkeys([line.by.layer for line in self.lines if line.by.layer]))

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
