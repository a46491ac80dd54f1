"""`nexusflow prices MODEL`: a model's prices, their dates and their sources."""

import argparse
import difflib
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime

from nexusflow_asgi.cli.book import (
    COLUMNS,
    add_book_argument,
    add_day_argument,
    all_tiers,
    book_of,
    day_of,
    rate,
)
from nexusflow_asgi.cli.check_prices import compare
from nexusflow_asgi.cli.table import printable, table, write
from nexusflow_core.errors import ConfigError, UnknownModelError
from nexusflow_core.prices import ModelPrices, Price, PriceBook
from nexusflow_core.prices.rows import Period, Tier, Variant, Window

__all__ = ["add_arguments", "run"]

_WIDTH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `nexusflow prices`."""
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help="a model's id, or `audit`, which compares all with genai-prices; without one, lists all models",
    )
    add_day_argument(parser)
    parser.add_argument("--vendor", help="the model's vendor (default: any vendor with that name)")
    add_book_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the prices. Returns 1 for an unknown model, else 0."""
    at: datetime = day_of(arguments)
    book = book_of(arguments)
    vendors = list(dict.fromkeys(model.vendor for model in book.models()))
    if arguments.vendor is not None and arguments.vendor not in vendors:
        raise ConfigError("", f"no vendor is called {arguments.vendor!r}; known are {', '.join(vendors)}")
    if arguments.model is None:
        write(_table(book, [arguments.vendor] if arguments.vendor else vendors))
        return 0
    verb = arguments.model in ("audit", "check")
    if verb and all(model.row.id != arguments.model for model in book.models()):
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


def _table(book: PriceBook, vendors: Sequence[str]) -> Iterator[str]:
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
        earlier = (f"{minimum.tokens:,} tokens until {minimum.until}" for minimum in row.earlier_min_cacheable)
        yield f"cacheable before: {', '.join(earlier)}"


def _in_force(book: PriceBook, model: ModelPrices, arguments: argparse.Namespace, at: datetime) -> list[str]:
    """Returns the lines of the prices that apply at `at`. Raises UnknownModelError."""
    sizes = {tier.above for tier in all_tiers(model)}
    prices: dict[str, Price] = {}
    for size in sorted(sizes):
        price = book.price(arguments.model, at, size + 1, vendor=arguments.vendor)
        prices.setdefault(price.row, price)
    columns = ["input", "output", "cache_read", "cache_write_5m", "cache_write_1h"]
    rows = [[row, *(rate(getattr(price, name)) for name in columns)] for row, price in prices.items()]
    return [
        f"in force at {at:%Y-%m-%d %H:%M} UTC, in USD per million tokens:",
        *table(["price row", *(COLUMNS[name] for name in columns)], rows),
    ]


def _tiers(tiers: Iterable[Tier]) -> str:
    return "; ".join(
        (f"above {tier.above:,}: " if tier.above else "")
        + ", ".join(f"{label} {price}" for name, label in COLUMNS.items() if (price := getattr(tier, name)))
        for tier in tiers
    )


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
