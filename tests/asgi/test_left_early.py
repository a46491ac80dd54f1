"""A client that leaves before its answer, or whose server says so in its own way: nobody crashes over it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware

from nexusflow_asgi import NexusFlow
from nexusflow_core import CallRecord
from nexusflow_core.config import decode_config
from tests.asgi.asking import BODY, LIMIT, http_scope, offline
from tests.core.translation.driving import chunks, sse
from tests.servers import (
    SSE,
    Fault,
    RawClient,
    RecordingHook,
    ScriptedUpstream,
    Served,
    chunk,
    head,
)

both_backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])

STREAM = BODY.replace(b'"model"', b'"stream":true,"model"')
START = b'event: message_start\ndata: {"type":"message_start","message":{"model":"m","usage":{}}}\n\n'
OWN_KEY = [(b"x-api-key", b"sk-ant-own")]
CONFIG = """
[upstreams.anthropic]
dialect = "{dialect}"
base_url = "{url}"
[[routes]]
model = "*"
targets = ["anthropic"]
[auth]
anonymous = true
"""
TEXT = sse(chunks({"content": "Hi."}, finish=None), done=False)


class Kept:
    def __init__(self) -> None:
        self.records: list[CallRecord] = []

    def after(self, record: CallRecord) -> None:
        self.records.append(record)


class Upstream:
    """Answers with these pieces and then hangs; notes whether it was let go."""

    def __init__(self, *pieces: bytes, answers: bool = True) -> None:
        self.pieces = list(pieces)
        self.answers = answers
        self.asked = anyio.Event()
        self.open = 0

    async def send(self, request: Any) -> Any:
        self.asked.set()
        if not self.answers:
            await anyio.sleep_forever()
        self.open += 1
        return self

    status = 200
    headers = SSE

    async def read(self) -> bytes:
        if not self.pieces:
            await anyio.sleep_forever()
        return self.pieces.pop(0)

    async def aclose(self) -> None:
        self.open -= self.open > 0


def one_more(app: Any) -> Any:
    """The host's `@app.middleware("http")`."""

    async def dispatch(request: Any, call_next: Callable[[Any], Any]) -> Any:
        return await call_next(request)

    return BaseHTTPMiddleware(app, dispatch)


def mounted(gateway: NexusFlow, middlewares: int) -> Any:
    app: Any = Starlette()
    app.mount("/llm", gateway)
    for _ in range(middlewares):
        app = one_more(app)
    return app


@both_backends
@pytest.mark.parametrize("middlewares", [1, 2, 3])
@pytest.mark.parametrize("where", ["body", "sync", "stream", "queue"])
def test_a_client_that_leaves_before_the_answer_is_no_crash(where: str, middlewares: int, backend: str) -> None:
    """A middleware that waits for a response gets an empty one; the record says that the client has left."""

    async def main() -> None:
        upstream, kept = Upstream(answers=False), Kept()
        config = decode_config(
            CONFIG.format(dialect="anthropic", url="http://up").encode() + b"[limits]\ncalls = 1\n"
        )
        gateway = NexusFlow(config=config, transport=upstream, hooks=[kept])  # type: ignore[arg-type]
        app = mounted(gateway, middlewares)
        async with anyio.create_task_group() as group:
            if where == "queue":
                group.start_soon(_leaves, app, BODY, anyio.Event())
                await upstream.asked.wait()
            left = anyio.Event()
            body = {"sync": BODY, "stream": STREAM, "body": BODY[:9], "queue": BODY}[where]
            with anyio.fail_after(LIMIT):
                async with anyio.create_task_group() as inner:
                    inner.start_soon(_leaves, app, body, left, where == "body")
                    if where in ("sync", "stream"):
                        await upstream.asked.wait()
                    else:
                        await anyio.wait_all_tasks_blocked()
                    left.set()
            assert [record.ending for record in kept.records] == ["client_gone"]
            assert upstream.open == 0
            group.cancel_scope.cancel()

    anyio.run(main, backend=backend)


async def _leaves(app: Any, body: bytes, left: anyio.Event, more: bool = False) -> None:
    """One request by a client that leaves at `left`; fails with whatever the app fails with."""
    incoming = [{"type": "http.request", "body": body, "more_body": more}]
    sent: list[Any] = []

    async def receive() -> Any:
        if incoming:
            return incoming.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = http_scope("/llm/v1/messages", headers=OWN_KEY)
    await app({**scope, "raw_path": b"/llm/v1/messages"}, receive, send)
    assert [message.get("status") for message in sent] == [499, None]
    assert sent[1]["body"] == b""


@pytest.mark.parametrize("body", [BODY, STREAM], ids=["sync", "stream"])
def test_a_host_under_uvicorn_logs_no_crash(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Behind one middleware of the host's, over real sockets."""
    hook = RecordingHook()
    with ScriptedUpstream(lambda _: [Fault.HANG]) as upstream:
        config = decode_config(CONFIG.format(dialect="anthropic", url=upstream.url).encode())
        gateway = NexusFlow(config=config, hooks=[hook], transport="httpx")
        with (
            caplog.at_level(logging.ERROR),
            Served(mounted(gateway, 1)) as served,
            RawClient(served.port) as client,
        ):
            client.post("/llm/v1/messages", OWN_KEY, body)
            upstream.wait_requests(1)
            client.close()
            assert hook.wait(1)[0].ending == "client_gone"
            assert upstream.requests[0].cut_off()
    assert caplog.records == []


# What a server's `send` says of a client that has left

GONE = [
    RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed"),
    RuntimeError("ASGI transport error"),
    OSError("broken pipe"),
    ConnectionResetError(),
    anyio.BrokenResourceError(),
]


@both_backends
@pytest.mark.parametrize("error", GONE, ids=repr)
@pytest.mark.parametrize("dialect", ["anthropic", "openai-chat"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_send_that_finds_nobody_is_a_client_that_left(
    at: int, dialect: str, error: Exception, backend: str
) -> None:
    """Whether at the head, the first piece or a later one: no traceback, the upstream closed, `client_gone`."""
    pieces = [START, b": more\n\n", b": more\n\n"] if dialect == "anthropic" else [TEXT, TEXT, TEXT]
    upstream, kept, sends = Upstream(*pieces), Kept(), 0

    incoming = [{"type": "http.request", "body": STREAM, "more_body": False}]

    async def receive() -> Any:
        if not incoming:
            await anyio.sleep_forever()
        return incoming.pop()

    async def send(message: Any) -> None:
        nonlocal sends
        sends += 1
        if sends >= at:
            raise error

    async def main() -> None:
        config = decode_config(CONFIG.format(dialect=dialect, url="http://up").encode())
        gateway = NexusFlow(config=config, transport=upstream, hooks=[kept])  # type: ignore[arg-type]
        with anyio.fail_after(LIMIT):
            await gateway(http_scope(headers=OWN_KEY), receive, send)

    anyio.run(main, backend=backend)
    assert [record.ending for record in kept.records] == ["client_gone"]
    assert upstream.open == 0


def test_a_servers_defect_is_not_taken_for_a_client_that_left(caplog: pytest.LogCaptureFixture) -> None:
    """A RuntimeError that speaks of something else goes to whoever reads the host's log."""
    incoming = [{"type": "http.request", "body": BODY, "more_body": False}]

    async def receive() -> Any:
        if not incoming:
            await anyio.sleep_forever()
        return incoming.pop()

    async def send(message: Any) -> None:
        raise RuntimeError("Expected ASGI message 'http.response.start'")

    async def main() -> None:
        with anyio.fail_after(LIMIT):
            await NexusFlow(config=offline(), transport="offline")(http_scope(), receive, send)

    anyio.run(main)
    assert "Expected ASGI message" in caplog.text


@pytest.mark.parametrize("dialect", ["anthropic", "openai-chat"])
def test_a_pipelining_client_that_leaves(dialect: str, caplog: pytest.LogCaptureFixture) -> None:
    """Its stream is closed upstream with the next piece, and nothing is logged as a crash."""
    first = START if dialect == "anthropic" else TEXT
    more = [chunk(b": %04000d\n\n" % 0 if dialect == "anthropic" else TEXT)] * 20000
    steps = [head(200, [*SSE, (b"transfer-encoding", b"chunked")]), chunk(first), *more, Fault.HANG]
    hook = RecordingHook()
    with ScriptedUpstream(lambda _: steps) as upstream:
        config = decode_config(CONFIG.format(dialect=dialect, url=upstream.url).encode())
        gateway = NexusFlow(config=config, hooks=[hook], transport="httpx")
        with (
            caplog.at_level(logging.ERROR),
            Served(gateway, loop="uvloop") as served,
            RawClient(served.port) as client,
        ):
            client.post("/v1/messages", OWN_KEY, STREAM)
            client.post("/v1/messages", OWN_KEY, STREAM)
            assert client.head().status == 200
            client.close()
            records = hook.wait(1)
            assert records[0].ending == "client_gone"
            assert upstream.requests[0].cut_off()
    assert [it.getMessage() for it in caplog.records if it.name.startswith("nexusflow")] == []
