"""`nexusflow check-prices`: compares every price with the installed genai-prices, without network access."""

import argparse
import importlib.metadata
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from nexusflow_asgi.cli.book import (
    COLUMNS,
    add_book_argument,
    add_day_argument,
    all_tiers,
    book_of,
    day_of,
    rate,
)
from nexusflow_asgi.cli.table import write
from nexusflow_core.errors import UnknownModelError
from nexusflow_core.prices import ModelPrices, PriceBook

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

__all__ = ["add_arguments", "compare", "run"]

_THEIR_VENDORS = {"moonshot": "moonshotai", "xai": "x-ai"}  # other names are the same; alibaba is missing there
_THEIR_PRICES = {
    "input": ("input_mtok",),
    "cache_read": ("cache_read_mtok", "input_mtok"),
    "cache_write_5m": ("cache_write_mtok", "input_mtok"),
    "cache_write_1h": ("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
    "output": ("output_mtok",),
}
"""Our bucket, and theirs. If theirs has no price, its tokens are billed as the next one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `nexusflow check-prices`."""
    add_day_argument(parser)
    add_book_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints each difference. Returns 1 if there is one, 2 if genai-prices is not installed, else 0."""
    return compare(book_of(arguments), day_of(arguments))


def compare(book: PriceBook, at: datetime) -> int:
    """Prints every difference from the installed genai-prices, without network access.

    Returns 1 if a price differs, 2 if genai-prices is not installed, else 0.
    """
    try:
        from genai_prices.data import providers
    except ImportError:
        print("nexusflow: check-prices needs genai-prices: pip install genai-prices", file=sys.stderr)
        return 2
    theirs = {provider.id: provider for provider in providers}
    lines: list[str] = []
    compared, differing, unknown, unknown_here = 0, 0, list[str](), 0
    for vendor in dict.fromkeys(model.vendor for model in book.models()):
        provider = theirs.get(_THEIR_VENDORS.get(vendor, vendor))
        ours = [model for model in book.models() if model.vendor == vendor]
        pairs = _pairs(book, ours, provider)
        known = {model.row.id for model, _ in pairs}
        unknown += [f"{vendor}/{model.row.id}" for model in ours if model.row.id not in known]
        matched = {id(info) for _, info in pairs}
        unknown_here += sum(id(info) not in matched for info in provider.models) if provider else 0
        for model, info in pairs:
            found = list(_differences(book, model, info, at))
            compared += 1
            differing += bool(found)
            lines += found
    version = importlib.metadata.version("genai-prices")
    what = f"{compared} models compared with genai-prices {version} at {at:%Y-%m-%d %H:%M} UTC"
    lines.append(f"{what}, {differing} differ")
    lines.append(f"{len(unknown)} of ours are unknown there: {', '.join(unknown)}")
    lines.append(f"{unknown_here} of theirs are unknown here")
    write(lines)
    return 1 if differing else 0


def _pairs(
    book: PriceBook, ours: Sequence[ModelPrices], provider: "Provider | None"
) -> "list[tuple[ModelPrices, ModelInfo]]":
    """Returns pairs of a vendor's models: either book finds one by the other's id."""
    if provider is None:
        return []
    pairs: dict[tuple[str, int], Any] = {}
    for model in ours:
        if (info := provider.find_model(model.row.id)) is not None:
            pairs[model.row.id, id(info)] = model, info
    for info in provider.models:
        try:
            model = book.find(info.id, ours[0].vendor)
        except UnknownModelError:
            continue
        # A match by our own id goes first: their id may be an alias that now means a newer model.
        if not any(row == model.row.id for row, _ in pairs):
            pairs[model.row.id, id(info)] = model, info
    return list(pairs.values())


def _differences(book: PriceBook, model: ModelPrices, info: "ModelInfo", at: datetime) -> Iterator[str]:
    their_prices = info.get_prices(at)
    tiers = all_tiers(model)
    listed = {name for name in _THEIR_PRICES for tier in tiers if getattr(tier, name) is not None}
    sizes = {0, *(tier.above for tier in tiers)}
    sizes |= {tier.start for names in _THEIR_PRICES.values() for tier in _tiered(their_prices, names[0])}
    for above in sorted(sizes):
        try:
            price = book.price(model.row.id, at, above + 1, vendor=model.vendor)
        except UnknownModelError as error:
            yield f"{model.vendor}/{model.row.id}: {error}"
            return
        for name, names in _THEIR_PRICES.items():
            if name not in listed and getattr(their_prices, names[0]) is None:
                continue
            here = getattr(price, name)
            there = _their_price(their_prices, names, above + 1)
            there_femto = None if there is None else there * 10**9
            if here != there_femto:
                size = f", prompt of {above + 1:,}" if above else ""
                same = "" if info.id == model.row.id else f" (their {info.id})"
                yield (
                    f"{model.vendor}/{model.row.id}{same}, {COLUMNS[name]}{size}: "
                    f"{rate(here)} here, {'-' if there is None else f'{there:f}'} there"
                )


def _tiered(prices: "ModelPrice", name: str) -> Sequence[Any]:
    return getattr(getattr(prices, name), "tiers", ())


def _their_price(prices: "ModelPrice", names: Sequence[str], prompt_tokens: int) -> Decimal | None:
    for name in names:
        price = getattr(prices, name)
        if price is None:
            continue
        base: Decimal = getattr(price, "base", price)
        for tier in _tiered(prices, name):
            if prompt_tokens > tier.start:
                base = tier.price
        return base
    return None
