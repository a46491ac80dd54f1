"""The gateway and the offline core read one usage object alike, and tell the forms apart by their members."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from nexusflow_core import InvalidUsageError, Usage, cost
from tests.core.translation.driving import answered

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


def offline(usage: dict[str, Any], wire: Any = "openai-chat") -> Usage:
    """Read from bytes and from the object, which must agree."""
    found = Usage.from_wire(usage, wire)
    assert Usage.from_wire(json.dumps(usage).encode(), wire) == found
    return found


def online(usage: dict[str, Any], vendor: str | None) -> tuple[Usage, tuple[str, ...]]:
    """Read by the gateway from a translated answer, and the flags of its cost."""
    choice = {"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}
    members = {"vendor": vendor} if vendor else {}
    record = answered({"model": "m", "choices": [choice], "usage": usage}, **members).record
    assert record.usage is not None
    counts = Usage.from_wire(record.usage, "anthropic")
    return (record.billing.applied(counts) if record.billing else counts), record.cost_flags


LITELLM = {
    "prompt_tokens": 60_000,
    "completion_tokens": 400,
    "total_tokens": 60_400,
    "prompt_tokens_details": {"cached_tokens": 2000, "cache_creation_tokens": 57_000},
}


@pytest.mark.parametrize(
    ("usage", "model", "vendor", "dollars"),
    [
        # Kimi counts cached tokens at the top: 21 tokens of 15, 29,000 of 0.3, 534 of 3 USD/MTok.
        (
            {"prompt_tokens": 29_534, "completion_tokens": 21, "total_tokens": 29_555, "cached_tokens": 29_000},
            "kimi-k3",
            "moonshot",
            "0.010617",
        ),
        # Mistral.
        (
            {"prompt_tokens": 1013, "completion_tokens": 4, "total_tokens": 1017, "num_cached_tokens": 1008},
            "mistral-medium-3-5",
            "mistral",
            "0.0001887",
        ),
        # Gemini's thoughts stand in the total alone: 603 tokens of output.
        (
            {"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623},
            "gemini-2.5-flash",
            "gemini",
            "0.0015135",
        ),
        # DeepSeek's hits and misses.
        (
            {
                "prompt_tokens": 1000,
                "completion_tokens": 9,
                "total_tokens": 1009,
                "prompt_cache_hit_tokens": 900,
                "prompt_cache_miss_tokens": 100,
            },
            "deepseek-flash",
            "deepseek",
            "0.0000231",
        ),
        # LiteLLM in front of Claude: 1,000 of 5, 2,000 of 0.5, 57,000 of 6.25, 400 of 25.
        (LITELLM, "claude-opus-4-7", None, "0.37225"),
        # xAI's reasoning beside the completion.
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 5,
                "total_tokens": 125,
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            "grok-4.7",
            None,
            "0.00035",
        ),
        # Zeros hide nothing, and other names count.
        (
            {"prompt_tokens": 21, "completion_tokens": 0, "total_tokens": 81, "reasoning_tokens": 60},
            "gpt-5.4",
            "openai",
            "0.0009525",
        ),
        ({"input_tokens": 11, "output_tokens": 5, "total_tokens": 16}, "gpt-5.4", None, "0.0001025"),
        (
            {
                "prompt_tokens": 1000,
                "completion_tokens": 1,
                "prompt_tokens_details": {"cached_tokens": 0},
                "prompt_cache_hit_tokens": 900,
            },
            "deepseek-flash",
            None,
            "0.0000183",
        ),
    ],
)
def test_one_usage_has_one_meaning(usage: dict[str, Any], model: str, vendor: str | None, dollars: str) -> None:
    """Offline and through the gateway, to the last femto-dollar; nothing is in doubt."""
    here = cost(offline(usage), model=model, at=AT)
    assert here.usd == Decimal(dollars)
    assert "total_differs" not in here.flags
    there, _ = online(usage, vendor)
    assert cost(there, model=model, at=AT).usd == Decimal(dollars)


@pytest.mark.parametrize("vendor", [None, "openai", "mistral"])
@pytest.mark.parametrize("total", [120, 100, 10**6])
def test_a_total_that_nothing_explains(total: int, vendor: str | None) -> None:
    """It is flagged on both ways; a total of 0 tells nothing."""
    usage = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": total}
    assert "total_differs" in offline(usage).flags
    assert "total_differs" in online(usage, vendor)[0].flags
    assert offline(usage | {"total_tokens": 0}).flags == ()
    assert offline(usage | {"total_tokens": 105}).flags == ()
    assert cost(offline(usage), model="gpt-5.4", at=AT).flags == ("total_differs",)


def test_a_responses_total() -> None:
    """It is compared too."""
    usage = {"input_tokens": 100, "output_tokens": 5, "total_tokens": 120}
    assert offline(usage, "openai-responses").flags == ("total_differs",)
    assert offline(usage | {"total_tokens": 105}, "openai-responses").flags == ()


def test_a_total_alone() -> None:
    """It tells neither side, so there is no price: an error here, an estimate there."""
    for usage in ({"total_tokens": 50}, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 50}):
        with pytest.raises(InvalidUsageError):
            offline(usage)
        assert "estimated_usage" in online(usage, None)[1]


@pytest.mark.parametrize("details", ["prompt_tokens_details", "completion_tokens_details"])
def test_sound(details: str) -> None:
    """It costs more than text, and rows have the price of text: flagged."""
    usage = {"prompt_tokens": 5000, "completion_tokens": 10, details: {"audio_tokens": 9}}
    assert offline(usage).flags == ("unpriced_audio",)
    assert "unpriced_audio" in online(usage, "gemini")[0].flags
    assert cost(offline(usage), model="gemini-2.5-flash", at=AT).flags == ("unpriced_audio",)
    assert offline(usage | {details: {"audio_tokens": 0}}).flags == ()
    responses = {"input_tokens": 5, "output_tokens": 1, "input_tokens_details": {"audio_tokens": 4}}
    assert offline(responses, "openai-responses").flags == ("unpriced_audio",)


def test_images_of_an_answer() -> None:
    """They cost more than its text; those of the prompt do not."""
    usage = {"prompt_tokens": 7, "completion_tokens": 1300, "total_tokens": 1307}
    drawn = usage | {"completion_tokens_details": {"image_tokens": 1290}}
    assert cost(offline(drawn), model="gemini-2.5-flash", at=AT).flags == ("unpriced_images",)
    assert "unpriced_images" in online(drawn, "gemini")[1]
    assert offline(usage | {"prompt_tokens_details": {"image_tokens": 5}}).flags == ()
    assert offline(usage | {"completion_tokens_details": {"image_tokens": 0}}).flags == ()
    responses = {"input_tokens": 5, "output_tokens": 9, "output_tokens_details": {"image_tokens": 4}}
    assert offline(responses, "openai-responses").flags == ("unpriced_images",)


def test_cached_tokens_beside_the_prompt() -> None:
    """Azure tells Grok's so: the total proves it, and without one it cannot be."""
    usage = {"prompt_tokens": 10, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 161}}
    told = usage | {"total_tokens": 180}
    assert offline(told) == Usage(10, 161, output_tokens=9)
    counts, flags = online(told, None)
    assert (counts.input_tokens, counts.cache_read_tokens, counts.flags) == (10, 161, ())
    assert "clamped_usage" not in flags
    for total in ({}, {"total_tokens": 19}, {"total_tokens": 181}):
        with pytest.raises(InvalidUsageError):
            offline(usage | total)


def test_sound_beside_the_text() -> None:
    """Mistral's is no part of the prompt, but of the total."""
    usage = {"prompt_tokens": 11, "completion_tokens": 15, "total_tokens": 401}
    assert offline(usage | {"prompt_tokens_details": {"audio_tokens": 375}}).flags == ("unpriced_audio",)


def test_cached_tokens_in_whole_blocks() -> None:
    """Mistral's engine counts 64 cached tokens of a prompt of 10: cut to the prompt, and said so."""
    usage = {"prompt_tokens": 10, "completion_tokens": 142, "total_tokens": 152, "num_cached_tokens": 64}
    assert offline(usage) == Usage(0, 10, output_tokens=142, flags=("clamped_usage",))


RESPONSES = {"input_tokens": 100_000, "input_tokens_details": {"cached_tokens": 99_000}, "output_tokens": 482}
ANTHROPIC = {"input_tokens": 5, "cache_read_input_tokens": 100_000, "output_tokens": 482}
CHAT = {"prompt_tokens": 100, "completion_tokens": 5}
CONVERSE = {"inputTokens": 5, "outputTokens": 3, "cacheReadInputTokens": 9}
REPORT = {"uncached_input_tokens": 5, "output_tokens": 3}


@pytest.mark.parametrize(
    ("usage", "wire", "theirs"),
    [
        (RESPONSES, "anthropic", "openai-responses"),
        ({"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}, "anthropic", "openai-responses"),
        (CHAT, "anthropic", "openai-chat"),
        (CHAT | {"input_tokens": 100}, "anthropic", "openai-chat"),
        (CHAT | {"cache_read_input_tokens": 50}, "anthropic", "openai-chat"),
        (CONVERSE, "anthropic", "bedrock-converse"),
        (REPORT | {"input_tokens": None}, "anthropic-usage-report", None),
        (ANTHROPIC, "anthropic-usage-report", "anthropic"),
        (ANTHROPIC, "openai-responses", "anthropic"),
        ({"input_tokens": 5, "cache_creation_input_tokens": 9}, "openai-responses", "anthropic"),
        (CHAT | {"input_tokens": 100}, "openai-responses", "openai-chat"),
        (RESPONSES, "openai-chat", "openai-responses"),
        (ANTHROPIC, "openai-chat", "anthropic"),
        (ANTHROPIC, "deepseek-chat", "anthropic"),
        (ANTHROPIC | {"cost": 1}, "openrouter", "anthropic"),
        (CONVERSE, "openai-chat", "bedrock-converse"),
        (ANTHROPIC | CONVERSE, "bedrock-converse", "anthropic"),
        (REPORT, "openai-chat", "anthropic-usage-report"),
        # Their own, and what the forms share.
        (RESPONSES | {"total_tokens": 100_482}, "openai-responses", None),
        (ANTHROPIC, "anthropic", None),
        (ANTHROPIC | {"total_tokens": None, "input_tokens_details": None}, "anthropic", None),
        (CHAT | {"cache_read_input_tokens": 50, "cache_creation_input_tokens": 0}, "openai-chat", None),
        (CONVERSE | {"totalTokens": 17}, "bedrock-converse", None),
    ],
)
def test_a_member_that_only_another_form_has(usage: dict[str, Any], wire: Any, theirs: str | None) -> None:
    """The names are alike and their meanings are not: the error names the wire to read it with."""
    if theirs is None:
        offline(usage, wire)
        return
    for given in (usage, json.dumps(usage).encode()):
        with pytest.raises(InvalidUsageError, match=f"is not a member of {wire}.*wire='{theirs}'"):
            Usage.from_wire(given, wire)


def test_a_stream_of_another_form() -> None:
    """Each of its usage objects is looked at."""
    for given in ([ANTHROPIC, RESPONSES], json.dumps([RESPONSES]).encode()):
        with pytest.raises(InvalidUsageError, match="wire='openai-responses'"):
            Usage.from_wire(given, "anthropic-stream")
