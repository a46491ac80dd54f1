"""Price: the integers that one request's tokens are multiplied by, and the row that they come from."""

import re
from decimal import Decimal
from math import gcd

from msgspec import Struct
from msgspec.structs import force_setattr

from nexusflow_core.errors import ConfigError

__all__ = ["FEMTO_PER_USD", "Price", "Rate", "Rates", "femto_per_request", "femto_per_token", "usd", "usd_text"]

FEMTO_PER_USD = 10**15
_DECIMAL = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_FEMTO_PER_TOKEN = 10**9  # one dollar per million tokens
_FEMTO_PER_REQUEST = 10**12  # one dollar per thousand requests
_PER_TOKEN = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


class Rate(Struct, frozen=True, gc=False):
    """What each token, or request, of one bucket costs, and the price row that says so."""

    bucket: str
    femto_usd: int
    """10^-15 USD."""
    row: str = ""
    layer: str = ""
    as_input: int | None = None
    """What the same token costs as plain input; None for what is no token."""
    units: int = 0
    """`femto_usd` as a multiple of the price's `unit`."""


_UNMADE = Rate("", 0)


class Rates(Struct, frozen=True, gc=False):
    """A price as `cost` multiplies by it: bucket by bucket, and in the largest unit that leaves every rate per
    token whole. Python multiplies integers below 2^30 in half the time, and a cost is the sum of five products.
    """

    unit: int = 1
    input: Rate = _UNMADE
    cache_read: Rate = _UNMADE
    cache_write_5m: Rate = _UNMADE
    cache_write_1h: Rate = _UNMADE
    output: Rate | None = None
    web_search: Rate | None = None


class Price(Struct, frozen=True, kw_only=True, gc=False):
    """Femto-dollars per token (10^-15 USD; 1 USD per million tokens is 10^9), every factor folded in.

    `row` names the price row: `vendor/id`, `@` its first day, `>` its tier, `+` its variants.
    `layer` is where the row stands: `builtin`, or what the user's prices were called.
    """

    input: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    output: int | None
    """None where the model has no output that could be charged."""
    web_search: int | None = None
    """Per request; None where the row knows no such fee."""
    row: str
    layer: str
    flags: tuple[str, ...] = ()
    """What makes a cost at this price less than certain."""
    rates: Rates = Rates()
    """All of the above once more, as `cost` multiplies by it: made from that, whatever is given."""

    def __post_init__(self) -> None:
        prices = {bucket: getattr(self, bucket) for bucket in _PER_TOKEN}
        unit = gcd(*(femto or 0 for femto in prices.values())) or 1
        rates = {
            bucket: Rate(bucket, femto, self.row, self.layer, self.input, femto // unit)
            for bucket, femto in prices.items()
            if femto is not None
        }
        if self.web_search is not None:
            rates["web_search"] = Rate("web_search", self.web_search, self.row, self.layer)
        force_setattr(self, "rates", Rates(unit, **rates))


def femto_per_token(dollars_per_million: str) -> int:
    """An exact price as text, `"0.075"`, in femto-dollars a token. Raises ConfigError for what is no price,
    and for one that no whole number of femto-dollars can hold (a float's noise)."""
    return _femto(dollars_per_million, _FEMTO_PER_TOKEN)


def femto_per_request(dollars_per_thousand: str) -> int:
    """A fee per thousand requests as text, in femto-dollars a request. Raises ConfigError."""
    return _femto(dollars_per_thousand, _FEMTO_PER_REQUEST)


def _femto(text: str, scale: int) -> int:
    if not _DECIMAL.fullmatch(text):
        raise ConfigError("", f"{text[:40]!r} is not a decimal number, as 0.075")
    exact = Decimal(text[:30]) * scale
    if exact != int(exact) or len(text) > 12:
        raise ConfigError("", f"{text!r} is finer than a femto-dollar a token, or a float's noise")
    return int(exact)


def usd(femto: int) -> Decimal:
    """Femto-dollars as an exact Decimal of dollars, without trailing zeros."""
    return Decimal(usd_text(femto))


def usd_text(femto: int) -> str:
    """Femto-dollars as exact decimal text of dollars, without trailing zeros."""
    sign = "-" if femto < 0 else ""
    whole, rest = divmod(abs(femto), FEMTO_PER_USD)
    return f"{sign}{whole}.{rest:015d}".rstrip("0").rstrip(".")
