"""OpenRouter's generations and daily activity."""

from decimal import Decimal
from typing import Any

from nexusflow_core.logs import Pricer, Skipped
from tests.core.logs.independent import read, total

GENERATION: dict[str, Any] = {
    "id": "gen-1",
    "upstream_id": "chatcmpl-1",
    "total_cost": 0.0015,
    "usage": 0.0015,
    "cache_discount": None,
    "created_at": "2026-11-20T10:00:00.433273+00:00",
    "model": "anthropic/claude-opus-4.7",
    "app_id": 12345,
    "streamed": True,
    "provider_name": "Anthropic",
    "tokens_prompt": 9000,
    "tokens_completion": 450,
    "native_tokens_prompt": 10_000,
    "native_tokens_completion": 500,
    "native_tokens_reasoning": 100,
    "native_tokens_cached": 6000,
    "is_byok": False,
}
ACTIVITY: dict[str, Any] = {
    "date": "2026-11-20",
    "model": "anthropic/claude-opus-4.7",
    "model_permaslug": "anthropic/claude-4.7-opus-20260201",
    "provider_name": "Anthropic",
    "usage": 1.25,
    "byok_usage_inference": 0,
    "requests": 40,
    "prompt_tokens": 10_000,
    "completion_tokens": 500,
    "reasoning_tokens": 0,
}


def test_the_bill_overrides_every_price() -> None:
    """The counts are those of the model's own tokenizer; cached tokens are part of the prompt."""
    (entry,) = read({"data": GENERATION})
    assert total([entry]) == Decimal("0.0015")
    assert (entry.usage.input_tokens, entry.usage.cache_read_tokens, entry.usage.output_tokens) == (
        4000,
        6000,
        500,
    )
    assert (entry.id, entry.upstream, entry.metadata) == ("gen-1", "Anthropic", {"app": "12345"})


def test_daily_activity() -> None:
    """A row counts as many calls as it says."""
    entries = read({"data": [ACTIVITY, {**ACTIVITY, "usage": 0.75, "requests": 2}]})
    assert total(entries) == Decimal(2)
    assert [it.calls for it in entries] == [40, 2]


def test_a_key_of_one_s_own() -> None:
    """OpenRouter's charge is then its fee alone, and a flag says so."""
    for value in ({**GENERATION, "is_byok": True}, {**ACTIVITY, "byok_usage_inference": 0.5}):
        cost = Pricer().price(read(value)[0]).cost
        assert cost is not None
        assert "byok_fee_only" in cost.flags


def test_rows_that_cannot_be_read() -> None:
    """A negative charge, a row without a model, a time without its zone."""
    for value in (
        {**GENERATION, "total_cost": -1},
        {**ACTIVITY, "model": None, "model_permaslug": None},
        {**GENERATION, "created_at": "2026-11-20T10:00:00"},
    ):
        assert isinstance(read(value)[0], Skipped)
