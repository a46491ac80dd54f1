"""cost_of_sum: a sum is priced only if every way to split it into requests costs the same."""

import pytest

from nexusflow_core import InvalidUsageError, Usage, cost, cost_of_sum

DAY = "2026-11-20"


def test_the_sum_of_a_day() -> None:
    """A model with one price: the sum costs what its requests cost, and the flag says that it is a sum."""
    one, other = Usage(input_tokens=900_000, output_tokens=5), Usage(input_tokens=800_000, output_tokens=7)
    parts = cost(one, model="claude-opus-4-7", at=DAY) + cost(other, model="claude-opus-4-7", at=DAY)
    both = cost_of_sum(Usage(input_tokens=1_700_000, output_tokens=12), model="claude-opus-4-7", at=DAY)
    assert (both.femto_usd, both.flags) == (parts.femto_usd, ("many_requests",))


def test_a_tier_makes_a_large_sum_undefined() -> None:
    """Below the tier's size no request can be above it."""
    assert cost_of_sum(Usage(input_tokens=100_000), model="claude-haiku-5-5", at=DAY).flags == (
        "many_requests",
    )
    with pytest.raises(
        InvalidUsageError, match="claude-haiku-5-5 has another price above 100,000 prompt tokens"
    ):
        cost_of_sum(Usage(input_tokens=100_001), model="claude-haiku-5-5", at=DAY)


def test_hours_make_a_sum_undefined() -> None:
    """DeepSeek's peak hours lie inside a working day, not inside a Sunday or an evening."""
    usage = Usage(input_tokens=1000)
    with pytest.raises(InvalidUsageError, match="has another price at 2026-11-20 01:00"):
        cost_of_sum(usage, model="deepseek-flash", at=DAY)
    found = cost_of_sum(usage, model="deepseek-flash", at="2026-11-20T18:00Z", until="2026-11-20T20:00Z")
    assert found.femto_usd == cost(usage, model="deepseek-flash", at="2026-11-20T19:00Z").femto_usd


def test_a_change_of_price_makes_a_sum_undefined() -> None:
    """Only for tokens whose price changed: reads of Sonnet 5.5 became cheaper."""
    change = {"model": "claude-sonnet-5-5", "at": "2026-10-01", "until": "2026-10-31"}
    cost_of_sum(Usage(input_tokens=10, output_tokens=5), **change)
    with pytest.raises(InvalidUsageError, match="has another price at 2026-10-"):
        cost_of_sum(Usage(cache_read_tokens=10), **change)


def test_a_span_that_ends_before_it_begins() -> None:
    """Is a mistake of the caller."""
    with pytest.raises(ValueError, match="until: 2026-11-01 is before 2026-11-20"):
        cost_of_sum(Usage(input_tokens=1), model="claude-opus-4-7", at=DAY, until="2026-11-01")
