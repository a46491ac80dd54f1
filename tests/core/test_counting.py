"""count_tokens: relayed, counted by the vendor, estimated where a route says so, else absent."""

import base64
import json
from typing import Any

import pytest

from nexusflow_core import CallRecord
from nexusflow_core.counting import IMAGE_TOKENS, MESSAGE_TOKENS, PAGE_TOKENS, TOKEN_BYTES, estimate_tokens
from nexusflow_core.exchange import Close, Read, Send, Sleep
from tests.core.relayed import JSON, config_of, sent_through
from tests.core.translation.driving import Driven, drive

WORD = "four" * TOKEN_BYTES  # as many tokens as bytes of it, divided by four
PNG = {"type": "base64", "media_type": "image/png", "data": "AAAA" * 5000}
PDF = base64.b64encode(b"%PDF-1.7 /Type /Pages /Type /Page /Type/Page >>").decode()


def estimate(*content: Any, **members: Any) -> int:
    """Tokens of one message with these blocks, beside what a message costs."""
    return estimate_tokens({"messages": [{"role": "user", "content": [*content]}], **members}) - MESSAGE_TOKENS


BLOCKS: list[tuple[dict[str, Any], int]] = [
    ({"type": "text", "text": WORD}, 4),
    ({"type": "image", "source": PNG}, IMAGE_TOKENS),
    ({"type": "image", "source": {"type": "url", "url": "https://a/b.png"}}, IMAGE_TOKENS),
    ({"type": "document", "source": {"type": "text", "data": WORD}, "title": WORD, "context": WORD}, 12),
    ({"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": WORD}]}}, 4),
    ({"type": "document", "source": {"type": "base64", "data": PDF}}, 2 * PAGE_TOKENS),
    ({"type": "document", "source": {"type": "base64", "data": "%%%"}}, PAGE_TOKENS),
    ({"type": "document", "source": {"type": "url", "url": "https://a/b.pdf"}}, PAGE_TOKENS),
    ({"type": "tool_use", "id": "toolu_1", "name": WORD, "input": {"a": WORD}}, 10),
    ({"type": "tool_result", "tool_use_id": "toolu_1", "content": WORD}, 4),
    (
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "image", "source": PNG}]},
        IMAGE_TOKENS,
    ),
    ({"type": "search_result", "source": WORD, "title": WORD, "content": [{"type": "text", "text": WORD}]}, 12),
    ({"type": "thinking", "thinking": WORD, "signature": WORD}, 4),
    ({"type": "redacted_thinking", "data": WORD}, 13),
    ({"type": "something_new", "x": WORD}, 11),
]


@pytest.mark.parametrize(("block", "tokens"), BLOCKS, ids=[block["type"] for block, _ in BLOCKS])
def test_every_kind_of_block_counts(block: dict[str, Any], tokens: int) -> None:
    """By the rules in docs/translation.md; nothing counts for nothing."""
    assert estimate(block) == pytest.approx(tokens, abs=1)
    assert estimate({**block, "cache_control": {"type": "ephemeral"}}) == estimate(block)


def test_system_and_tools_count() -> None:
    """A system prompt as a string or in blocks; a tool with name, description and schema."""
    bare = estimate({"type": "text", "text": "x"})
    assert estimate({"type": "text", "text": "x"}, system=WORD) == bare + 4
    assert estimate({"type": "text", "text": "x"}, system=[{"type": "text", "text": WORD}]) == bare + 4
    tool = {
        "name": "get",
        "description": WORD * 10,
        "input_schema": {"type": "object", "properties": {"a": {}}},
    }
    assert estimate({"type": "text", "text": "x"}, tools=[tool]) - bare > 40
    assert estimate_tokens({"messages": [{"role": "user", "content": WORD}] * 3}) == 3 * (MESSAGE_TOKENS + 4)


def test_text_counts_by_its_bytes() -> None:
    """Of UTF-8, as tokenizers go by them."""
    assert estimate({"type": "text", "text": "漢字" * 100}) == 150


# Through a gateway

ASKED: dict[str, Any] = {
    "model": "my-model",
    "system": "Be brief.",
    "tools": [{"name": "get", "input_schema": {"type": "object"}}],
    "messages": [{"role": "user", "content": "Hello"}],
}
BODY = json.dumps(ASKED).encode()
ESTIMATE = 'count_tokens = "estimate"'


def chat(vendor: str, more: str = "", path: str = "/v1") -> str:
    config = config_of(vendor=vendor, target="up/theirs", more=more)
    return config.replace('"anthropic"', '"openai-chat"').replace(
        '"http://up"', f'"http://up{path}"\nauth = "none"'
    )


def counted(config: str, answer: Any, status: int = 200, body: bytes = BODY) -> tuple[Driven, Send]:
    """A count_tokens call that reaches an upstream, which answers so."""
    exchange = sent_through(config, body, endpoint="count_tokens")
    exchange.start(0.0)
    assert isinstance(exchange.order, Send)
    sent = exchange.order
    data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    driven = drive(sent_through(config, body, endpoint="count_tokens"), [data], status=status, headers=JSON)
    return driven, sent


def answered_here(config: str, body: bytes = BODY) -> tuple[int, dict[str, str], Any, CallRecord]:
    """A count_tokens call that no upstream sees."""
    exchange = sent_through(config, body, endpoint="count_tokens")
    out = exchange.start(0.0)
    assert isinstance(exchange.order, Close)
    head = exchange.response_head
    assert head is not None
    headers = {name.decode(): value.decode() for name, value in head.headers}
    assert int(headers["content-length"]) == len(out)
    return head.status, headers, json.loads(out), exchange.record(0.0)


def test_an_upstream_without_a_counter_is_a_404() -> None:
    """In Anthropic's shape; the record says that it was refused here, not that an upstream failed."""
    for vendor in ("openai", "qwen", "perplexity"):
        status, _, body, record = answered_here(chat(vendor))
        assert (status, body["error"]["type"]) == (404, "not_found_error")
        assert (record.status, record.ending, record.attempts, record.usage) == (404, "refused", (), None)


def test_an_estimate_where_the_route_says_so() -> None:
    """Marked, complete, and no upstream was asked or blamed."""
    status, headers, body, record = answered_here(chat("openai", ESTIMATE))
    assert (status, body) == (200, {"input_tokens": estimate_tokens(ASKED)})
    assert body["input_tokens"] > 15
    assert headers["x-nexusflow-warning"] == "tokens estimated"
    assert headers["request-id"] == "req_1"
    assert (record.ending, record.error_type, record.attempts) == ("complete", None, ())
    assert (record.usage, record.usage_source, record.cost_usd) == (None, "none", None)


def test_an_estimate_of_a_request_that_would_be_refused() -> None:
    """It is refused then as well: 400, with the path."""
    wrong = json.dumps({"model": "m", "messages": [{"role": "user", "content": [{"text": "x"}]}]}).encode()
    status, _, body, record = answered_here(chat("openai", ESTIMATE), wrong)
    assert (status, body["error"]["message"]) == (400, "messages.0.content.0.type: Field required")
    assert record.ending == "refused"


@pytest.mark.parametrize("config", [chat("openai", ESTIMATE), chat("vllm")])
def test_a_body_that_is_no_text_is_refused(config: str) -> None:
    """Bytes that are not UTF-8 inside a string: 400, as for messages."""
    status, _, body, record = answered_here(config, BODY.replace(b"Hello", b"\xff"))
    assert (status, body["error"]["type"]) == (400, "invalid_request_error")
    assert (record.ending, record.error_type) == ("refused", "invalid_request_error")


def test_vllms_counter_sees_a_begun_answer_as_the_model_does() -> None:
    """Members that shape the end of the prompt go along: no second assistant's turn is opened and counted."""
    begun = [*ASKED["messages"], {"role": "assistant", "content": "One, two"}]
    _, sent = counted(chat("vllm"), {"count": 41}, body=json.dumps({**ASKED, "messages": begun}).encode())
    asked = json.loads(sent.request.body)
    assert (asked["continue_final_message"], asked["add_generation_prompt"]) == (True, False)


@pytest.mark.parametrize(("path", "url"), [("/v1", "http://up/tokenize"), ("/gw/v1", "http://up/gw/tokenize")])
def test_the_vendors_own_counter(path: str, url: str) -> None:
    """vLLM counts the prompt as its model would get it: tools and system prompt too, in its own form."""
    driven, sent = counted(chat("vllm", path=path), {"count": 41, "max_model_len": 4096, "tokens": [1, 2]})
    assert sent.request.url == url
    asked = json.loads(sent.request.body)
    assert list(asked) == ["model", "messages", "tools"]
    assert asked["model"] == "theirs"
    assert asked["messages"][0] == {"role": "system", "content": "Be brief."}
    assert asked["tools"][0]["function"]["name"] == "get"
    assert (driven.status, driven.json) == (200, {"input_tokens": 41})
    assert "x-nexusflow-warning" not in driven.headers
    record = driven.record
    assert (record.ending, record.usage, record.cost_usd) == ("complete", None, None)
    assert [attempt.reason for attempt in record.attempts] == [""]


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_counter_that_is_not_there(status: int) -> None:
    """404 for the client, or the estimate that the route allows; the upstream did not fail either way."""
    driven, _ = counted(chat("vllm"), {"detail": "Not Found"}, status)
    assert (driven.status, driven.json["error"]["type"]) == (404, "not_found_error")
    assert (driven.record.ending, driven.record.error_type) == ("complete", None)
    assert [attempt.reason for attempt in driven.record.attempts] == [""]
    driven, _ = counted(chat("vllm", ESTIMATE), {"detail": "Not Found"}, status)
    assert (driven.status, driven.json) == (200, {"input_tokens": estimate_tokens(ASKED)})
    assert driven.headers["x-nexusflow-warning"] == "tokens estimated"


def test_a_counter_whose_refusal_never_ends_is_asked_again() -> None:
    """As a model would be: the body is waited for a while, and then the head says enough."""
    exchange = sent_through(chat("vllm").replace("attempts = 1", "attempts = 2"), BODY, endpoint="count_tokens")
    exchange.start(0.0)
    exchange.receive_head(503, [(b"x-request-id", b"theirs"), (b"retry-after", b"1")], 0.0)
    assert isinstance(exchange.order, Read)
    until = exchange.order.until
    exchange.on_timer(until)
    assert isinstance(exchange.order, Sleep)
    exchange.on_timer(exchange.order.until)
    assert isinstance(exchange.order, Send)
    exchange.receive_head(200, JSON, until + 1)
    out = exchange.receive_data(b'{"count": 41}', until + 1) + exchange.receive_eof(until + 1)
    assert json.loads(out) == {"input_tokens": 41}
    assert [attempt.status for attempt in exchange.record(until + 2).attempts] == [503, 200]


def test_a_counter_that_fails() -> None:
    """Its error is an error, its garbage a 502; nothing is estimated over it."""
    driven, _ = counted(chat("vllm", ESTIMATE), {"error": {"message": "overloaded"}}, 503)
    assert (driven.status, driven.record.error_type) == (529, "overloaded_error")
    for garbage in (b"", b"[]", b'{"count":"many"}'):
        driven, _ = counted(chat("vllm"), garbage)
        assert (driven.status, driven.record.ending) == (502, "error")


def test_relayed_where_the_upstream_speaks_anthropics_protocol() -> None:
    """Its count goes back as it came, estimate or not."""
    for config in (config_of(vendor="deepseek"), config_of(vendor="deepseek", more=ESTIMATE)):
        driven, sent = counted(config, {"input_tokens": 14})
        assert sent.request.url == "http://up/v1/messages/count_tokens"
        assert sent.request.body == BODY
        assert (driven.status, driven.json) == (200, {"input_tokens": 14})
        assert "x-nexusflow-warning" not in driven.headers


@pytest.mark.parametrize(
    "said", [b"<html>not here</html>", b'{"type":"error","error":{"type":"not_found_error"}}']
)
def test_an_anthropic_speaking_vendor_without_count_tokens(said: bytes) -> None:
    """Its 404 goes back as it came and is no failure; where the route allows it, an estimate stands in."""
    driven, _ = counted(config_of(vendor="deepseek"), said, 404)
    assert (driven.status, driven.body) == (404, said)
    assert (driven.record.ending, driven.record.error_type, driven.record.status) == ("complete", None, 404)
    assert [attempt.reason for attempt in driven.record.attempts] == [""]
    driven, _ = counted(config_of(vendor="deepseek", more=ESTIMATE), said, 404)
    assert (driven.status, driven.json) == (200, {"input_tokens": estimate_tokens(ASKED)})
    assert driven.headers["x-nexusflow-warning"] == "tokens estimated"
    assert [loss.path for loss in driven.record.dropped] == ["tokens"]


def test_no_estimate_of_a_body_that_cannot_be_read() -> None:
    """Relayed bytes are not judged here: the upstream's own 404 stays the answer."""
    driven, _ = counted(
        config_of(vendor="deepseek", more=ESTIMATE), b"no such thing", 404, BODY.replace(b"Hello", b"\xff")
    )
    assert (driven.status, driven.body) == (404, b"no such thing")


def test_a_404_to_messages_is_a_failure_still() -> None:
    """Only count_tokens may be absent."""
    exchange = sent_through(config_of(), json.dumps({**ASKED, "max_tokens": 9}).encode())
    driven = drive(exchange, [b'{"type":"error","error":{"type":"not_found_error"}}'], status=404, headers=JSON)
    assert (driven.record.ending, driven.record.error_type) == ("error", "not_found_error")


def test_other_words_for_estimating_are_refused() -> None:
    """The configuration knows one."""
    from nexusflow_core import ConfigError, decode_config

    with pytest.raises(ConfigError, match="count_tokens"):
        decode_config(config_of(more='count_tokens = "guess"').encode())
