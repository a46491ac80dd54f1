"""cost_batch: each row of a table costs what `cost` says of it alone."""

import pickle
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict

from nexusflow_core import (
    Cost,
    InvalidUsageError,
    Iteration,
    PriceBook,
    UnknownModelError,
    Usage,
    cost,
    cost_batch,
)
from nexusflow_core.costing.batch_columns import COLUMNS
from tests.core.cost_oracle import rows

MODELS = [
    *(row["id"] for _, row in rows()),
    "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "bedrock/us-gov-west-1/anthropic.claude-sonnet-4-5-20250929-v1:0",
    "vertex_ai/claude-opus-4-5@20251101",
    "claude-opus-4-70",
    "",
]
TIERED = [row["id"] for _, row in rows() if any(len(period["tiers"]) > 1 for period in row["periods"])]
HOURLY = [row["id"] for _, row in rows() if row.get("windows")]
DATED = [row["id"] for _, row in rows() if len(row["periods"]) > 1]

COUNT = st.one_of(
    st.just(0),
    st.integers(0, 3000),
    st.sampled_from([99_999, 100_000, 100_001, 200_000, 200_001, 272_001, 1_000_000, 1_000_001]),
    st.integers(0, 2**63 - 1),
)
MOMENT = st.one_of(
    st.datetimes(datetime(2023, 1, 1), datetime(2027, 6, 1), timezones=st.just(UTC)),
    st.builds(
        lambda day, hour, part: datetime(2026, 7, 1, hour, tzinfo=UTC) + timedelta(day, microseconds=part),
        st.integers(0, 200),
        st.integers(0, 23),
        st.sampled_from([0, 0, -1, 1]),
    ),
)


def seldom(values: st.SearchStrategy[Any], otherwise: Any = None) -> st.SearchStrategy[Any]:
    """Mostly the plain value."""
    return st.one_of(st.just(otherwise), st.just(otherwise), st.just(otherwise), values)


STEP = st.builds(
    Iteration,
    kind=st.sampled_from(["message", "compaction", "advisor_message"]),
    model=st.sampled_from([None, "claude-haiku-4-5", "claude-opus-4-7"]),
    input_tokens=COUNT,
    cache_read_tokens=COUNT,
    output_tokens=COUNT,
)
ROW = st.fixed_dictionaries(
    {
        "model": st.one_of(*map(st.sampled_from, (MODELS, TIERED, HOURLY, DATED, ["claude-opus-4-7"]))),
        "at": MOMENT,
        "input_tokens": COUNT,
        "cache_read_tokens": seldom(COUNT, 0),
        "cache_write_5m_tokens": seldom(COUNT, 0),
        "cache_write_1h_tokens": seldom(COUNT, 0),
        "output_tokens": COUNT,
        "web_searches": seldom(st.integers(0, 30), 0),
        "uncounted_tokens": seldom(COUNT, 0),
        "reasoning_tokens": seldom(st.integers(0, 9), 0),
        "assumed_5m_tokens": seldom(st.integers(0, 9), 0),
        "prompt_above": seldom(st.sampled_from([0, 200_000])),
        "reported_femto_usd": seldom(st.one_of(st.integers(0, 10**15), st.integers(-(2**63), 2**63 - 1))),
        "vendor": seldom(st.sampled_from(["anthropic", "openai", "nobody", ""])),
        "service_tier": seldom(st.sampled_from(["standard", "batch", "priority", "flex", "fast", "odd words"])),
        "speed": seldom(st.sampled_from(["standard", "fast"])),
        "inference_geo": seldom(st.sampled_from(["us", "global", "not_available", "eu"])),
        "endpoint": seldom(st.sampled_from(["regional", "global", "us-gov"])),
        "stop_reason": seldom(st.sampled_from(["refusal", "end_turn"])),
        "batch": seldom(st.booleans(), False),
        "explicit_cache": seldom(st.booleans(), False),
        "thinking": seldom(st.booleans(), False),
        "partial": seldom(st.booleans(), False),
        "many_requests": seldom(st.booleans(), False),
        "flags": seldom(
            st.lists(st.sampled_from(["total_differs", "partial_usage", "tier_unknown"]), max_size=2), []
        ),
        "iterations": seldom(st.lists(STEP, max_size=3), []),
    }
)
OPTIONS = ("vendor", "batch", "endpoint", "stop_reason", "explicit_cache", "partial", "many_requests")
STEPS = pa.list_(
    pa.struct(
        [
            (name, pa.string() if name in ("kind", "model") else pa.int64())
            for name in Iteration.__struct_fields__
        ]
    )
)
TYPES = {
    **dict.fromkeys(COLUMNS, pa.int64()),
    **dict.fromkeys(
        ("model", "vendor", "service_tier", "speed", "inference_geo", "endpoint", "stop_reason"), pa.string()
    ),
    **dict.fromkeys(("batch", "explicit_cache", "thinking", "partial", "many_requests"), pa.bool_()),
    "at": pa.timestamp("us", "UTC"),
    "flags": pa.list_(pa.string()),
    "iterations": STEPS,
}


def table_of(given: list[dict[str, Any]]) -> pa.Table:
    plain = [
        {**row, "iterations": [asdict(step) for step in row["iterations"]]} if "iterations" in row else row
        for row in given
    ]
    return pa.Table.from_pylist(plain, schema=pa.schema([(name, TYPES[name]) for name in given[0]]))


def alone(row: dict[str, Any], book: PriceBook | None = None) -> Cost | str:
    """The cost of one row by `cost`, or the flag of the row without one."""
    options = {name: row[name] for name in OPTIONS if name in row}
    members = {
        name: value for name, value in row.items() if name in Usage.__struct_fields__ and name not in OPTIONS
    }
    members |= {name: tuple(members[name]) for name in ("flags", "iterations") if name in members}
    if "explicit_cache" in row:
        members["explicit_cache"] = row["explicit_cache"]
    try:
        return cost(Usage(**members), model=row["model"], at=row["at"], book=book, **options)
    except UnknownModelError:
        return "unknown_price"
    except InvalidUsageError:
        return "impossible_usage"


def compare(given: list[dict[str, Any]], priced: pa.Table, book: PriceBook | None = None) -> None:
    for row, found in zip(given, priced.to_pylist(), strict=True):
        expected = alone(row, book)
        if isinstance(expected, str):
            assert (found["cost_usd"], found["cost_flags"]) == (None, [expected]), row
            continue
        assert int(found["cost_usd"].scaleb(15)) == expected.femto_usd, row
        assert tuple(found["cost_flags"]) == expected.flags, row
        assert (found["price_row"], found["price_layer"]) == (expected.row, expected.layer), row


@settings(max_examples=120)
@given(st.lists(ROW, min_size=1, max_size=12))
def test_a_table_costs_what_its_rows_cost(given: list[dict[str, Any]]) -> None:
    """Every model, tier, lifetime, term, refusal, bill, sum, iteration and hour; amounts, rows and flags."""
    compare(given, cost_batch(table_of(given)))


@settings(max_examples=30)
@given(st.lists(ROW, min_size=1, max_size=8), st.integers(1, 7))
def test_the_cut_into_chunks_does_not_matter(given: list[dict[str, Any]], size: int) -> None:
    """A table of many chunks, its parts alone, and one batch give the same columns."""
    table = table_of(given)
    chunks = pa.Table.from_batches(table.to_batches(max_chunksize=size), table.schema)
    whole = cost_batch(table)
    assert cost_batch(chunks).equals(whole)
    parts = [cost_batch(batch) for batch in chunks.to_batches()]
    assert all(isinstance(part, pa.RecordBatch) for part in parts)
    assert pa.Table.from_batches(parts).equals(whole)


def simple(**columns: Any) -> pa.Table:
    plain = {"model": ["claude-opus-4-7"], "at": ["2026-11-20"], "input_tokens": [1000], "output_tokens": [10]}
    return pa.table({**plain, **columns})


@pytest.mark.parametrize(
    "at",
    [
        pa.array([date(2026, 11, 20)]),
        pa.array(["2026-11-20T01:00:00+01:00"]),
        pa.array(["2026-11-20"]).dictionary_encode(),
        pa.array(["2026-11-20"], pa.large_string()),
        pa.array(["2026-11-20"], pa.string_view()),
        pa.array([datetime(2026, 11, 20, tzinfo=UTC)], pa.timestamp("ns", "UTC")),
        pa.array([datetime(2026, 11, 20, tzinfo=UTC)], pa.timestamp("s", "Europe/Berlin")),
    ],
)
def test_times_of_every_form(at: Any) -> None:
    """Days, texts and timestamps of any unit and zone."""
    assert cost_batch(simple(at=at))["cost_usd"].to_pylist() == [Decimal("0.00525")]


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint64(), pa.decimal128(38, 0), pa.bool_()])
def test_counts_of_every_form(kind: pa.DataType) -> None:
    """Any type of whole numbers, also DuckDB's sums."""
    table = simple(input_tokens=pa.array([1], pa.int64()).cast(kind))
    assert cost_batch(table)["cost_usd"].to_pylist() == [Decimal("0.000255")]


@pytest.mark.parametrize(
    ("columns", "error", "says"),
    [
        ({"input_tokens": [1.0]}, InvalidUsageError, "'input_tokens' is of type double; give whole numbers"),
        ({"input_tokens": ["1"]}, InvalidUsageError, "'input_tokens' is of type string"),
        (
            {"input_tokens": pa.array([2**64 - 1], pa.uint64())},
            InvalidUsageError,
            "'input_tokens': Integer value",
        ),
        ({"batch": ["yes"]}, InvalidUsageError, "'batch' is of type string; give booleans"),
        ({"vendor": [1]}, InvalidUsageError, "'vendor' is of type int64; give text"),
        ({"at": pa.array([datetime(2026, 11, 20)])}, ValueError, "'at' have no time zone"),
        ({"at": ["2026-11-20T10:00:00"]}, ValueError, "'at': the time '2026-11-20T10:00:00' has no time zone"),
        ({"at": [5]}, TypeError, "'at' is of type int64, not of times"),
        ({"endpoint": ["moon"]}, ValueError, "endpoint: 'moon' is not"),
        ({"cost_usd": [1]}, ValueError, "already has a column 'cost_usd'"),
        (
            {"cache_read_input_tokens": [1]},
            ValueError,
            "pass columns={'cache_read_tokens': 'cache_read_input_tokens'}",
        ),
        ({"prompt_above": [True]}, None, ""),
    ],
)
def test_columns_that_cannot_be_priced(
    columns: dict[str, Any], error: type[Exception] | None, says: str
) -> None:
    """The error names the column and what to give instead."""
    if error is None:
        cost_batch(simple(**columns))
        return
    with pytest.raises(error) as raised:
        cost_batch(simple(**columns))
    assert says in str(raised.value)


def test_columns_under_other_names() -> None:
    """`columns` maps our names to the table's; the table keeps its own."""
    theirs = simple(cache_read_input_tokens=[100_000]).rename_columns({"at": "time"})
    priced = cost_batch(theirs, columns={"at": "time", "cache_read_tokens": "cache_read_input_tokens"})
    assert priced["cost_usd"].to_pylist() == [Decimal("0.05525")]
    assert priced.column_names == [*theirs.column_names, "cost_usd", "price_row", "price_layer", "cost_flags"]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"when": "at"}, "columns: 'when' is not one of model, at, input_tokens"),
        ({"at": "when"}, "columns['at']: the table has no column 'when'"),
    ],
)
def test_wrong_names(columns: dict[str, str], says: str) -> None:
    """Neither our name nor the table's is guessed."""
    with pytest.raises(ValueError) as raised:
        cost_batch(simple(), columns=columns)
    assert says in str(raised.value)


@pytest.mark.parametrize("missing", ["model", "at"])
def test_a_needed_column_is_missing(missing: str) -> None:
    """Without model or time nothing is priced."""
    with pytest.raises(ValueError, match=f"no column '{missing}'"):
        cost_batch(simple().drop_columns(missing))


def test_a_table_without_counts() -> None:
    """No column of tokens is an error, not a cost of 0."""
    with pytest.raises(ValueError, match="none of the counts"):
        cost_batch(simple().select(["model", "at"]))


def test_rows_without_a_price_say_why() -> None:
    """Their cost is null, and no other row suffers."""
    table = pa.table(
        {
            "model": ["claude-opus-4-7", "acme", "claude-opus-4-7", "claude-opus-4-7", "claude-opus-4-7", None],
            "at": ["2026-11-20", "2026-11-20", None, "2026-11-20", "2026-11-20", "2026-11-20"],
            "input_tokens": [1000, 1, 1, -1, None, 1],
        }
    )
    priced = cost_batch(table)
    assert priced["cost_usd"].to_pylist() == [Decimal("0.005"), None, None, None, None, None]
    flags = [[], ["unknown_price"], ["unknown_time"], ["impossible_usage"], ["no_usage"], ["unknown_price"]]
    assert priced["cost_flags"].to_pylist() == flags


@pytest.mark.parametrize("table", [simple().slice(0, 0), simple().to_batches()[0].slice(0, 0)])
def test_a_table_without_rows(table: Any) -> None:
    """Keeps its columns and gets the added ones."""
    priced = cost_batch(table)
    assert priced.num_rows == 0
    assert priced.schema.field("cost_usd").type == pa.decimal128(38, 15)


def test_the_callers_own_prices() -> None:
    """`book` applies, and each row names its layer."""
    rows = {
        "vendor": "acme",
        "models": [{"id": "acme-1", "periods": [{"tiers": [{"input": "1.5", "output": "6"}]}]}],
    }
    book = pickle.loads(pickle.dumps(PriceBook.builtin().extended(rows, "ours")))  # as engines send it
    priced = cost_batch(simple(model=["acme-1"]), book=book)
    assert priced["cost_usd"].to_pylist() == [Decimal("0.00156")]
    assert priced["price_layer"].to_pylist() == ["ours"]


def test_without_pyarrow_the_error_names_the_extra() -> None:
    """The rest of the core works without it."""
    code = "import sys; sys.modules['pyarrow'] = None\nimport nexusflow_core as n\nn.cost_batch([])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "ImportError: tables need pyarrow: pip install 'nexusflow[arrow]'"
