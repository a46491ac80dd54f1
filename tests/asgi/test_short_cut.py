"""Streams through our own server and h1: chunks pass without a switch of tasks, each end is as elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvicorn

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.server import GatewayProtocol
from nexusflow_asgi.server.cycle import Cycle
from nexusflow_core import CallRecord
from nexusflow_core.config import decode_config
from nexusflow_core.dialects.anthropic import RelayLeg

CONFIG = """
[upstreams.up]
dialect = "anthropic"
base_url = "http://127.0.0.1:{port}"
auth = "none"
timeouts = {{ idle = 0.3 }}

[[routes]]
model = "claude-*"
targets = ["up"]

[auth]
anonymous = true
"""
ASKED = b'{"model":"claude-haiku-4-5","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}'
HEADERS = b"host: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ASKED)
REQUEST = b"POST /v1/messages HTTP/1.1\r\n" + HEADERS + ASKED
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LIMIT = 20.0

pytestmark = pytest.mark.anyio


def event(data: bytes) -> bytes:
    return b"data: %b\n\n" % data


START = event(
    b'{"type":"message_start","message":{"model":"claude-haiku-4-5","usage":{"input_tokens":3,"output_tokens":1}}}'
)
DELTA = event(b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"lorem ipsum"}}')
END = event(b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}') + event(
    b'{"type":"message_stop"}'
)

Upstream = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def body_of(answer: bytes) -> bytes:
    """The body of a chunked answer; fails unless it came to its proper end."""
    pieces: list[bytes] = []
    at = answer.index(b"\r\n\r\n") + 4
    while True:
        end = answer.index(b"\r\n", at)
        size = int(answer[at:end], 16)
        if not size:
            return b"".join(pieces)
        pieces.append(answer[end + 2 : end + 2 + size])
        at = end + 2 + size + 2


class World:
    """An upstream that the test plays, the gateway behind our server, and one client."""

    def __init__(self) -> None:
        self.records: list[CallRecord] = []
        self.recorded = asyncio.Event()
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    def after(self, record: CallRecord) -> None:
        self.records.append(record)
        self.recorded.set()

    async def record(self) -> CallRecord:
        await self.recorded.wait()
        return self.records[-1]

    async def rest(self) -> bytes:
        """The answer, to the end of its chunks."""
        return await self.reader.readuntil(b"\r\n0\r\n\r\n")


@contextlib.asynccontextmanager
async def running(upstream: Upstream) -> AsyncIterator[World]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n" + ASKED)
        with contextlib.suppress(OSError):
            await upstream(reader, writer)
            await writer.drain()
        writer.close()

    world = World()
    theirs = await asyncio.start_server(answer, "127.0.0.1", 0)
    config = CONFIG.format(port=theirs.sockets[0].getsockname()[1])
    gateway = NexusFlow(config=decode_config(config.encode()), transport="h1", hooks=[world])
    http: Any = GatewayProtocol
    server = uvicorn.Server(uvicorn.Config(gateway, http=http, log_config=None, access_log=False, ws="none"))
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await server.startup(sockets=[listener])
        world.reader, world.writer = await asyncio.open_connection(*listener.getsockname(), limit=2**27)
        world.writer.write(REQUEST)
        try:
            async with asyncio.timeout(LIMIT):
                yield world
        finally:
            world.writer.close()
            await gateway.aclose(0.0)
            await server.shutdown(sockets=[listener])
            theirs.close()
            await theirs.wait_closed()


@pytest.fixture
def anyio_backend() -> str:
    """h1 needs asyncio."""
    return "asyncio"


@pytest.fixture(autouse=True)
def sent_now(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was sent without a switch of tasks."""
    sent: list[bytes] = []
    send_now = Cycle.send_now

    def noting(cycle: Cycle, body: bytes) -> None:
        sent.append(body)
        send_now(cycle, body)

    monkeypatch.setattr(Cycle, "send_now", noting)
    return sent


@pytest.mark.parametrize("size", [1, 7, 50, 113, 1000, 100_000])
async def test_every_byte_passes(size: int, sent_now: list[bytes]) -> None:
    """A stream cut anywhere arrives as it was sent, and its usage is known."""
    whole = START + DELTA * 20 + END

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        for at in range(0, len(whole), size):
            writer.write(chunk(whole[at : at + size]))
            await asyncio.sleep(0)
        writer.write(b"0\r\n\r\n")

    async with running(upstream) as world:
        assert body_of(await world.rest()) == whole
        record = await world.record()
    assert (record.ending, record.stop_reason) == ("complete", "end_turn")
    assert record.usage == {"input_tokens": 3, "output_tokens": 7}
    assert size > 1000 or sent_now, "the short cut was not taken"


async def test_a_client_that_stops_reading_stops_the_upstream() -> None:
    """The gateway does not collect what its client does not read; later all of it arrives."""
    deltas, stuck = DELTA * 1000, asyncio.Event()
    count = 400  # 40 MB, more than all buffers of the sockets

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(START))
        for _ in range(count):
            writer.write(chunk(deltas))
            try:
                async with asyncio.timeout(0.05):
                    await writer.drain()
            except TimeoutError:
                stuck.set()
                await writer.drain()
        writer.write(chunk(END) + b"0\r\n\r\n")

    async with running(upstream) as world:
        head = await world.reader.readuntil(START)
        world.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await stuck.wait()
        world.writer.transport.resume_reading()  # type: ignore[attr-defined]
        body = body_of(head + await world.rest())
        assert body == START + deltas * count + END
        assert (await world.record()).ending == "complete"


async def test_a_stream_that_breaks_off() -> None:
    """The client gets what came, and one error event."""

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(START))
        for _ in range(3):
            await asyncio.sleep(0.01)
            writer.write(chunk(DELTA))

    async with running(upstream) as world:
        body = body_of(await world.rest())
        record = await world.record()
    assert body.startswith(START + DELTA * 3)
    assert body.removeprefix(START + DELTA * 3).count(b"event: error") == 1
    assert record.ending == "error"


async def test_an_upstream_that_falls_silent() -> None:
    """The idle time counts from the last chunk."""
    end = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(START))
        for _ in range(5):
            await asyncio.sleep(0.1)
            writer.write(chunk(DELTA))
        assert await reader.read() == b""  # the gateway hangs up
        end.set()

    async with running(upstream) as world:
        body = body_of(await world.rest())
        await end.wait()
        record = await world.record()
    assert body.startswith(START + DELTA * 5)
    assert b"was silent for 0.3 s" in body
    assert (record.ending, record.error_type) == ("error", "timeout_error")


async def test_a_client_that_leaves() -> None:
    """The upstream's connection is closed at once."""
    left = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(START) + chunk(DELTA))
        for _ in range(20):
            await asyncio.sleep(0.005)
            writer.write(chunk(DELTA))
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        left.set()

    async with running(upstream) as world:
        await world.reader.readuntil(DELTA)
        world.writer.close()
        await left.wait()
        assert (await world.record()).ending == "client_gone"


async def test_a_defect(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """An error of our own code reaches the client as an error, and the log with its cause."""
    receive_data, chunks = RelayLeg.receive_data, iter(range(100))

    def failing(leg: RelayLeg, data: bytes) -> bytes:
        if next(chunks) == 2:
            raise LookupError("planted")
        return receive_data(leg, data)

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(START))
        for _ in range(4):
            await asyncio.sleep(0.01)
            writer.write(chunk(DELTA))
        await reader.read()

    monkeypatch.setattr(RelayLeg, "receive_data", failing)
    async with running(upstream) as world:
        body = body_of(await world.rest())
        record = await world.record()
    assert body.startswith(START + DELTA)
    assert b"event: error" in body.removeprefix(START + DELTA)
    assert (record.ending, record.error_type) == ("error", "api_error")
    assert "planted" in caplog.text


async def test_a_long_stream_takes_no_second_task() -> None:
    """Our server says by itself that the client has left: nothing waits for it beside the call."""
    on, over = asyncio.Event(), asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(START))
        await on.wait()
        with contextlib.suppress(OSError):
            assert not await reader.read(), "the upstream's connection is still used"
        over.set()

    async with running(upstream) as world:
        await world.reader.readuntil(START)
        await asyncio.sleep(0.1)  # no longer a short call
        names = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
        assert not [name for name in names if "listen" in name], names
        on.set()
        world.writer.close()
        await over.wait()
        record = await world.record()
    assert (record.ending, record.status) == ("client_gone", 200)
