"""Price: the integers that a request's tokens are multiplied by, and the row they come from."""

import re
from decimal import Decimal
from math import gcd

from msgspec import Struct
from msgspec.structs import force_setattr

from nexusflow_core.errors import ConfigError

__all__ = [
    "FEMTO_PER_USD",
    "Price",
    "UnitPrice",
    "UnitPrices",
    "femto_per_request",
    "femto_per_token",
    "usd",
    "usd_text",
]

FEMTO_PER_USD = 10**15
_DECIMAL = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_FEMTO_PER_TOKEN = 10**9  # one dollar per million tokens
_FEMTO_PER_REQUEST = 10**12  # one dollar per thousand requests
_PER_TOKEN = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


class UnitPrice(Struct, frozen=True, gc=False):
    """The price of one token (or one request) of a bucket, and its price row."""

    bucket: str
    femto_usd: int
    """10^-15 USD."""
    row: str = ""
    layer: str = ""
    """Where that row comes from: `builtin`, or the name of the user's price file."""
    as_input: int | None = None
    """The price of the same token as plain input; None for a fee per request."""
    units: int = 0
    """`femto_usd` as a multiple of the price's `unit`."""


_UNMADE = UnitPrice("", 0)


class UnitPrices(Struct, frozen=True, gc=False):
    """A price per bucket, prepared for `cost`: each rate is a multiple of the largest common `unit`.

    Python multiplies integers below 2^30 in half the time, and a cost is the sum of five products.
    """

    unit: int = 1
    input: UnitPrice = _UNMADE
    cache_read: UnitPrice = _UNMADE
    cache_write_5m: UnitPrice = _UNMADE
    cache_write_1h: UnitPrice = _UNMADE
    output: UnitPrice | None = None
    web_search: UnitPrice | None = None


class Price(Struct, frozen=True, kw_only=True, gc=False):
    """Femto-dollars per token (10^-15 USD; 1 USD per million tokens is 10^9), with every factor folded in.

    `row` names the price row: `vendor/id`, then `@` its first day, `>` its tier, `+` its variants.
    `layer` says where the row comes from: `builtin`, or the name of the user's price file.
    """

    input: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    output: int | None
    """None if the model has no billable output."""
    web_search: int | None = None
    """Femto-dollars per request; None if the row has no such fee."""
    row: str
    layer: str
    flags: tuple[str, ...] = ()
    """Reasons why a cost at this price is not certain."""
    rates: UnitPrices = UnitPrices()
    """The same prices, prepared for `cost`. Always computed from the members above."""

    def __post_init__(self) -> None:
        prices = {bucket: getattr(self, bucket) for bucket in _PER_TOKEN}
        unit = gcd(*(femto or 0 for femto in prices.values())) or 1
        rates = {
            bucket: UnitPrice(bucket, femto, self.row, self.layer, self.input, femto // unit)
            for bucket, femto in prices.items()
            if femto is not None
        }
        if self.web_search is not None:
            rates["web_search"] = UnitPrice("web_search", self.web_search, self.row, self.layer)
        force_setattr(self, "rates", UnitPrices(unit, **rates))


def femto_per_token(dollars_per_million: str) -> int:
    """Returns an exact decimal price such as "0.075", USD per million tokens, in femto-dollars per token.

    Raises ConfigError for any other text, and for a price finer than a femto-dollar (a float's noise).
    """
    return _femto(dollars_per_million, _FEMTO_PER_TOKEN)


def femto_per_request(dollars_per_thousand: str) -> int:
    """Returns a fee in USD per thousand requests, as text, in femto-dollars per request. Raises ConfigError."""
    return _femto(dollars_per_thousand, _FEMTO_PER_REQUEST)


def _femto(text: str, scale: int) -> int:
    if not _DECIMAL.fullmatch(text):
        raise ConfigError("", f"{text[:40]!r} is not a decimal number such as 0.075")
    exact = Decimal(text[:30]) * scale
    if exact != int(exact) or len(text) > 12:
        raise ConfigError(
            "", f"{text!r} is finer than a femto-dollar per token, or was printed from a float: round it"
        )
    return int(exact)


def usd(femto: int) -> Decimal:
    """Returns femto-dollars as an exact Decimal of USD, without trailing zeros."""
    return Decimal(usd_text(femto))


def usd_text(femto: int) -> str:
    """Returns femto-dollars as exact decimal text of USD, without trailing zeros."""
    if not femto:  # most often: savings by a cache that was not used
        return "0"
    if femto < 0:
        return "-" + usd_text(-femto)
    whole, rest = divmod(femto, FEMTO_PER_USD)
    return f"{whole}.{str(rest).zfill(15).rstrip('0')}" if rest else str(whole)
