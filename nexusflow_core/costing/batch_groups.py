"""Groups of rows that have one price, and the price of each group.

Rows are in one group if every rule of `cost` treats them alike. The first row of a group is priced by `cost`
itself, so a table and single calls cannot differ.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from msgspec import Struct, convert

from nexusflow_core.costing.amounts import Cost
from nexusflow_core.costing.batch_columns import (
    FURTHER_COUNTS,
    JOINED_BY,
    Columns,
    arrow,
    microseconds,
    moment_of_microseconds,
)
from nexusflow_core.costing.cost import by_the_rules, cost
from nexusflow_core.errors import InvalidUsageError, UnknownModelError
from nexusflow_core.prices import PriceBook
from nexusflow_core.prices.book import Changes
from nexusflow_core.prices.rows import WEEKDAYS, Window
from nexusflow_core.usage import Iteration, Usage

__all__ = ["Group", "grouped"]

_PROMPT = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
_USAGE = (*_PROMPT, "output_tokens", "web_searches", *FURTHER_COUNTS)
_TERMS = ("service_tier", "speed", "inference_geo")
_OPTIONS = ("vendor", "endpoint", "stop_reason")
_SWITCHES = ("batch", "explicit_cache", "partial", "many_requests")
_MAX_KEY = 2**62


class Group(Struct, frozen=True):
    """A price of rows. A row costs `fixed` plus the sum of each count times its rate, in femto-dollars.

    `fixed` is None for rows that have no price. `flags` then say why.
    """

    rates: Mapping[str, int] = {}
    fixed: int | None = None
    row: str = ""
    layer: str = ""
    flags: tuple[str, ...] = ()


def grouped(columns: Columns, book: PriceBook) -> tuple[Any, list[Group]]:
    """Returns the number of each row's group, as an Arrow array, and the groups."""
    ids, first = _numbered(_key(columns, book), columns.rows)
    return ids, [_group(row, book) for row in _rows(columns, first)]


class _Key:
    """One integer per row: equal for rows that are equal in every part."""

    def __init__(self) -> None:
        self._pc = arrow().compute
        self.codes: Any = None
        self._size = 1

    def add(self, codes: Any, size: int) -> None:
        """Adds a part with values from 0 to `size` - 1."""
        if self._size * size > _MAX_KEY:
            encoded = self.codes.dictionary_encode()
            self.codes, self._size = encoded.indices.cast("int64"), len(encoded.dictionary)
        codes = codes.cast("int64")
        self.codes = codes if self.codes is None else self._pc.add(self._pc.multiply(self.codes, size), codes)
        self._size *= size

    def add_values(self, column: Any) -> list[Any]:
        """Adds a column of any values. Returns the different ones."""
        encoded = column.dictionary_encode(null_encoding="encode")
        size = len(encoded.dictionary)
        if size > 1:
            self.add(encoded.indices, size)
        values: list[Any] = encoded.dictionary.to_pylist()
        return values


def _key(columns: Columns, book: PriceBook) -> Any:
    """Returns the key of each row, or None if all rows are alike."""
    pa = arrow()
    pc, key = pa.compute, _Key()
    for _, mask in columns.faults:
        key.add(mask, 2)
    for name, column in columns.terms.items():
        if name not in ("model", "vendor"):
            key.add_values(column)
    if (above := columns.optional.get("prompt_above")) is not None:
        key.add_values(above)
    if (bill := columns.optional.get("reported_femto_usd")) is not None:
        key.add(bill.is_null(), 2)
    if columns.iterations is not None:  # each such row is a group of its own
        several = pc.greater(pc.list_value_length(columns.iterations).fill_null(0), 0)
        key.add(pc.if_else(several, pa.array(range(1, columns.rows + 1)), 0), columns.rows + 1)
    for name in ("output_tokens", "web_searches", *FURTHER_COUNTS):
        if (count := columns.counts.get(name)) is not None and not columns.least[name]:
            key.add(pc.greater(count, 0), 2)
    models = _Models(columns, book)
    key.add(models.codes, len(models.changes))
    _add_sizes(key, columns, models)
    _add_moments(key, columns, models)
    return key.codes


class _Models:
    """The pairs of model and vendor that occur: a code per row, and where the price of each pair may change."""

    def __init__(self, columns: Columns, book: PriceBook) -> None:
        key, self._pc = _Key(), arrow().compute
        values = [
            [None] if (column := columns.terms.get(name)) is None else key.add_values(column)
            for name in ("vendor", "model")
        ]
        if key.codes is None:
            self.codes, pairs = arrow().array([0] * columns.rows), [0]
        elif len(values[0]) == 1:
            self.codes, pairs = key.codes, list(range(len(values[1])))
        else:
            encoded = key.codes.dictionary_encode()
            self.codes, pairs = encoded.indices.cast("int64"), encoded.dictionary.to_pylist()
        models = len(values[1])
        self.changes = [_changes(values[1][pair % models], values[0][pair // models], book) for pair in pairs]

    def add(self, key: _Key, places: Any, size: int, own: Callable[[Changes], Sequence[int]]) -> None:
        """Adds to the key each row's place in its model's own order.

        `places` are from 0 to `size` - 1, in an order of all models. `own` gives the own place for each of
        them, or () if a model has only one.
        """
        table = [0] * (len(self.changes) * size)
        for number, changes in enumerate(self.changes):
            if places_of_it := own(changes):
                table[number * size : (number + 1) * size] = places_of_it
        if highest := max(table):
            code = self._pc.add(self._pc.multiply(self.codes, size), places)
            key.add(arrow().array(table).take(code), highest + 1)


def _changes(model: str | None, vendor: str | None, book: PriceBook) -> Changes:
    try:
        return Changes() if model is None else book.plain(model, vendor).changes()
    except UnknownModelError:
        return Changes()


def _add_sizes(key: _Key, columns: Columns, models: _Models) -> None:
    """Adds to the key whether there is a prompt, and the sizes of its model that it exceeds."""
    pa = arrow()
    counts = [columns.counts[name] for name in _PROMPT if name in columns.counts]
    highest = sum(columns.most.get(name, 0) for name in _PROMPT)
    sizes = {size for changes in models.changes for size in changes.sizes if size < highest}
    steps = [0, *sorted(sizes)]
    if not counts or (not sizes and any(columns.least.get(name) for name in _PROMPT)):
        return
    if highest >= 2**63:  # beyond int64
        counts = [count.cast(pa.decimal128(19, 0)) for count in counts]
    size = counts[0]
    for count in counts[1:]:
        size = pa.compute.add(size, count)
    places = _places(size, [step + 1 for step in steps])

    models.add(
        key,
        places,
        len(steps) + 1,
        lambda changes: list(accumulate((not step or step in changes.sizes for step in steps), initial=0)),
    )


def _add_moments(key: _Key, columns: Columns, models: _Models) -> None:
    """Adds to the key the span between two changes of its model's prices, and its peak hours."""
    pa = arrow()
    pc, span = pa.compute, pa.compute.min_max(columns.at).as_py()
    if span["min"] is None:
        return
    moments = {it for changes in models.changes for it in changes.moments}
    steps = sorted(it for it in moments if span["min"] < microseconds(it) <= span["max"])
    if steps:
        places = _places(columns.at, [microseconds(step) for step in steps])
        models.add(
            key,
            places,
            len(steps) + 1,
            lambda changes: list(accumulate((step in changes.moments for step in steps), initial=0)),
        )
    edges = sorted({clock for changes in models.changes for window in changes.windows for clock in window.utc})
    if edges:
        moment = columns.at.cast(pa.timestamp("us"))
        minute = pc.add(pc.multiply(pc.hour(moment), 60), pc.minute(moment))
        places = _places(minute, [int(clock[:2]) * 60 + int(clock[3:]) for clock in edges])
        places = pc.add(pc.multiply(pc.day_of_week(moment), len(edges) + 1), places).fill_null(0)
        times = [(day, clock) for day in WEEKDAYS for clock in ("00:00", *edges)]
        models.add(key, places, len(times), lambda changes: _by_windows(changes.windows, times))


def _by_windows(windows: Sequence[Window], times: Sequence[tuple[str, str]]) -> list[int]:
    """Returns a number per weekday and time of day: equal for those that lie in the same windows."""
    numbers = dict[tuple[bool, ...], int]()
    inside = [
        tuple(day in window.weekdays and window.utc[0] <= clock < window.utc[1] for window in windows)
        for day, clock in times
    ]
    return [numbers.setdefault(each, len(numbers)) for each in inside]


def _places(column: Any, steps: Sequence[int]) -> Any:
    """Returns how many of the steps each value has reached. Null has reached none."""
    pc = arrow().compute
    places = None
    for step in steps:
        reached = pc.greater_equal(column, step).fill_null(False).cast("int64")
        places = reached if places is None else pc.add(places, reached)
    return places


def _numbered(codes: Any, rows: int) -> tuple[Any, list[int]]:
    """Returns the number of each row's group, and the first row of each group."""
    pa = arrow()
    if codes is None:
        return pa.array([0] * rows, "int32"), [0]
    ids = codes.dictionary_encode().indices  # numbers are given in the order of the first rows
    highest = pa.compute.cumulative_max(ids)
    begins = pa.compute.not_equal(highest.slice(1), highest.slice(0, rows - 1))
    return ids, [0, *(before + 1 for before in pa.compute.indices_nonzero(begins).to_pylist())]


def _rows(columns: Columns, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Returns these rows, without members that are null or false."""
    taken = {
        name: column.take(arrow().array(numbers, "int64")).to_pylist()
        for name, column in {
            **columns.terms,
            **columns.counts,
            **columns.optional,
            **dict(columns.faults),
            "at": columns.at,
            **({} if columns.iterations is None else {"iterations": columns.iterations}),
        }.items()
    }
    return [
        {
            name: value
            for name, values in taken.items()
            if (value := values[place]) is not None and value is not False
        }
        for place in range(len(numbers))
    ]


def _group(row: Mapping[str, Any], book: PriceBook) -> Group:
    """Returns the group that begins with this row."""
    for fault in ("impossible_usage", "unknown_time", "no_usage"):
        if fault in row:
            return Group(flags=(fault,))
    if "model" not in row:
        return Group(flags=("unknown_price",))
    members: dict[str, Any] = {name: row.get(name, 0) for name in _USAGE}
    members |= {name: row.get(name) for name in (*_TERMS, "prompt_above", "reported_femto_usd")}
    flags, steps = row.get("flags"), row.get("iterations", ())
    usage = Usage(
        **members,
        thinking=row.get("thinking", False),
        flags=tuple(flags.split(JOINED_BY)) if flags else (),
        iterations=tuple(_iteration(step) for step in steps),
    )
    terms: dict[str, Any] = {name: row.get(name) for name in _OPTIONS}
    terms |= {name: row.get(name, False) for name in _SWITCHES}
    at = moment_of_microseconds(row["at"])
    try:
        found = cost(usage, model=row["model"], at=at, book=book, unknown="error", **terms)
        price = by_the_rules(usage, row["model"], at, book, **terms)
    except UnknownModelError:
        return Group(flags=("unknown_price",))
    except InvalidUsageError:
        return Group(flags=("impossible_usage",))
    rates, fixed = {}, 0
    if not isinstance(price, Cost):
        counted, rate, _ = price
        rates = {
            "input_tokens": rate.input,
            "cache_read_tokens": rate.cache_read,
            "cache_write_5m_tokens": rate.cache_write_5m,
            "cache_write_1h_tokens": rate.cache_write_1h,
            "output_tokens": rate.output or 0,
            "web_searches": rate.web_search or 0,
            "uncounted_tokens": 0 if counted.output_tokens == usage.output_tokens else rate.output or 0,
        }
    elif usage.reported_femto_usd is not None:
        rates = {"reported_femto_usd": 1}
    else:
        fixed = found.femto_usd
    return Group(rates, fixed, found.row, found.layer, found.flags)


def _iteration(step: Mapping[str, Any]) -> Iteration:
    """Returns a step of a column of structs. Its members are those of Iteration; null counts as absent."""
    return convert({name: value for name, value in step.items() if value is not None}, Iteration)
