"""Nobody gets another caller's answer, whatever an upstream says out of turn: on every transport."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import aiohttp
import anyio
import httpcore
import httpcore2
import pytest

import nexusflow_asgi.transports.h1.transport as h1_transport
from nexusflow_asgi import Transport
from nexusflow_core.errors import UpstreamError, UpstreamProtocolError
from tests.asgi.transports import Kind, a_request, at, each_loop, exchange, without_proxies
from tests.servers import (
    JSON,
    LAST_CHUNK,
    LIMIT,
    Fault,
    Gate,
    Received,
    ScriptedUpstream,
    Step,
    answer,
    chunk,
    head,
)

# The generators inside httpx and httpx2 are not closed with the response that reads them; trio says so.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator .* was garbage collected:ResourceWarning")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy but those that a test sets."""
    without_proxies(monkeypatch)


FOREIGN = b"another caller's answer"
"""Stands in everything that answers nobody who asked."""


def asked(number: int) -> bytes:
    return b'{"caller":%d}' % number


def echo(received: Received) -> list[Step]:
    """An honest answer, of which each caller knows whether it is its own."""
    return answer(200, JSON, [received.body])


def foreign(status: int = 200, *headers: tuple[bytes, bytes]) -> bytes:
    return head(status, [*JSON, *headers, (b"content-length", b"%d" % len(FOREIGN))]) + FOREIGN


async def own_or_error(transport: Transport, url: str, number: int) -> bool:
    """One caller's call. True if it got its own answer, False for an error; never anything else."""
    try:
        status, _, body = await exchange(transport, a_request(at(url), body=asked(number)))
    except UpstreamError:
        return False
    assert (status, body) == (200, asked(number))
    return True


# Out of turn, on a connection that waits in the pool

STRAY: dict[str, list[Step]] = {
    "400 and the end, as nginx": [foreign(400, (b"connection", b"close")), Fault.CLOSE],
    "408 and the end": [b"HTTP/1.1 408 Request Time-out\r\nConnection: close\r\n\r\n", Fault.CLOSE],
    "408, and it stays open": [b"HTTP/1.1 408 Request Time-out\r\ncontent-length: 0\r\n\r\n"],
    "200 with somebody's body": [foreign()],
    "two answers": [foreign() * 2],
    "chunked": [
        head(200, [*JSON, (b"transfer-encoding", b"chunked")]) + chunk(FOREIGN) + LAST_CHUNK,
    ],
    "until the end of the connection": [head(200, JSON) + FOREIGN],
    "half a head": [b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nx-foreign: "],
    "a status line": [b"HTTP/1.1 200 OK\r\n"],
    "the beginning of a body": [head(200, [*JSON, (b"content-length", b"9000")]) + FOREIGN],
    "100": [b"HTTP/1.1 100 Continue\r\n\r\n"],
    "101": [b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: foreign\r\n\r\n" + FOREIGN],
    "noise": [bytes(range(128, 256)) * 4],
    "a byte": [b"H"],
    "a blank line": [b"\r\n"],
}
each_stray = pytest.mark.parametrize("stray", STRAY.values(), ids=STRAY)


@each_loop
@each_stray
@pytest.mark.parametrize("heard", [True, False], ids=["read before the next call", "unread till then"])
def test_bytes_on_an_idle_connection(kind: Kind, stray: list[Step], heard: bool) -> None:
    """The next callers get their own answers, on another connection, and none is lost."""
    gate = Gate()

    def script(received: Received) -> Iterable[Step]:
        first = received.body == asked(1)
        return [*echo(received), gate, *stray] if first else echo(received)

    async def work(transport: Transport) -> None:
        assert await own_or_error(transport, server.url, 1)
        gate.open()
        if heard:
            await anyio.to_thread.run_sync(server.requests[0].settled)
            await anyio.sleep(0.02)  # the loop reads what has come
        else:
            server.requests[0].settled()  # the loop stands still
        for number in range(2, 7):
            assert await own_or_error(transport, server.url, number)
        assert server.accepted == 2

    with ScriptedUpstream(script) as server:
        kind.use(at(server.url), work)


@each_loop
def test_bytes_on_every_idle_connection(kind: Kind) -> None:
    """A pool full of strays answers nobody either."""
    gate, many = Gate(), 8

    def script(received: Received) -> Iterable[Step]:
        number = int(json.loads(received.body)["caller"])
        return [together, *echo(received), gate, foreign()] if number < many else echo(received)

    async def work(transport: Transport) -> None:
        async with anyio.create_task_group() as group:
            for number in range(many):
                group.start_soon(own_or_error, transport, server.url, number)
            await anyio.to_thread.run_sync(server.wait_requests, many)
            together.open()
        gate.open()
        for received in server.requests:
            received.settled()
        for number in range(many, 3 * many):
            assert await own_or_error(transport, server.url, number)

    together = Gate()
    with ScriptedUpstream(script) as server:
        kind.use(at(server.url), work)


# Behind an answer, in the same write

BEHIND: dict[str, bytes] = {
    "an answer": foreign(),
    "two answers": foreign() * 2,
    "half a head": b"HTTP/1.1 200 OK\r\nx-foreign: ",
    "a status line": b"HTTP/1.1 200 OK\r\n",
    "one letter": b"H",
    "the beginning of an answer": head(200, [(b"content-length", b"9000")]) + FOREIGN,
    "100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "noise": b"\xff\xfe\xfd" * 40,
    "text": FOREIGN,
    "a request": b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n",
}


@each_loop
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("in_pieces", [False, True], ids=["in one piece", "head first"])
@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
def test_bytes_behind_an_answer(kind: Kind, framing: str, in_pieces: bool, behind: bytes) -> None:
    """Who asked gets the answer or an error, everybody behind gets an answer, on another connection."""

    def script(received: Received) -> Iterable[Step]:
        if received.body != asked(1):
            return echo(received)
        if framing == "length":
            first, rest = head(200, [*JSON, (b"content-length", b"%d" % len(received.body))]), received.body
        else:
            first = head(200, [*JSON, (b"transfer-encoding", b"chunked")])
            rest = chunk(received.body) + LAST_CHUNK
        return [first, gate, rest + behind] if in_pieces else [first + rest + behind]

    async def first(transport: Transport) -> None:
        response = await transport.send(a_request(at(server.url), body=asked(1)))
        gate.open()
        body = b""
        try:
            while piece := await response.read():
                body += piece
        finally:
            await response.aclose()
        assert body == asked(1)

    async def work(transport: Transport) -> None:
        try:
            await first(transport)
        except UpstreamProtocolError:
            pass
        for number in range(2, 6):
            assert await own_or_error(transport, server.url, number)
        assert server.accepted == 2

    gate = Gate()
    with ScriptedUpstream(script) as server:
        kind.use(at(server.url), work)


@each_loop
def test_a_large_answer_with_another_behind_it(kind: Kind) -> None:
    """However the pieces fall, what follows the last byte answers nobody."""

    def script(received: Received) -> Iterable[Step]:
        size = int(json.loads(received.body)["caller"])
        if size < 1000:
            return echo(received)
        return [head(200, [*JSON, (b"content-length", b"%d" % size)]) + b"x" * size + foreign()]

    async def work(transport: Transport) -> None:
        for size in (65_536 - 100, 65_536, 131_072, 262_144, 262_144 - 83, 500_000):
            _, _, body = await exchange(transport, a_request(at(server.url), body=asked(size)))
            assert body == b"x" * size
            assert await own_or_error(transport, server.url, 7)

    with ScriptedUpstream(script) as server:
        kind.use(at(server.url), work)


# Before the request, or before all of it


@pytest.fixture
def slow_connecting(monkeypatch: pytest.MonkeyPatch) -> Callable[[ScriptedUpstream], None]:
    """Makes each connection usable only after the server's greeting has come."""

    def until_greeted(server: ScriptedUpstream) -> None:
        for owner, name in (
            (h1_transport, "connect"),
            (aiohttp.TCPConnector, "_create_connection"),
            (httpcore._backends.auto.AutoBackend, "connect_tcp"),
            (httpcore2._backends.auto.AutoBackend, "connect_tcp"),
        ):
            monkeypatch.setattr(owner, name, waiting(getattr(owner, name), server))

    def waiting(connect: Any, server: ScriptedUpstream) -> Any:
        async def slowly(*args: Any, **options: Any) -> Any:
            connection = await connect(*args, **options)
            server.greeted.wait(LIMIT)
            server.greeted.clear()
            return connection

        return slowly

    return until_greeted


GREETINGS: dict[str, bytes] = {
    "an answer": foreign(),
    "half a head": b"HTTP/1.1 200 OK\r\n",
    "a banner": b"220 mail.example ESMTP\r\n",
    "a byte": b"H",
}


@each_loop
@pytest.mark.parametrize("greeting", GREETINGS.values(), ids=GREETINGS)
def test_an_answer_before_the_request(
    kind: Kind, greeting: bytes, slow_connecting: Callable[[ScriptedUpstream], None]
) -> None:
    """A server that speaks first has not heard the question: an error, and the connection is closed."""
    with ScriptedUpstream(echo, greeting=[greeting]) as server:
        slow_connecting(server)

        async def work(transport: Transport) -> None:
            for number in range(3):
                with pytest.raises(UpstreamProtocolError) as caught:
                    await exchange(transport, a_request(at(server.url), body=asked(number)))
                assert caught.value.status == 502
                # A host's own session has begun to read half a head before we can look.
                assert caught.value.reason == "early_answer" or kind.name == "session of aiohttp"
            assert await anyio.to_thread.run_sync(server.wait_open, 0)

        kind.use(at(server.url), work)


@each_loop
@pytest.mark.parametrize("status", [413, 200])
def test_an_answer_before_the_whole_body(kind: Kind, status: int) -> None:
    """An answer to the head alone is the caller's own or an error; the connection is not used again."""
    large = b"x" * 20_000_000
    early: list[Step] = [head(status, [(b"content-length", b"4")]) + b"much"]

    async def work(transport: Transport) -> None:
        for number in range(3):
            upstream = at(server.url)
            try:
                got = await exchange(transport, a_request(upstream, body=large))
                assert (got[0], got[2]) == (status, b"much")
            except UpstreamProtocolError:
                pass
            assert await own_or_error(transport, server.url, number)

    def at_once(received: Received) -> Iterable[Step]:
        return early if received.values(b"content-length") == [b"%d" % len(large)] else ()

    with ScriptedUpstream(echo, on_head=at_once) as server:
        kind.use(at(server.url), work)
