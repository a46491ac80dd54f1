"""The token estimate, and what the prompt cache reports."""

import json
from typing import Any

from nexusflow_core.counting import IMAGE_TOKENS, PAGE_TOKENS
from tests.core.simulator.asking import message, post, request

MARK = {"cache_control": {"type": "ephemeral"}}
HOUR = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}


def counted(body: dict[str, Any]) -> int:
    response = post(body, "/v1/messages/count_tokens")
    assert response.status == 200
    return json.loads(response.body)["input_tokens"]


def text(size: int, **more: Any) -> dict[str, Any]:
    """A text block of so many tokens."""
    return {"type": "text", "text": "tok " * size, **more}


def test_text_costs_a_token_per_four_bytes_and_a_message_four():
    """The stated rule, rounded up per text."""
    assert counted(request("abcd")) == 4 + 1
    assert counted(request("abcde")) == 4 + 2
    assert counted(request("üüü")) == 4 + 2
    assert counted(request([text(10), text(5)], system="abcdefgh")) == 4 + 15 + 2


def test_images_and_documents_cost_a_constant():
    """Whatever is in them is not looked at; a plain text document counts as text."""
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 9_000}}
    pdf = {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}
    plain = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "tok " * 30}}
    assert counted(request([image])) == 4 + IMAGE_TOKENS
    assert counted(request([pdf])) == 4 + PAGE_TOKENS
    assert counted(request([plain])) == 4 + 30


def test_tools_and_tool_blocks_count():
    """Definitions, calls and results all add to the prompt."""
    tool = {"name": "a", "input_schema": {"type": "object"}}
    use = {"type": "tool_use", "id": "toolu_1", "name": "a", "input": {"x": "y" * 40}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "tok " * 20}
    turns = [{"role": "user", "content": "abcd"}, {"role": "assistant", "content": [use]}]
    plain = counted(request("abcd"))
    assert counted(request("abcd", tools=[tool])) > plain
    with_call = counted(request(messages=turns))
    assert with_call >= plain + 4 + 10
    assert counted(request(messages=[*turns, {"role": "user", "content": [result]}])) == with_call + 4 + 20


def test_count_tokens_needs_no_max_tokens_and_equals_the_usage():
    """One estimate for both endpoints."""
    body = request("how many?", system="Be kind.")
    usage = message("how many?", system="Be kind.")["usage"]
    del body["max_tokens"]
    assert counted(body) == usage["input_tokens"]


def test_nothing_is_cached_without_a_marker():
    """All counters are there and zero."""
    usage = message()["usage"]
    assert usage["cache_creation_input_tokens"] == usage["cache_read_input_tokens"] == 0
    assert usage["cache_creation"] == {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}


def test_first_turn_writes_the_prefix_up_to_the_last_marker():
    """What stands behind the marker is plain input."""
    usage = message("abcd", system=[text(100), text(50, **MARK)])["usage"]
    assert usage["cache_creation_input_tokens"] == 150
    assert usage["cache_creation"] == {"ephemeral_5m_input_tokens": 150, "ephemeral_1h_input_tokens": 0}
    assert usage["cache_read_input_tokens"] == 0
    assert usage["input_tokens"] == 5


def test_hour_and_five_minutes_are_split_at_the_last_hour_marker():
    """1h up to its marker, 5m from there to the last marker."""
    usage = message([text(30, **MARK), text(7)], system=[text(100, **HOUR)])["usage"]
    assert usage["cache_creation"] == {"ephemeral_5m_input_tokens": 4 + 30, "ephemeral_1h_input_tokens": 100}
    assert usage["cache_creation_input_tokens"] == 134
    assert usage["input_tokens"] == 7


def test_a_conversation_with_an_assistant_turn_reads_the_prefix():
    """A pure function has no memory: such a conversation was sent before."""
    turns = [
        {"role": "user", "content": "abcd"},
        {"role": "assistant", "content": "abcd"},
        {"role": "user", "content": [text(10, **MARK)]},
    ]
    usage = message(messages=turns, system=[text(100, **HOUR)])["usage"]
    assert usage["cache_read_input_tokens"] == 100 + 5 + 5 + 14
    assert usage["cache_creation_input_tokens"] == 0
    assert usage["input_tokens"] == 0


def test_top_level_marker_covers_the_whole_prompt():
    """Automatic caching moves the marker to the last block."""
    usage = message("abcd", system="abcd", **MARK)["usage"]
    assert usage["cache_creation_input_tokens"] == 6
    assert usage["input_tokens"] == 0


def test_the_three_classes_add_up_to_count_tokens():
    """Disjoint buckets: uncached, read and written are the whole prompt."""
    fields = {"system": [text(9, **HOUR)], "tools": [{"name": "a", "input_schema": {}, **MARK}]}
    usage = message("hello", **fields)["usage"]
    total = sum(usage[f"{kind}input_tokens"] for kind in ("", "cache_creation_", "cache_read_"))
    assert total == counted(request("hello", **fields))


def test_markers_cost_nothing():
    """The same prompt counts the same with and without cache_control."""
    tool = {"name": "a", "input_schema": {}}
    assert counted(request([text(3, **MARK)], tools=[{**tool, **MARK}])) == counted(
        request([text(3)], tools=[tool])
    )
