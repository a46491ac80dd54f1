"""Lifetimes: which one costs least, as exact fractions.

Costs are multiples of the price of input. Let w be the cost of a write, r of a read, and p the share of gaps
shorter than the lifetime. A cached token then costs each request w - p(w - r): a read in p of the cases, else a
write.
"""

from fractions import Fraction
from typing import Final

from msgspec import Struct

from nexusflow_core.prices import Price

__all__ = ["NONE", "BreakEven", "Pings", "break_even", "cost_per_request", "pings"]

NONE: Final = Fraction(1)
"""The cost of a token without a cache."""


class BreakEven(Struct, frozen=True):
    """Shares of short gaps above which a lifetime saves money; None if it never does. `read`, `write_5m` and
    `write_1h` are the costs."""

    short: Fraction | None
    """Above this share of gaps below 5 minutes, a 5 minute cache costs less than none."""
    long: Fraction | None
    """Above this share of gaps below an hour, a one hour cache costs less than none."""
    read: Fraction
    write_5m: Fraction
    write_1h: Fraction

    def long_over_short(self, share_short: Fraction) -> Fraction | None:
        """Returns the share of gaps below an hour above which one hour costs less than 5 minutes.

        `share_short` is the share of gaps below 5 minutes.
        """
        cost = cost_per_request(self.write_5m, self.read, share_short)
        return _share(self.write_1h, self.read, cost)


class Pings(Struct, frozen=True):
    """Keep-alive requests that read an entry before it ends. `count` of them cost less than writing it again;
    they keep it for `seconds`."""

    count: int
    seconds: int


def cost_per_request(write: Fraction, read: Fraction, share: Fraction) -> Fraction:
    """Returns the average cost of a cached token per request, if this share of the requests comes in time."""
    return write - share * (write - read)


def break_even(price: Price) -> BreakEven:
    """Returns the break-even shares for a price. Raises ValueError if its input is free."""
    if not price.input:
        raise ValueError(f"{price.row} has no price of input")
    read, short, long = (
        Fraction(bucket, price.input)
        for bucket in (price.cache_read, price.cache_write_5m, price.cache_write_1h)
    )
    return BreakEven(_share(short, read, NONE), _share(long, read, NONE), read, short, long)


def pings(price: Price, lifetime: int) -> Pings:
    """Returns how many pings, one within each lifetime (seconds), cost less than one write of that lifetime.

    Each ping costs a read. The request after the gap also costs a read, instead of a write.
    """
    write, read = price.cache_write_5m, price.cache_read
    count = max(0, -(-(write - read) // read) - 1) if read else 0
    return Pings(count, (count + 1) * lifetime)


def _share(write: Fraction, read: Fraction, cost: Fraction) -> Fraction | None:
    """Returns the share at which a lifetime costs `cost`."""
    if write <= cost:
        return Fraction(0)
    share = (write - cost) / (write - read) if write > read else None
    return share if share is not None and share <= 1 else None
