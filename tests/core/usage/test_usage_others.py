"""The forms of the other vendors: each includes and excludes other things."""

import json
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from nexusflow_core import InvalidUsageError, Usage
from nexusflow_core.usage.others import READERS


def read(usage: Any, wire: Any) -> Usage:
    """The same from JSON and from the decoded object."""
    found = Usage.from_wire(usage, wire)
    assert Usage.from_wire(json.dumps(usage).encode(), wire) == found
    return found


def refused(usage: Any, wire: Any) -> str:
    """The message of the error, which both forms raise."""
    with pytest.raises(InvalidUsageError):
        Usage.from_wire(json.dumps(usage).encode(), wire)
    with pytest.raises(InvalidUsageError) as error:
        Usage.from_wire(usage, wire)
    return str(error.value)


def chat(prompt: Any = 0, completion: Any = 0, cached: Any = None, written: Any = None) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
    }


CHAT_WIRES = ["openai-chat", "deepseek-chat", "openrouter"]


@pytest.mark.parametrize("wire", CHAT_WIRES)
@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (chat(2600, 8, 2000, 400), Usage(200, 2000, 400, output_tokens=8, assumed_5m_tokens=400)),
        (chat(10, 5, 10), Usage(0, 10, output_tokens=5)),
        (chat(10, 5), Usage(10, output_tokens=5)),
        ({"prompt_tokens": 7}, Usage(7)),
        ({"prompt_tokens": 7, "completion_tokens": None, "prompt_tokens_details": None}, Usage(7)),
    ],
)
def test_chat_completions(wire: str, usage: dict[str, Any], expected: Usage) -> None:
    """The prompt includes what was cached and written, and each token is counted once."""
    missing = ("bill_missing",) if wire == "openrouter" else ()
    assert read(usage, wire) == replace(expected, flags=missing)


@pytest.mark.parametrize("wire", [*CHAT_WIRES, "openai-responses", "bedrock-converse"])
@pytest.mark.parametrize("usage", [{}, {"total_tokens": 9}, {"prompt": 5}, dict.fromkeys(chat())])
def test_what_has_none_of_the_counts(wire: str, usage: dict[str, Any]) -> None:
    """It is another form's, or nothing is known: not free."""
    assert "none of the counts" in refused(usage, wire)


LIFETIMES = {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 20}


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        # Qwen's, by markers and by itself
        (
            {"cached_tokens": 10, "cache_creation_input_tokens": 50, "cache_type": "ephemeral"},
            Usage(40, 10, 50, assumed_5m_tokens=50, explicit_cache=True),
        ),
        ({"cached_tokens": 10, "cache_type": "implicit"}, Usage(90, 10)),
        # by lifetime, whole, in part, and without a total
        ({"cache_write_tokens": 50, "cache_creation": LIFETIMES}, Usage(50, 0, 30, 20)),
        ({"cache_write_tokens": 60, "cache_creation": LIFETIMES}, Usage(40, 0, 40, 20, assumed_5m_tokens=10)),
        ({"cache_creation": LIFETIMES}, Usage(50, 0, 30, 20)),
        ({"cache_write_tokens": 0, "cache_creation": None}, Usage(100)),
    ],
)
def test_writes_by_lifetime(details: dict[str, Any], expected: Usage) -> None:
    """As Qwen and Kimi tell them; what is left of the total is 5m, and assumed."""
    assert read({"prompt_tokens": 100, "prompt_tokens_details": details}, "openai-chat") == expected


def test_more_lifetimes_than_writes() -> None:
    """The parts cannot be more than the whole."""
    details = {"cache_write_tokens": 40, "cache_creation": LIFETIMES}
    assert "50" in refused({"prompt_tokens": 100, "prompt_tokens_details": details}, "openai-chat")


@pytest.mark.parametrize("wire", CHAT_WIRES)
@pytest.mark.parametrize(
    "usage",
    [
        chat(10, 5, 11),
        chat(10, 5, 6, 5),
        chat(10, 5, None, 11),
        chat(-1),
        chat(1.5),
        chat("10"),
        chat(10, -3),
        chat(10, 5, -1),
        chat(2**63),
        {"prompt_tokens_details": {"cached_tokens": 161}, "prompt_tokens": 10},
        {"prompt_tokens": 5, "completion_tokens_details": {"reasoning_tokens": -2}},
    ],
)
def test_chat_completions_that_cannot_be(wire: str, usage: dict[str, Any]) -> None:
    """More cached than prompted, and counts that are none, are refused and never clamped."""
    refused(usage, wire)


@pytest.mark.parametrize(
    ("total", "output"),
    [(125, 25), (105, 5), (130, 5), (None, 5), (0, 5)],
    ids=["xAI: beside, as the total says", "OpenAI: inside", "neither", "no total", "a zero total"],
)
def test_reasoning(total: int | None, output: int) -> None:
    """Reasoning is added to the output only where the total says that it stands beside it."""
    usage = chat(100, 5) | {"total_tokens": total, "completion_tokens_details": {"reasoning_tokens": 20}}
    found = read(usage, "openai-chat")
    assert (found.output_tokens, found.reasoning_tokens) == (output, 20)


def test_the_service_tier_inside_usage() -> None:
    """Mistral has it there."""
    assert read(chat(1) | {"service_tier": "flex"}, "openai-chat").service_tier == "flex"


@pytest.mark.parametrize(
    ("hit", "miss", "prompt", "expected"),
    [
        (4608, 392, 5000, (392, 4608)),
        (4608, 392, None, (392, 4608)),
        (0, 5, 5, (5, 0)),
        (4, None, 10, (6, 4)),
        (None, 6, 10, (6, 4)),
        (4, None, None, (0, 4)),
    ],
)
def test_deepseek(hit: Any, miss: Any, prompt: Any, expected: tuple[int, int]) -> None:
    """The prompt is what hit the cache and what missed it."""
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": 7,
        "prompt_cache_hit_tokens": hit,
        "prompt_cache_miss_tokens": miss,
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    found = read(usage, "deepseek-chat")
    assert (found.input_tokens, found.cache_read_tokens) == expected
    assert (found.output_tokens, found.reasoning_tokens) == (7, 3)


@pytest.mark.parametrize(("hit", "miss"), [(5, 6), (11, None), (None, 11), (4, 5), (-1, 11)])
def test_deepseek_that_does_not_add_up(hit: Any, miss: Any) -> None:
    """Hits and misses of a prompt of 10 that are not 10 cannot be."""
    usage = {"prompt_tokens": 10, "prompt_cache_hit_tokens": hit, "prompt_cache_miss_tokens": miss}
    refused(usage, "deepseek-chat")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {
                "input_tokens": 1000,
                "input_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 100},
                "output_tokens": 50,
                "output_tokens_details": {"reasoning_tokens": 40},
                "service_tier": "priority",
            },
            Usage(300, 600, 100, 0, 50, service_tier="priority", reasoning_tokens=40, assumed_5m_tokens=100),
        ),
        ({"input_tokens": 3, "input_tokens_details": None, "output_tokens": None}, Usage(3)),
    ],
)
def test_responses(usage: dict[str, Any], expected: Usage) -> None:
    """`input_tokens` includes the cached ones: Anthropic's name, and the opposite meaning."""
    assert read(usage, "openai-responses") == expected


def test_responses_with_lifetimes_and_searches() -> None:
    """Written tokens of half an hour and of twelve; searches, which the answer has beside its usage."""
    split = {"ttl_30m_tokens": 70, "ttl_12h_tokens": 30}
    usage = {
        "input_tokens": 1000,
        "input_tokens_details": {"cache_write_tokens": 100, "cache_write_tokens_details": split},
        "output_tokens": 5,
        "tool_usage": {"web_search": {"num_requests": 3}},
    }
    assert read(usage, "openai-responses") == Usage(900, 0, 70, 30, 5, web_searches=3)
    too_many = {**usage["input_tokens_details"], "cache_write_tokens": 99}  # type: ignore[dict-item]
    assert "adds up to 100" in refused(usage | {"input_tokens_details": too_many}, "openai-responses")


def test_the_same_name_on_two_wires() -> None:
    """One name, two meanings: which one it is comes from the caller."""
    usage = {"input_tokens": 100, "output_tokens": 7}
    assert read(usage | {"cache_read_input_tokens": 5}, "anthropic").prompt_tokens == 105
    cached = {"input_tokens_details": {"cached_tokens": 60}}
    assert read(usage | cached, "openai-responses").prompt_tokens == 100


def test_responses_that_cannot_be() -> None:
    """Cached above the input."""
    assert "61 cached" in refused(
        {"input_tokens": 60, "input_tokens_details": {"cached_tokens": 61}}, "openai-responses"
    )


@pytest.mark.parametrize(
    ("total", "details", "expected"),
    [
        (30, None, (30, 0, 30)),
        (30, [], (30, 0, 30)),
        (30, [{"ttl": "1h", "inputTokens": 10}, {"ttl": "5m", "inputTokens": 20}], (20, 10, 0)),
        (30, [{"ttl": "1h", "inputTokens": 10}], (20, 10, 20)),
        (30, [{"inputTokens": 30}], (30, 0, 0)),
        (None, [{"ttl": "1h", "inputTokens": 10}, {"ttl": "5m", "inputTokens": None}], (0, 10, 0)),
        (30, [{"ttl": "24h", "inputTokens": 30}], (30, 0, 30)),
        (None, [{"ttl": "24h", "inputTokens": 30}], (30, 0, 30)),
        (None, None, (0, 0, 0)),
    ],
)
def test_bedrock_writes(total: Any, details: Any, expected: tuple[int, int, int]) -> None:
    """5m, 1h, and what is assumed to be 5m: all of an undivided total, and lifetimes nobody knows."""
    usage = {"inputTokens": 1, "cacheWriteInputTokens": total, "cacheDetails": details}
    found = read(usage, "bedrock-converse")
    assert (found.cache_write_5m_tokens, found.cache_write_1h_tokens, found.assumed_5m_tokens) == expected


def test_bedrock() -> None:
    """Reads stand beside the input."""
    usage = {"inputTokens": 5, "outputTokens": 7, "totalTokens": 23, "cacheReadInputTokens": 11}
    assert read(usage, "bedrock-converse") == Usage(5, 11, output_tokens=7)
    refused({"cacheWriteInputTokens": 5, "cacheDetails": [{"ttl": "1h", "inputTokens": 6}]}, "bedrock-converse")
    refused({"inputTokens": -5}, "bedrock-converse")


@pytest.mark.parametrize(
    ("text", "femto"),
    [
        ("3.75e-05", 37_500_000_000),
        ("0.0000375", 37_500_000_000),
        ('"0.95"', 950_000_000_000_000),
        ("1", 10**15),
        ("0", 0),
        ("0.1", 10**14),
        ("1e-15", 1),
        ("0.000212159", 212_159_000_000),
        ("123456789.123456789012345", 123456789123456789012345),
    ],
)
def test_openrouters_bill(text: str, femto: int) -> None:
    """The number's own text counts, to the last digit."""
    usage = b'{"prompt_tokens": 1, "cost": %s}' % text.encode()
    assert Usage.from_wire(usage, "openrouter").reported_femto_usd == femto


@pytest.mark.parametrize("bill", [3.75e-05, "3.75e-05", Decimal("0.0000375")])
def test_openrouters_bill_decoded(bill: Any) -> None:
    """A float has its shortest text, which is what stood on the wire."""
    assert Usage.from_wire({"cost": bill}, "openrouter").reported_femto_usd == 37_500_000_000


@pytest.mark.parametrize(
    "text",
    ['"x"', '"NaN"', '"Infinity"', "-1", "1e999", '"1e999999"', "true", "[]", '{"total_cost": 1}'],
)
def test_openrouters_bill_that_cannot_be(text: str) -> None:
    """Negative, endless, or no number at all."""
    with pytest.raises(InvalidUsageError):
        Usage.from_wire(b'{"cost": %s}' % text.encode(), "openrouter")


def test_a_bill_finer_than_a_femto_dollar() -> None:
    """To the nearest one, and said so: it is a sum of floats."""
    billed = Usage.from_wire(b'{"cost": 0.00012524999999999998}', "openrouter")
    assert billed.reported_femto_usd == 125_250_000_000
    assert billed.flags == ("provider_reported", "bill_rounded")


def test_openrouters_counts() -> None:
    """They are read beside the bill; without one they are all there is, flagged; so is a key of one's own."""
    unbilled = read(chat(9, 4, 2) | {"cost": None}, "openrouter")
    assert unbilled == Usage(7, 2, output_tokens=4, flags=("bill_missing",))
    billed = read(
        chat(9, 4, 2) | {"cost": 0.5, "cost_details": {"upstream_inference_cost": None}}, "openrouter"
    )
    assert (billed.input_tokens, billed.flags) == (7, ("provider_reported",))
    assert read({"completion_tokens": 4, "cost": 0.5}, "openrouter").output_tokens == 4
    assert read({"cost": 0.5}, "openrouter").reported_femto_usd == 5 * 10**14
    own_key = read(chat(9) | {"cost": 0.01, "is_byok": True}, "openrouter")
    assert own_key.flags == ("provider_reported", "byok_fee_only")


def test_a_wire_that_nobody_knows() -> None:
    """A programming error, and so a KeyError; there are nine."""
    with pytest.raises(KeyError):
        Usage.from_wire({}, "openai")  # type: ignore[arg-type]
    assert len(READERS) == 9
