"""`nexusflow cost FILE...`: adds up the costs of the calls in a log, in groups."""

import argparse
import csv
import io
import json
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any, get_args

from nexusflow_asgi.cli.book import add_book_argument, book_of, moment
from nexusflow_asgi.cli.log_files import add_files_argument, check_log, is_too_long, log_entries, log_lines
from nexusflow_asgi.cli.table import exact, printable, shown, table, write
from nexusflow_core.logs import IMPORTERS, Pricer, Skipped, read_line
from nexusflow_core.logs.summary import METADATA, By, Summary, Totals
from nexusflow_core.prices import PriceBook

__all__ = ["add_arguments", "run"]

_COUNTS = {
    "calls": "calls",
    "without_usage": "without usage",
    "unpriced": "unpriced",
    "input_tokens": "input",
    "cache_read_tokens": "cache read",
    "cache_write_5m_tokens": "write 5m",
    "cache_write_1h_tokens": "write 1h",
    "output_tokens": "output",
    "web_searches": "searches",
    "cache_disagreements": "mispredicted",
}
_AMOUNTS = {
    "saved_femto_usd": ("cache_saved_usd", "saved"),
    "extra_femto_usd": ("cache_write_extra_usd", "extra"),
    "wasted_femto_usd": ("cache_wasted_usd", "wasted"),
}


class _Tally:
    """Counts lines and calls that were not priced. `report` prints each to stderr."""

    def __init__(self) -> None:
        self.read = self.skipped = self.unpriced = self.unread = self.lost = 0

    def report(self, place: str, what: str, why: str) -> None:
        print(f"{place}: {what}: {why}", file=sys.stderr)

    def conclude(self) -> None:
        parts = [
            f"{count} {word}{'' if count == 1 else 's'} {what}"
            for count, word, what in (
                (self.skipped, "line", "skipped"),
                (self.unpriced, "call", "without a known price"),
                (self.unread, "long line", "unreadable and not in any total"),
                (self.lost, "file", "unreadable and not in any total"),
            )
            if count
        ]
        if parts:
            print(", ".join(parts), file=sys.stderr)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `nexusflow cost`."""
    add_files_argument(
        parser, "files of JSON lines, or transcripts of Claude Code; - or no file reads standard input"
    )
    parser.add_argument(
        "--by",
        type=_by,
        action="extend",
        metavar="GROUP",
        help=f"{', '.join(get_args(By))}, {METADATA}NAME, or several with commas (default: model)",
    )
    parser.add_argument("--format", choices=("table", "json", "csv"), default="table")
    parser.add_argument(
        "--from",
        dest="source",
        choices=tuple(IMPORTERS),
        help="the lines' format (default: each line shows it)",
    )
    parser.add_argument("--at", type=moment, metavar="TIME", help="time for lines without one")
    parser.add_argument(
        "--logged", action="store_true", help="add up the costs in the lines; price nothing again"
    )
    parser.add_argument("--strict", action="store_true", help="exit 1 if a line was skipped or had no price")
    add_book_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the costs. Returns 1 if a file or a long line was unreadable, else 0; see also `--strict`."""
    for name in arguments.files:
        check_log(name)
    book = book_of(arguments)
    by: list[str] = list(dict.fromkeys(arguments.by or ["model"]))
    summary, pricer, tally, seen = Summary(by), Pricer(book), _Tally(), set[str]()
    for name in arguments.files:
        read, skipped = tally.read, tally.skipped
        _add_file(name, arguments, seen, summary, pricer, tally)
        tally.lost += tally.read == read and tally.skipped > skipped
    match arguments.format:
        case "json":
            write([json.dumps(_as_json(summary, tally, book), indent=2)])
        case "csv":
            write(_as_csv(summary))
        case _:
            write(_as_table(summary, tally))
    tally.conclude()
    if tally.lost or tally.unread:
        return 1
    return 1 if arguments.strict and (tally.skipped or tally.unpriced) else 0


def _by(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    try:
        Summary(names)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return names


# Reading


def _add_file(
    name: str,
    arguments: argparse.Namespace,
    seen: set[str],
    summary: Summary,
    pricer: Pricer,
    tally: _Tally,
) -> None:
    read = partial(read_line, source=arguments.source, at=arguments.at)
    if arguments.source is None:
        entries = log_entries(name, read, seen)
    else:
        entries = (
            (place, line if isinstance(line, Skipped) else read(line)) for place, line in log_lines(name)
        )
    for place, entry in entries:
        if isinstance(entry, Skipped):
            if entry.expected:
                continue
            tally.skipped += 1
            tally.unread += is_too_long(entry)
            tally.report(place, "skipped", entry.reason)
            continue
        tally.read += 1
        priced = pricer.logged(entry) if arguments.logged else pricer.price(entry)
        summary.add(entry, priced)
        if priced.why:
            tally.unpriced += 1
            tally.report(place, "not priced", priced.why)


# Writing


def _as_json(summary: Summary, tally: _Tally, book: PriceBook) -> dict[str, Any]:
    return {
        "by": summary.by,
        "groups": [
            {**dict(zip(summary.by, group.values, strict=True)), **_members(group.totals)}
            for group in summary.groups()
        ],
        "total": _members(_total(summary, tally)),
        "skipped_lines": tally.skipped,
        "prices_as_of": None if book.as_of is None else str(book.as_of),
    }


def _members(totals: Totals) -> dict[str, Any]:
    unknown = totals.known_femto_usd is None
    amounts = {"femto_usd": "cost_usd", **{name: member for name, (member, _) in _AMOUNTS.items()}}
    return {
        **{name: getattr(totals, name) for name in _COUNTS},
        **{member: None if unknown else exact(getattr(totals, name)) for name, member in amounts.items()},
        "flags": dict(sorted(totals.flags.items())),
    }


def _as_csv(summary: Summary) -> list[str]:
    """Returns one line per group, without a total, so that columns can be added up."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    amounts = [member for member, _ in _AMOUNTS.values()]
    writer.writerow([*summary.by, *_COUNTS, "cost_usd", *amounts, "flags"])
    for group in summary.groups():
        members = _members(group.totals)
        flags = " ".join(f"{flag}={count}" for flag, count in members.pop("flags").items())
        writer.writerow([*group.values, *members.values(), flags])
    return out.getvalue().split("\n")[:-1]


def _total(summary: Summary, tally: _Tally) -> Totals:
    """Returns the sum over all groups. It is unknown, not 0, if no line could be read."""
    total = summary.total()
    if tally.skipped and not total.calls:
        total.unknown = True
    return total


def _as_table(summary: Summary, tally: _Tally) -> list[str]:
    groups, total = summary.groups(), _total(summary, tally)
    # Columns of zeros are left out, except the number of calls.
    counts = [name for name in _COUNTS if name == "calls" or getattr(total, name)]
    amounts = [name for name in _AMOUNTS if any(getattr(group.totals, name) for group in groups)]
    headers = [*summary.by, *(_COUNTS[name] for name in counts), "cost (USD)"]
    headers += [_AMOUNTS[name][1] for name in amounts]

    def cells(totals: Totals) -> list[str]:
        return [
            *(f"{getattr(totals, name):,}" for name in counts),
            _cost(totals),
            *("" if totals.known_femto_usd is None else shown(getattr(totals, name)) for name in amounts),
        ]

    rows = [[*map(_value, group.values), *cells(group.totals)] for group in groups]
    rows.append(["total", *[""] * (len(summary.by) - 1), *cells(total)])
    return [*table(headers, rows, left=len(summary.by)), *_footnotes(total)]


def _value(value: str | None) -> str:
    return "(none)" if value is None else printable(value)


def _cost(totals: Totals) -> str:
    if totals.known_femto_usd is None:
        return "unknown"
    return shown(totals.femto_usd) + (" + unknown" if totals.unpriced else "")


def _footnotes(total: Totals) -> Iterator[str]:
    if total.saved_femto_usd or total.extra_femto_usd:
        yield ""
        yield "saved: by cache reads, against the input price; extra: paid for cache writes above that price;"
        yield "wasted: the part of extra in sessions without any cache read"
    if total.flags:
        yield ""
        yield "flags: " + ", ".join(
            f"{printable(name)} {count:,}" for name, count in sorted(total.flags.items())
        )
