"""Price rows as their files have them: one file a vendor, checked whole when it is read."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from fractions import Fraction
from itertools import pairwise, product
from math import gcd, prod
from typing import Any, Literal

import msgspec
from msgspec import Struct

from nexusflow_core.errors import ConfigError
from nexusflow_core.prices.price import femto_per_request, femto_per_token

__all__ = ["ModelRow", "Period", "Source", "Tier", "Variant", "VendorPrices", "Window", "read_prices"]

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d|24:00")

PRICES = (
    "input",
    "output",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "cache_read_explicit",
    "output_thinking",
)


PLAIN = {"service_tier": ("standard",), "inference_geo": ("global", "not_available")}
"""What an answer says of its terms where it has the plain price, which no variant may change."""


class Source(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a price was read, and the day it was seen there."""

    name: str
    seen: date | None = None
    url: str | None = None


class Tier(Struct, frozen=True, forbid_unknown_fields=True):
    """Prices in dollars per million tokens, as exact decimal text, of requests with more than `above` prompt
    tokens; they hold for every token of such a request. A price that is absent is not charged apart: a read
    or 5m write counts as input, a 1h write as a 5m write."""

    above: int = 0
    input: str | None = None
    output: str | None = None
    cache_read: str | None = None
    cache_write_5m: str | None = None
    cache_write_1h: str | None = None
    cache_read_explicit: str | None = None
    output_thinking: str | None = None


class Period(Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from"}):
    """Tiers from the day `from` up to but not including the day `until`, both UTC; open where absent. A change
    inside a day has its hour in `from_time` and `until_time`, `16:00` say."""

    tiers: tuple[Tier, ...]
    start: date | None = None
    until: date | None = None
    from_time: str = "00:00"
    until_time: str = "00:00"


class Window(Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from"}):
    """Tiers that hold instead inside the hours `utc` [start, end) of the `weekdays`, since the day `from`; of
    several such, those of the latest day hold."""

    utc: tuple[str, str]
    weekdays: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...]
    tiers: tuple[Tier, ...]
    start: date | None = None
    from_time: str = "00:00"


class Variant(Struct, frozen=True, forbid_unknown_fields=True):
    """What changes the price `when` the answer says so: a multiplier, or tiers of its own, in which an absent
    price leaves the standard one. The `listed_` days are when a source shows it, not a rule of billing."""

    when: dict[Literal["processing", "service_tier", "speed", "inference_geo", "endpoint"], str]
    multiplier: str | None = None
    tiers: tuple[Tier, ...] = ()
    listed_from: date | None = None
    listed_until: date | None = None
    note: str = ""


class ModelRow(Struct, frozen=True, forbid_unknown_fields=True):
    """One model of one vendor: its prices over time, its limits, and where they were read."""

    id: str
    periods: tuple[Period, ...]
    aliases: tuple[str, ...] = ()
    status: str = "active"
    released: date | None = None
    deprecated_since: date | None = None
    retires_not_before: date | None = None
    retires_on: date | None = None
    retired_on: date | None = None
    context_window: int | None = None
    beta_context_window: int | None = None
    """The longest prompt where a beta once allowed more than `context_window`."""
    max_output: int | None = None
    min_cacheable_tokens: int | None = None
    windows: tuple[Window, ...] = ()
    variants: tuple[Variant, ...] = ()
    fees: dict[Literal["web_search_per_1000"], str] = {}
    sources: tuple[str, ...] = ()
    confidence: Literal["documented", "listed", "uncertain"] = "listed"
    notes: tuple[str, ...] = ()

    @property
    def by_kind(self) -> bool:
        """Whether a price depends on whether the answer thought, or on which kind of cache it read."""
        return any(tier.cache_read_explicit or tier.output_thinking for tier in self.tiers())

    def tiers(self) -> list[Tier]:
        """Of all periods, windows and variants."""
        return [
            *(tier for period in self.periods for tier in period.tiers),
            *(tier for window in self.windows for tier in window.tiers),
            *(tier for variant in self.variants for tier in variant.tiers),
        ]


class VendorPrices(Struct, frozen=True, forbid_unknown_fields=True):
    """The rows of one vendor, and the day that they were checked."""

    vendor: str
    models: tuple[ModelRow, ...]
    as_of: date | None = None
    sources: dict[str, Source] = {}


_decoder = msgspec.json.Decoder(VendorPrices)


def read_prices(data: bytes | Mapping[str, Any]) -> VendorPrices:
    """The rows of a price file, JSON or decoded already.

    Raises ConfigError with the place for an unknown member, a price that is no exact decimal text, periods
    that overlap or leave a gap, tiers out of order, an id given twice, an unknown source.
    """
    try:
        vendor = _decoder.decode(data) if isinstance(data, bytes) else msgspec.convert(data, VendorPrices)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError("", f"prices: {error}") from None
    seen: set[str] = set()
    for index, model in enumerate(vendor.models):
        place = f"models[{index}] ({model.id})"
        for name in (model.id, *model.aliases):
            if name.lower() in seen or not name.strip():
                raise ConfigError(place, f"the id {name!r} is empty or given twice")
            seen.add(name.lower())
        for source in model.sources:
            if vendor.sources and source not in vendor.sources:
                raise ConfigError(place, f"no source is called {source!r}")
        _check_model(place, model)
    return vendor


def _check_model(place: str, model: ModelRow) -> None:
    if not model.periods:
        raise ConfigError(place, "has no prices")
    for number, period in enumerate(model.periods):
        _check_tiers(f"{place}.periods[{number}]", period.tiers)
        for time in (period.from_time, period.until_time):
            if not _TIME.fullmatch(time) or time == "24:00":
                raise ConfigError(f"{place}.periods[{number}]", f"{time[:20]!r} is no time of a day, as 16:00")
        begins, ends = (period.start, period.from_time), (period.until, period.until_time)
        if period.start is not None and period.until is not None and begins >= ends:
            raise ConfigError(f"{place}.periods[{number}]", "ends before it begins")
    for number, (earlier, later) in enumerate(pairwise(model.periods), 1):
        if (
            earlier.until is None
            or later.start is None
            or (earlier.until, earlier.until_time)
            != (
                later.start,
                later.from_time,
            )
        ):
            raise ConfigError(f"{place}.periods[{number}]", "does not begin on the day the one before it ends")
    for number, window in enumerate(model.windows):
        _check_tiers(f"{place}.windows[{number}]", window.tiers)
        if not all(_TIME.fullmatch(time) for time in window.utc) or window.utc[0] >= window.utc[1]:
            raise ConfigError(f"{place}.windows[{number}]", "utc is a pair of times, as 01:00 and 04:00")
        if not _TIME.fullmatch(window.from_time) or window.from_time == "24:00":
            raise ConfigError(f"{place}.windows[{number}]", "from_time is a time of a day, as 16:00")
        if any(_overlap(window, other) for other in model.windows[:number]):
            raise ConfigError(f"{place}.windows[{number}]", "overlaps another window of its time")
    for number, variant in enumerate(model.variants):
        where = f"{place}.variants[{number}]"
        if (variant.multiplier is None) == (not variant.tiers) or len(variant.when) != 1:
            raise ConfigError(where, "has one condition, and either a multiplier or tiers")
        if any(variant.when == other.when for other in model.variants[:number]):
            raise ConfigError(where, "has the condition of another one")
        if any(value in PLAIN.get(name, ()) for name, value in variant.when.items()):
            raise ConfigError(where, "has the plain price's own condition")
        if variant.multiplier is not None:
            _checked(where, "multiplier", variant.multiplier)
        else:
            _check_tiers(where, variant.tiers, complete=False)
    _check_factors(place, model)
    for name, fee in model.fees.items():
        _checked(f"{place}.fees", name, fee, per_request=True)


def _check_factors(place: str, model: ModelRow) -> None:
    """Whatever terms meet in one request, its prices are whole: else it would fail when it is served."""
    factors: dict[str, list[Fraction]] = {}
    for variant in model.variants:
        if variant.multiplier is not None:
            factors.setdefault(next(iter(variant.when)), [Fraction(1)]).append(Fraction(variant.multiplier))
    # What divides all of the prices times a factor is whole where each of them is.
    common = gcd(*(femto_per_token(price) for tier in model.tiers() for price in _prices(tier)))
    for met in product(*factors.values()):
        if common * prod(met) % 1:
            shown = " and ".join(str(float(factor)) for factor in met if factor != 1)
            why = f"times {shown} a price is no whole number of femto-dollars a token"
            raise ConfigError(f"{place}.variants", why)


def _prices(tier: Tier) -> list[str]:
    return [price for name in PRICES if (price := getattr(tier, name)) is not None]


def _overlap(one: Window, other: Window) -> bool:
    hours = one.utc[0] < other.utc[1] and other.utc[0] < one.utc[1]
    begin = (one.start, one.from_time) == (other.start, other.from_time)
    return hours and begin and not set(one.weekdays).isdisjoint(other.weekdays)


def _check_tiers(place: str, tiers: Sequence[Tier], *, complete: bool = True) -> None:
    if not tiers or tiers[0].above != 0:
        raise ConfigError(place, "the first tier is the one above 0 tokens")
    if any(earlier.above >= later.above for earlier, later in pairwise(tiers)):
        raise ConfigError(place, "tiers go upwards")
    for tier in tiers:
        if complete and tier.input is None:
            raise ConfigError(place, "a tier has an input price")
        for name in PRICES:
            price: str | None = getattr(tier, name)
            if price is not None:
                _checked(place, name, price)


def _checked(place: str, name: str, price: str, *, per_request: bool = False) -> None:
    try:
        (femto_per_request if per_request else femto_per_token)(price)
    except ConfigError as error:
        raise ConfigError(f"{place}.{name}", error.why) from None
