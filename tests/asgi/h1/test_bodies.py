"""Large requests: written in pieces, beside other calls, and while the answer comes already."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import anyio
import pytest

from nexusflow_asgi.transports.h1 import H1Transport
from tests.asgi.transports import OK, Kind, a_request, at, exchange, named, read_all, without_proxies
from tests.servers import JSON, LIMIT, Gate, ScriptedUpstream, chunk, head

LARGE = b"x" * 16_000_000
each_loop = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy but those that a test sets."""
    without_proxies(monkeypatch)


@each_loop
def test_others_get_their_turn(loop: str) -> None:
    """While 16 MB are written, the event loop turns at least a hundred times."""
    turns = 0

    async def work(transport: H1Transport) -> None:
        nonlocal turns
        done = False

        async def count() -> None:
            nonlocal turns
            while not done:
                turns += 1
                await anyio.sleep(0)

        async with anyio.create_task_group() as group:
            group.start_soon(count)
            await exchange(transport, a_request(upstream, body=LARGE))
            done = True

    with ScriptedUpstream(lambda _: OK) as server:
        upstream = at(server.url)
        Kind("h1", loop, named("h1")).use(upstream, work)  # type: ignore[arg-type]
        assert len(server.requests[0].body) == len(LARGE)
    assert turns > 100


@each_loop
def test_a_server_that_takes_nothing_holds_up_nobody(loop: str) -> None:
    """Another call on the same transport is answered meanwhile, and a cancelled one closes its socket."""
    gate = Gate()

    async def work(transport: H1Transport) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(exchange, transport, a_request(upstream, body=LARGE))
            await anyio.to_thread.run_sync(server.wait_open, 1)
            assert (await exchange(transport, a_request(upstream)))[2] == b"{}"
            group.cancel_scope.cancel()
        assert await anyio.to_thread.run_sync(server.wait_open, 1)
        gate.open()

    with ScriptedUpstream(
        lambda _: OK, on_head=lambda it: [gate] if it.values(b"content-length") != [b"2"] else ()
    ) as server:
        upstream = at(server.url)
        Kind("h1", loop, named("h1")).use(upstream, work)  # type: ignore[arg-type]


@contextlib.contextmanager
def duplex_server() -> Iterator[str]:
    """Answers the head of a request at once, and ends its answer only when all of the body has come."""

    def serve(listener: socket.socket) -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                received = connection.recv(1 << 16)
                left = len(LARGE) - len(received.partition(b"\r\n\r\n")[2])
                connection.sendall(head(200, [*JSON, (b"transfer-encoding", b"chunked")]) + chunk(b"begun "))
                while left > 0:
                    left -= len(connection.recv(1 << 16))
                connection.sendall(chunk(b"and ended") + b"0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(LIMIT)
        assert not thread.is_alive()


@each_loop
def test_an_answer_beside_the_request(loop: str) -> None:
    """An answer that has begun well does not stop the request: the server waits for the rest of it."""

    async def work(transport: H1Transport) -> list[bytes]:
        bodies = []
        for _ in range(2):
            response = await transport.send(a_request(at(url), body=LARGE))
            assert response.status == 200
            bodies.append(await read_all(response))
        return bodies

    with duplex_server() as url:
        assert Kind("h1", loop, named("h1")).use(at(url), work) == [b"begun and ended"] * 2  # type: ignore[arg-type]
