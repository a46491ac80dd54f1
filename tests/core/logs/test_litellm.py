"""LiteLLM's spend logs."""

import json
from typing import Any

from nexusflow_core.logs import Pricer
from tests.core.logs.independent import dollars, read, total

USAGE = {
    "prompt_tokens": 10_000,
    "completion_tokens": 500,
    "total_tokens": 10_500,
    "prompt_tokens_details": {"cached_tokens": 6000},
    "cache_read_input_tokens": 6000,
    "cache_creation_input_tokens": 1000,
}


def row(**changes: Any) -> dict[str, Any]:
    return {
        "request_id": "chatcmpl-1",
        "call_type": "acompletion",
        "api_key": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b",
        "spend": 0.0195,
        "total_tokens": 10_500,
        "prompt_tokens": 10_000,
        "completion_tokens": 500,
        "startTime": "2026-11-20T10:00:00.000000",
        "endTime": "2026-11-20T10:00:02.000000",
        "model": "claude-opus-4-7",
        "model_group": "smart",
        "custom_llm_provider": "anthropic",
        "user": "alice",
        "team_id": "t1",
        "cache_hit": "False",
        "session_id": "s1",
        "metadata": {"user_api_key_alias": "ci", "user_api_key_team_alias": "red", "usage_object": USAGE},
        **changes,
    }


def test_the_prompt_includes_the_cache() -> None:
    """Reads and writes have their own prices; the rest of the prompt is input."""
    entries = read(row())
    assert total(entries) == dollars("anthropic", "claude-opus-4-7", 3000, 6000, 1000, 0, 500)
    (entry,) = entries
    assert (entry.key, entry.upstream, entry.route, entry.session) == ("ci", "anthropic", "smart", "s1")
    assert entry.metadata == {"team": "red", "user": "alice"}
    assert entry.at.isoformat() == "2026-11-20T10:00:00+00:00"


def test_a_database_export() -> None:
    """`metadata` is JSON in a string, `spend` may be text, and a time names no zone: it is UTC."""
    old = {"additional_usage_values": {"cache_read_input_tokens": 6000, "cache_creation_input_tokens": 0}}
    entries = read([row(metadata=json.dumps(old), startTime="2026-11-20 10:00:00+00:00", spend="0.0195")])
    assert total(entries) == dollars("anthropic", "claude-opus-4-7", 4000, 6000, 0, 0, 500)
    assert entries[0].key == row()["api_key"]
    assert entries[0].logged_femto_usd == 195 * 10**11


def test_an_answer_from_litellm_s_own_cache_costs_nothing() -> None:
    """It is a call without usage; so is a call that failed."""
    for changes in ({"cache_hit": "True"}, {"prompt_tokens": 0, "completion_tokens": 0, "spend": 0}):
        (entry,) = read(row(**changes))
        assert entry.usage is None


def test_the_price_is_the_provider_s() -> None:
    """Of a provider with prices of its own, only its rows count; without any, LiteLLM's cost does."""
    (bedrock,) = read(row(model="us.anthropic.claude-haiku-4-5-20251001-v1:0", custom_llm_provider="bedrock"))
    assert total([bedrock]) == dollars("anthropic", "claude-haiku-4-5", 3000, 6000, 1000, 0, 500, times="1.1")
    (other,) = read(row(model="claude-opus-4-7", custom_llm_provider="acme"))
    priced = Pricer().price(other)
    assert priced.cost is not None
    assert (priced.cost.femto_usd, priced.cost.flags) == (195 * 10**11, ("logged_cost",))
