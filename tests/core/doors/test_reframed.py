"""InvokeModel: events come inside AWS's event stream and go out as server-sent events, byte for byte."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from nexusflow_core.exchange import Read
from nexusflow_core.exchange.orders import PING
from nexusflow_core.upstream import Headers
from tests.core.doors.asking import config_of, exchange_at, message, sent_to
from tests.core.doors.framing import chunk, exception, frame
from tests.core.translation.driving import Driven, drive

STREAM: Headers = [
    (b"content-type", b"application/vnd.amazon.eventstream"),
    (b"x-amzn-requestid", b"aws-1"),
    (b"x-amzn-bedrock-content-type", b"application/json"),
    (b"content-length", b"9999"),
]
START: dict[str, Any] = {
    "type": "message_start",
    "message": {
        "type": "message",
        "model": "claude-haiku-4-5-20251001",
        "usage": {"input_tokens": 1000, "cache_read_input_tokens": 5, "output_tokens": 1},
    },
}
TEXT = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\\u00e9  \xe2\x80\xa8"} }'
DELTA = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 100}}
STOP = {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"outputTokenCount": 7}}
EVENTS: Sequence[dict[str, Any] | bytes] = (START, TEXT, DELTA, STOP)
FRAMES = [chunk(event) for event in EVENTS]


def sse(*events: dict[str, Any] | bytes) -> bytes:
    """The events as the client gets them."""
    texts = [e if isinstance(e, bytes) else json.dumps(e, separators=(",", ":")).encode() for e in events]
    return b"".join(b"event: %b\ndata: %b\n\n" % (json.loads(t)["type"].encode(), t) for t in texts)


def streamed(data: bytes, *, cut: int = 10**9, headers: Headers = STREAM) -> Driven:
    exchange = exchange_at(
        config_of("bedrock-invoke", target="cloud/us.anthropic.claude-haiku-4-5"), message(stream=True)
    )
    pieces = [data[at : at + cut] for at in range(0, len(data), cut)]
    return drive(exchange, pieces, status=200, headers=headers)


@pytest.mark.parametrize("cut", [1, 50, 10**9])
def test_each_events_json_passes_unchanged(cut: int) -> None:
    """Blanks, escapes and AWS's metrics too. Usage comes from the events, and the price from the target."""
    driven = streamed(b"".join(FRAMES), cut=cut)
    assert (driven.status, driven.body) == (200, sse(*EVENTS))
    assert driven.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert {"content-length", "x-amzn-bedrock-content-type"}.isdisjoint(driven.headers)
    record = driven.record
    assert record.usage == {"input_tokens": 1000, "cache_read_input_tokens": 5, "output_tokens": 100}
    assert (record.ending, record.upstream_request_id) == ("complete", "aws-1")
    assert record.cost_usd == "0.00165055"  # 1.1 x (1,000 x 1 + 5 x 0.1 + 100 x 5) per million


EXCEPTIONS = [
    ("throttlingException", {}, 429, "rate_limit_error"),
    ("validationException", {}, 400, "invalid_request_error"),
    ("modelTimeoutException", {}, 504, "timeout_error"),
    ("serviceUnavailableException", {}, 529, "overloaded_error"),
    ("internalServerException", {}, 500, "api_error"),
    ("modelStreamErrorException", {}, 502, "api_error"),
    ("modelStreamErrorException", {"originalStatusCode": 429}, 429, "rate_limit_error"),
    ("aNewException", {}, 502, "api_error"),
]


@pytest.mark.parametrize(("name", "members", "status", "type"), EXCEPTIONS)
def test_an_exception_before_the_first_event_has_its_status(
    name: str, members: dict[str, Any], status: int, type: str
) -> None:
    """As an error answer would: the client, or another target, can retry."""
    driven = streamed(exception(name, "Too bad.", **members))
    assert (driven.status, driven.json["error"]["type"]) == (status, type)
    assert driven.json["error"]["message"] == "Too bad."


@pytest.mark.parametrize("cut", [1, 10**9])
@pytest.mark.parametrize(("name", "members", "status", "type"), EXCEPTIONS)
def test_an_exception_in_the_middle_is_the_last_event(
    name: str, members: dict[str, Any], status: int, type: str, cut: int
) -> None:
    """One `error` event, and nothing after it; what came before is still passed."""
    private = "arn:aws:bedrock:us-east-1:123456789012:x"
    driven = streamed(b"".join([*FRAMES[:2], exception(name, private, **members), *FRAMES[2:]]), cut=cut)
    passed = sse(START, TEXT)
    assert driven.body.startswith(passed)
    name_line, data = driven.body[len(passed) :].strip().split(b"\n")
    error = json.loads(data.removeprefix(b"data: "))
    assert (name_line, error["error"]["type"]) == (b"event: error", type)
    assert b"123456789012" not in driven.body
    assert (driven.record.ending, driven.record.error_type) == ("error", type)
    assert driven.record.usage_source == "partial"


def test_an_error_message_without_a_payload() -> None:
    """Its text is in a header."""
    headers = {":message-type": "error", ":error-code": "InternalServerException", ":error-message": "Oh."}
    driven = streamed(frame(b"", headers))
    assert (driven.status, driven.json["error"]["message"]) == (500, "Oh.")


BROKEN = [
    b"".join(FRAMES[:2]),
    b"".join(FRAMES[:3]),
    b"".join(FRAMES)[:-1],
    b"".join(FRAMES[:2]) + b"<html>not a frame</html>",
    b"".join(FRAMES[:2]) + frame(b'{"bytes":"%%"}', {":event-type": "chunk", ":message-type": "event"}),
    b"".join(FRAMES[:2]) + frame(b"{}", {":message-type": "news"}),
]


@pytest.mark.parametrize("cut", [1, 10**9])
@pytest.mark.parametrize("data", BROKEN)
def test_a_broken_stream_ends_in_an_error(data: bytes, cut: int) -> None:
    """A stream without `message_stop` is never taken for a whole one."""
    driven = streamed(data, cut=cut)
    assert driven.body.startswith(sse(START, TEXT))
    assert driven.body.count(b"event: error") == 1
    assert driven.body.rstrip().endswith(b"}")
    assert driven.record.ending == "error"


@pytest.mark.parametrize("data", [b"", FRAMES[0][:30], b"<html>no stream</html>"])
def test_a_stream_that_breaks_before_its_first_event(data: bytes) -> None:
    """It has a status of its own."""
    driven = streamed(data)
    assert (driven.status, driven.json["error"]["type"]) == (502, "api_error")


def test_frames_that_say_nothing_are_skipped() -> None:
    """Events of an unknown kind, and an event without a type."""
    unknown = frame(b"{}", {":event-type": "initial-response", ":message-type": "event"})
    data = b"".join([unknown, FRAMES[0], chunk(b'{"a":1}'), *FRAMES[1:]])
    assert streamed(data).body == sse(*EVENTS)


def test_pings_while_the_cloud_is_silent() -> None:
    """Bedrock sends none, and Claude Code gives up after 15 silent seconds. A ping is no part of the answer."""
    exchange = exchange_at(config_of("bedrock-invoke"), message(stream=True))
    exchange.start(0.0)
    exchange.receive_head(200, STREAM, 0.0)
    assert exchange.on_timer(11.0) == b"", "nothing before the first event"
    exchange.receive_data(FRAMES[0], 11.0)
    assert isinstance(exchange.order, Read)
    assert exchange.on_timer(exchange.order.until) == PING
    assert b"message_delta" in exchange.receive_data(b"".join(FRAMES[1:]), 30.0)


def test_an_answer_in_one_piece_passes() -> None:
    """A sync body is no event stream."""
    body = b'{"type":"message", "model":"claude-haiku-4-5","usage":{"input_tokens":1,"output_tokens":2}}'
    exchange = exchange_at(config_of("bedrock-invoke"), message())
    driven = drive(exchange, [body], status=200, headers=[(b"content-type", b"application/json")])
    assert (driven.status, driven.body) == (200, body)


def test_the_request() -> None:
    """The path names the model and asks for a stream; version and betas are in the body. No query goes out."""
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1"
    config = config_of("bedrock-invoke", target=f"cloud/{arn}")
    body = b'{"stream":true, "model":"x" ,"messages":[],"anthropic_beta":["effort-2025-11-24"] }'
    beta = [(b"anthropic-beta", b"effort-2025-11-24,compact-2026-01-12"), (b"anthropic-version", b"2026-10-21")]
    request = sent_to(exchange_at(config, body, headers=beta, query=b"beta=true"))
    host, path = "https://bedrock-runtime.us-east-1.amazonaws.com/model/", "/invoke-with-response-stream"
    assert request.url == host + arn.replace("/", "%2F") + path
    assert request.body == (
        b'{ "anthropic_version":"bedrock-2023-05-31",'
        b'"anthropic_beta":["effort-2025-11-24","compact-2026-01-12"] ,"messages":[] }'
    )
    assert [name for name, _ in request.headers if name.startswith(b"anthropic-")] == []
    assert list(request.edits) == ["model", "anthropic_version", "stream", "anthropic_beta"]
