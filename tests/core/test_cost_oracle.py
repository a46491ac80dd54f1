"""Random requests cost to the last femto-dollar what the oracle says, which shares no code with the product."""

from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexusflow_core import Cost, InvalidUsageError, UnknownModelError, Usage, cost
from tests.core import cost_oracle as oracle

ANTHROPIC = [name for vendor, row in oracle.rows() if vendor == "anthropic" for name in (row["id"],)]
OTHERS = [row["id"] for vendor, row in oracle.rows() if vendor != "anthropic"]

# Around every threshold and every carry, and sometimes none at all.
COUNTS = st.one_of(
    st.none(),
    st.integers(0, 2000),
    st.sampled_from([99_999, 100_000, 100_001, 199_999, 200_000, 200_001, 272_000, 272_001, 512_001]),
    st.integers(0, 2**60),
)
MOMENTS = st.builds(
    lambda moment, hours: moment.astimezone(timezone(timedelta(hours=hours))),
    st.datetimes(datetime(2024, 1, 1), datetime(2027, 2, 1), timezones=st.just(UTC)),
    st.integers(-12, 14),
)


@st.composite
def anthropic_parts(draw: st.DrawFn) -> dict[str, Any]:
    """The counts that a message and an iteration have in common."""
    counts = {name: draw(COUNTS) for name in ("input_tokens", "output_tokens", "cache_read_input_tokens")}
    split = {
        f"ephemeral_{life}_input_tokens": draw(st.one_of(st.none(), st.integers(0, 90_000)))
        for life in ("5m", "1h")
    }
    held = sum(count or 0 for count in split.values())
    form = draw(st.sampled_from(["neither", "total", "split", "both", "short", "long"]))
    if form in ("total", "both"):
        counts["cache_creation_input_tokens"] = held
    if form == "short":
        counts["cache_creation_input_tokens"] = held + draw(st.integers(1, 50_000))
    if form == "long" and held:
        counts["cache_creation_input_tokens"] = held - 1
    if form not in ("neither", "total"):
        counts["cache_creation"] = split
    return counts


@st.composite
def anthropic_usage(draw: st.DrawFn) -> dict[str, Any]:
    usage = draw(anthropic_parts())
    if draw(st.booleans()):
        usage["server_tool_use"] = {"web_search_requests": draw(st.one_of(st.none(), st.integers(0, 40)))}
    for name, values in {
        "service_tier": ["standard", "batch", "priority"],
        "speed": ["standard", "fast"],
        "inference_geo": ["us", "global", "not_available", "eu"],
    }.items():
        usage[name] = draw(st.sampled_from([None, *values]))
    if draw(st.integers(0, 3)) == 0:
        step = st.builds(
            lambda parts, model: {"type": "message", "model": model, **parts},
            anthropic_parts(),
            st.sampled_from([None, None, *ANTHROPIC]),
        )
        usage["iterations"] = draw(st.lists(step, max_size=4))
    return usage


@st.composite
def chat_usage(draw: st.DrawFn) -> dict[str, Any]:
    prompt, output, thought = draw(COUNTS), draw(COUNTS), draw(COUNTS)
    share = st.one_of(st.none(), st.integers(0, (prompt or 0) // 2))
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "prompt_tokens_details": {"cached_tokens": draw(share), "cache_write_tokens": draw(share)},
        "completion_tokens_details": draw(st.sampled_from([None, {"reasoning_tokens": thought}])),
        "service_tier": draw(st.sampled_from([None, "default", "flex", "priority", "fast", "batch"])),
    }
    if draw(st.booleans()):
        usage["total_tokens"] = (prompt or 0) + (output or 0) + draw(st.sampled_from([0, thought or 0, 7]))
    return usage


def compare(usage: dict[str, Any], wire: Any, model: str, at: datetime, **options: Any) -> None:
    """Bucket by bucket; where the oracle sees something impossible, so does the product."""

    def ours() -> Cost:
        return cost(Usage.from_wire(usage, wire), model=model, at=at, **options)

    try:
        expected = oracle.bill(usage, wire, model, at, **options)
    except oracle.Impossible:
        with pytest.raises((InvalidUsageError, UnknownModelError)):
            ours()
        return
    found = ours()
    parts: dict[str, Fraction] = {}
    for line in found.lines:
        parts[line.bucket] = parts.get(line.bucket, Fraction(0)) + Fraction(line.femto_usd, 10**15)
    assert parts == expected
    assert Fraction(found.usd) == sum(expected.values())


@settings(max_examples=400, deadline=None)
@given(
    anthropic_usage(),
    st.sampled_from(ANTHROPIC),
    MOMENTS,
    st.booleans(),
    st.sampled_from([None, "regional", "global"]),
    st.sampled_from([None, "end_turn", "refusal"]),
)
def test_a_message_costs_what_the_oracle_says(
    usage: dict[str, Any], model: str, at: datetime, batch: bool, endpoint: str | None, stop_reason: str | None
) -> None:
    """Every Claude row, any day, any tier, speed, place and split, iterations and refusals among them."""
    compare(usage, "anthropic", model, at, batch=batch, endpoint=endpoint, stop_reason=stop_reason)


@settings(max_examples=400, deadline=None)
@given(chat_usage(), st.sampled_from(OTHERS), MOMENTS, st.booleans(), st.booleans())
def test_a_completion_costs_what_the_oracle_says(
    usage: dict[str, Any], model: str, at: datetime, batch: bool, explicit_cache: bool
) -> None:
    """Every row of every other vendor, any day and hour."""
    compare(usage, "openai-chat", model, at, batch=batch, explicit_cache=explicit_cache)


@pytest.mark.parametrize(
    "name", [name for _, row in oracle.rows() for name in (row["id"], *row.get("aliases", []))]
)
def test_every_row_is_priced_as_the_oracle_prices_it(name: str) -> None:
    """Each id and alias, on each day that its prices change and the day before, in and out of its hours."""
    vendor, row = oracle.row_of(name)
    wire = "anthropic" if vendor == "anthropic" else "openai-chat"
    days = {period[edge] for period in row["periods"] for edge in ("from", "until") if period.get(edge)}
    moments = [datetime(2026, 11, 16, 2, tzinfo=UTC), datetime(2026, 11, 21, 2, tzinfo=UTC)]
    for day in sorted(days):
        midnight = datetime.fromisoformat(f"{day}T00:00:00+00:00")
        moments += [midnight - timedelta(microseconds=1), midnight]
    sizes = {0, *(t.get("above", 0) for p in row["periods"] for t in p["tiers"])}
    for at in moments:
        for prompt in sorted({size + more for size in sizes for more in (0, 1)}):
            usage = (
                {"cache_read_input_tokens": prompt, "output_tokens": 3}
                if wire == "anthropic"
                else {"prompt_tokens": prompt, "prompt_tokens_details": {"cached_tokens": prompt}}
            )
            compare(usage, wire, name, at)
