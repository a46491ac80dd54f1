"""`nexusflow prices MODEL`: a model's prices, their dates and their sources; `check-prices` compares them."""

import argparse
import difflib
import importlib.metadata
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from nexusflow_asgi.cli.table import printable, table, write
from nexusflow_asgi.settings import extended_by_file
from nexusflow_core.errors import ConfigError, UnknownModelError
from nexusflow_core.logs import NotAnEntryError, read_moment
from nexusflow_core.prices import ModelPrices, Price, PriceBook
from nexusflow_core.prices.rows import PRICES, Period, Tier, Variant, Window

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

__all__ = ["add_arguments", "add_book_argument", "book_of", "compare", "moment", "run"]

_COLUMNS = {name: name.replace("cache_", "").replace("_", " ") for name in PRICES}
_WIDTH = 100

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
    """Adds the arguments of `nexusflow prices`."""
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help="a model's id; without one, lists all models",
    )
    parser.add_argument(
        "--at", type=moment, metavar="DATE", help="the day, UTC, or a time with its zone (default: now)"
    )
    parser.add_argument("--vendor", help="the model's vendor (default: any vendor with that name)")
    add_book_argument(parser)


def add_book_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--prices FILE`, for commands that price."""
    parser.add_argument(
        "--prices",
        action="append",
        metavar="FILE",
        help="your own prices, which replace built-in ones",
    )


def book_of(arguments: argparse.Namespace) -> PriceBook:
    """Returns the built-in prices, overridden by those of `--prices`. Raises ConfigError."""
    book = PriceBook.builtin()
    for path in arguments.prices or ():
        book = extended_by_file(book, path)
    return book


def moment(text: str) -> datetime:
    """Returns the UTC moment of an argument. Raises ArgumentTypeError."""
    try:
        return read_moment(text)
    except NotAnEntryError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(arguments: argparse.Namespace) -> int:
    """Prints the prices. Returns 1 for an unknown model, else 0."""
    at: datetime = arguments.at or datetime.now(UTC)
    book = book_of(arguments)
    vendors = list(dict.fromkeys(model.vendor for model in book.models()))
    if arguments.vendor is not None and arguments.vendor not in vendors:
        raise ConfigError("", f"no vendor is called {arguments.vendor!r}; known are {', '.join(vendors)}")
    if arguments.model is None:
        write(_list(book, [arguments.vendor] if arguments.vendor else vendors))
        return 0
    if arguments.model == "check" and all(model.row.id != "check" for model in book.models()):
        return compare(book, at)
    try:
        found = book.find(arguments.model, arguments.vendor)
    except UnknownModelError as error:
        print(f"nexusflow: {printable(str(error))}", file=sys.stderr)
        if close := _suggestions(book, arguments.model, arguments.vendor):
            print(f"names that look similar: {', '.join(close)}", file=sys.stderr)
        return 1
    status = 0
    try:
        in_force = _in_force(book, found, arguments, at)
    except UnknownModelError as error:
        in_force, status = [printable(str(error))], 1
    write(_describe(found, in_force))
    return status


def _suggestions(book: PriceBook, name: str, vendor: str | None) -> list[str]:
    ids = {
        id.lower(): id
        for model in book.models()
        if vendor in (None, model.vendor)
        for id in (model.row.id, *model.row.aliases)
    }
    return [ids[id] for id in difflib.get_close_matches(name.lower()[:200], ids, n=3)]


# Printing


def _list(book: PriceBook, vendors: Sequence[str]) -> Iterator[str]:
    for vendor in vendors:
        models = [model.row for model in book.models() if model.vendor == vendor]
        ids = sorted(row.id for row in models if row.status != "retired")
        retired = len(models) - len(ids)
        yield f"{vendor}: {len(ids)} models" + (f", and {retired} retired ones" if retired else "")
        yield from textwrap.wrap(
            ", ".join(ids), _WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
        )


def _describe(model: ModelPrices, in_force: Sequence[str]) -> Iterator[str]:
    row = model.row
    yield f"{model.vendor}/{row.id}" + ("" if model.layer == "builtin" else f", from {printable(model.layer)}")
    yield from _limits(model)
    if row.aliases:
        yield f"aliases: {', '.join(row.aliases)}"
    yield ""
    yield from in_force
    for title, lines in (
        ("terms that change the price", map(_variant, row.variants)),
        ("hours with other prices", map(_window, row.windows)),
        ("fees", (f"{name.replace('_', ' ')}: {fee} USD" for name, fee in row.fees.items())),
        ("history", map(_period, row.periods)),
        ("sources", map(str, _sources(model))),
        ("notes", row.notes),
    ):
        if listed := list(lines):
            yield ""
            yield f"{title}:"
            yield from (f"  {printable(line)}" for line in listed)
    yield ""
    checked = f", checked {model.as_of}" if model.as_of else ""
    yield f"confidence: {row.confidence}{checked}"


def _limits(model: ModelPrices) -> Iterator[str]:
    row = model.row
    dates = {
        "released": row.released,
        "deprecated since": row.deprecated_since,
        "retires not before": row.retires_not_before,
        "retires on": row.retires_on,
        "retired on": row.retired_on,
    }
    yield ", ".join([row.status, *(f"{what} {day}" for what, day in dates.items() if day)])
    limits = {
        "context": row.context_window,
        "context in a beta": row.beta_context_window,
        "output at most": row.max_output,
        "cacheable from": row.min_cacheable_tokens,
    }
    if known := [f"{what} {count:,} tokens" for what, count in limits.items() if count is not None]:
        yield ", ".join(known)
    if row.earlier_min_cacheable:
        earlier = (f"{it.tokens:,} tokens until {it.until}" for it in row.earlier_min_cacheable)
        yield f"cacheable before: {', '.join(earlier)}"


def _in_force(book: PriceBook, model: ModelPrices, arguments: argparse.Namespace, at: datetime) -> list[str]:
    """Returns the lines of the prices that apply at `at`. Raises UnknownModelError."""
    sizes = {tier.above for tier in _all_tiers(model)}
    prices: dict[str, Price] = {}
    for size in sorted(sizes):
        price = book.price(arguments.model, at, size + 1, vendor=arguments.vendor)
        prices.setdefault(price.row, price)
    columns = ["input", "output", "cache_read", "cache_write_5m", "cache_write_1h"]
    rows = [[row, *(_rate(getattr(price, name)) for name in columns)] for row, price in prices.items()]
    return [
        f"in force at {at:%Y-%m-%d %H:%M} UTC, in USD per million tokens:",
        *table(["price row", *(_COLUMNS[name] for name in columns)], rows),
    ]


def _rate(femto_per_token: int | None) -> str:
    return "-" if femto_per_token is None else f"{(Decimal(femto_per_token) / 10**9).normalize():f}"


def _tiers(tiers: Iterable[Tier]) -> str:
    return "; ".join(
        (f"above {tier.above:,}: " if tier.above else "")
        + ", ".join(f"{label} {price}" for name, label in _COLUMNS.items() if (price := getattr(tier, name)))
        for tier in tiers
    )


def _all_tiers(model: ModelPrices) -> list[Tier]:
    """Returns the tiers of all periods and windows."""
    tiers = [tier for period in model.row.periods for tier in period.tiers]
    return tiers + [tier for window in model.row.windows for tier in window.tiers]


def _days(start: date | None, until: date | None) -> str:
    return " ".join(f"{word} {day}" for word, day in (("from", start), ("until before", until)) if day)


def _variant(variant: Variant) -> str:
    when = ", ".join(f"{name} {value}" for name, value in variant.when.items())
    change = f"all tokens x {variant.multiplier}" if variant.multiplier else _tiers(variant.tiers)
    listed = _days(variant.listed_from, variant.listed_until)
    return f"{when}: {change}" + (f" (listed {listed})" if listed else "") + _aside(variant.note)


def _window(window: Window) -> str:
    when = f"{window.utc[0]} to {window.utc[1]} UTC on {' '.join(window.weekdays)}"
    hour = "" if window.from_time == "00:00" else f" {window.from_time} UTC"
    return f"{when} {_days(window.start, None)}{hour}".rstrip() + f": {_tiers(window.tiers)}"


def _period(period: Period) -> str:
    ends = (("from", period.start, period.from_time), ("until before", period.until, period.until_time))
    hours = {word: f" {clock} UTC" if clock != "00:00" else "" for word, _, clock in ends}
    days = " ".join(f"{word} {day}{hours[word]}" for word, day, _ in ends if day)
    return f"{days or 'always'}: {_tiers(period.tiers)}"


def _sources(model: ModelPrices) -> Iterator[str]:
    for name in model.row.sources:
        source = model.sources.get(name)
        if source is None:
            yield name
        else:
            seen = f", seen {source.seen}" if source.seen else ""
            yield f"{source.name}{seen}" + (f": {source.url}" if source.url else "")


def _aside(note: str) -> str:
    return f" ({note})" if note else ""


# Comparing


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
    tiers = _all_tiers(model)
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
                    f"{model.vendor}/{model.row.id}{same}, {_COLUMNS[name]}{size}: "
                    f"{_rate(here)} here, {'-' if there is None else f'{there:f}'} there"
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
