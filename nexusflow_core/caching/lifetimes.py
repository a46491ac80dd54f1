"""Which lifetime pays: what a cached token costs a request, in exact fractions.

Costs are in units of the price of input. With w for a write, r for a read, and p for the share of gaps shorter
than the lifetime, a request costs w - p(w - r): it reads with probability p, and writes otherwise.
"""

from fractions import Fraction
from typing import Final

from msgspec import Struct

from nexusflow_core.prices import Price

__all__ = ["NONE", "BreakEven", "Pings", "break_even", "cost_per_request", "pings"]

NONE: Final = Fraction(1)
"""What a request costs without a cache."""


class BreakEven(Struct, frozen=True):
    """The shares of gaps shorter than a lifetime from which on it costs less than something else; None where it
    never does."""

    short: Fraction | None
    """From here on 5 minutes cost less than no cache."""
    long: Fraction | None
    """From here on an hour costs less than no cache."""
    read: Fraction
    write_5m: Fraction
    write_1h: Fraction

    def long_over_short(self, share_short: Fraction) -> Fraction | None:
        """Returns the share of gaps below an hour from which on it costs less than 5 minutes do, where this
        share of the gaps is below 5 minutes."""
        cost = cost_per_request(self.write_5m, self.read, share_short)
        return _share(self.write_1h, self.read, cost)


class Pings(Struct, frozen=True):
    """Keep-alive requests that read an entry before it ends: how many cost less than one rewrite, and over how
    many seconds they carry it."""

    count: int
    seconds: int


def cost_per_request(write: Fraction, read: Fraction, share: Fraction) -> Fraction:
    """Returns what a cached token costs a request, where this share of the requests comes in time."""
    return write - share * (write - read)


def break_even(price: Price) -> BreakEven:
    """Returns the break-even shares by the ratios of a price. Raises ValueError for a price without input."""
    if not price.input:
        raise ValueError(f"{price.row} has no price of input")
    read, short, long = (
        Fraction(bucket, price.input)
        for bucket in (price.cache_read, price.cache_write_5m, price.cache_write_1h)
    )
    return BreakEven(_share(short, read, NONE), _share(long, read, NONE), read, short, long)


def pings(price: Price, lifetime: int) -> Pings:
    """Returns how many pings, one within each lifetime (seconds), cost less than one write of that lifetime.

    A ping costs a read; at the end of the gap the request reads too, where it would have written.
    """
    write, read = price.cache_write_5m, price.cache_read
    count = max(0, -(-(write - read) // read) - 1) if read else 0
    return Pings(count, (count + 1) * lifetime)


def _share(write: Fraction, read: Fraction, cost: Fraction) -> Fraction | None:
    """The share at which a lifetime costs so much."""
    if write <= cost:
        return Fraction(0)
    share = (write - cost) / (write - read) if write > read else None
    return share if share is not None and share <= 1 else None
