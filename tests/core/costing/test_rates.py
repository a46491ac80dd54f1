"""rates_table: exactly one row holds for a call, and it has the prices of `cost`."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexusflow_core import PriceBook, UnknownModelError, Usage, cost, rates_table
from nexusflow_core.prices import Terms
from tests.core.cost_oracle import rows

FIRST, LAST = datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 12, 31, 23, tzinfo=UTC)
TIERS = (None, "standard", "priority", "flex", "batch", "express")
"""What answers say, and a tier that no vendor has."""

TABLE: list[dict[str, Any]] = rates_table(FIRST, LAST, service_tiers=TIERS).to_pylist()
BY_TERMS: dict[tuple[str, bool, str | None], list[dict[str, Any]]] = {}
for each in TABLE:
    BY_TERMS.setdefault((each["model"], each["batch"], each["service_tier"]), []).append(each)


@settings(max_examples=150)
@given(
    st.sampled_from([row["id"] for _, row in rows()]),
    st.datetimes(FIRST.replace(tzinfo=None), LAST.replace(tzinfo=None), timezones=st.just(UTC)),
    st.one_of(st.integers(0, 3_000_000), st.sampled_from([0, 100_000, 100_001, 200_000, 200_001, 272_001])),
    st.booleans(),
    st.sampled_from(TIERS),
)
def test_one_row_holds(model: str, at: datetime, size: int, batch: bool, tier: str | None) -> None:
    """For every model, moment, size and service tier."""
    holding = [
        row
        for row in BY_TERMS.get((model, batch, tier), [])
        if row["valid_from"] <= at < row["valid_until"] and row["above"] < size <= row["up_to"]
    ]
    usage = Usage(input_tokens=size, service_tier=tier)
    try:
        expected = cost(usage, model=model, at=at, batch=batch)
    except UnknownModelError:
        assert holding == []
        return
    [row] = holding
    assert row["input"] * size == expected.femto_usd
    assert row["cost_flags"] == list(expected.flags)
    assert not size or row["price_row"] == expected.row
    price = PriceBook.builtin().price(model, at, 0, terms=Terms(batch, tier))
    assert size or [row[name] for name in ("cache_read", "output")] == [price.cache_read, price.output]


def test_names_of_the_callers_data() -> None:
    """A cloud's name has a row of its own; an unknown name has none. Without `until` nothing ends."""
    names = ["us.anthropic.claude-haiku-4-5-20251001-v1:0", "acme"]
    [row, batch] = rates_table("2026-11-20", models=names).to_pylist()
    assert (row["model"], row["input"], batch["input"]) == (names[0], 1_100_000_000, 550_000_000)
    assert (row["valid_from"], row["valid_until"]) == (datetime(2026, 11, 20, tzinfo=UTC), None)


def test_service_tiers_are_those_that_were_named() -> None:
    """Without any name there are only rows of calls without a tier. Else a join could count a call twice."""
    only = rates_table("2026-11-20", models=["gpt-6-sol"])
    assert set(only["service_tier"].to_pylist()) == {None}
    named = rates_table("2026-11-20", models=["gpt-6-sol"], service_tiers=["priority", "flex", "priority"])
    assert set(named["service_tier"].to_pylist()) == {"priority", "flex"}
    assert named.num_rows == 2 * only.num_rows
    with pytest.raises(TypeError, match="service_tiers: 'flex' is one tier; give a list"):
        rates_table("2026-11-20", service_tiers="flex")
