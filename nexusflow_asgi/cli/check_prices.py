"""`nexusflow check-prices`: compares every price with the installed genai-prices, without network access."""

import argparse
from datetime import UTC, datetime

from nexusflow_asgi.cli.prices import add_book_argument, book_of, compare, moment

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `nexusflow check-prices`."""
    parser.add_argument(
        "--at", type=moment, metavar="DATE", help="the day, UTC, or a time with its zone (default: now)"
    )
    add_book_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints each difference. Returns 1 if there is one, 2 if genai-prices is not installed, else 0."""
    return compare(book_of(arguments), arguments.at or datetime.now(UTC))
