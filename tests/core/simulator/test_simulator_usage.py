"""The token estimate, and what the prompt cache reports."""

import json
from datetime import timedelta
from typing import Any

import pytest

from nexusflow_core.counting import IMAGE_TOKENS, PAGE_TOKENS
from nexusflow_core.simulator import SimulatedCache, cache, simulate
from nexusflow_core.simulator.cache import BEGINNING
from tests.core.simulator.asking import KEY, message, post, request

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


class Sent:
    """Requests to one simulated upstream, one after the other."""

    def __init__(self) -> None:
        self.cache = SimulatedCache()

    def counts(self, seconds: float, content: Any, **fields: Any) -> tuple[int, int, int, int]:
        """What was read, written for five minutes, written for an hour, and neither."""
        body = json.dumps(request(content, **fields)).encode()
        at = BEGINNING + timedelta(seconds=seconds)
        usage = json.loads(simulate("/v1/messages", KEY, body, self.cache, at).body)["usage"]
        split = usage["cache_creation"]
        short, long = split["ephemeral_5m_input_tokens"], split["ephemeral_1h_input_tokens"]
        assert usage["cache_creation_input_tokens"] == short + long
        return usage["cache_read_input_tokens"], short, long, usage["input_tokens"]


def test_a_prefix_is_written_and_then_read_until_its_lifetime_ends():
    """What stands behind the marker is plain input; a read begins the five minutes again."""
    sent, fields = Sent(), {"system": [text(4000), text(500, **MARK)]}
    assert sent.counts(0, "abcd", **fields) == (0, 4500, 0, 5)
    assert sent.counts(200, "abcdefgh", **fields) == (4500, 0, 0, 6)
    assert sent.counts(490, "abcd", **fields) == (4500, 0, 0, 5)
    assert sent.counts(791, "abcd", **fields) == (0, 4500, 0, 5)


def test_hour_and_five_minutes_are_split_at_the_last_hour_marker():
    """1h up to its marker, 5m from there to the last marker."""
    sent, content = Sent(), [text(30, **MARK), text(7)]
    assert sent.counts(0, content, system=[text(5000, **HOUR)]) == (0, 4 + 30, 5000, 7)
    assert sent.counts(600, content, system=[text(5000, **HOUR)]) == (5000, 4 + 30, 0, 7)


def test_a_changed_block_is_paid_again():
    """From the block on that differs, whatever came before."""
    sent = Sent()
    assert sent.counts(0, [text(9, **MARK)], system=[text(5000, **MARK), text(3)])[:2] == (0, 5016)
    assert sent.counts(1, [text(9, **MARK)], system=[text(5000, **MARK), text(4)])[:2] == (5000, 17)


def test_below_the_minimum_of_the_model_nothing_is_cached():
    """The model caches from 4,096 tokens on."""
    sent = Sent()
    for _ in range(2):
        assert sent.counts(0, "abcd", system=[text(4095 - 5)], **MARK) == (0, 0, 0, 4095)
    assert sent.counts(0, "abcd", system=[text(4096 - 5)], **MARK) == (0, 4096, 0, 0)


def test_an_error_leaves_the_cache_as_it_was():
    """The answer that would have written it never came."""
    sent = Sent()
    body = json.dumps(
        request([text(5000, **MARK), {"type": "text", "text": "simulate error api_error"}])
    ).encode()
    assert simulate("/v1/messages", KEY, body, sent.cache, BEGINNING).status == 500
    assert len(sent.cache) == 0


def test_the_cache_has_a_bound(monkeypatch: pytest.MonkeyPatch):
    """The oldest entries are forgotten."""
    monkeypatch.setattr(cache, "MAX_ENTRIES", 64)
    sent = Sent()
    for number in range(100):
        sent.counts(0, [text(5000 + number, **MARK)])
    assert len(sent.cache) == 64


def test_five_breakpoints_are_refused():
    """As the API does, with a sentence."""
    body = request([text(1, **MARK) for _ in range(5)])
    response = post(body)
    assert response.status == 400
    assert "at most 4 breakpoints" in json.loads(response.body)["error"]["message"]


def test_the_three_classes_add_up_to_count_tokens():
    """Disjoint buckets: uncached, read and written are the whole prompt."""
    fields = {"system": [text(5000, **MARK)], "tools": [{"name": "a", "input_schema": {}, **HOUR}]}
    usage = message("hello", **fields)["usage"]
    total = sum(usage[f"{kind}input_tokens"] for kind in ("", "cache_creation_", "cache_read_"))
    assert total == counted(request("hello", **fields))


def test_markers_cost_nothing():
    """The same prompt counts the same with and without cache_control."""
    tool = {"name": "a", "input_schema": {}}
    assert counted(request([text(3, **MARK)], tools=[{**tool, **MARK}])) == counted(
        request([text(3)], tools=[tool])
    )
