"""Many rows to costs: cost_batch beside Arrow's bare kernels and other engines, and from JSON lines.

The engines are in an environment of their own, whose interpreter runs this module: `python -m benchmarks.rows`.
"""

import functools
import importlib
import io
import json
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from pyarrow import compute as pc
from pyarrow import json as arrow_json

from benchmarks.environments import ENGINES, Missing, python_environment
from benchmarks.measure import Case, Effort, case, table
from benchmarks.report import Row, Table
from nexusflow_core import PriceBook, cost_batch
from nexusflow_core.logs import Entry, PlainLines, Pricer, read_log
from nexusflow_core.logs.summary import Summary

__all__ = ["tables", "usage_lines"]

_ROOT = Path(__file__).parent.parent

_PLAIN = "claude-opus-4-7 claude-sonnet-4-6 claude-haiku-4-5 gpt-6-sol".split()
"""Models with one price each: any engine can price them by a look-up of the name."""

_MIXED = [
    *_PLAIN,
    "claude-haiku-5-5",
    "deepseek-flash",
    "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "acme-1",
]
_RATES = {
    "input_tokens": "input",
    "cache_read_tokens": "cache_read",
    "cache_write_5m_tokens": "cache_write_5m",
    "cache_write_1h_tokens": "cache_write_1h",
    "output_tokens": "output",
}
_A_BLOCK = 400  # lines, about 64 KiB
_AT = datetime(2026, 11, 1, tzinfo=UTC)


def tables(effort: Effort, *, others: bool) -> list[Table]:
    """Returns two tables: rows in memory, and JSON lines. `others`: with an environment of the engines."""
    if not others:
        return _tables(effort)
    try:
        python = python_environment("engines", ENGINES) / "python"
    except Missing as missing:
        return [*_tables(effort), Table("engines", ["engine", "skipped"], [Row("all", [str(missing)])])]
    command: list[str | Path] = [python, "-m", "benchmarks.rows", str(effort.rounds), str(effort.milliseconds)]
    done = subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE, timeout=600)
    return msgspec.json.decode(done.stdout, type=list[Table])


def usage_lines(count: int) -> list[bytes]:
    """Returns usage lines of models that have one price, or two by the size of the prompt."""
    return _lines(_calls(_PLAIN, count))


def _tables(effort: Effort) -> list[Table]:
    count = 20_000 if effort.rounds < 3 else 262_144
    plain, mixed = _calls(_PLAIN, count), _calls(_MIXED, count, batches=True)
    notes = [
        "kernels: model to codes, five rates taken and multiplied, a decimal, the row's name and its flags"
    ]
    notes.append("numpy and polars add up in int64, which overflows above 9,223 USD: their totals are negative")
    cases = [
        case("Arrow's kernels alone", lambda: _kernels(plain), count, _total(_kernels(plain))),
        case("cost_batch", lambda: cost_batch(plain), count, _total(cost_batch(plain)["cost_usd"])),
        case("... tiers, hours, batches, unknown", lambda: cost_batch(mixed), count),
    ]
    for name, make in _ENGINES.items():
        try:
            work = make(plain)
        except ImportError:
            notes.append(f"{name}: skipped, not installed")
        else:
            cases.append(case(f"{name} {metadata.version(name)}", work, count, work()))
    lines = _lines(plain.slice(0, min(count, 50_000)))
    return [
        table("rows in memory to costs", "row", cases, effort, result="USD", notes=notes),
        table("JSON lines to a sum", "line", _of_lines(lines), effort),
    ]


def _calls(models: list[str], count: int, *, batches: bool = False) -> Any:
    dice = random.Random(5)
    number = dice.randrange
    columns: dict[str, Any] = {
        "model": [dice.choice(models) for _ in range(count)],
        "at": pa.array(
            [_AT + timedelta(seconds=number(20 * 86_400)) for _ in range(count)], pa.timestamp("us", "UTC")
        ),
        "input_tokens": [number(4_000) for _ in range(count)],
        "cache_read_tokens": [number(90_000) for _ in range(count)],
        "cache_write_5m_tokens": [number(4_000) for _ in range(count)],
        "cache_write_1h_tokens": [number(2_000) for _ in range(count)],
        "output_tokens": [number(3_000) for _ in range(count)],
    }
    if batches:
        columns["batch"] = [not number(5) for _ in range(count)]
    return pa.table(columns)


@functools.cache
def _rates(member: str) -> list[int]:
    book = PriceBook.builtin()
    return [getattr(book.price(model, _AT, 1), member) for model in _PLAIN]


def _total(column: Any) -> str:
    return f"{pc.sum(column).as_py().normalize():f}"


def _kernels(calls: Any) -> Any:
    """The least that pricing in Arrow can do, where the name alone decides."""
    [batch] = calls.combine_chunks().to_batches()
    encoded = batch["model"].dictionary_encode()
    codes = pc.index_in(encoded.dictionary, pa.array(_PLAIN)).take(encoded.indices)
    total = None
    for name, member in _RATES.items():
        part = pc.multiply_checked(pa.array(_rates(member)).take(codes), batch[name])
        total = part if total is None else pc.add_checked(total, part)
    pa.array(_PLAIN).take(codes)
    pa.array([[] for _ in _PLAIN], pa.list_(pa.string())).take(codes)
    assert total is not None
    found = total.cast(pa.decimal128(19, 0))
    return pa.Array.from_buffers(pa.decimal128(38, 15), len(found), found.buffers())


def _numpy(calls: Any) -> Callable[[], str]:
    numpy: Any = importlib.import_module("numpy")
    columns = {name: calls[name].to_numpy() for name in _RATES}
    rates = {name: numpy.array(_rates(member)) for name, member in _RATES.items()}
    models = calls["model"].to_numpy(zero_copy_only=False).astype(str)
    order = numpy.argsort(numpy.array(_PLAIN))

    def work() -> str:
        codes = order[numpy.searchsorted(numpy.array(_PLAIN), models, sorter=order)]
        return _usd(int(sum(columns[name] * rates[name][codes] for name in _RATES).sum()))

    return work


def _polars(calls: Any) -> Callable[[], str]:
    pl: Any = importlib.import_module("polars")
    frame = pl.DataFrame(calls)
    rates = pl.DataFrame({"model": _PLAIN, **{member: _rates(member) for member in _RATES.values()}})
    femto = sum(pl.col(name) * pl.col(member) for name, member in _RATES.items())
    return lambda: _usd(int(frame.join(rates, on="model", how="left").select(femto.sum()).item()))


def _duckdb(calls: Any) -> Callable[[], str]:
    duckdb: Any = importlib.import_module("duckdb")
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    connection.register("calls", calls)
    rates = pa.table({"model": _PLAIN, **{member: _rates(member) for member in _RATES.values()}})
    connection.register("rates", rates)
    femto = " + ".join(f"{name}::HUGEINT * {member}" for name, member in _RATES.items())
    query = f"SELECT sum({femto}) FROM calls LEFT JOIN rates USING (model)"
    return lambda: _usd(int(connection.execute(query).fetchall()[0][0]))


_ENGINES: dict[str, Callable[[Any], Callable[[], str]]] = {
    "numpy": _numpy,
    "polars": _polars,
    "duckdb": _duckdb,
}


def _usd(femto: int) -> str:
    return f"{femto // 10**15}.{femto % 10**15:015d}".rstrip("0")


class _Usage(msgspec.Struct, gc=False):
    input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int


class _Line(msgspec.Struct, gc=False):
    usage: _Usage
    model: str
    at: str


def _lines(calls: Any) -> list[bytes]:
    return [
        json.dumps(
            {
                "usage": {
                    "input_tokens": row["input_tokens"],
                    "cache_read_input_tokens": row["cache_read_tokens"],
                    "output_tokens": row["output_tokens"],
                },
                "model": row["model"],
                "at": row["at"].isoformat(),
            }
        ).encode()
        for row in calls.to_pylist()
    ]


def _of_lines(lines: list[bytes]) -> list[Case]:
    decoder = msgspec.json.Decoder(_Line)

    def decoded() -> int:
        return sum(decoder.decode(line).usage.input_tokens for line in lines)

    def batched() -> Any:
        rows = [decoder.decode(line) for line in lines]
        usages = [row.usage for row in rows]
        columns: dict[str, Any] = {
            "model": [row.model for row in rows],
            "at": [row.at for row in rows],
            "input_tokens": [usage.input_tokens for usage in usages],
            "cache_read_tokens": [usage.cache_read_input_tokens for usage in usages],
            "output_tokens": [usage.output_tokens for usage in usages],
        }
        return pc.sum(cost_batch(pa.table(columns))["cost_usd"])

    # Otherwise the reader takes the zone off the times.
    as_text = arrow_json.ParseOptions(explicit_schema=pa.schema([("at", pa.string())]))

    def read() -> Any:
        found = arrow_json.read_json(io.BytesIO(b"\n".join(lines)), parse_options=as_text).flatten()
        flat = found.rename_columns([name.removeprefix("usage.") for name in found.column_names])
        priced = cost_batch(flat, columns={"cache_read_tokens": "cache_read_input_tokens"})
        return pc.sum(priced["cost_usd"])

    blocks = [b"\n".join(lines[begin : begin + _A_BLOCK]) for begin in range(0, len(lines), _A_BLOCK)]

    def added_up() -> Summary:
        summary, seen = Summary(), set[int]()
        plain = PlainLines(summary.add, PriceBook.builtin())
        for block in blocks:
            for left in plain.take(block, seen):
                raise AssertionError(f"line {left} is not plain")
        plain.flush()
        return summary

    def one_by_one() -> Summary:
        summary, pricer = Summary(), Pricer()
        for _, entry in read_log(enumerate(lines)):
            assert isinstance(entry, Entry)
            summary.add(entry, pricer.price(entry))
        return summary

    return [
        case("msgspec, a line at a time", decoded, len(lines)),
        case("... to columns, cost_batch", batched, len(lines)),
        case("Arrow's reader of JSON, cost_batch", read, len(lines)),
        case("blocks, as `nexusflow cost` reads them", added_up, len(lines)),
        case("one by one, as it reads other formats", one_by_one, len(lines)),
    ]


if __name__ == "__main__":
    given_rounds, milliseconds = sys.argv[1:]
    measured = _tables(Effort(int(given_rounds), float(milliseconds)))
    sys.stdout.buffer.write(msgspec.json.encode(measured))
