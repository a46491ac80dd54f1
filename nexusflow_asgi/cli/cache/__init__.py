"""`nexusflow cache FILE...`: shows what the prompt cache read and lost, why, the cost, and what to change."""

import argparse
import json
import sys

from nexusflow_asgi.cli.book import add_book_argument, book_of, moment
from nexusflow_asgi.cli.cache.findings import find
from nexusflow_asgi.cli.cache.members import members
from nexusflow_asgi.cli.cache.page import page
from nexusflow_asgi.cli.cache.text import lines
from nexusflow_asgi.cli.html import write_page
from nexusflow_asgi.cli.log_files import add_files_argument, log_files
from nexusflow_asgi.cli.table import write
from nexusflow_core.errors import ConfigError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `nexusflow cache`."""
    add_files_argument(
        parser, "logs as for `cost`, with or without requests in their lines, and transcripts of Claude Code"
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--html", metavar="FILE", help="write one page with charts to this file")
    parser.add_argument(
        "--misses", type=int, default=10, metavar="N", help="number of expensive misses to list"
    )
    parser.add_argument("--at", type=moment, metavar="TIME", help="the time of lines without one")
    add_book_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command. Returns the exit status: 1 if no call could be read."""
    if arguments.html is not None and arguments.format != "table":
        raise ConfigError("", "--html writes a page instead of tables: leave out --format")
    files = log_files(arguments.files)
    found = find(files, at=arguments.at, book=book_of(arguments), misses=max(0, arguments.misses))
    if arguments.html is not None:
        write_page(arguments.html, page(found))
    elif arguments.format == "json":
        write([json.dumps(members(found), indent=2)])
    else:
        write(lines(found))
    if found.skipped:
        print(f"{found.skipped} line{'' if found.skipped == 1 else 's'} skipped", file=sys.stderr)
    return 0 if found.ledger.total.requests else 1
