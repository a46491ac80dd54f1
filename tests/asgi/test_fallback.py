"""Fallback and pings on real sockets: what the client sees of an upstream's trouble, and when."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

import anyio
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_core import Config
from nexusflow_core.config import decode_config
from tests.asgi.asking import ask, http_scope
from tests.servers import (
    JSON,
    LAST_CHUNK,
    SSE,
    Fault,
    Gate,
    RawClient,
    RecordingHook,
    ScriptedUpstream,
    Served,
    Step,
    answer,
    chunk,
    head,
    in_order,
    refusing_port,
)

HEADERS = [(b"content-type", b"application/json"), (b"x-api-key", b"sk-planted-client")]
MESSAGE = b'{"type":"message","id":"m","usage":{"input_tokens":3,"output_tokens":1}}'
CHAT = b'{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}'
OVERLOADED = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
STREAM_HEAD = head(200, [*SSE, (b"transfer-encoding", b"chunked")])
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
PING = b'event: ping\ndata: {"type": "ping"}\n\n'

both_transports = pytest.mark.parametrize("transport", ["h1", "httpx"])
everywhere = pytest.mark.parametrize(
    ("transport", "backend"), [("httpx", "asyncio"), ("httpx", "trio"), ("h1", "asyncio")]
)


def body(*, stream: bool = False) -> bytes:
    asked: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    return json.dumps({**asked, "stream": stream}).encode()


def config(*upstreams: tuple[str, str], extra: str = "") -> Config:
    """Upstreams in the order of the route: dialect and base URL."""
    tables = [
        f'[upstreams.u{i}]\ndialect = "{dialect}"\nbase_url = "{url}"\ntimeouts = {{ idle = 0.5 }}\n'
        for i, (dialect, url) in enumerate(upstreams)
    ]
    targets = json.dumps([f"u{i}" for i in range(len(upstreams))])
    route = f'[[routes]]\nmodel = "*"\ntargets = {targets}\n[auth]\nanonymous = true\n'
    return decode_config("".join([*tables, route, extra or "[retry]\nbackoff = 0.01\n"]).encode())


def refusal(status: int, *headers: tuple[bytes, bytes]) -> Iterable[Step]:
    return answer(status, [*JSON, *headers], [OVERLOADED])


@everywhere
@pytest.mark.parametrize("status", [408, 409, 429, 500, 503, 529])
def test_a_passing_trouble_is_not_seen(transport: Any, backend: str, status: int) -> None:
    """Two refusals, then an answer: one answer for the client, and who gave it."""
    hook = RecordingHook()
    script = in_order(refusal(status), refusal(status, (b"retry-after", b"0.01")), answer(200, JSON, [MESSAGE]))
    with ScriptedUpstream(script) as upstream:
        gateway = NexusFlow(config=config(("anthropic", upstream.url)), transport=transport, hooks=[hook])

        async def main() -> Any:
            async with gateway:
                return await ask(gateway, headers=HEADERS, body=body())

        got = anyio.run(main, backend=backend)
        assert len(upstream.requests) == 3
    assert (got.status, got.body, got.value(b"x-nexusflow-upstream")) == (200, MESSAGE, b"u0")
    [record] = hook.records
    assert [a.status for a in record.attempts] == [status, status, 200]
    assert record.ending == "complete"


@both_transports
@pytest.mark.parametrize("stream", [False, True], ids=["sync", "stream"])
def test_no_connection_leads_to_the_next_target_in_another_dialect(transport: Any, stream: bool) -> None:
    """Before the first byte the change is invisible, whatever the other one speaks."""
    delta = b'data: {"choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":"stop"}]}\n\n'
    with refusing_port() as port, ScriptedUpstream(lambda _: ()) as upstream:
        upstream.script = lambda _: (
            answer(200, SSE, [delta, b"data: [DONE]\n\n"], framing="chunked")
            if stream
            else answer(200, JSON, [CHAT])
        )
        targets = config(("anthropic", f"http://127.0.0.1:{port}"), ("openai-chat", upstream.url))
        with Served(NexusFlow(config=targets, transport=transport)) as served, RawClient(served.port) as client:
            got, answered = client.call("/v1/messages", HEADERS, body(stream=stream))
    assert (got.status, got.values(b"x-nexusflow-upstream")) == (200, [b"u1"])
    assert b"Hello" in answered
    assert answered.count(b"event: message_start") == int(stream)


@both_transports
def test_a_client_that_leaves_during_a_rest(transport: Any) -> None:
    """Nothing is asked any more, and the record says who left."""
    hook = RecordingHook()
    with ScriptedUpstream(lambda _: refusal(529, (b"retry-after", b"19"))) as upstream:
        gateway = NexusFlow(config=config(("anthropic", upstream.url)), transport=transport, hooks=[hook])
        with Served(gateway) as served:
            client = RawClient(served.port)
            client.post("/v1/messages", HEADERS, body())
            upstream.wait_requests(1)[0].answered.wait(5)
            time.sleep(0.3)  # its answer is on its way, and then begins a rest that is far longer
            client.close()
            [record] = hook.wait(1)
        assert len(upstream.requests) == 1
    assert (record.ending, [a.status for a in record.attempts]) == ("client_gone", [529])


def data(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode() + b"\n\n"


@both_transports
def test_silence_is_filled_with_pings(transport: Any) -> None:
    """Real events, whole and between the others, while the upstream says nothing."""
    go_on = Gate()
    steps = [STREAM_HEAD, chunk(data("a")), go_on, chunk(data("b")), chunk(b"data: [DONE]\n\n"), LAST_CHUNK]
    with ScriptedUpstream(lambda _: steps) as upstream:
        pinging = config(("openai-chat", upstream.url), extra="[limits]\nping_seconds = 0.05\n")
        with (
            Served(NexusFlow(config=pinging, transport=transport)) as served,
            RawClient(served.port) as client,
        ):
            client.post("/v1/messages", HEADERS, body(stream=True))
            assert client.head().status == 200
            got = b""
            while got.count(PING) < 3:
                got += client.piece()
            go_on.open()
            got += client.rest()
    events = [frame.split(b"\n")[0] for frame in got.split(b"\n\n") if frame]
    assert events[0] == b"event: message_start"
    assert events.index(b"event: ping") > 0
    assert b'"text":"b"' in got
    assert events[-1] == b"event: message_stop"
    assert got.replace(PING, b"").count(b"event: ping") == 0


@both_transports
def test_pings_do_not_hide_a_dead_upstream(transport: Any) -> None:
    """When the idle time is up they stop, and one error event ends the stream."""
    hook = RecordingHook()
    with ScriptedUpstream(lambda _: [STREAM_HEAD, chunk(data("a")), Fault.HANG]) as upstream:
        pinging = config(("openai-chat", upstream.url), extra="[limits]\nping_seconds = 0.1\n")
        gateway = NexusFlow(config=pinging, transport=transport, hooks=[hook])
        with Served(gateway) as served, RawClient(served.port) as client:
            client.post("/v1/messages", HEADERS, body(stream=True))
            client.head()
            got = client.rest()
            [record] = hook.wait(1)
        assert upstream.requests[0].cut_off()
    assert 1 <= got.count(PING) <= 5
    assert got.rindex(PING) < got.index(b"event: error")
    assert got.count(b"event: error") == 1
    assert b"timeout_error" in got[got.index(b"event: error") :]
    assert (record.ending, record.error_type) == ("error", "timeout_error")


@both_transports
def test_no_ping_before_the_first_event(transport: Any) -> None:
    """Nothing goes out while the status may still change, so a late refusal keeps its own."""
    hook, go_on = RecordingHook(), Gate()
    steps: list[Step] = [go_on, *answer(400, JSON, [b'{"error":{"message":"no"}}'])]
    with ScriptedUpstream(lambda _: steps) as upstream:
        pinging = config(("openai-chat", upstream.url), extra="[limits]\nping_seconds = 0.01\n")
        with (
            Served(NexusFlow(config=pinging, transport=transport, hooks=[hook])) as served,
            RawClient(served.port) as client,
        ):
            client.post("/v1/messages", HEADERS, body(stream=True))
            upstream.wait_requests(1)
            client._socket.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.head()
            client._socket.settimeout(20)
            go_on.open()
            assert client.head().status == 400


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_ping_that_the_client_does_not_take(backend: str) -> None:
    """The send of a ping blocks: the next event waits for it, so that no two sends are under way at once, and
    a client that leaves meanwhile ends everything."""
    busy = 0
    sent: list[bytes] = []
    hook = RecordingHook()

    async def main(upstream: ScriptedUpstream, gone: bool) -> None:
        nonlocal busy
        left = anyio.Event()
        pinging = config(("openai-chat", upstream.url), extra="[limits]\nping_seconds = 0.02\n")
        gateway = NexusFlow(config=pinging, transport="httpx", hooks=[hook])
        incoming = [{"type": "http.request", "body": body(stream=True), "more_body": False}]

        async def receive() -> Any:
            if incoming:
                return incoming.pop()
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal busy
            busy += 1
            assert busy == 1, "two sends at once"
            if message.get("body") == PING:
                go_on.open()
                if gone:
                    left.set()
                await anyio.sleep(0.1)
            busy -= 1
            sent.append(message.get("body", b""))

        async with gateway:
            with anyio.fail_after(20):
                await gateway(http_scope(headers=HEADERS), receive, send)

    for gone in (False, True):
        busy = 0
        sent.clear()
        go_on = Gate()
        steps = [STREAM_HEAD, chunk(data("a")), go_on, chunk(data("b")), chunk(FINISH), LAST_CHUNK]
        with ScriptedUpstream(lambda _, steps=steps: steps) as upstream:  # type: ignore[misc]
            anyio.run(main, upstream, gone, backend=backend)
        if not gone:
            assert b'"text":"b"' in b"".join(sent)
            assert b"message_stop" in b"".join(sent)
    assert [record.ending for record in hook.records] == ["complete", "client_gone"]
