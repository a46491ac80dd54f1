"""`nexusflow cost FILE...`: adds up the costs of the calls in logs and ledgers, in groups."""

import argparse
import functools
import sys
from datetime import UTC
from typing import get_args

from nexusflow_asgi.cli.book import add_book_argument, book_of, moment
from nexusflow_asgi.cli.cost.counting import Counting, Progress
from nexusflow_asgi.cli.cost.follow import follow
from nexusflow_asgi.cli.cost.page import page
from nexusflow_asgi.cli.cost.period import Period, mapping, zone
from nexusflow_asgi.cli.cost.sums import write_sums
from nexusflow_asgi.cli.html import write_page
from nexusflow_asgi.cli.log_files import Reading, add_files_argument, log_files
from nexusflow_core.errors import ConfigError
from nexusflow_core.logs import IMPORTERS
from nexusflow_core.logs.report import CostReport
from nexusflow_core.logs.summary import METADATA, By, Summary

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `nexusflow cost`."""
    add_files_argument(
        parser, "logs of any known format, or folders of them; - or no file reads standard input"
    )
    parser.add_argument(
        "--by",
        type=_by,
        action="extend",
        metavar="GROUP",
        help=f"{', '.join(get_args(By))}, {METADATA}NAME, or several with commas (default: model)",
    )
    parser.add_argument(
        "--html", metavar="FILE", help="write one page with charts to this file, instead of sums"
    )
    parser.add_argument("--format", choices=("table", "json", "csv", "parquet"), default="table")
    parser.add_argument(
        "--from",
        dest="source",
        choices=tuple(IMPORTERS),
        help="the format of all values (default: each value shows it)",
    )
    parser.add_argument(
        "--columns",
        type=mapping,
        metavar="NAME=COLUMN,...",
        help="the columns of a table (CSV or Parquet), such as model=engine,at=time,input_tokens=tokens_in",
    )
    parser.add_argument("--at", type=moment, metavar="TIME", help="time for values without one")
    parser.add_argument("--since", metavar="TIME", help="leave out calls before this time or day")
    parser.add_argument("--until", metavar="TIME", help="leave out calls from this time on, or after this day")
    parser.add_argument(
        "--tz",
        type=zone,
        metavar="ZONE",
        help="time zone of days and months, such as Europe/Paris (default: UTC)",
    )
    parser.add_argument(
        "--logged", action="store_true", help="add up the costs in the logs; price nothing again"
    )
    parser.add_argument("--follow", action="store_true", help="go on as the files grow, until interrupted")
    parser.add_argument("--strict", action="store_true", help="exit 1 if a line was skipped or had no price")
    add_book_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the costs. Returns 1 if a file or a long line was unreadable, else 0; see also `--strict`."""
    files, book = log_files(arguments.files), book_of(arguments)
    by = list(dict.fromkeys(arguments.by or ["model"]))
    html: str | None = arguments.html
    for name in ("by", "follow"):
        if html is not None and getattr(arguments, name):
            raise ConfigError("", f"--html writes one page of days, models and sessions: leave out --{name}")
    if html is not None and arguments.format != "table":
        raise ConfigError("", "--html writes a page instead of sums: leave out --format")
    reading = Reading(source=arguments.source, at=arguments.at, columns=arguments.columns, zone=arguments.tz)
    counting = Counting(
        book,
        lambda: Summary(by, *(() if arguments.tz is None else (arguments.tz,))),
        Period.of(arguments.since, arguments.until, arguments.tz),
        zone=arguments.tz or UTC,
        logged=arguments.logged,
        report=None if html is None else CostReport(arguments.tz or UTC),
    )
    if arguments.format == "parquet" and sys.stdout.isatty():
        raise ConfigError("", "--format parquet writes bytes: send them to a file, as in > costs.parquet")
    if arguments.follow:
        if any(file.is_ledger for file in files):
            raise ConfigError("", "--follow reads files as they grow: leave it out for a ledger")
        return follow(files, reading, counting, book, arguments.format)
    progress = Progress(files)
    for file in files:
        progress.begin(file)
        counting.count(file, functools.partial(reading.entries, file, progress.at))
    progress.clear()
    if html is None or counting.report is None:
        write_sums(counting.summary, counting.tally, book, arguments.format)
    else:
        write_page(html, page(counting.report, skipped=counting.tally.skipped))
    counting.tally.write()
    if counting.tally.incomplete:
        return 1
    return 1 if arguments.strict and (counting.tally.skipped or counting.tally.unpriced) else 0


def _by(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    try:
        Summary(names)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return names
