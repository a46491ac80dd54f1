"""The idle timer of a client's connection, in a time that the test sets: requests do not set the timer anew."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from nexusflow_asgi.server import GatewayProtocol, ServerLimits

pytestmark = pytest.mark.anyio

GET = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST /health HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Times:
    """The event loop with a clock that stands still. `go_to` sets it, and runs the timers that are due."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._now = 0.0
        self.timers: list[asyncio.TimerHandle] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def time(self) -> float:
        return self._now

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(self._now + seconds, callback, args, self._loop)
        self.timers.append(timer)
        return timer

    def go_to(self, now: float) -> None:
        self._now = now
        due = [timer for timer in self.timers if timer.when() <= now]
        self.timers = [timer for timer in self.timers if timer not in due]
        for timer in due:
            if not timer.cancelled():
                timer._run()


class Client(asyncio.Transport):
    """The server's side of a connection to a client that reads everything at once."""

    def __init__(self) -> None:
        super().__init__()
        self.got = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.got += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class World:
    """One connection with 30 s to be idle, and an app that answers when the test says so."""

    def __init__(self) -> None:
        self.answer = asyncio.Event()
        self.times, self.client = Times(), Client()
        config = uvicorn.Config(self.app, interface="asgi3", log_config=None, proxy_headers=False, ws="none")
        config.load()
        loop: Any = self.times
        self.protocol = GatewayProtocol(config, ServerState(), {}, loop, limits=ServerLimits(idle_seconds=30.0))
        self.protocol.connection_made(self.client)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.answer.wait()
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    async def ask(self, request: bytes = GET) -> None:
        self.protocol.data_received(request)
        for _ in range(10):
            await asyncio.sleep(0)


async def test_it_counts_from_the_last_answer() -> None:
    """A connection that is used is kept; 30 s after its last answer it is closed."""
    world = World()
    world.answer.set()
    for now in (0.0, 20.0, 40.0, 60.0):
        world.times.go_to(now)
        await world.ask()
    assert world.client.got.count(b"200 OK") == 4
    world.times.go_to(89.0)
    assert not world.client.closed
    world.times.go_to(90.0)
    assert world.client.closed
    assert len(world.times.timers) <= 1, "each request has left a timer"


async def test_a_long_answer_is_not_idle() -> None:
    """While an answer is made the connection stays, and then has its whole time."""
    world = World()
    await world.ask()
    world.times.go_to(500.0)
    assert not world.client.closed
    world.answer.set()
    await world.ask(b"")
    assert world.client.got.count(b"200 OK") == 1
    world.times.go_to(529.0)
    assert not world.client.closed
    world.times.go_to(530.0)
    assert world.client.closed


async def test_a_body_that_never_ends_after_its_answer() -> None:
    """A client that has its answer, and does not send the rest of its request, is idle."""
    world = World()
    world.answer.set()
    await world.ask(POST + b"abc")
    assert world.client.got.count(b"200 OK") == 1
    world.times.go_to(31.0)
    assert world.client.closed


async def test_a_connection_without_a_request() -> None:
    """It has the same time."""
    world = World()
    world.times.go_to(29.0)
    assert not world.client.closed
    world.times.go_to(30.0)
    assert world.client.closed


async def test_a_body_in_tiny_pieces_takes_its_size() -> None:
    """What waits for the app is joined as it arrives: 60,000 pieces of one byte are 60 kB, not 2 MB."""
    world = World()
    head = b"POST /health HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    await world.ask(head)
    pieces = b"1\r\nx\r\n" * 10_000
    world.protocol.data_received(pieces)
    tracemalloc.start()
    for _ in range(5):
        world.protocol.data_received(pieces)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 300_000
    world.answer.set()
    await world.ask(b"")
    assert world.client.got.count(b"200 OK") == 1
