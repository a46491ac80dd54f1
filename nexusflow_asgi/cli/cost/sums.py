"""Writes sums: as a table for people, as JSON, CSV or Parquet for programs."""

import csv
import importlib
import io
import json
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from nexusflow_asgi.cli.cost.counting import Tally
from nexusflow_asgi.cli.table import exact, printable, shown, table, write
from nexusflow_core.errors import ConfigError
from nexusflow_core.logs.summary import Summary, Totals
from nexusflow_core.prices import PriceBook

__all__ = ["write_sums"]

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


def write_sums(summary: Summary, tally: Tally, book: PriceBook, form: str) -> None:
    """Prints the sums in a format. Raises ConfigError if its library is missing."""
    match form:
        case "json":
            write([json.dumps(_as_json(summary, tally, book), indent=2)])
        case "csv":
            write(_as_csv(summary))
        case "parquet":
            sys.stdout.buffer.write(_as_parquet(summary))
            sys.stdout.buffer.flush()
        case _:
            write(_as_table(summary, tally))


def _as_json(summary: Summary, tally: Tally, book: PriceBook) -> dict[str, Any]:
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


def _as_parquet(summary: Summary) -> bytes:
    """Returns a Parquet file with a row per group: amounts are exact decimals, flags are JSON."""
    try:
        arrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise ConfigError("", "--format parquet: run pip install 'nexusflow[arrow]'") from None
    groups = [(group.values, _members(group.totals)) for group in summary.groups()]
    columns: dict[str, Any] = {
        name: arrow.array([values[number] for values, _ in groups], arrow.string())
        for number, name in enumerate(summary.by)
    }
    for name in _COUNTS:
        columns[name] = arrow.array([members[name] for _, members in groups], arrow.int64())
    for name in ("cost_usd", *(member for member, _ in _AMOUNTS.values())):
        amounts = [None if (text := members[name]) is None else Decimal(text) for _, members in groups]
        columns[name] = arrow.array(amounts, arrow.decimal128(38, 15))
    columns["flags"] = arrow.array([json.dumps(members["flags"]) for _, members in groups], arrow.string())
    out = io.BytesIO()
    parquet.write_table(arrow.table(columns), out)
    return out.getvalue()


def _total(summary: Summary, tally: Tally) -> Totals:
    """Returns the sum over all groups. It is unknown, not 0, if no line could be read."""
    total = summary.total()
    if tally.skipped and not total.calls:
        total.unknown = True
    return total


def _as_table(summary: Summary, tally: Tally) -> list[str]:
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
