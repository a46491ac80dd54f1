"""A client that goes away, at each phase: the upstream sees its socket close, and nothing stays behind."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import TypeAlias

import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.transports import TransportName
from nexusflow_core.config import decode_config
from tests.servers import (
    JSON,
    LIMIT,
    SSE,
    Fault,
    Gate,
    RawClient,
    Received,
    RecordingHook,
    ScriptedUpstream,
    Served,
    Step,
    answer,
    chunk,
    head,
    request_head,
)

CONFIG = """
[upstreams.anthropic]
dialect = "anthropic"
base_url = "{url}"
connections = 1

[[routes]]
model = "claude-*"
targets = ["anthropic"]

[auth]
anonymous = true
"""
HEADERS = [(b"content-type", b"application/json"), (b"x-api-key", b"sk-ant-own")]
SYNC, STREAM = b'{"model":"claude-x"}', b'{"model":"claude-x","stream":true}'
ANSWER = b'{"type":"message","usage":{"input_tokens":3,"output_tokens":1}}'
START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message",'
    b'"role":"assistant","content":[],"model":"claude-x","usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
)
CHUNKED = (b"transfer-encoding", b"chunked")

Phase: TypeAlias = Callable[[Served, RawClient, ScriptedUpstream], Received | None]
"""Brings a call to the point where the client leaves; the upstream's request, if there is one."""


def sending_the_body(served: Served, client: RawClient, upstream: ScriptedUpstream) -> None:
    calls = served.calls
    client.send(request_head("/v1/messages", [*HEADERS, (b"content-length", b"1000")]) + SYNC[:-1])
    served.wait_calls(calls + 1)


def _post(client: RawClient, upstream: ScriptedUpstream, body: bytes, steps: list[Step]) -> Received:
    upstream.script = lambda _: steps
    count = len(upstream.requests)
    client.post("/v1/messages", HEADERS, body)
    return upstream.wait_requests(count + 1)[count]


def before_the_head_sync(served: Served, client: RawClient, upstream: ScriptedUpstream) -> Received:
    return _post(client, upstream, SYNC, [Fault.HANG])


def before_the_head_stream(served: Served, client: RawClient, upstream: ScriptedUpstream) -> Received:
    return _post(client, upstream, STREAM, [Fault.HANG])


def after_the_head_sync(served: Served, client: RawClient, upstream: ScriptedUpstream) -> Received:
    return _post(client, upstream, SYNC, [head(200, [*JSON, (b"content-length", b"99")]), Fault.HANG])


def after_the_head_stream(served: Served, client: RawClient, upstream: ScriptedUpstream) -> Received:
    return _post(client, upstream, STREAM, [head(200, [*SSE, CHUNKED]), Fault.HANG])


def in_the_first_event(served: Served, client: RawClient, upstream: ScriptedUpstream) -> Received:
    return _post(client, upstream, STREAM, [head(200, [*SSE, CHUNKED]), chunk(START[:50]), Fault.HANG])


def mid_body_sync(served: Served, client: RawClient, upstream: ScriptedUpstream) -> Received:
    return _post(client, upstream, SYNC, [head(200, [*JSON, (b"content-length", b"99")]), b'{"a":', Fault.HANG])


def mid_stream(served: Served, client: RawClient, upstream: ScriptedUpstream) -> Received:
    received = _post(client, upstream, STREAM, [head(200, [*SSE, CHUNKED]), chunk(START), Fault.HANG])
    assert client.head().status == 200
    assert client.exactly(len(START)) == START
    return received


def mid_flood(served: Served, client: RawClient, upstream: ScriptedUpstream) -> Received:
    """The client has stopped reading long ago and every buffer on the way is full."""
    steps: list[Step] = [head(200, [*SSE, CHUNKED]), chunk(START)]
    steps += [*[chunk(b": %065000d\n\n" % 0)] * 300, Fault.HANG]
    received = _post(client, upstream, STREAM, steps)
    assert client.head().status == 200
    return received


PHASES: list[Phase] = [
    sending_the_body,
    before_the_head_sync,
    before_the_head_stream,
    after_the_head_sync,
    after_the_head_stream,
    in_the_first_event,
    mid_body_sync,
    mid_stream,
    mid_flood,
]
both_transports = pytest.mark.parametrize("transport", ["h1", "httpx", "aiohttp"])


def gateway(upstream: ScriptedUpstream, transport: TransportName, hook: RecordingHook) -> NexusFlow:
    config = decode_config(CONFIG.format(url=upstream.url).encode())
    return NexusFlow(config=config, transport=transport, hooks=[hook])


def assert_next_call_works(served: Served, upstream: ScriptedUpstream) -> None:
    """A pool of one connection serves another call: the slot came back."""
    upstream.script = lambda _: answer(200, JSON, [ANSWER])
    with RawClient(served.port) as client:
        got, body = client.call("/v1/messages", HEADERS, SYNC)
    assert (got.status, body) == (200, ANSWER)


@both_transports
@pytest.mark.parametrize("leave", [RawClient.close, RawClient.reset], ids=["close", "reset"])
@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.__name__)
def test_a_client_goes_away(phase: Phase, leave: Callable[[RawClient], None], transport: TransportName) -> None:
    """The upstream sees its socket close, one record says client_gone, the only slot is free again."""
    hook = RecordingHook()
    with ScriptedUpstream(lambda _: ()) as upstream, Served(gateway(upstream, transport, hook)) as served:
        client = RawClient(served.port)
        received = phase(served, client, upstream)
        leave(client)
        if received is None:
            assert upstream.requests == []
        else:
            assert received.cut_off(), "the upstream still has its socket"
        record = hook.wait(1)[0]
        assert_next_call_works(served, upstream)
    assert record.ending == "client_gone"
    if phase in (mid_stream, mid_flood):
        assert (record.usage_source, record.usage) == ("partial", {"input_tokens": 3, "output_tokens": 1})
    else:
        assert (record.usage_source, record.usage) == ("none", None)
    assert [r.ending for r in hook.records] == ["client_gone", "complete"]


@both_transports
def test_a_client_goes_away_while_it_waits_for_a_slot(transport: TransportName) -> None:
    """The call never reaches the upstream, and the one that holds the slot is not disturbed."""
    hook, go_on = RecordingHook(), Gate()
    script = answer(200, JSON, [go_on, ANSWER])
    with (
        ScriptedUpstream(lambda _: script) as upstream,
        Served(gateway(upstream, transport, hook)) as served,
        RawClient(served.port) as first,
    ):
        first.post("/v1/messages", HEADERS, SYNC)
        upstream.wait_requests(1)
        second = RawClient(served.port)
        second.post("/v1/messages", HEADERS, SYNC)
        served.wait_calls(2)
        second.close()
        assert hook.wait(1)[0].ending == "client_gone"
        go_on.open()
        assert first.head().status == 200
        assert first.rest() == ANSWER
        assert_next_call_works(served, upstream)
    assert len(upstream.requests) == 2
    assert [r.ending for r in hook.records] == ["client_gone", "complete", "complete"]


@both_transports
def test_a_client_goes_away_while_we_connect(transport: TransportName) -> None:
    """An upstream that does not accept: the abandoned connect gives the only slot back."""
    hook = RecordingHook()
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, contextlib.ExitStack() as fillers:
        deaf.settimeout(LIMIT)
        port = deaf.getsockname()[1]
        for _ in range(8):  # until the queue of the listener is full, and further ones are not answered
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        config = decode_config(CONFIG.format(url=f"http://127.0.0.1:{port}").encode())
        with Served(NexusFlow(config=config, transport=transport, hooks=[hook])) as served:
            for count in range(1, 4):
                client = RawClient(served.port)
                client.post("/v1/messages", HEADERS, SYNC)
                served.wait_calls(count)
                client.close()
                assert hook.wait(count)[-1].ending == "client_gone"
            fillers.close()
            with RawClient(served.port) as client:
                client.post("/v1/messages", HEADERS, SYNC)
                while True:
                    connection, _ = deaf.accept()
                    with connection:
                        if connection.recv(1 << 16):  # a filler, or a connect of a client that left, is empty
                            connection.sendall(
                                head(200, [*JSON, (b"content-length", b"%d" % len(ANSWER))]) + ANSWER
                            )
                            break
                assert client.head().status == 200
                assert client.rest() == ANSWER


@both_transports
def test_an_answer_read_to_its_end_is_no_disconnect(transport: TransportName) -> None:
    """A client that closes right after the last byte was served in full, and the record says so."""
    hook = RecordingHook()
    stop = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    with ScriptedUpstream(lambda _: ()) as upstream, Served(gateway(upstream, transport, hook)) as served:
        upstream.script = lambda _: answer(200, SSE, [START + stop], framing="chunked")
        for done in range(1, 20):
            with RawClient(served.port) as client:
                client.post("/v1/messages", HEADERS, STREAM)
                client.head()
                client.rest()
            hook.wait(done)
    assert {r.ending for r in hook.records} == {"complete"}


def soak(count: int, transport: TransportName) -> None:
    hook, phases = RecordingHook(), [phase for phase in PHASES if phase is not mid_flood]
    with ScriptedUpstream(lambda _: ()) as upstream, Served(gateway(upstream, transport, hook)) as served:
        assert_next_call_works(served, upstream)
        assert served.client_connections() == 0
        at_rest = served.tasks()
        for i in range(count):
            client = RawClient(served.port)
            received = phases[i % len(phases)](served, client, upstream)
            (client.reset if i % 3 else client.close)()
            assert received is None or received.cut_off(), f"call {i}: the upstream still has its socket"
            hook.wait(i + 2)
        assert_next_call_works(served, upstream)
        assert served.client_connections() == 0
        assert not served.leftovers(at_rest)
        assert upstream.wait_open(1), f"{upstream.open_connections} sockets to the upstream, of a pool of one"
    assert upstream.wait_open(0)
    assert [r.ending for r in hook.records] == ["complete", *["client_gone"] * count, "complete"]


@both_transports
def test_sixty_leave_nothing_behind(transport: TransportName) -> None:
    """No task, no socket and no slot is left after sixty of them, at every phase in turn."""
    soak(60, transport)


@pytest.mark.soak
@both_transports
def test_a_thousand_leave_nothing_behind(transport: TransportName) -> None:
    """The same by the thousand."""
    soak(1000, transport)


@both_transports
def test_forty_at_once_leave_nothing_behind(transport: TransportName) -> None:
    """One holds the only slot, the others wait for it, and all leave together."""
    hook = RecordingHook()
    with (
        ScriptedUpstream(lambda _: [Fault.HANG]) as upstream,
        Served(gateway(upstream, transport, hook)) as served,
    ):
        clients = [RawClient(served.port) for _ in range(40)]
        for client in clients:
            client.post("/v1/messages", HEADERS, STREAM)
        served.wait_calls(40)
        upstream.wait_requests(1)
        for client in clients:
            client.close()
        hook.wait(40)
        assert_next_call_works(served, upstream)
        assert upstream.wait_open(1)
    assert [r.ending for r in hook.records] == [*["client_gone"] * 40, "complete"]
