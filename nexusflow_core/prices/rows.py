"""Price rows in the form of their files: one file per vendor, fully checked when it is read."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from fractions import Fraction
from itertools import pairwise, product
from math import gcd, prod
from typing import Any, Literal

import msgspec
from msgspec import Struct

from nexusflow_core.errors import ConfigError
from nexusflow_core.prices.price import femto_per_request, femto_per_token

__all__ = [
    "CacheMinimum",
    "ModelRow",
    "Period",
    "Source",
    "Tier",
    "Variant",
    "VendorPrices",
    "Window",
    "own_prices",
    "read_prices",
]

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
"""Terms in an answer that mean the plain price. No variant may depend on them."""


class Source(Struct, frozen=True, forbid_unknown_fields=True):
    """The source of a price, and the day it was seen there."""

    name: str
    seen: date | None = None
    url: str | None = None


class Tier(Struct, frozen=True, forbid_unknown_fields=True):
    """Prices in USD per million tokens, as exact decimal text, for prompts of more than `above` tokens.

    They apply to every token of such a request. Without a price of its own, a cache read or 5-minute write
    costs as much as input. A 1-hour write then costs as much as a 5-minute write.
    """

    above: int = 0
    input: str | None = None
    output: str | None = None
    cache_read: str | None = None
    cache_write_5m: str | None = None
    cache_write_1h: str | None = None
    cache_read_explicit: str | None = None
    output_thinking: str | None = None


class Period(Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from"}):
    """Tiers from the UTC day `from` up to, but not including, the day `until`; open if absent.

    For a change within a day, `from_time` and `until_time` give the time, such as `16:00`.
    """

    tiers: tuple[Tier, ...]
    start: date | None = None
    until: date | None = None
    from_time: str = "00:00"
    until_time: str = "00:00"


class Window(Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from"}):
    """Tiers that apply during the hours `utc` [start, end) of the `weekdays`, from the day `from` on.

    If several such windows apply, the one with the latest `from` wins.
    """

    utc: tuple[str, str]
    weekdays: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...]
    tiers: tuple[Tier, ...]
    start: date | None = None
    from_time: str = "00:00"


class Variant(Struct, frozen=True, forbid_unknown_fields=True):
    """A change of price if the answer states `when`: a multiplier, or tiers of its own.

    In such a tier an absent price means the standard one. The `listed_` days say when a source lists the
    variant; they do not limit billing.
    """

    when: dict[Literal["processing", "service_tier", "speed", "inference_geo", "endpoint"], str]
    multiplier: str | None = None
    tiers: tuple[Tier, ...] = ()
    listed_from: date | None = None
    listed_until: date | None = None
    note: str = ""


class CacheMinimum(Struct, frozen=True, forbid_unknown_fields=True):
    """The fewest tokens that a model cached before the day `until` (UTC)."""

    until: date
    tokens: int


class ModelRow(Struct, frozen=True, forbid_unknown_fields=True):
    """One model of one vendor: prices over time, limits and sources."""

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
    """The longest prompt in tokens, if a beta once allowed more than `context_window`."""
    max_output: int | None = None
    min_cacheable_tokens: int | None = None
    earlier_min_cacheable: tuple[CacheMinimum, ...] = ()
    """Earlier values of `min_cacheable_tokens`, the oldest first."""
    windows: tuple[Window, ...] = ()
    variants: tuple[Variant, ...] = ()
    fees: dict[Literal["web_search_per_1000"], str] = {}
    sources: tuple[str, ...] = ()
    confidence: Literal["documented", "listed", "uncertain"] = "listed"
    notes: tuple[str, ...] = ()

    @property
    def by_kind(self) -> bool:
        """True if a price depends on reasoning in the answer, or on the kind of cache it read."""
        return any(tier.cache_read_explicit or tier.output_thinking for tier in self.tiers())

    def min_cacheable(self, day: date) -> int | None:
        """Returns the fewest tokens that could be cached on a day (UTC); None if unknown."""
        for earlier in self.earlier_min_cacheable:
            if day < earlier.until:
                return earlier.tokens
        return self.min_cacheable_tokens

    def changes(self) -> set[datetime]:
        """Returns the moments at which a period, a window or a variant's listing begins or ends."""
        moments = {
            *((period.start, period.from_time) for period in self.periods),
            *((window.start, window.from_time) for window in self.windows),
            *((period.until, period.until_time) for period in self.periods),
            *((day, "00:00") for it in self.variants for day in (it.listed_from, it.listed_until)),
        }
        return {datetime.combine(day, time.fromisoformat(at), UTC) for day, at in moments if day is not None}

    def tiers(self) -> list[Tier]:
        """Returns the tiers of all periods, windows and variants."""
        return [
            *(tier for period in self.periods for tier in period.tiers),
            *(tier for window in self.windows for tier in window.tiers),
            *(tier for variant in self.variants for tier in variant.tiers),
        ]


class VendorPrices(Struct, frozen=True, forbid_unknown_fields=True):
    """The rows of one vendor, and the day they were checked."""

    vendor: str
    models: tuple[ModelRow, ...]
    as_of: date | None = None
    sources: dict[str, Source] = {}


_decoder = msgspec.json.Decoder(VendorPrices)


def own_prices(data: bytes) -> VendorPrices:
    """Returns the rows of a file in this package. The tests check them with `read_prices`, no process again."""
    return _decoder.decode(data)


def read_prices(data: bytes | Mapping[str, Any]) -> VendorPrices:
    """Returns the rows of a price file, given as JSON or decoded.

    Raises ConfigError that names the place of: an unknown member, a price that is not exact decimal text,
    overlapping periods or gaps, tiers out of order, an id given twice, an unknown source.
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
                raise ConfigError(place, f"the id {name!r} is empty or given twice: ids and aliases are unique")
            seen.add(name.lower())
        for source in model.sources:
            if vendor.sources and source not in vendor.sources:
                raise ConfigError(place, f"no source is called {source!r}: add it to `sources`")
        _check_model(place, model)
    return vendor


def _check_model(place: str, model: ModelRow) -> None:
    if not model.periods:
        raise ConfigError(place, "needs at least one period with prices")
    for number, period in enumerate(model.periods):
        _check_tiers(f"{place}.periods[{number}]", period.tiers)
        for clock in (period.from_time, period.until_time):
            if not _TIME.fullmatch(clock) or clock == "24:00":
                raise ConfigError(f"{place}.periods[{number}]", f"{clock[:20]!r} is not a time such as 16:00")
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
            raise ConfigError(f"{place}.periods[{number}]", "must begin when the period before it ends")
    for number, window in enumerate(model.windows):
        _check_tiers(f"{place}.windows[{number}]", window.tiers)
        if not all(_TIME.fullmatch(clock) for clock in window.utc) or window.utc[0] >= window.utc[1]:
            raise ConfigError(f"{place}.windows[{number}]", "utc must be a pair of times such as 01:00, 04:00")
        if not _TIME.fullmatch(window.from_time) or window.from_time == "24:00":
            raise ConfigError(f"{place}.windows[{number}]", "from_time must be a time such as 16:00")
        if any(_overlap(window, other) for other in model.windows[:number]):
            raise ConfigError(f"{place}.windows[{number}]", "overlaps an earlier window with the same `from`")
    for number, variant in enumerate(model.variants):
        where = f"{place}.variants[{number}]"
        if (variant.multiplier is None) == (not variant.tiers) or len(variant.when) != 1:
            raise ConfigError(where, "needs exactly one condition, and either a multiplier or tiers")
        if any(variant.when == other.when for other in model.variants[:number]):
            raise ConfigError(where, "has the same condition as an earlier variant")
        if any(value in PLAIN.get(name, ()) for name, value in variant.when.items()):
            raise ConfigError(where, "has the condition of the plain price: put that price into the tiers")
        if variant.multiplier is not None:
            _checked(where, "multiplier", variant.multiplier)
        else:
            _check_tiers(where, variant.tiers, complete=False)
    _check_factors(place, model)
    for name, fee in model.fees.items():
        _checked(f"{place}.fees", name, fee, per_request=True)


def _check_factors(place: str, model: ModelRow) -> None:
    """Raises ConfigError if some combination of terms gives a price that is not whole: `cost` would fail."""
    factors: dict[str, list[Fraction]] = {}
    for variant in model.variants:
        if variant.multiplier is not None:
            factors.setdefault(next(iter(variant.when)), [Fraction(1)]).append(Fraction(variant.multiplier))
    # If the greatest common divisor times a factor is whole, so is every price times that factor.
    common = gcd(*(femto_per_token(price) for tier in model.tiers() for price in _prices(tier)))
    for met in product(*factors.values()):
        if common * prod(met) % 1:
            shown = " and ".join(str(float(factor)) for factor in met if factor != 1)
            why = f"a price times {shown} is not a whole number of femto-dollars per token"
            raise ConfigError(f"{place}.variants", why)


def _prices(tier: Tier) -> list[str]:
    return [price for name in PRICES if (price := getattr(tier, name)) is not None]


def _overlap(one: Window, other: Window) -> bool:
    hours = one.utc[0] < other.utc[1] and other.utc[0] < one.utc[1]
    begin = (one.start, one.from_time) == (other.start, other.from_time)
    return hours and begin and not set(one.weekdays).isdisjoint(other.weekdays)


def _check_tiers(place: str, tiers: Sequence[Tier], *, complete: bool = True) -> None:
    if not tiers or tiers[0].above != 0:
        raise ConfigError(place, "the first tier must be the one above 0 tokens")
    if any(earlier.above >= later.above for earlier, later in pairwise(tiers)):
        raise ConfigError(place, "tiers must be in ascending order of `above`")
    for tier in tiers:
        if complete and tier.input is None:
            raise ConfigError(place, "every tier needs an input price")
        for name in PRICES:
            price: str | None = getattr(tier, name)
            if price is not None:
                _checked(place, name, price)


def _checked(place: str, name: str, price: str, *, per_request: bool = False) -> None:
    try:
        (femto_per_request if per_request else femto_per_token)(price)
    except ConfigError as error:
        raise ConfigError(f"{place}.{name}", error.why) from None
