"""`nexusflow reconcile FILE... --anthropic COST_REPORT`: our costs beside the provider's bill."""

import argparse
import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from nexusflow_asgi.cli.book import add_book_argument, book_of
from nexusflow_asgi.cli.complaints import Complaints
from nexusflow_asgi.cli.log_bytes import plain_bytes, raw_bytes
from nexusflow_asgi.cli.log_files import LogFile, Reading, add_files_argument, log_files
from nexusflow_asgi.cli.log_values import first_line, json_values
from nexusflow_asgi.cli.table import exact, printable, shown, table, write
from nexusflow_core.errors import ConfigError
from nexusflow_core.logs import NotAnEntryError, Pricer, Skipped
from nexusflow_core.logs.bills import Vendor, read_charges
from nexusflow_core.logs.reconciliation import Cell, Reconciliation, Rule

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `nexusflow reconcile`."""
    add_files_argument(parser, "our logs: call logs, usage lines, or another format of nexusflow cost")
    bill = parser.add_mutually_exclusive_group(required=True)
    bill.add_argument("--anthropic", metavar="FILE", help="Anthropic's cost report, as downloaded")
    bill.add_argument("--openai", metavar="FILE", help="OpenAI's costs, as downloaded")
    parser.add_argument("--usage", metavar="FILE", help="the same provider's usage report, as downloaded")
    parser.add_argument(
        "--upstream", action="append", metavar="NAME", help="compare only our calls of this upstream"
    )
    parser.add_argument("--all", action="store_true", help="list days and models without a difference too")
    parser.add_argument("--format", choices=("table", "json", "csv"), default="table")
    parser.add_argument("--strict", action="store_true", help="exit 1 if a difference is unexplained")
    add_book_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the comparison. Returns 1 if one of our lines was unreadable; see also `--strict`."""
    files, book = log_files(arguments.files), book_of(arguments)
    vendor: Vendor = "anthropic" if arguments.anthropic is not None else "openai"
    name = arguments.anthropic if arguments.anthropic is not None else arguments.openai
    try:
        bill = read_charges(_values(name), vendor)
    except NotAnEntryError as error:
        raise ConfigError("", f"{printable(name)}: {error}") from None
    pricer, complaints, found = Pricer(book), Complaints(), Reconciliation(bill, book)
    wanted: set[str] = set(arguments.upstream or ())
    reading, skipped = Reading(), 0
    for file in files:
        for line, entry in reading.entries(file):
            if isinstance(entry, Skipped):
                if not entry.expected:
                    skipped += 1
                    complaints.add(f"{file.shown}:{line}", "skipped", entry.reason)
            elif not wanted or entry.upstream in wanted:
                found.add(entry, pricer.price(entry))
    if arguments.usage is not None:
        (usage_file,) = log_files([arguments.usage])
        for line, entry in Reading().entries(usage_file):
            if isinstance(entry, Skipped):
                complaints.add(f"{usage_file.shown}:{line}", "skipped", entry.reason)
            else:
                found.add_usage(entry, pricer.price(entry))
    cells = found.cells()
    match arguments.format:
        case "json":
            write([json.dumps(_as_json(cells, found), indent=2)])
        case "csv":
            write(_as_csv(cells))
        case _:
            write(_as_table(cells, found, arguments))
    complaints.write()
    unexplained = any(cell.unexplained_femto_usd for cell in cells)
    return 1 if skipped or (arguments.strict and unexplained) else 0


def _values(name: str) -> Iterator[bytes]:
    """Yields the JSON values of a report. Raises ConfigError if it cannot be read."""
    (file,) = log_files([name])
    try:
        with raw_bytes(file.name) as raw:
            content = plain_bytes(raw)
            number, first = first_line(content)
            values = [(number, first)] if isinstance(first, Skipped) else json_values(number, first, content)
            for _, value in values:
                if isinstance(value, Skipped):
                    raise NotAnEntryError(value.reason)
                yield value
    except OSError as error:
        raise ConfigError("", f"{LogFile(name).shown} cannot be read: {error.strerror}") from None


# Writing


def _as_json(cells: Sequence[Cell], found: Reconciliation) -> dict[str, Any]:
    return {
        "cells": [
            {"day": str(cell.day), "model": cell.model, "kind": cell.kind, **_members(cell)} for cell in cells
        ],
        "total": _amounts(cells),
        "calls_left_out": found.left_out,
        "calls_without_a_price": found.unpriced,
    }


def _members(cell: Cell) -> dict[str, Any]:
    return {"tokens": cell.tokens, "reported_tokens": cell.reported_tokens, **_amounts([cell])}


def _amounts(cells: Sequence[Cell]) -> dict[str, Any]:
    return {
        "ours_usd": exact(sum(cell.ours_femto_usd for cell in cells)),
        "billed_usd": exact(sum(cell.billed_femto_usd for cell in cells)),
        "explained": {rule.name.lower(): exact(amount) for rule, amount in _by_rule(cells).items()},
        "unexplained_usd": exact(sum(cell.unexplained_femto_usd for cell in cells)),
    }


def _by_rule(cells: Sequence[Cell]) -> dict[Rule, int]:
    sums = {rule: sum(cell.explained.get(rule, 0) for cell in cells) for rule in Rule}
    return {rule: amount for rule, amount in sums.items() if amount}


def _as_csv(cells: Sequence[Cell]) -> list[str]:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    rules = [rule.name.lower() for rule in Rule]
    writer.writerow(
        [
            "day",
            "model",
            "kind",
            "tokens",
            "reported_tokens",
            "ours_usd",
            "billed_usd",
            *rules,
            "unexplained_usd",
        ]
    )
    for cell in cells:
        explained = [exact(cell.explained.get(rule, 0)) for rule in Rule]
        amounts = [exact(cell.ours_femto_usd), exact(cell.billed_femto_usd), *explained]
        counts = [cell.tokens, cell.reported_tokens]
        writer.writerow([cell.day, cell.model, cell.kind, *counts, *amounts, exact(cell.unexplained_femto_usd)])
    return out.getvalue().split("\n")[:-1]


def _as_table(cells: Sequence[Cell], found: Reconciliation, arguments: argparse.Namespace) -> Iterator[str]:
    listed = [cell for cell in cells if arguments.all or cell.ours_femto_usd != cell.billed_femto_usd]
    rows = [
        [str(cell.day), printable(cell.model or "-"), printable(cell.kind or "-"), *_cells([cell])]
        for cell in listed
    ]
    headers = ["day", "model", "kind", "ours (USD)", "billed", "difference", "explained", "unexplained"]
    yield from table(headers, [*rows, ["total", "", "", *_cells(cells)]], left=3)
    yield ""
    for rule, amount in _by_rule(cells).items():
        yield f"{shown(amount):>14}  {rule.value}"
    rest = sum(cell.unexplained_femto_usd for cell in cells)
    yield f"{shown(rest):>14}  unexplained"
    if arguments.usage is None and rest:
        yield "give the provider's usage report with --usage: it tells calls that did not pass here from prices"
    if found.left_out:
        yield f"{found.left_out:,} calls are of other vendors, or of days that the bill does not cover"
    if found.unpriced:
        print(f"{found.unpriced:,} of our calls have no known price", file=sys.stderr)


def _cells(cells: Sequence[Cell]) -> list[str]:
    ours = sum(cell.ours_femto_usd for cell in cells)
    billed = sum(cell.billed_femto_usd for cell in cells)
    explained = sum(sum(cell.explained.values()) for cell in cells)
    rest = sum(cell.unexplained_femto_usd for cell in cells)
    return [shown(amount) for amount in (ours, billed, billed - ours, explained, rest)]
