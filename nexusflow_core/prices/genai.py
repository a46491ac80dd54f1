"""The prices of the package genai-prices, in the form of our price files.

Nothing is guessed: a model whose price has a part that our rows lack (a fee per request, hours of a day) is
left out. Models are found by their exact id, not by the package's patterns.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from nexusflow_core.errors import ConfigError
from nexusflow_core.prices.rows import read_prices
from nexusflow_core.untyped import is_list, object_of

__all__ = ["LAYER", "vendor_files"]

LAYER = "genai-prices"
"""The layer that costs at these prices name."""

_VENDORS = {"moonshotai": "moonshot", "x-ai": "xai"}
"""Vendors that have another name here."""

_PRICES = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write_5m",
    "cache_write_1h_mtok": "cache_write_1h",
}
_WEB_SEARCH = "web_searches_kcount"
_OF_OTHER_INPUT = ("audio", "image", "video", "storage_searches", "document")
"""Parts of a price that our usage flags, or does not count: the rest of the price is still right."""

_TERMS = {"processing", "service_tier", "speed"}
_EVER = datetime(2000, 1, 1, tzinfo=UTC)


def vendor_files(providers: Sequence[Any], version: str) -> Iterator[dict[str, Any]]:
    """Yields a price file per provider of genai-prices, checked. `version` is the package's."""
    source = {"name": f"genai-prices {version}"}
    for provider in providers:
        vendor = _VENDORS.get(provider.id, provider.id)
        models = list[dict[str, Any]]()
        taken = set[str]()
        for info in provider.models:
            row = _row(info)
            if row is None or row["id"].lower() in taken:
                continue
            file = {"vendor": vendor, "models": [row], "sources": {LAYER: source}}
            try:
                read_prices(file)
            except ConfigError:  # a price finer than a femto-dollar, or dates out of order
                continue
            taken.add(row["id"].lower())
            models.append(row)
        if models:
            yield {"vendor": vendor, "models": models, "sources": {LAYER: source}}


def _row(info: Any) -> dict[str, Any] | None:
    """Returns a model as a row, or None if our rows cannot have its price."""
    starts = [_EVER]
    for price in info.prices if is_list(info.prices) else ():
        start = getattr(price.constraint, "start_date", None)
        if price.constraint is not None and not isinstance(start, date):
            return None  # a time of day
        starts += [datetime.combine(start, time(), UTC)] if start else []
    periods = list[dict[str, Any]]()
    fees: dict[str, str] = {}
    for number, start in enumerate(starts := sorted(set(starts))):
        prices = _parts(info.get_prices(start))
        fee: Any = prices.pop(_WEB_SEARCH, None)
        tiers = _tiers(prices)
        if tiers is None or is_list(fee):
            return None
        if fee is not None:
            fees = {"web_search_per_1000": _text(getattr(fee, "base", fee))}
        period: dict[str, Any] = {"tiers": tiers}
        if number:
            period["from"] = str(start.date())
        if number + 1 < len(starts):
            period["until"] = str(starts[number + 1].date())
        periods.append(period)
    window = info.context_window
    return {
        "id": info.id,
        "periods": periods,
        "fees": fees,
        "variants": _variants(info),
        "sources": [LAYER],
        **({"context_window": window} if isinstance(window, int) else {}),
    }


def _parts(prices: Any) -> dict[str, Any]:
    return {name: price for name, price in object_of(vars(prices)).items() if price is not None}


def _variants(info: Any) -> list[dict[str, Any]]:
    """Returns the prices of batches, service tiers and speeds. Answers with other terms get a flag."""
    variants = list[dict[str, Any]]()
    for variant in info.price_variants or ():
        own = _parts(variant.prices)
        own.pop(_WEB_SEARCH, None)
        tiers = _tiers(own)
        twice = any(other["when"] == variant.when for other in variants)
        priced = set(variant.when) <= _TERMS and "default" not in variant.when.values()
        if len(variant.when) == 1 and priced and tiers is not None and not twice:
            start = getattr(variant.constraint, "start_date", None)
            listed = {"listed_from": str(start)} if start else {}
            variants.append({"when": dict(variant.when), "tiers": tiers, **listed})
    return variants


def _tiers(prices: dict[str, Any]) -> list[dict[str, Any]] | None:
    known = {ours: prices[theirs] for theirs, ours in _PRICES.items() if theirs in prices}
    others = [name for name in prices if name not in _PRICES and not _is_of_other_input(name)]
    if others or "input" not in known:
        return None
    sizes = sorted({0, *(tier.start for price in known.values() for tier in getattr(price, "tiers", ()))})
    return [
        {"above": size, **{name: _text(_at(price, size)) for name, price in known.items()}} for size in sizes
    ]


def _is_of_other_input(name: str) -> bool:
    return any(word in name for word in _OF_OTHER_INPUT) and "reasoning" not in name


def _at(price: Any, above: int) -> Decimal:
    found: Decimal = getattr(price, "base", price)
    for tier in getattr(price, "tiers", ()):
        if above >= tier.start:
            found = tier.price
    return found


def _text(price: Decimal) -> str:
    return f"{price.normalize():f}"
