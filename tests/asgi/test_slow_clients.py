"""Clients that take their time, or stop reading: all of it where they read on, an end where they do not, and
the upstream is not held for them; on asyncio and on trio."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_core import CallRecord
from nexusflow_core.config import decode_config
from nexusflow_core.dialects.anthropic import AnthropicDialect
from nexusflow_core.errors import UpstreamProtocolError
from tests.asgi.asking import LIMIT, Answer, ask, http_scope
from tests.servers import JSON, SSE

CONFIG = """
[upstreams.relayed]
dialect = "anthropic"
base_url = "http://relayed.example"
auth = "none"
timeouts = {{ {timeouts} }}
[upstreams.translated]
dialect = "openai-chat"
base_url = "http://translated.example"
auth = "none"
timeouts = {{ {timeouts} }}

[[routes]]
model = "claude-x"
targets = ["relayed", "relayed/claude-y"]
[[routes]]
model = "gpt-x"
targets = ["translated"]

[limits]
ping_seconds = 0.05

[auth]
anonymous = true
"""
START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message",'
    b'"role":"assistant","content":[],"model":"claude-x","usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
)
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
HANG = object()

both_backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def chat(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


class Scripted:
    """A transport whose answer is a list of bytes, exceptions, events to wait for, and HANG."""

    def __init__(self, headers: Any, steps: list[Any]) -> None:
        self.headers, self.steps, self.open = headers, steps, 0

    async def send(self, request: Any) -> _Response:
        self.open += 1
        return _Response(self)

    async def aclose(self) -> None:
        return None


class _Response:
    status = 200

    def __init__(self, transport: Scripted) -> None:
        self.transport, self.headers, self.steps = transport, transport.headers, list(transport.steps)

    async def read(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        while self.steps:
            step = self.steps.pop(0)
            if isinstance(step, bytes):
                return step
            if isinstance(step, Exception):
                raise step
            await (anyio.sleep_forever() if step is HANG else step.wait())
        return b""

    async def aclose(self) -> None:
        self.transport.open -= 1


class Kept:
    def __init__(self) -> None:
        self.records: list[CallRecord] = []

    def after(self, record: CallRecord) -> None:
        self.records.append(record)


class Client:
    """Stays, and takes each message as `takes(number, message)` says: it waits for what that returns."""

    def __init__(
        self, takes: Callable[[int, Any], Any], model: str = "claude-x", *, stream: bool = True
    ) -> None:
        self.takes, self.sent = takes, list[Any]()
        asked = {"model": model, "stream": stream, "max_tokens": 9}
        self.body = json.dumps({**asked, "messages": [{"role": "user", "content": "hello"}]}).encode()

    @property
    def got(self) -> bytes:
        return b"".join([message.get("body", b"") for message in self.sent])

    async def call(self, gateway: NexusFlow) -> None:
        incoming = [{"type": "http.request", "body": self.body, "more_body": False}]

        async def receive() -> Any:
            if incoming:
                return incoming.pop()
            await anyio.sleep_forever()
            raise AssertionError

        count = 0

        async def send(message: Any) -> None:
            nonlocal count
            count += 1
            waits = self.takes(count, message)
            if waits is not None:
                await waits
            self.sent.append(message)

        with anyio.fail_after(LIMIT):
            await gateway(http_scope(), receive, send)


def gateway(transport: Any, kept: Kept, timeouts: str = "idle = 0.2", grace: float = 5.0) -> NexusFlow:
    config = decode_config(CONFIG.format(timeouts=timeouts).encode())
    return NexusFlow(config=config, transport=transport, hooks=[kept], grace=grace)


@pytest.fixture(autouse=True)
def few_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was ended for its time gets a moment to say so, not seconds."""
    monkeypatch.setattr("nexusflow_asgi.relay.watch.LAST_WORDS_SECONDS", 0.1)


@both_backends
def test_a_ping_that_is_never_taken(backend: str) -> None:
    """It holds nobody: when the upstream's idle time is up the call ends, and the upstream is closed."""
    transport, kept = Scripted(SSE, [chat("Hello"), HANG]), Kept()
    client = Client(lambda _, message: anyio.sleep_forever() if message.get("body") == PING else None, "gpt-x")
    anyio.run(client.call, gateway(transport, kept), backend=backend)
    assert (transport.open, kept.records[0].error_type) == (0, "timeout_error")


@both_backends
def test_a_client_that_is_slow_to_take_a_ping(backend: str) -> None:
    """The upstream has gone on meanwhile: its idle time does not run, and the client gets the whole answer."""

    async def main() -> None:
        pinged = anyio.Event()
        transport, kept = Scripted(SSE, [chat("Hello"), pinged, chat(" you", "stop")]), Kept()

        def takes(_: int, message: Any) -> Any:
            if message.get("body") == PING:
                pinged.set()
                return anyio.sleep(0.5)
            return None

        client = Client(takes, "gpt-x")
        await client.call(gateway(transport, kept))
        assert b"message_stop" in client.got
        assert (kept.records[0].ending, kept.records[0].error_type) == ("complete", None)

    anyio.run(main, backend=backend)


ENDINGS: dict[str, tuple[Any, list[Any], str]] = {
    "the end of a stream": (SSE, [START, STOP], "complete"),
    "an error event": (SSE, [START, UpstreamProtocolError("the connection broke")], "error"),
    "a sync answer": (JSON, [b'{"type":"message","usage":{"input_tokens":3,"output_tokens":1}}'], "complete"),
    "an error answer": (JSON, [b"no JSON"], "error"),
}


@both_backends
@pytest.mark.parametrize(("headers", "steps", "ending"), ENDINGS.values(), ids=ENDINGS)
def test_last_words_that_are_never_taken(backend: str, headers: Any, steps: list[Any], ending: str) -> None:
    """The upstream is given back before they are said, and the client gets its idle time for them, no more."""
    transport, kept = Scripted(headers, steps), Kept()
    open_then: list[int] = []

    def takes(_: int, message: Any) -> Any:
        body = message.get("body", b"")
        if message["type"] == "http.response.start" or body in (START, STOP):
            return None
        open_then.append(transport.open)
        return anyio.sleep_forever()

    client = Client(takes, stream=headers is SSE)
    anyio.run(client.call, gateway(transport, kept), backend=backend)
    assert open_then == [0]
    assert (transport.open, kept.records[0].ending) == (0, ending)


@both_backends
def test_a_slow_client_gets_all_of_a_large_answer(backend: str) -> None:
    """What has its bound is silence, not the whole answer: each piece has the idle time to itself."""
    text = b'{"type":"message","text":"%s"}' % (b"x" * 600_000)
    transport, kept = Scripted(JSON, [text]), Kept()
    client = Client(lambda number, _: anyio.sleep(0.1) if number > 1 else None, stream=False)
    anyio.run(client.call, gateway(transport, kept, "idle = 0.6"), backend=backend)
    assert client.got == text
    assert [message["more_body"] for message in client.sent[-2:]] == [True, False]
    assert kept.records[0].duration > 0.6


@both_backends
def test_the_total_time_holds_for_last_words_too(backend: str) -> None:
    """A client that takes a little now and then does not keep its answer in memory for ever."""
    transport, kept = Scripted(JSON, [b'{"text":"%s"}' % (b"x" * 6_000_000)]), Kept()
    client = Client(lambda number, _: anyio.sleep(0.1) if number > 1 else None, stream=False)
    anyio.run(client.call, gateway(transport, kept, "idle = 0.3, total = 0.6"), backend=backend)
    assert 0 < len(client.got) < 1_000_000
    assert len(kept.records) == 1


@both_backends
@pytest.mark.parametrize(("steps", "stuck_at"), [([START, STOP, HANG], 3), ([START, STOP], 4)])
def test_closing_waits_for_clients_that_do_not_read(backend: str, steps: list[Any], stuck_at: int) -> None:
    """In the middle, or at its end: every record is there when aclose returns, and the upstreams are closed."""

    async def main() -> None:
        transport, kept, stuck = Scripted(SSE, steps), Kept(), anyio.Event()

        def takes(number: int, _: Any) -> Any:
            if number < stuck_at:
                return None
            stuck.set()
            return anyio.sleep_forever()

        app = gateway(transport, kept, "idle = 60", grace=0.05)
        async with anyio.create_task_group() as group:
            group.start_soon(Client(takes).call, app)
            await stuck.wait()
            await app.aclose()
            assert (len(kept.records), transport.open) == (1, 0)

    anyio.run(main, backend=backend)


@both_backends
def test_a_defect_that_the_timer_meets(
    backend: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer of 500 and a record, as after any other defect: the call does not wait for ever."""
    opened, kept = AnthropicDialect.open, Kept()

    def open(dialect: Any, call: Any, target: Any, at: Any) -> Any:
        if target.model is not None:
            raise RuntimeError("a defect of ours")
        return opened(dialect, call, target, at)

    monkeypatch.setattr(AnthropicDialect, "open", open)
    app = gateway(Scripted(SSE, [HANG]), kept, "first_byte = 0.1")

    async def main() -> Answer:
        return await ask(app, body=b'{"model":"claude-x","stream":true}')

    got = anyio.run(main, backend=backend)
    assert (got.status, got.error) == (500, "api_error")
    assert "a defect of ours" in caplog.text
    assert [record.error_type for record in kept.records] == ["api_error"]
