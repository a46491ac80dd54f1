"""The price book of a command: its arguments, and how its prices are written."""

import argparse
from datetime import UTC, datetime
from decimal import Decimal

from nexusflow_asgi.settings import extended_by_file, with_genai_prices
from nexusflow_core.logs import NotAnEntryError, read_moment
from nexusflow_core.prices import ModelPrices, PriceBook
from nexusflow_core.prices.rows import PRICES, Tier

__all__ = [
    "COLUMNS",
    "add_book_argument",
    "add_day_argument",
    "all_tiers",
    "book_of",
    "day_of",
    "moment",
    "rate",
]

COLUMNS = {name: name.replace("cache_", "").replace("_", " ") for name in PRICES}
"""The title of each kind of price."""


def add_book_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--prices FILE`, for commands that price."""
    parser.add_argument(
        "--prices",
        action="append",
        metavar="FILE",
        help="your own prices, which replace built-in ones",
    )
    parser.add_argument(
        "--genai-prices",
        action="store_true",
        help="prices of further models from the installed package genai-prices",
    )


def add_day_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--at DATE`, for commands that show the prices of a day."""
    parser.add_argument(
        "--at", type=moment, metavar="DATE", help="the day, UTC, or a time with its zone (default: now)"
    )


def book_of(arguments: argparse.Namespace) -> PriceBook:
    """Returns the built-in prices, overridden by those of `--prices`. Raises ConfigError."""
    book = with_genai_prices(PriceBook.builtin()) if arguments.genai_prices else PriceBook.builtin()
    for path in arguments.prices or ():
        book = extended_by_file(book, path)
    return book


def day_of(arguments: argparse.Namespace) -> datetime:
    """Returns the moment of `--at`, or now."""
    at: datetime | None = arguments.at
    return at or datetime.now(UTC)


def moment(text: str) -> datetime:
    """Returns the UTC moment of an argument. Raises ArgumentTypeError."""
    try:
        return read_moment(text)
    except NotAnEntryError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def all_tiers(model: ModelPrices) -> list[Tier]:
    """Returns the tiers of all periods and windows."""
    tiers = [tier for period in model.row.periods for tier in period.tiers]
    return tiers + [tier for window in model.row.windows for tier in window.tiers]


def rate(femto_per_token: int | None) -> str:
    """Returns a price in USD per million tokens; "-" for none."""
    return "-" if femto_per_token is None else f"{(Decimal(femto_per_token) / 10**9).normalize():f}"
