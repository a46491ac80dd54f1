"""cost_of_sum: the cost of counts that are a sum over many requests, where that is defined."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from msgspec.structs import replace

from nexusflow_core.costing.amounts import Cost
from nexusflow_core.costing.cost import cost, moment_at
from nexusflow_core.errors import InvalidUsageError
from nexusflow_core.prices import Price, PriceBook, Served
from nexusflow_core.usage import Usage, exact

__all__ = ["cost_of_sum", "last_moment", "price_changes"]

_TICK = timedelta(microseconds=1)
_DAY = timedelta(days=1)
_BUCKETS = {
    "input_tokens": "input",
    "cache_read_tokens": "cache_read",
    "cache_write_5m_tokens": "cache_write_5m",
    "cache_write_1h_tokens": "cache_write_1h",
    "output_tokens": "output",
    "web_searches": "web_search",
}


def cost_of_sum(
    usage: Usage,
    *,
    model: str,
    at: datetime | date | str,
    until: datetime | date | str | None = None,
    book: PriceBook | None = None,
    vendor: str | None = None,
    batch: bool = False,
    endpoint: str | None = None,
    explicit_cache: bool = False,
) -> Cost:
    """Returns the cost of a usage that adds up many requests of one model.

    They ran from `at` to `until`, inclusive; a day means all of it. Without `until`, `at` is a day or a moment.

    Raises InvalidUsageError if the sum has more than one possible cost: some request may have had another
    price, by its size, its hour or its day. Price the requests first, and add up their costs. Raises otherwise
    as `cost`.
    """
    book = book or PriceBook.builtin()
    first, last = moment_at(at), last_moment(at if until is None else until)
    if last < first:
        raise ValueError(f"until: {until} is before {at}")
    terms: dict[str, Any] = {"vendor": vendor, "batch": batch, "endpoint": endpoint}
    terms["explicit_cache"] = explicit_cache
    found = cost(usage, model=model, at=last, book=book, many_requests=True, unknown="error", **terms)
    usage = exact(usage)
    if usage.reported_femto_usd is not None:
        return found
    if usage.iterations:
        raise InvalidUsageError("impossible usage: a sum over requests has no iterations of its own")
    thought = usage.thinking or usage.reasoning_tokens > 0
    explicit = explicit_cache or usage.explicit_cache
    tier, speed, geo = usage.service_tier, usage.speed, usage.inference_geo
    served = book.served[model, vendor, batch, tier, speed, geo, endpoint, explicit, thought]
    _check(usage, served, first, last)
    unknown = ("tier_unknown", "hours_unknown")  # no other price was possible
    return replace(found, flags=tuple(flag for flag in found.flags if flag not in unknown))


def last_moment(until: datetime | date | str) -> datetime:
    """Returns the last moment that `until` means: of a day its last microsecond, in UTC."""
    moment = moment_at(until)
    is_day = len(until) <= 10 if isinstance(until, str) else not isinstance(until, datetime)
    return moment + _DAY - _TICK if is_day else moment


def price_changes(served: Served, first: datetime, last: datetime) -> list[datetime]:
    """Returns `first`, and each later moment up to `last` at which the price may change."""
    changes = served.changes()
    moments = {first, *(moment for moment in changes.moments if first < moment <= last)}
    clocks = {clock for window in changes.windows for clock in window.utc}
    day = datetime.combine(first.astimezone(UTC).date(), time(), UTC)
    while clocks and day <= last:
        at_clocks = (day + timedelta(hours=int(clock[:2]), minutes=int(clock[3:])) for clock in clocks)
        moments.update(moment for moment in at_clocks if first < moment <= last)
        day += _DAY
    return sorted(moments)


def _check(usage: Usage, served: Served, first: datetime, last: datetime) -> None:
    """Raises InvalidUsageError if a request of this sum may have had another price than the rest."""
    used = [member for name, member in _BUCKETS.items() if getattr(usage, name)]
    size = usage.prompt_tokens
    sizes = [0, *(above + 1 for above in sorted(served.changes().sizes) if above < min(size, served.window))]
    prices = {"": served.price(last, 0)}
    for why, price in _prices(served, first, last, sizes):
        prices.setdefault(why, price)
        if any(getattr(price, member) != getattr(prices[""], member) for member in used):
            raise InvalidUsageError(
                f"the cost of this sum is undefined: {served.prices.row.id} has another price {why}; price each"
                " request, then add up the costs"
            )


def _prices(served: Served, first: datetime, last: datetime, sizes: list[int]) -> Iterator[tuple[str, Price]]:
    for moment in price_changes(served, first, last):
        for size in sizes:
            why = f"above {size - 1:,} prompt tokens" if size else f"at {moment:%Y-%m-%d %H:%M}"
            yield why, served.price(moment, size)
