"""Turns a row into the integer prices of one kind of request, with every factor folded in."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from fractions import Fraction

from msgspec import Struct
from msgspec.structs import replace

from nexusflow_core.prices.price import Price, femto_per_request, femto_per_token
from nexusflow_core.prices.rows import PRICES, WEEKDAYS, ModelRow, Tier, Variant, Window

__all__ = ["Folded", "Terms", "fold"]

Bracket = tuple[int, Price]  # the price, and the prompt tokens above which it applies

_STANDARD = {
    "service_tier": {"standard", "default", "auto", "on_demand", "provisioned", "batch"},
    "speed": {"standard"},
    "inference_geo": {"global", "not_available"},
    "endpoint": {"global", "regional"},
    "processing": set[str](),
}
"""Values that an answer may carry at the plain price. Any other value without a variant is flagged."""


class Terms(Struct, frozen=True):
    """How a request was served, as the answer or the caller states it."""

    batch: bool = False
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None
    endpoint: str | None = None
    explicit_cache: bool = False
    thinking: bool = False

    def conditions(self) -> dict[str, str]:
        """Returns the stated values that variants depend on, by name."""
        named = {
            "processing": "batch" if self.batch or self.service_tier == "batch" else None,
            "service_tier": self.service_tier,
            "speed": self.speed,
            "inference_geo": self.inference_geo,
            "endpoint": self.endpoint,
        }
        return {name: value for name, value in named.items() if value is not None}


class _Span(Struct, frozen=True):
    start: datetime | None
    until: datetime | None
    brackets: tuple[Bracket, ...]


class _Hours(Struct, frozen=True):
    start: datetime | None
    opens: str
    closes: str
    weekdays: tuple[str, ...]
    brackets: tuple[Bracket, ...]


class Folded(Struct, frozen=True):
    """A row under given terms: all its possible prices, by moment and prompt size."""

    spans: tuple[_Span, ...]
    hours: tuple[_Hours, ...]
    only: tuple[Bracket, ...] | None
    """The brackets, if neither day nor hour matters."""
    listed: tuple[tuple[datetime | None, datetime | None], ...]
    """The days (from, until) between which a source lists an applied variant. None is open."""
    varied: bool
    """True if any variant applies."""

    def brackets(self, at: datetime) -> tuple[Bracket, ...] | None:
        """Returns the brackets at `at`, or None if the row has no price then."""
        if self.only is not None:
            return self.only
        moment = at if at.tzinfo is UTC else at.astimezone(UTC)
        for hours in self.hours:
            clock, weekday = moment.strftime("%H:%M"), WEEKDAYS[moment.weekday()]
            begun = hours.start is None or moment >= hours.start
            if begun and weekday in hours.weekdays and hours.opens <= clock < hours.closes:
                return hours.brackets
        for span in self.spans:
            if (span.start is None or moment >= span.start) and (span.until is None or moment < span.until):
                return span.brackets
        return None

    def outside_listing(self, at: datetime) -> bool:
        """True if a variant applies on a day on which no source lists it."""
        return any((start and at < start) or (until and at >= until) for start, until in self.listed)


def fold(vendor: str, layer: str, row: ModelRow, terms: Terms) -> Folded:
    """Returns every price of a row under these terms."""
    matching, flags = _variants(row.variants, terms.conditions())
    if row.confidence == "uncertain":
        flags = (*flags, "uncertain_price")
    suffix = "".join(f"+{value}" for variant in matching for value in variant.when.values())

    def brackets(name: str, tiers: Sequence[Tier]) -> tuple[Bracket, ...]:
        return tuple(
            (
                above,
                _price(
                    _at_size(tiers, above),
                    matching,
                    above,
                    terms,
                    fee=row.fees.get("web_search_per_1000"),
                    row=f"{vendor}/{row.id}{name}{f'>{above}' if above else ''}{suffix}",
                    layer=layer,
                    flags=flags,
                ),
            )
            for above in sorted(
                {tier.above for source in (tiers, *(v.tiers for v in matching)) for tier in source}
            )
        )

    spans = tuple(
        _Span(
            _moment(period.start, period.from_time),
            _moment(period.until, period.until_time),
            brackets(_begin(period.start, period.from_time), period.tiers),
        )
        for period in row.periods
    )
    hours = tuple(
        _Hours(
            _moment(w.start, w.from_time),
            *w.utc,
            w.weekdays,
            _at_hours(w, brackets(f"{_day(w.start)}T{w.utc[0]}", w.tiers)),
        )
        for w in sorted(row.windows, key=lambda w: (w.start or date.min, w.from_time), reverse=True)
    )
    always = len(spans) == 1 and not hours and spans[0].start is None and spans[0].until is None
    listed = tuple(
        (_midnight(variant.listed_from), _midnight(variant.listed_until))
        for variant in matching
        if variant.listed_from or variant.listed_until
    )
    return Folded(spans, hours, spans[0].brackets if always else None, listed, bool(matching))


def _at_hours(window: Window, brackets: tuple[Bracket, ...]) -> tuple[Bracket, ...]:
    """Returns the brackets of a window, flagged if it has working days: no price file lists holidays."""
    if len(window.weekdays) == len(WEEKDAYS):
        return brackets
    return tuple((above, replace(price, flags=(*price.flags, "holidays_unknown"))) for above, price in brackets)


def _variants(
    variants: Sequence[Variant], conditions: Mapping[str, str]
) -> tuple[list[Variant], tuple[str, ...]]:
    """Returns the variants that match the conditions, and a flag for each condition without a price."""
    matching = [v for v in variants if all(conditions.get(name) == value for name, value in v.when.items())]
    known = {name for variant in matching for name in variant.when}
    unpriced = [
        f"unpriced_{name}:{value[:40]}"
        for name, value in conditions.items()
        if name not in known and value not in _STANDARD[name]
    ]
    if "processing" in known and not known.isdisjoint(("service_tier", "speed")):
        unpriced.append("terms_combined")  # no vendor sells a batch that is also fast or of another tier
    return matching, tuple(unpriced)


def _at_size(tiers: Sequence[Tier], above: int) -> Tier:
    return [tier for tier in tiers if tier.above <= above][-1]


def _price(
    tier: Tier,
    variants: Sequence[Variant],
    above: int,
    terms: Terms,
    *,
    fee: str | None,
    row: str,
    layer: str,
    flags: tuple[str, ...],
) -> Price:
    texts: dict[str, str | None] = {name: getattr(tier, name) for name in PRICES}
    factor = Fraction(1)
    for variant in variants:
        if variant.multiplier is not None:
            factor *= Fraction(variant.multiplier)
        else:
            own = _at_size(variant.tiers, above)
            texts |= {name: price for name in PRICES if (price := getattr(own, name)) is not None}
    rates = {name: _times(text, factor) for name, text in texts.items() if text is not None}
    read = rates.get("cache_read", rates["input"])
    write = rates.get("cache_write_5m", rates["input"])
    output = rates.get("output")
    return Price(
        input=rates["input"],
        cache_read=rates.get("cache_read_explicit", read) if terms.explicit_cache else read,
        cache_write_5m=write,
        cache_write_1h=rates.get("cache_write_1h", write),
        output=rates.get("output_thinking", output) if terms.thinking else output,
        web_search=None if fee is None else femto_per_request(fee),
        row=row,
        layer=layer,
        flags=flags,
    )


def _times(text: str, factor: Fraction) -> int:
    """Returns femto-dollars a token. The product is whole: `read_prices` has checked every factor and price."""
    return (femto_per_token(text) * factor).numerator


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), UTC)


def _moment(day: date | None, clock: str) -> datetime | None:
    return None if day is None else datetime.combine(day, time.fromisoformat(clock), UTC)


def _begin(day: date | None, clock: str) -> str:
    """Returns the start of a period, as price row names show it."""
    return _day(day) + (f"T{clock}" if clock != "00:00" else "")


def _day(day: date | None) -> str:
    return "" if day is None else f"@{day}"
