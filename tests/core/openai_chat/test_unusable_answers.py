"""Answers that cannot be translated: tried elsewhere, and held against no target."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nexusflow_core import Call, Config, Exchange, Gateway, ModelRoute, Target, Upstream
from nexusflow_core.exchange import Read, Send
from nexusflow_core.routing import Retry
from nexusflow_core.upstream import Secret
from tests.core.translation.driving import NOW, asking, chunks, sse

CALL = {"id": "c", "type": "function", "function": {"name": "search", "arguments": '{"q": '}}
NAMELESS = {"id": "c", "type": "function", "function": {"name": "", "arguments": '{"q": 1}'}}
DEEP = b'{"choices": ' + b"[" * 20_000 + b"]" * 20_000 + b"}"


def whole(message: dict[str, Any], finish: str = "tool_calls") -> bytes:
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": finish}]}).encode()


WHOLE = {
    "arguments that are no JSON": whole({"tool_calls": [CALL]}),
    "a call without a name": whole({"tool_calls": [NAMELESS]}),
    "no choices": b'{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}',
    "too deep": DEEP,
    "half of an object": b'{"choices": [{"message": {"content": "',
    "the model's own failure": whole({"content": ""}, "MALFORMED_FUNCTION_CALL"),
}
START = sse(chunks({"content": "a"}, finish=None), done=False)
STREAMED = {
    "arguments that are no JSON": sse(chunks({"tool_calls": [{"index": 0, **CALL}]}, finish="tool_calls")),
    "no choices": sse([{"choices": []}]),
    "a line that is half of an object": START + b'data: {"c\n\n',
    "the model's own failure": sse(chunks({"content": "a"}, finish="malformed_function_call")),
}
OF_THE_SERVER = {"a page": b"<html>no</html>", "nothing": b""}


def gateway_of_two() -> Gateway:
    made = {
        name: Upstream(name=name, dialect="openai-chat", base_url=f"http://{name}", api_key=Secret("k"))
        for name in ("u0", "u1")
    }
    route = ModelRoute("*", tuple(map(Target, made.values())), Retry(attempts=2))
    return Gateway(Config(upstreams=made, routes=(route,), anonymous=True))


def opened(gateway: Gateway, *, stream: bool) -> Exchange:
    call = Call(endpoint="messages", request_id="r", started_at=NOW, body=asking(stream=stream)).look(10**6)
    exchange = gateway.open(call, started=0.0)
    exchange.start(0.0)
    return exchange


def asked(exchange: Exchange) -> str:
    assert isinstance(exchange.order, Send)
    return exchange.order.request.upstream.name


def met(gateway: Gateway, body: bytes, *, stream: bool) -> Exchange:
    """A call whose first target gives this answer, and nothing more."""
    exchange = opened(gateway, stream=stream)
    kind = b"text/event-stream" if stream else b"application/json"
    exchange.receive_head(200, [(b"content-type", kind)], 0.0)
    exchange.receive_data(body, 0.0)
    if exchange.response_head is None and not isinstance(exchange.order, Send):
        exchange.receive_eof(0.0)
    return exchange


@pytest.mark.parametrize("body", WHOLE.values(), ids=WHOLE.keys())
def test_a_whole_answer_goes_to_the_next_target_and_counts_nothing(body: bytes) -> None:
    """A caller can have made it: after ten of them the next call still goes to the first target."""
    gateway = gateway_of_two()
    for _ in range(10):
        assert asked(met(gateway, body, stream=False)) == "u1", "tried elsewhere, and not at the same target"
    assert asked(opened(gateway, stream=False)) == "u0"


@pytest.mark.parametrize("body", STREAMED.values(), ids=STREAMED.keys())
def test_nor_does_a_stream(body: bytes) -> None:
    """The same in pieces, ten streams at once: all have begun before the first one fails."""
    gateway = gateway_of_two()
    streams = [opened(gateway, stream=True) for _ in range(10)]
    begun = body.index(b"\n\n") + 2
    for exchange in streams:
        exchange.receive_head(200, [(b"content-type", b"text/event-stream")], 0.0)
        exchange.receive_data(body[:begun], 0.0)
    for exchange in streams:
        exchange.receive_data(body[begun:], 0.0)
        if isinstance(exchange.order, Read):
            exchange.receive_eof(0.0)
        assert exchange.record(0.0).ending == "error"
    assert asked(opened(gateway, stream=True)) == "u0"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("body", OF_THE_SERVER.values(), ids=OF_THE_SERVER.keys())
def test_what_is_no_models_answer_counts(body: bytes, stream: bool) -> None:
    """No prompt makes a server send a page, or nothing: five of them, and the target cools down."""
    gateway = gateway_of_two()
    for _ in range(5):
        met(gateway, body, stream=stream)
    assert asked(opened(gateway, stream=stream)) == "u1"


def test_a_probe_that_met_such_an_answer_told_nothing() -> None:
    """The circuit stays half-open: the next call may probe at once."""
    gateway = gateway_of_two()
    for _ in range(5):
        met(gateway, b"", stream=False)
    late = 10.0
    for _ in range(2):
        call = Call(endpoint="messages", request_id="r", started_at=NOW, body=asking(stream=False)).look(10**6)
        exchange = gateway.open(call, started=late)
        exchange.start(late)
        assert asked(exchange) == "u0"
        exchange.receive_head(200, [(b"content-type", b"application/json")], late)
        exchange.receive_data(WHOLE["no choices"], late)
        exchange.receive_eof(late)
