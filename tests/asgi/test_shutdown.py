"""Closing with calls in flight: their grace, an honest end, a settled record, and no new call meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from nexusflow_asgi import NexusFlow
from nexusflow_core import Call, CallRecord, Config
from nexusflow_core.config import decode_config
from tests.asgi.asking import BODY, LIMIT, Answer, ask, offline
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
)

OWN_KEY = [(b"x-api-key", b"sk-ant-own")]
STREAM = BODY.replace(b'"model"', b'"stream":true,"model"')
MESSAGE = b'{"type":"message","id":"m","usage":{"input_tokens":3,"output_tokens":1}}'
START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message",'
    b'"role":"assistant","content":[],"model":"claude-x","usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
)
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
STREAM_HEAD = head(200, [*SSE, (b"transfer-encoding", b"chunked")])

both_transports = pytest.mark.parametrize("transport", ["h1", "httpx"])
both_backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def relaying(upstream: ScriptedUpstream, route: str = "") -> Config:
    toml = f"""
        [upstreams.anthropic]
        dialect = "anthropic"
        base_url = "{upstream.url}"
        [[routes]]
        model = "claude-*"
        targets = ["anthropic"]
        {route}
        [auth]
        anonymous = true
    """
    return decode_config(toml.encode())


def host(gateway: NexusFlow) -> Starlette:
    """A host that closes the gateway when it is asked to, as one does that reloads its configuration."""

    async def close(request: Request) -> Response:
        await gateway.aclose()
        return Response("closed")

    return Starlette(routes=[Route("/close", close, methods=["POST"]), Mount("/", gateway)])


def ask_to_close(served: Served) -> RawClient:
    """Returns once closing has begun; its answer comes when it is done."""
    calls = served.calls
    client = RawClient(served.port)
    client.post("/close", [], b"")
    served.wait_calls(calls + 1)
    return client


def errors(body: bytes) -> list[dict[str, Any]]:
    """The error events of a stream."""
    events = [event for event in body.split(b"\n\n") if event.startswith(b"event: error\n")]
    return [json.loads(event.split(b"data: ", 1)[1]) for event in events]


# Over real sockets


@both_transports
def test_calls_get_their_grace(transport: str) -> None:
    """Calls in flight end as if nothing were; aclose returns after them, and closes the connections."""
    hook, go_on = RecordingHook(), Gate()
    scripts: dict[bool, list[Step]] = {
        True: [STREAM_HEAD, chunk(START), go_on, chunk(STOP), LAST_CHUNK],
        False: answer(200, JSON, [go_on, MESSAGE]),
    }
    with ScriptedUpstream(lambda received: scripts[b"stream" in received.body]) as upstream:
        gateway = NexusFlow(config=relaying(upstream), transport=transport, hooks=[hook], grace=LIMIT)
        with (
            Served(host(gateway)) as served,
            RawClient(served.port) as streaming,
            RawClient(served.port) as waiting,
        ):
            streaming.post("/v1/messages", OWN_KEY, STREAM)
            assert streaming.head().status == 200
            assert streaming.exactly(len(START)) == START
            waiting.post("/v1/messages", OWN_KEY, BODY)
            upstream.wait_requests(2)
            with ask_to_close(served) as closing:
                with RawClient(served.port) as late:
                    got, body = late.call("/v1/messages", OWN_KEY, BODY)
                    assert (got.status, json.loads(body)["error"]["type"]) == (529, "overloaded_error")
                    assert got.value(b"retry-after") == b"1"
                assert hook.wait(1)[0].ending == "refused"
                go_on.open()
                assert streaming.rest() == STOP
                assert waiting.head().status == 200
                assert waiting.rest() == MESSAGE
                assert closing.head().status == 200
            assert len(hook.records) == 3, "settled before aclose returned"
            assert upstream.wait_open(0)
    assert [record.ending for record in hook.records] == ["refused", "complete", "complete"]
    assert len(upstream.requests) == 2, "the refused call never went upstream"


@both_transports
def test_a_stream_that_outlasts_its_grace(transport: str) -> None:
    """It ends with exactly one `event: error`, overloaded_error; the upstream is cut off."""
    hook = RecordingHook()
    with ScriptedUpstream(lambda _: [STREAM_HEAD, chunk(START), Fault.HANG]) as upstream:
        gateway = NexusFlow(config=relaying(upstream), transport=transport, hooks=[hook], grace=0.1)
        with Served(host(gateway)) as served, RawClient(served.port) as client:
            client.post("/v1/messages", OWN_KEY, STREAM)
            assert client.head().status == 200
            assert client.exactly(len(START)) == START
            with ask_to_close(served) as closing:
                rest = client.rest()
                assert closing.head().status == 200
            [record] = hook.records
            assert upstream.requests[0].cut_off()
    assert rest.startswith(b"event: error\n")
    assert rest.count(b"event:") == 1
    [document] = errors(rest)
    assert document["error"]["type"] == "overloaded_error"
    assert document["request_id"] == record.request_id
    assert (record.status, record.ending, record.error_type) == (200, "error", "overloaded_error")
    assert record.usage == {"input_tokens": 3, "output_tokens": 1}
    assert record.usage_source == "partial"


WAITING: dict[str, list[Step]] = {
    "for the head": [Fault.HANG],
    "for the body": [head(200, [*JSON, (b"content-length", b"99")]), Fault.HANG],
    "in the body": [head(200, [*JSON, (b"content-length", b"99")]), b'{"type":', Fault.HANG],
    "for the first event": [STREAM_HEAD, chunk(b": hello\n\n"), Fault.HANG],
}


@both_transports
@pytest.mark.parametrize("steps", WAITING.values(), ids=WAITING.keys())
def test_a_waiting_call_that_outlasts_its_grace(steps: list[Step], transport: str) -> None:
    """As long as nothing has gone out it gets a status of its own: 529."""
    hook = RecordingHook()
    body = STREAM if steps[0] is STREAM_HEAD else BODY
    with ScriptedUpstream(lambda _: steps) as upstream:
        gateway = NexusFlow(config=relaying(upstream), transport=transport, hooks=[hook], grace=0.1)
        with Served(host(gateway)) as served, RawClient(served.port) as client:
            client.post("/v1/messages", OWN_KEY, body)
            upstream.wait_requests(1)
            with ask_to_close(served) as closing:
                got, error = client.head(), json.loads(client.rest())
                assert closing.head().status == 200
            [record] = hook.records
            assert upstream.requests[0].cut_off()
    assert (got.status, error["error"]["type"]) == (529, "overloaded_error")
    assert got.value(b"retry-after") == b"1"
    assert got.values(b"request-id") == [record.request_id.encode()]
    assert (record.status, record.ending, record.error_type) == (529, "error", "overloaded_error")


@both_transports
def test_closed_is_not_the_end(transport: str) -> None:
    """After aclose the next call opens a client anew, and closing that again works as well."""
    with ScriptedUpstream(lambda _: answer(200, JSON, [MESSAGE])) as upstream:
        gateway = NexusFlow(config=relaying(upstream), transport=transport)
        with Served(host(gateway)) as served, RawClient(served.port) as client:
            for _ in range(3):
                assert client.call("/v1/messages", OWN_KEY, BODY)[0].status == 200
                assert upstream.open_connections == 1
                assert client.call("/close", [], b"")[0].status == 200
                assert upstream.wait_open(0)


def test_a_body_that_is_still_arriving() -> None:
    """A call whose body comes after closing began is refused, not lost."""
    hook = RecordingHook()
    with ScriptedUpstream(lambda _: answer(200, JSON, [MESSAGE])) as upstream:
        gateway = NexusFlow(config=relaying(upstream), transport="httpx", hooks=[hook], grace=0.1)
        with Served(host(gateway)) as served, RawClient(served.port) as client:
            assert client.call("/v1/messages", OWN_KEY, BODY)[0].status == 200
            whole = b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%s" % (
                len(BODY),
                BODY,
            )
            calls = served.calls
            client.send(whole[:-5])
            served.wait_calls(calls + 1)
            with ask_to_close(served) as closing:
                assert closing.head().status == 200
            client.send(whole[-5:])
            got = client.head()
            assert (got.status, json.loads(client.rest())["error"]["type"]) == (529, "overloaded_error")
            assert upstream.wait_open(0)
    assert [record.ending for record in hook.records] == ["complete", "refused"]


def test_a_server_that_cuts_its_calls_off() -> None:
    """uvicorn cancels what outlasts its own limit: the record is settled all the same, before shutdown ends."""
    hook = RecordingHook()
    with ScriptedUpstream(lambda _: [STREAM_HEAD, chunk(START), Fault.HANG]) as upstream:
        gateway = NexusFlow(config=relaying(upstream), transport="httpx", hooks=[hook])
        with Served(gateway) as served, RawClient(served.port) as client:
            served._server.config.timeout_graceful_shutdown = 0
            client.post("/v1/messages", OWN_KEY, STREAM)
            assert client.head().status == 200
            assert client.exactly(len(START)) == START
            served._server.should_exit = True
            hook.wait(1)
            assert upstream.requests[0].cut_off()
        assert upstream.wait_open(0)
    [record] = hook.records
    assert record.usage == {"input_tokens": 3, "output_tokens": 1}
    assert record.usage_source == "partial"


# In process, on asyncio and on trio


class Scripted:
    """A transport whose answers wait for `go_on`, and which notes what becomes of it."""

    def __init__(self, *, stream: bool) -> None:
        self.stream = stream
        self.sent = anyio.Event()
        self.go_on = anyio.Event()
        self.open_responses = 0
        self.closed = 0

    async def send(self, request: Any) -> _Response:
        self.open_responses += 1
        self.sent.set()
        return _Response(self)

    async def aclose(self) -> None:
        assert self.open_responses == 0, "closed below a call"
        await anyio.sleep(0.01)
        self.closed += 1


class _Response:
    status = 200

    def __init__(self, transport: Scripted) -> None:
        self.transport = transport
        self.headers = SSE if transport.stream else JSON
        self.before = [START] if transport.stream else []
        self.after = [STOP if transport.stream else MESSAGE]

    async def read(self) -> bytes:
        if self.before:
            return self.before.pop()
        await self.transport.go_on.wait()
        return self.after.pop() if self.after else b""

    async def aclose(self) -> None:
        self.transport.open_responses -= 1


class Kept:
    """Keeps records, and takes its time over each."""

    def __init__(self) -> None:
        self.records: list[CallRecord] = []

    async def after(self, record: CallRecord) -> None:
        await anyio.sleep(0.02)
        self.records.append(record)


def run(backend: str, main: Callable[[], Any]) -> Any:
    async def bounded() -> Any:
        with anyio.fail_after(LIMIT):
            return await main()

    return anyio.run(bounded, backend=backend)


@both_backends
@pytest.mark.parametrize("stream", [False, True], ids=["sync", "stream"])
@pytest.mark.parametrize("grace", [0.0, 0.05, LIMIT])
def test_in_process(backend: str, stream: bool, grace: float) -> None:
    """Whole within its grace, an honest end beyond it; aclose waits for records, then closes the transport."""

    async def main() -> tuple[Answer, CallRecord]:
        transport, kept, answers = Scripted(stream=stream), Kept(), list[Answer]()
        gateway = NexusFlow(config=offline(), transport=transport, hooks=[kept], grace=grace)

        async def call() -> None:
            answers.append(await ask(gateway, body=STREAM if stream else BODY))

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await transport.sent.wait()
            if grace == LIMIT:
                group.start_soon(gateway.aclose)
                await anyio.wait_all_tasks_blocked()
                assert (await ask(gateway)).error == "overloaded_error"
                transport.go_on.set()
            else:
                await gateway.aclose()
                assert len(kept.records) == 1, "settled before aclose returned"
        assert (transport.closed, transport.open_responses) == (1, 0)
        record = kept.records[-1]
        return answers[0], record

    got, record = run(backend, main)
    if grace == LIMIT:
        assert (got.status, got.body) == (200, START + STOP if stream else MESSAGE)
        assert record.ending == "complete"
    elif stream and got.status == 200:
        assert got.body.startswith(START + b"event: error\n")
        assert [document["error"]["type"] for document in errors(got.body)] == ["overloaded_error"]
        assert (record.ending, record.error_type) == ("error", "overloaded_error")
    else:
        assert (got.status, got.error) == (529, "overloaded_error")
        assert (record.ending, record.error_type) == ("error", "overloaded_error")


@both_backends
def test_closing_twice_at_once(backend: str) -> None:
    """A host whose lifespan ends while it closes the gateway itself: both return, the call had its grace."""

    async def main() -> None:
        transport, kept = Scripted(stream=False), Kept()
        gateway = NexusFlow(config=two_upstreams(), transport=transport, hooks=[kept])
        async with anyio.create_task_group() as group:
            for model in (b"claude-a", b"claude-b"):
                group.start_soon(
                    lambda model=model: ask(gateway, headers=OWN_KEY, body=b'{"model":"%s"}' % model)
                )
            await anyio.wait_all_tasks_blocked()
            group.start_soon(gateway.aclose)
            group.start_soon(gateway.aclose)
            await anyio.wait_all_tasks_blocked()
            transport.go_on.set()
        assert [record.ending for record in kept.records] == ["complete", "complete"]
        assert transport.open_responses == 0

    run(backend, main)


def two_upstreams() -> Config:
    toml = b"""
        [upstreams.a]
        dialect = "anthropic"
        [upstreams.b]
        dialect = "anthropic"
        [[routes]]
        model = "claude-a"
        targets = ["a"]
        [[routes]]
        model = "claude-b"
        targets = ["b"]
        [auth]
        anonymous = true
    """
    return decode_config(toml)


@both_backends
@pytest.mark.parametrize(
    ("where", "grace"), [("before", 0.05), ("before", LIMIT), ("authenticate", LIMIT)], ids=str
)
def test_a_call_that_is_not_yet_admitted(backend: str, where: str, grace: float) -> None:
    """A call that a hook or the host's authenticate still holds is in flight too.

    Within its grace it is served; beyond it, it is refused and never opens a client that nobody would close.
    """

    async def main() -> tuple[Answer, Scripted, list[CallRecord]]:
        held, go_on = anyio.Event(), anyio.Event()
        transport, kept, answers = Scripted(stream=False), Kept(), list[Answer]()
        transport.go_on.set()

        async def hold(subject: Any) -> str:
            held.set()
            await go_on.wait()
            return "alice"

        class Holding:
            async def before(self, call: Call) -> None:
                await hold(call)

        gateway = NexusFlow(
            config=offline(),
            transport=transport,
            hooks=[kept, Holding()] if where == "before" else [kept],
            authenticate=hold if where == "authenticate" else None,
            grace=grace,
        )

        async def call() -> None:
            answers.append(await ask(gateway))

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await held.wait()
            if grace == LIMIT:
                group.start_soon(gateway.aclose)
                await anyio.wait_all_tasks_blocked()
                assert transport.closed == 0
                go_on.set()
            else:
                await gateway.aclose()
                go_on.set()
        return answers[0], transport, kept.records

    got, transport, records = run(backend, main)
    [record] = records
    if grace == LIMIT:
        assert (got.status, record.ending, transport.closed) == (200, "complete", 1)
    else:
        assert (got.status, got.error) == (529, "overloaded_error")
        assert not transport.sent.is_set()
        assert record.ending == "refused"


@both_backends
def test_closing_an_idle_gateway(backend: str) -> None:
    """Before any call, and again: nothing to do, nothing to wait for."""

    async def main() -> None:
        gateway = NexusFlow(config=offline(), transport="offline", grace=LIMIT * 100)
        await gateway.aclose()
        assert (await ask(gateway)).status == 200
        await gateway.aclose()
        await gateway.aclose()

    run(backend, main)


@both_backends
def test_pages_go_on(backend: str) -> None:
    """Health and models answer while calls are given their grace."""

    async def main() -> None:
        transport = Scripted(stream=False)
        gateway = NexusFlow(config=offline(), transport=transport, grace=LIMIT)
        async with anyio.create_task_group() as group:
            group.start_soon(ask, gateway)
            await transport.sent.wait()
            group.start_soon(gateway.aclose)
            await anyio.wait_all_tasks_blocked()
            for path in ("/health", "/v1/models"):
                assert (await ask(gateway, path, method="GET")).status == 200
            transport.go_on.set()

    run(backend, main)


# Calls that wait for something else than their upstream


RESTS = "retry = { attempts = 3, max_wait = 60 }"
"""The target is asked again after a time that outlasts every test."""


@both_transports
def test_a_call_that_sleeps_before_its_retry(transport: str) -> None:
    """Beyond its grace it ends at once, as an overload to try again elsewhere, and is not sent again."""
    hook = RecordingHook()
    refusal = answer(529, [*JSON, (b"retry-after", b"50")], [b'{"type":"error"}'])
    with ScriptedUpstream(lambda _: refusal) as upstream:
        gateway = NexusFlow(config=relaying(upstream, RESTS), transport=transport, hooks=[hook], grace=0.1)
        with Served(host(gateway)) as served, RawClient(served.port) as client:
            client.post("/v1/messages", OWN_KEY, BODY)
            upstream.wait_requests(1)
            with ask_to_close(served) as closing:
                got, error = client.head(), json.loads(client.rest())
                assert closing.head().status == 200
            [record] = hook.records
        assert len(upstream.requests) == 1
    assert (got.status, error["error"]["type"]) == (529, "overloaded_error")
    assert got.value(b"retry-after") == b"1"
    assert (record.status, record.ending, record.error_type) == (529, "error", "overloaded_error")


def test_a_body_of_which_the_rest_never_comes() -> None:
    """Beyond its grace the call is refused, without waiting for the client."""
    hook = RecordingHook()
    with ScriptedUpstream(lambda _: answer(200, JSON, [MESSAGE])) as upstream:
        gateway = NexusFlow(config=relaying(upstream), transport="httpx", hooks=[hook], grace=0.1)
        with Served(host(gateway)) as served, RawClient(served.port) as client:
            head_of_all = b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"
            calls = served.calls
            client.send(head_of_all % len(BODY) + BODY[:-5])
            served.wait_calls(calls + 1)
            with ask_to_close(served) as closing:
                got, error = client.head(), json.loads(client.rest())
                assert closing.head().status == 200
        assert not upstream.requests
    assert (got.status, error["error"]["type"]) == (529, "overloaded_error")
    assert got.value(b"retry-after") == b"1"
    assert [record.ending for record in hook.records] == ["refused"]
