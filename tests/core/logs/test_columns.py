"""Rows of tables: known exports, mapped columns, and cells that cannot be read."""

import contextlib
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nexusflow_core.errors import InvalidUsageError
from nexusflow_core.logs import Columns, Entry, NotAnEntryError, columns_of, read_row
from nexusflow_core.logs.columns import FIELDS
from tests.core.logs.independent import dollars, total

PARIS = timezone(timedelta(hours=1))


def entry(row: dict[str, Any], **mapping: str) -> Entry:
    return read_row(
        row, columns_of(row, {name.replace("__", "."): column for name, column in mapping.items()} or None)
    )


def test_the_console_s_usage_export() -> None:
    """Anthropic's CSV: each row is a sum of a day, with its tier and its terms."""
    row = {
        "usage_date_utc": "2026-11-20",
        "model_version": "claude-opus-4-7",
        "api_key": "ci",
        "workspace": "Default",
        "usage_type": "batch",
        "context_window": "≤ 200k",
        "usage_input_tokens_no_cache": "1200",
        "usage_input_tokens_cache_write_5m": "400",
        "usage_input_tokens_cache_write_1h": "100",
        "usage_input_tokens_cache_read": "90000",
        "usage_output_tokens": "3000",
        "web_search_count": "2",
        "inference_geo": "not_available",
        "speed": "",
    }
    got = entry(row)
    counts = (1200, 90_000, 400, 100, 3000)
    assert total([got]) == dollars("anthropic", "claude-opus-4-7", *counts, times="0.5", searches=2)
    assert (got.key, got.metadata, got.many_requests, got.vendor) == (
        "ci",
        {"workspace": "Default"},
        True,
        "anthropic",
    )


def test_the_console_s_cost_export() -> None:
    """Amounts are dollars, and count as they are."""
    row = {
        "usage_date_utc": "2026-11-20",
        "model": "claude-opus-4-7",
        "cost_usd": "1.25",
        "token_type": "output",
    }
    assert total([entry(row), entry({**row, "cost_usd": "-0.25"})]) == Decimal(1)


def test_openrouter_s_activity_export() -> None:
    """Its times are UTC without saying so; its bill overrides every price."""
    row = {
        "generation_id": "gen-1",
        "created_at": "2026-11-20 10:00:00.123",
        "cost_total": "0.00125",
        "tokens_prompt": "10000",
        "tokens_completion": "500",
        "tokens_reasoning": "0",
        "tokens_cached": "6000",
        "model_permaslug": "anthropic/claude-opus-4.7",
        "provider_name": "Anthropic",
        "api_key_name": "ci",
    }
    got = entry(row)
    assert total([got]) == Decimal("0.00125")
    assert got.usage is not None
    assert (got.usage.input_tokens, got.usage.cache_read_tokens, got.key) == (4000, 6000, "ci")
    assert got.at == datetime(2026, 11, 20, 10, 0, 0, 123000, tzinfo=UTC)


def test_openai_s_usage_export() -> None:
    """Its input includes cached tokens; its times are Unix seconds."""
    row = {
        "start_time": "1763596800",
        "model": "gpt-5",
        "input_tokens": "10000",
        "input_cached_tokens": "6000",
        "output_tokens": "500",
        "num_model_requests": "5",
        "batch": "false",
    }
    got = entry(row)
    assert total([got]) == dollars("openai", "gpt-5", 4000, 6000, 0, 0, 500)
    assert (got.calls, got.at.day, got.batch) == (5, 20, False)


def test_columns_of_one_s_own() -> None:
    """By a mapping; types of Parquet are as good as text."""
    row = {
        "engine": "claude-opus-4-7",
        "when": date(2026, 11, 20),
        "in": 1000,
        "out": Decimal(200),
        "who": "red",
    }
    got = entry(row, model="engine", at="when", input_tokens="in", output_tokens="out", metadata__team="who")
    assert total([got]) == dollars("anthropic", "claude-opus-4-7", 1000, 0, 0, 0, 200)
    assert got.metadata == {"team": "red"}
    floats = entry({**row, "in": 1000.0, "out": "200.0"}, model="engine", at="when", input_tokens="in")
    assert floats.usage is not None
    assert floats.usage.input_tokens == 1000


def test_columns_with_our_own_names_need_no_mapping() -> None:
    """`model`, `at`, `input_tokens`, and so on."""
    got = entry({"model": "claude-opus-4-7", "at": "2026-11-20T12:00:00Z", "output_tokens": "2", "other": "x"})
    assert total([got]) == dollars("anthropic", "claude-opus-4-7", 0, 0, 0, 0, 2)


@pytest.mark.parametrize(
    ("header", "mapping", "says"),
    [
        (["a", "b"], None, "--columns model=...,at=...,input_tokens=...; they are a, b"),
        (["a", "b"], {"model": "c"}, "no column 'c'; the columns are a, b"),
        (["model"], None, "of no known table"),
    ],
)
def test_tables_that_are_not_known(header: list[str], mapping: dict[str, str] | None, says: str) -> None:
    """The error names the columns, and what to do."""
    with pytest.raises(NotAnEntryError) as error:
        columns_of(header, mapping)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("cell", "zone", "moment"),
    [
        ("2026-11-20T12:00:00+01:00", None, datetime(2026, 11, 20, 11, tzinfo=UTC)),
        ("2026-11-20 12:00:00", PARIS, datetime(2026, 11, 20, 11, tzinfo=UTC)),
        (datetime(2026, 11, 20, 12), PARIS, datetime(2026, 11, 20, 11, tzinfo=UTC)),
        ("2026-11-20", PARIS, datetime(2026, 11, 20, tzinfo=UTC)),
        ("1763596800", None, datetime(2025, 11, 20, tzinfo=UTC)),
        ("2026-11-20 12:00:00", None, "no time zone"),
        (datetime(2026, 11, 20, 12), None, "give one with --tz"),
        ("noon", None, "noon"),
        (1.5, None, "a float"),
        ("", None, "no time"),
    ],
)
def test_times(cell: Any, zone: Any, moment: datetime | str) -> None:
    """A time without a zone needs one; a day is its midnight in UTC."""
    columns = Columns({"model": "model", "at": "at"}, zone=zone)
    if isinstance(moment, datetime):
        assert read_row({"model": "m", "at": cell}, columns).at == moment
        return
    with pytest.raises(NotAnEntryError, match=moment):
        read_row({"model": "m", "at": cell}, columns)


@pytest.mark.parametrize("count", ["-1", "1.5", "many", -1, 1.5, "NaN", "Infinity"])
def test_counts_that_are_none(count: Any) -> None:
    """A negative count, a fraction, a word."""
    row = {"model": "m", "at": "2026-11-20", "input_tokens": count}
    with pytest.raises(InvalidUsageError):
        entry(row)


@example(row={"cost_usd": Decimal("sNaN")})
@given(
    row=st.dictionaries(
        st.sampled_from(FIELDS),
        st.none() | st.text(max_size=6) | st.integers() | st.floats() | st.datetimes() | st.decimals(),
    )
)
def test_no_cells_raise_anything_else(row: dict[str, Any]) -> None:
    """Any cell in any column is read, or has its reason."""
    columns = Columns({name: name for name in FIELDS}, zone=UTC)
    with contextlib.suppress(NotAnEntryError, InvalidUsageError):
        assert isinstance(read_row({"model": "m", "at": "2026-11-20", **row}, columns), Entry)
