"""rates_table: prices as an Arrow table, for joins in SQL."""

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from typing import Any

from nexusflow_core.costing.batch_columns import arrow
from nexusflow_core.costing.cost import moment_at
from nexusflow_core.costing.sums import last_moment, price_changes
from nexusflow_core.errors import UnknownModelError
from nexusflow_core.prices import MAX_PROMPT, PriceBook, Served

__all__ = ["rates_table"]

_TICK = timedelta(microseconds=1)
_RATES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "web_search")


def rates_table(
    at: datetime | date | str,
    until: datetime | date | str | None = None,
    *,
    models: Iterable[str] | None = None,
    service_tiers: Iterable[str | None] = (None,),
    book: PriceBook | None = None,
) -> Any:
    """Returns a pyarrow Table of prices, for a join in SQL. Needs pyarrow.

    A row holds for calls of its `model` with its `batch` (true or false) and its `service_tier`, with
    `valid_from` <= time < `valid_until`, and with a prompt above `above` and up to `up_to` tokens. Exactly one
    row holds for a call of a known model. `input`, `cache_read`, `cache_write_5m`, `cache_write_1h`, `output`
    and `web_search` are femto-dollars (10^-15 USD) per token or search, as int64; null if the model has none.

    `at`, `until`: the first and the last moment; a day means all of it. With `at` alone the prices are those of
    that moment, and `valid_until` is null. `models`: the names in your data, since SQL cannot read a cloud's
    name; None gives all ids. `service_tiers`: the tiers in your data, such as "priority" or "flex"; None is a
    call without one. Other terms (speed, region) are not in this table: use `cost_batch`.
    """
    pa, book = arrow(), book or PriceBook.builtin()
    first, last = moment_at(at), None if until is None else last_moment(until)
    if isinstance(service_tiers, str):
        raise TypeError(f"service_tiers: {service_tiers!r} is one tier; give a list of them")
    if models is None:
        models = [name for it in book.models() for name in (it.row.id, *it.row.aliases)]
    moment, number, text = pa.timestamp("us", "UTC"), pa.int64(), pa.string()
    schema = pa.schema(
        [
            ("model", text),
            ("vendor", text),
            ("batch", pa.bool_()),
            ("service_tier", text),
            ("valid_from", moment),
            ("valid_until", moment),
            ("above", number),
            ("up_to", number),
            *((name, number) for name in _RATES),
            ("price_row", text),
            ("price_layer", text),
            ("cost_flags", pa.list_(text)),
        ]
    )
    tiers = list(dict.fromkeys(service_tiers))
    rows = [
        row
        for name in dict.fromkeys(models)
        for batch in (False, True)
        for tier in tiers
        for row in _rows(name, batch, tier, first, last, book)
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def _rows(
    model: str, batch: bool, tier: str | None, first: datetime, last: datetime | None, book: PriceBook
) -> Iterator[dict[str, Any]]:
    """Yields the rows of a model, in order of time and size; none for an unknown model."""
    try:
        served = book.served[model, None, batch, tier, None, None, None, False, False]
    except UnknownModelError:  # no row is listed for it: its rows join with nothing
        return
    starts = price_changes(served, first, first if last is None else last)
    before, rows = None, list[dict[str, Any]]()
    for start in starts:
        prices = _by_size(served, start)
        if prices == before:  # an hour at which nothing changed
            continue
        for row in rows:
            yield {**row, "valid_until": start}
        before, vendor = prices, served.prices.vendor
        terms = {"model": model, "vendor": vendor, "batch": batch, "service_tier": tier}
        rows = [{**terms, "valid_from": start, **it} for it in prices]
    for row in rows:
        yield {**row, "valid_until": None if last is None else last + _TICK}


def _by_size(served: Served, at: datetime) -> list[dict[str, Any]]:
    """Returns the prices at a moment, by the size of the prompt; [] if the model has none then."""
    sizes = sorted(served.changes().sizes)
    rows = list[dict[str, Any]]()
    for above, up_to in zip([-1, *sizes], [*sizes, MAX_PROMPT], strict=True):
        beyond = above + 1 > served.window
        try:
            price = served.price(at, 0 if beyond else above + 1)
        except UnknownModelError:  # no price at that time
            return []
        flags = list(served.doubts(at))
        if beyond and served.price(at, above + 1) is not price:
            flags.append("tier_unknown")
        flags += price.flags
        members = {name: getattr(price, name) for name in _RATES}
        said = {"price_row": price.row, "price_layer": price.layer, "cost_flags": flags}
        rows.append({"above": above, "up_to": up_to, **members, **said})
    return rows
