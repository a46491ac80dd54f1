"""`nexusflow check-prices`: every price beside that of genai-prices; nothing is fetched."""

import argparse
from datetime import UTC, datetime

from nexusflow_asgi.cli.prices import add_book_argument, book_of, compare, moment

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `nexusflow check-prices`."""
    parser.add_argument(
        "--at", type=moment, metavar="DATE", help="the day, UTC, or a time with its zone (default: now)"
    )
    add_book_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints each difference; returns 1 where there is one, 2 where genai-prices is not installed."""
    return compare(book_of(arguments), arguments.at or datetime.now(UTC))
