"""cost_batch: the costs of many rows at once, in Arrow tables, each equal to `cost` of that row."""

from collections.abc import Mapping, Sequence
from decimal import Context, Decimal
from math import gcd
from typing import Any

from msgspec import Struct

from nexusflow_core.costing.batch_columns import Columns, arrow, check_columns
from nexusflow_core.costing.batch_groups import Group, grouped
from nexusflow_core.prices import PriceBook

__all__ = ["cost_batch"]

_ROWS = 2**18
"""Rows priced at once: a bound on the memory beside the table, about 100 bytes a row."""

_MAX = 2**63 - 1
_MAX_UNIT = 10**18 - 1
"""A decimal of 38 digits holds the product of an int64 and a unit up to this."""

_EXACT = Context(prec=60)


def cost_batch(table: Any, *, book: PriceBook | None = None, columns: Mapping[str, str] | None = None) -> Any:
    """Returns the table with the columns `cost_usd` (decimal128(38, 15), exact), `price_row`, `price_layer` and
    `cost_flags` (list of text). Needs pyarrow.

    `table`: a pyarrow RecordBatch or Table, or anything that pyarrow.table() accepts, such as a Polars frame.
    A RecordBatch gives a RecordBatch, anything else a Table. Columns are the members of Usage and the arguments
    of `cost`: `model` and `at` are needed, and one count; `columns` maps those names to the table's own. A null
    count is 0, and other columns stay as they are.

    A row without a price has a null cost, and a flag: `unknown_price`, `unknown_time`, `impossible_usage` or
    `no_usage`. Raises ValueError for a table without a needed column, InvalidUsageError or TypeError for a
    column of another type, and ValueError for a time without zone or an unknown `endpoint`.
    """
    pa = arrow()
    single = isinstance(table, pa.RecordBatch)
    table = pa.Table.from_batches([table]) if single else pa.table(table)
    names, book = check_columns(table.schema.names, columns or {}), book or PriceBook.builtin()
    added = {
        "cost_usd": pa.decimal128(38, 15),
        "price_row": pa.string(),
        "price_layer": pa.string(),
        "cost_flags": pa.list_(pa.string()),
    }
    for name in added:
        if name in table.schema.names:
            raise ValueError(f"the table already has a column {name!r}: rename it, or drop it")
    needed = table.select(list(dict.fromkeys(names.values())))
    parts = [
        _costs(Columns(batch, names), book)
        for start in range(0, table.num_rows, _ROWS)
        for batch in needed.slice(start, _ROWS).combine_chunks().to_batches()
    ]
    for name, kind in added.items():
        table = table.append_column(name, pa.chunked_array([part[name] for part in parts], kind))
    if not single:
        return table
    return pa.RecordBatch.from_arrays([it.combine_chunks() for it in table.columns], schema=table.schema)


def _costs(columns: Columns, book: PriceBook) -> dict[str, Any]:
    """Returns the columns to add."""
    ids, groups = grouped(columns, book)
    pa = arrow()
    return {
        "cost_usd": _totals(columns, ids, groups),
        "price_row": pa.array([group.row for group in groups], pa.string()).take(ids),
        "price_layer": pa.array([group.layer for group in groups], pa.string()).take(ids),
        "cost_flags": pa.array([group.flags for group in groups], pa.list_(pa.string())).take(ids),
    }


class _Term(Struct, frozen=True):
    """A count of every row, the largest, and its rate in each group."""

    counts: Any
    most: int
    rates: list[int]


def _totals(columns: Columns, ids: Any, groups: Sequence[Group]) -> Any:
    """Returns each row's cost in USD as decimal128(38, 15).

    Sums are in multiples of the largest unit that divides every amount, so that int64 nearly always holds them.
    Where it might not, Python's integers do.
    """
    pa, terms, fixed = arrow(), _terms(columns, groups), [group.fixed for group in groups]
    parts: list[tuple[Sequence[int | None], Any]] = [(term.rates, term.counts) for term in terms]
    if any(fixed) or not terms:
        parts.append((fixed, None))
    bound = max(map(abs, filter(None, fixed)), default=0)
    bound += sum(term.most * max(term.rates) for term in terms)
    unit = 1 if bound <= _MAX else gcd(*(amount or 0 for amounts, _ in parts for amount in amounts))
    if bound // unit > _MAX or unit > _MAX_UNIT:
        return pa.array(_large(terms, fixed, ids.to_pylist()), pa.decimal128(38, 15))
    total: Any = None
    for amounts, counts in parts:
        part = pa.array([(amount or 0) // unit for amount in amounts], pa.int64()).take(ids)
        if counts is not None:
            part = pa.compute.multiply_checked(part, counts)
        total = part if total is None else pa.compute.add_checked(total, part)
    total = total.cast(pa.decimal128(19, 0))
    if unit > 1:
        total = pa.compute.multiply(total, pa.scalar(Decimal(unit), pa.decimal128(len(str(unit)), 0)))
    # The bits of this column say which costs are not null.
    known = pa.array([amount is not None for amount in fixed]).take(ids)
    return pa.Array.from_buffers(pa.decimal128(38, 15), len(ids), [known.buffers()[1], total.buffers()[1]])


def _terms(columns: Columns, groups: Sequence[Group]) -> list[_Term]:
    counts = {name: (column, columns.most[name]) for name, column in columns.counts.items()}
    if (bill := columns.optional.get("reported_femto_usd")) is not None:
        span = arrow().compute.min_max(bill).as_py()
        counts["reported_femto_usd"] = bill.fill_null(0), max(abs(span["min"]), abs(span["max"]))
    terms = list[_Term]()
    for name, (column, most) in counts.items():
        rates = [group.rates.get(name, 0) for group in groups]
        if any(rates):
            terms.append(_Term(column, most, rates))
    return terms


def _large(terms: Sequence[_Term], fixed: Sequence[int | None], ids: Sequence[int]) -> list[Decimal | None]:
    """Returns the same costs, by integers without a bound."""
    totals = [fixed[number] for number in ids]
    for term in terms:
        for place, count in enumerate(term.counts.to_pylist()):
            if (total := totals[place]) is not None:
                totals[place] = total + count * term.rates[ids[place]]
    return [None if total is None else Decimal(total).scaleb(-15, _EXACT) for total in totals]
