"""Columns of usages in an Arrow record batch: counts as int64, texts as codes, moments as microseconds."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from nexusflow_core.errors import InvalidUsageError
from nexusflow_core.untyped import moment_of

__all__ = [
    "COLUMNS",
    "COUNTS",
    "FURTHER_COUNTS",
    "JOINED_BY",
    "Columns",
    "arrow",
    "check_columns",
    "microseconds",
    "moment_of_microseconds",
]

COUNTS = (
    "input_tokens cache_read_tokens cache_write_5m_tokens cache_write_1h_tokens output_tokens web_searches"
).split()
"""Columns that add to a cost. A table needs at least one of them; null counts as 0."""

FURTHER_COUNTS = ("uncounted_tokens", "reasoning_tokens", "assumed_5m_tokens")
OPTIONAL_COUNTS = ("prompt_above", "reported_femto_usd")
TEXTS = ("vendor", "service_tier", "speed", "inference_geo", "endpoint", "stop_reason")
SWITCHES = ("batch", "explicit_cache", "thinking", "partial", "many_requests")

COLUMNS = ("model", "at", *COUNTS, *FURTHER_COUNTS, *OPTIONAL_COUNTS, *TEXTS, *SWITCHES, "flags", "iterations")
"""Every column that a price may depend on: members of Usage, and arguments of `cost`."""

_OF_OTHER_FORMS = {
    "cache_read_input_tokens": "cache_read_tokens",
    "cache_creation_input_tokens": "cache_write_5m_tokens",
    "ephemeral_5m_input_tokens": "cache_write_5m_tokens",
    "ephemeral_1h_input_tokens": "cache_write_1h_tokens",
    "web_search_requests": "web_searches",
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "cached_tokens": "cache_read_tokens",
}
"""Names of counts in the vendors' forms. A table that has one is not priced without it."""

JOINED_BY = "\x1f"
"""The flags of a row are joined by this character, which no flag contains."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """Returns a moment in microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of_microseconds(microseconds: int) -> datetime:
    """Returns microseconds since 1970 as a moment in UTC."""
    return _EPOCH + microseconds * _MICROSECOND


_FIRST, _LAST = (microseconds(end.replace(tzinfo=UTC)) for end in (datetime.min, datetime.max))


def arrow() -> Any:
    """Returns the library pyarrow. Raises ImportError that names the extra."""
    try:
        import pyarrow  # type: ignore[import-untyped, unused-ignore]
        import pyarrow.compute  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        raise ImportError("tables need pyarrow: pip install 'nexusflow[arrow]'") from None
    return pyarrow


def check_columns(present: list[str], renamed: Mapping[str, str]) -> dict[str, str]:
    """Returns the table's name of each column that it has, by our name.

    Raises ValueError for a column that is missing, unknown, given twice, or a count under a vendor's name.
    """
    for ours, theirs in renamed.items():
        if ours not in COLUMNS:
            raise ValueError(f"columns: {ours!r} is not one of {', '.join(COLUMNS)}")
        if theirs not in present:
            raise ValueError(f"columns[{ours!r}]: the table has no column {theirs!r}")
    found = {name: name for name in COLUMNS if name in present} | dict(renamed)
    for name in found.values():
        if present.count(name) > 1:
            raise ValueError(f"the table has {present.count(name)} columns {name!r}")
    for theirs, ours in _OF_OTHER_FORMS.items():
        if theirs in present and theirs not in found.values() and ours not in found:
            raise ValueError(
                f"the table has {theirs!r}, which would not be priced: give its disjoint part as {ours!r},"
                f" or pass columns={{{ours!r}: {theirs!r}}}, or drop it"
            )
    for needed in ("model", "at"):
        if needed not in found:
            raise ValueError(f"the table has no column {needed!r}: add it, or name it in `columns`")
    if not any(name in found for name in (*COUNTS, "reported_femto_usd")):
        raise ValueError(f"the table has none of the counts {', '.join(COUNTS)}: name them in `columns`")
    return found


class Columns:
    """The columns of one record batch, checked. `names` is the result of `check_columns`.

    `counts`: int64 without nulls, only counts that are not all 0. `least` and `most` are their bounds.
    `optional`: int64, where null has a meaning. `terms`: texts and booleans. `at`: microseconds since 1970.
    `faults`: a flag, and the rows that have no price for this reason.
    """

    def __init__(self, batch: Any, names: Mapping[str, str]) -> None:
        self._pa, self._batch, self._names = arrow(), batch, names
        self.rows: int = batch.num_rows
        self.counts: dict[str, Any] = {}
        self.least: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self.faults: list[tuple[str, Any]] = []
        self.iterations = self._column("iterations")
        self.at = self._moments()
        self.optional = {
            name: column for name in OPTIONAL_COUNTS if (column := self._integers(name)) is not None
        }
        self.terms = {
            name: column
            for name in ("model", *TEXTS, *SWITCHES, "flags")
            if (column := self._term(name)) is not None
        }
        self._read_counts()

    def _column(self, name: str) -> Any:
        """Returns a column without dictionary, or None if it is absent or all null."""
        theirs = self._names.get(name)
        column = None if theirs is None else self._batch.column(theirs)
        if column is None or column.null_count == len(column):
            return None
        types = self._pa.types
        if types.is_dictionary(column.type):
            column = column.dictionary_decode()
        return column.cast(self._pa.string()) if types.is_string_view(column.type) else column

    def _refuse(self, name: str, column: Any, wanted: str) -> InvalidUsageError:
        return InvalidUsageError(
            f"impossible usage: the column {self._names[name]!r} is of type {column.type}; give {wanted}"
        )

    def _integers(self, name: str) -> Any:
        column, types = self._column(name), self._pa.types
        if column is None:
            return None
        whole = types.is_decimal(column.type) and column.type.scale == 0
        if not (types.is_integer(column.type) or types.is_boolean(column.type) or whole):
            raise self._refuse(name, column, "whole numbers as integers (a float may have been rounded)")
        try:
            return column.cast(self._pa.int64())
        except self._pa.ArrowInvalid as error:
            raise InvalidUsageError(
                f"impossible usage: the column {self._names[name]!r}: {str(error)[:100]}"
            ) from None

    def _term(self, name: str) -> Any:
        column, pa = self._column(name), self._pa
        if column is None:
            return None
        types, kind = pa.types, column.type
        if name == "flags" and (types.is_list(kind) or types.is_large_list(kind)):
            return pa.compute.binary_join(column.cast(pa.list_(pa.string())), JOINED_BY)
        is_text = types.is_string(kind) or types.is_large_string(kind)
        if name == "flags" or not (types.is_boolean(kind) if name in SWITCHES else is_text):
            wanted = "lists of text" if name == "flags" else "booleans" if name in SWITCHES else "text"
            raise self._refuse(name, column, wanted)
        return column

    def _read_counts(self) -> None:
        pc = self._pa.compute
        negative = silent = None
        for name in (*COUNTS, *FURTHER_COUNTS):
            column = self._integers(name)
            if column is None:
                continue
            if name in COUNTS:
                null = column.is_null()
                silent = null if silent is None else pc.and_(silent, null)
            column = column.fill_null(0)
            span = pc.min_max(column).as_py()
            if span["min"] < 0:
                below = pc.less(column, 0)
                negative = below if negative is None else pc.or_(negative, below)
                column = pc.if_else(below, 0, column)
            if span["max"] > 0:
                self.counts[name] = column
                self.least[name], self.most[name] = max(0, span["min"]), span["max"]
        self._fault("impossible_usage", negative)
        self._fault("unknown_time", self.at.is_null())
        self._fault("no_usage", self._without_usage(silent))

    def _without_usage(self, silent: Any) -> Any:
        """Returns a mask of rows without any count, bill or iteration."""
        pc = self._pa.compute
        if silent is None:
            silent = self._pa.array([True] * self.rows)
        if (bill := self.optional.get("reported_femto_usd")) is not None:
            silent = pc.and_(silent, bill.is_null())
        if self.iterations is not None:
            silent = pc.and_(silent, pc.less(pc.list_value_length(self.iterations).fill_null(0), 1))
        return silent

    def _fault(self, flag: str, mask: Any) -> None:
        if mask is not None and self._pa.compute.any(mask).as_py():
            self.faults.append((flag, mask))

    def _moments(self) -> Any:
        column, pa = self._column("at"), self._pa
        if column is None:
            return pa.nulls(self.rows, pa.int64())
        name = self._names["at"]
        if pa.types.is_date(column.type):
            found = column.cast(pa.date32()).cast(pa.timestamp("us"))
        elif not pa.types.is_timestamp(column.type):
            return self._moments_of_text(column)
        elif column.type.tz is None:
            raise ValueError(f"the times in {name!r} have no time zone: cast them to a timestamp in UTC")
        else:
            found = column.cast(pa.timestamp("us", "UTC"), safe=False)
        found = found.cast(pa.int64())
        span = pa.compute.min_max(found).as_py()
        if span["min"] < _FIRST or span["max"] > _LAST:
            raise ValueError(f"the times in {name!r} are not all in the years 1 to 9999")
        return found

    def _moments_of_text(self, column: Any) -> Any:
        pa, name = self._pa, self._names["at"]
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            raise TypeError(
                f"the column {name!r} is of type {column.type}, not of times, days or ISO 8601 text"
            )
        try:
            return column.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
        except pa.ArrowInvalid:  # days, or a form that only Python reads: one by one
            encoded = column.dictionary_encode()
        try:
            moments = [microseconds(moment_of(text)) for text in encoded.dictionary.to_pylist()]
        except ValueError as error:
            raise ValueError(f"the column {name!r}: {error}") from None
        return pa.array(moments, pa.int64()).take(encoded.indices)
