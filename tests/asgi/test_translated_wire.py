"""A translated call on real sockets: what the upstream gets, when the client gets it, when a socket closes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.transports import TransportName
from nexusflow_core import decode_config
from tests.servers import JSON, SSE, Fault, Gate, RawClient, RecordingHook, ScriptedUpstream, Served, answer

CONFIG = """
[upstreams.local]
dialect = "openai-chat"
base_url = "{url}/v1"
api_key = "env:LOCAL_KEY"

[[routes]]
model = "*"
targets = ["local/served-model"]

[retry]
attempts = 1

[auth]
keys = ["env:NEXUSFLOW_KEY"]
"""
HEADERS = [
    (b"content-type", b"application/json"),
    (b"x-api-key", b"sk-gateway"),
    (b"authorization", b"Bearer sk-ant-client"),
    (b"anthropic-beta", b"some-beta"),
    (b"cookie", b"a=b"),
]
both = pytest.mark.parametrize("transport", ["h1", "httpx"])


def data(**chunk: Any) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def text(words: str) -> bytes:
    return data(choices=[{"index": 0, "delta": {"content": words}}])


FINISH = data(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
USAGE = data(choices=[], usage={"prompt_tokens": 9, "completion_tokens": 3})
DONE = b"data: [DONE]\n\n"


def body(**members: Any) -> bytes:
    return json.dumps(
        {"model": "my-model", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], **members}
    ).encode()


@contextmanager
def served(
    upstream: ScriptedUpstream, transport: TransportName, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[RawClient, RecordingHook]]:
    monkeypatch.setenv("LOCAL_KEY", "sk-local")
    monkeypatch.setenv("NEXUSFLOW_KEY", "sk-gateway")
    hook = RecordingHook()
    config = decode_config(CONFIG.format(url=upstream.url).encode())
    with (
        Served(NexusFlow(config=config, transport=transport, hooks=[hook])) as app,
        RawClient(app.port) as client,
    ):
        yield client, hook


@both
def test_what_goes_upstream(transport: TransportName, monkeypatch: pytest.MonkeyPatch) -> None:
    """The upstream's path, model and key; of the client's headers nothing, and one credential."""
    reply = {
        "choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1},
    }
    with ScriptedUpstream(lambda _: answer(200, JSON, [json.dumps(reply).encode()])) as upstream:
        with served(upstream, transport, monkeypatch) as (client, hook):
            head, got = client.call("/v1/messages?beta=true", HEADERS, body())
            record = hook.wait(1)[0]
        [request] = upstream.requests
    assert request.target == b"/v1/chat/completions"
    names = {name.lower() for name, _ in request.headers}
    assert names == {
        b"host",
        b"content-length",
        b"content-type",
        b"accept",
        b"accept-encoding",
        b"user-agent",
        b"authorization",
    }
    assert request.values(b"authorization") == [b"Bearer sk-local"]
    assert json.loads(request.body)["model"] == "served-model"
    message = json.loads(got)
    assert (head.status, message["model"], message["content"]) == (
        200,
        "my-model",
        [{"type": "text", "text": "Hello"}],
    )
    assert (record.ending, record.model, record.attempts[0].model) == ("complete", "my-model", "served-model")


@both
def test_each_delta_arrives_before_the_next_is_sent(
    transport: TransportName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing between buffers: the upstream waits until the client has read."""
    gates = [Gate() for _ in range(10)]
    steps: list[Any] = [step for i, gate in enumerate(gates) for step in (gate, text(f"word{i} "))]
    with (
        ScriptedUpstream(
            lambda _: answer(200, SSE, [*steps, FINISH, USAGE, DONE], framing="chunked")
        ) as upstream,
        served(upstream, transport, monkeypatch) as (client, hook),
    ):
        client.post("/v1/messages", HEADERS, body(stream=True))
        gates[0].open()
        assert client.head().status == 200
        seen = b""
        for i, gate in enumerate(gates):
            gate.open()
            while b"word%d " % i not in seen:
                seen += client.piece()
        seen += client.rest()
        record = hook.wait(1)[0]
    assert seen.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
    assert (record.ending, record.usage_source) == ("complete", "upstream")
    assert record.usage is not None
    assert (record.usage["input_tokens"], record.usage["output_tokens"]) == (9, 3)


@both
def test_a_connection_serves_stream_after_stream(
    transport: TransportName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After [DONE] it is read to its end and used again."""
    with (
        ScriptedUpstream(lambda _: answer(200, SSE, [text("Hi"), FINISH, DONE], framing="chunked")) as upstream,
        served(upstream, transport, monkeypatch) as (client, hook),
    ):
        for _ in range(3):
            assert b"message_stop" in client.call("/v1/messages", HEADERS, body(stream=True))[1]
        assert len(hook.wait(3)) == 3
        assert upstream.open_connections == 1


@both
def test_a_stop_string_found_here_closes_the_upstream(
    transport: TransportName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it goes on to say would cost money: its socket closes at once."""
    stops = ["a1", "b2", "c3", "d4", "STOP"]
    forever = [text("on and on STOP and on"), Fault.HANG]
    with ScriptedUpstream(lambda _: answer(200, SSE, forever, framing="chunked")) as upstream:
        with served(upstream, transport, monkeypatch) as (client, hook):
            _, got = client.call("/v1/messages", HEADERS, body(stream=True, stop_sequences=stops))
            assert upstream.requests[0].wait_closed()
            record = hook.wait(1)[0]
    assert b'"stop_reason":"stop_sequence","stop_sequence":"STOP"' in got
    assert b"and on" in got
    assert b"STOP and" not in got
    assert (record.ending, record.usage_source, record.cost_usd) == ("complete", "estimated", None)


@both
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_before_the_first_event_keeps_its_status(
    transport: TransportName, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its status and retry-after, in Anthropic's shape: SDKs retry by these."""
    error = b'{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}'
    headers = [*JSON, (b"retry-after", b"7")]
    with ScriptedUpstream(lambda _: answer(429, headers, [error])) as upstream:
        with served(upstream, transport, monkeypatch) as (client, hook):
            head, got = client.call("/v1/messages", HEADERS, body(stream=stream))
            record = hook.wait(1)[0]
    assert (head.status, head.value(b"retry-after")) == (429, b"7")
    assert json.loads(got)["error"] == {"type": "rate_limit_error", "message": "Rate limit reached"}
    assert (record.ending, record.error_type, record.attempts[0].status) == ("error", "rate_limit_error", 429)


@both
def test_a_stream_that_breaks_off_ends_in_one_error_event(
    transport: TransportName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never an invented end: the client would take half an answer for a whole one."""
    broken = [text("Hello"), Fault.RESET]
    with ScriptedUpstream(lambda _: answer(200, SSE, broken, framing="chunked")) as upstream:
        with served(upstream, transport, monkeypatch) as (client, hook):
            _, got = client.call("/v1/messages", HEADERS, body(stream=True))
            assert hook.wait(1)[0].ending == "error"
    assert got.count(b"event: error") == 1
    assert b"message_delta" not in got
    assert b"message_stop" not in got


@both
def test_a_client_that_leaves_closes_the_upstream(
    transport: TransportName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody pays for an answer without a reader, for a translated stream as well."""
    with (
        ScriptedUpstream(
            lambda _: answer(200, SSE, [text("Hello"), Fault.HANG], framing="chunked")
        ) as upstream,
        served(upstream, transport, monkeypatch) as (client, hook),
    ):
        client.post("/v1/messages", HEADERS, body(stream=True))
        assert client.head().status == 200
        client.close()
        assert upstream.requests[0].wait_closed()
        assert hook.wait(1)[0].ending == "client_gone"
