"""Every transport when things go wrong, and what becomes of its connections."""

from __future__ import annotations

import contextlib
import gc
import socket
from collections.abc import Iterator

import anyio
import pytest

from nexusflow_asgi import Transport
from nexusflow_core import Timeouts, Upstream
from nexusflow_core.errors import (
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from nexusflow_core.upstream import UpstreamRequest
from tests.asgi.transports import (
    OK,
    Kind,
    a_request,
    at,
    each_kind,
    each_on_asyncio,
    exchange,
    failing,
    failure,
    read_all,
    without_proxies,
)
from tests.servers import (
    JSON,
    SSE,
    Fault,
    Gate,
    ScriptedUpstream,
    Step,
    answer,
    chunk,
    head,
    in_order,
    refusing_port,
)

# The generators inside httpx and httpx2 are not closed with the response that reads them; trio says so.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator .* was garbage collected:ResourceWarning")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy but those that a test sets."""
    without_proxies(monkeypatch)


# What goes wrong


@each_kind
def test_an_upstream_that_refuses(kind: Kind) -> None:
    """Nobody listens: unreachable, 502, and another target may be tried."""
    with refusing_port() as port:
        error = failure(kind, at(f"http://127.0.0.1:{port}"))
    assert type(error) is UpstreamUnreachableError
    assert (error.status, error.retryable) == (502, True)


@each_on_asyncio
def test_a_refused_request_is_let_go(kind: Kind) -> None:
    """What was to be sent does not wait in memory for a garbage collection."""

    def held() -> int:
        return sum(isinstance(it, UpstreamRequest) and it.url.endswith("/let-go") for it in gc.get_objects())

    async def refused(transport: Transport, upstream: Upstream) -> None:
        with contextlib.suppress(UpstreamError):
            await transport.send(a_request(upstream, "/let-go"))

    async def work(transport: Transport) -> None:
        gc.disable()
        try:
            for _ in range(3):
                await refused(transport, upstream)
            await anyio.sleep(0)
            assert held() == 0
        finally:
            gc.enable()

    with refusing_port() as port:
        upstream = at(f"http://127.0.0.1:{port}")
        kind.use(upstream, work)


@each_on_asyncio
def test_a_host_that_does_not_exist(kind: Kind) -> None:
    """A name that resolves to nothing is unreachable as well."""
    assert type(failure(kind, at("http://nowhere.invalid"))) is UpstreamUnreachableError


BROKEN: dict[str, list[Step]] = {
    "closed before the head": [Fault.CLOSE],
    "reset before the head": [Fault.RESET],
    "closed in the head": [b"HTTP/1.1 200 OK\r\ncontent-", Fault.CLOSE],
    "reset in the head": [b"HTTP/1.1 200 OK\r\ncontent-", Fault.RESET],
    "no HTTP": [b"SSH-2.0-OpenSSH_9.6\r\n\r\n", Fault.CLOSE],
    "noise": [bytes(range(128, 256)) * 4, Fault.CLOSE],
    "TLS": [b"\x15\x03\x01\x00\x02\x02\x46", Fault.CLOSE],
    "no status": [b"HTTP/1.1 abc OK\r\n\r\n", Fault.CLOSE],
    "a bad header": [b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", Fault.CLOSE],
    "a bad length": [b"HTTP/1.1 200 OK\r\ncontent-length: ten\r\n\r\n", Fault.CLOSE],
    "a bad chunk size": [head(200, [(b"transfer-encoding", b"chunked")]) + b"xyz\r\n", Fault.CLOSE],
    "a short body": [head(200, [(b"content-length", b"10")]) + b"12345", Fault.CLOSE],
    "a reset body": [head(200, [(b"content-length", b"10")]) + b"12345", Fault.RESET],
    "a chunked body cut between chunks": [
        head(200, [(b"transfer-encoding", b"chunked")]) + chunk(b"1"),
        Fault.CLOSE,
    ],
    "a chunked body cut in a chunk": [
        head(200, [(b"transfer-encoding", b"chunked")]) + b"5\r\n12",
        Fault.CLOSE,
    ],
    "a chunked body reset": [head(200, [(b"transfer-encoding", b"chunked")]) + chunk(b"1"), Fault.RESET],
}


@each_kind
def test_a_broken_answer(kind: Kind) -> None:
    """Garbage, an early end or a reset, in the head or the body: never taken for an answer, and the only
    slot is free again after each."""
    with ScriptedUpstream(lambda _: ()) as server:
        upstream = at(server.url, connections=1)

        async def work(transport: Transport) -> None:
            for name, steps in BROKEN.items():
                server.script = in_order(steps)
                error = await failing(transport, upstream)
                assert type(error) is UpstreamProtocolError, name
                assert error.status == 502
            server.script = in_order(OK)
            assert (await exchange(transport, a_request(upstream)))[2] == b"{}"

        kind.use(upstream, work)


@contextlib.contextmanager
def deaf_port() -> Iterator[int]:
    """A port whose queue is full: connecting to it is not answered."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, contextlib.ExitStack() as fillers:
        port = deaf.getsockname()[1]
        for _ in range(8):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port


@each_kind
def test_connecting_takes_too_long(kind: Kind) -> None:
    """The connect time limit of the upstream holds, not that of a client that was brought along: 504."""
    with deaf_port() as port:
        error = failure(kind, at(f"http://127.0.0.1:{port}", timeouts=Timeouts(connect=0.1)))
    assert type(error) is UpstreamTimeoutError
    assert (error.status, error.type) == (504, "timeout_error")


@each_on_asyncio
def test_only_connecting_is_limited_here(kind: Kind) -> None:
    """An answer may take longer than connecting may: its time is the exchange's to limit."""
    gate = Gate()
    with ScriptedUpstream(lambda _: [gate, *OK]) as server:
        upstream = at(server.url, timeouts=Timeouts(connect=0.05))

        async def open_later() -> None:
            await anyio.to_thread.run_sync(server.wait_requests, 1)
            await anyio.sleep(0.2)
            gate.open()

        async def work(transport: Transport) -> int:
            async with anyio.create_task_group() as group:
                group.start_soon(open_later)
                status, _, _ = await exchange(transport, a_request(upstream))
            return status

        assert kind.use(upstream, work) == 200


# Connections


@each_kind
def test_a_connection_is_used_again(kind: Kind) -> None:
    """After a body read to its end the next request takes the same connection."""
    with ScriptedUpstream(lambda _: answer(200, JSON, [b"{", b"}"], framing="chunked")) as server:
        upstream = at(server.url)

        async def work(transport: Transport) -> None:
            for _ in range(5):
                await exchange(transport, a_request(upstream))
            assert server.open_connections == 1
            assert not any(received.wait_closed(0) for received in server.requests)

        kind.use(upstream, work)
        assert len(server.requests) == 5
        assert server.wait_open(0), "closing the transport or its client closes the connection"


@each_kind
def test_closing_in_the_body_closes_the_socket(kind: Kind) -> None:
    """The upstream sees it at once, and stops: nobody pays for the rest. The slot is free again."""
    steps: list[Step] = [head(200, [*SSE, (b"transfer-encoding", b"chunked")]), chunk(b"1"), Fault.HANG]
    with ScriptedUpstream(in_order(steps, OK)) as server:
        upstream = at(server.url, connections=1)

        async def work(transport: Transport) -> None:
            response = await transport.send(a_request(upstream))
            assert await response.read() == b"1"
            await response.aclose()
            assert await anyio.to_thread.run_sync(server.requests[0].cut_off)
            assert (await exchange(transport, a_request(upstream)))[2] == b"{}"

        kind.use(upstream, work)


@each_kind
def test_closing_before_the_body_closes_the_socket(kind: Kind) -> None:
    """The same when nothing of the body was read."""
    steps: list[Step] = [head(200, [*SSE, (b"transfer-encoding", b"chunked")]), Fault.HANG]
    with ScriptedUpstream(in_order(steps, OK)) as server:
        upstream = at(server.url, connections=1)

        async def work(transport: Transport) -> None:
            response = await transport.send(a_request(upstream))
            await response.aclose()
            assert await anyio.to_thread.run_sync(server.requests[0].cut_off)
            assert (await exchange(transport, a_request(upstream)))[2] == b"{}"

        kind.use(upstream, work)


PHASES = ["waiting for the head", "reading the body", "waiting for a slot", "connecting"]


@each_kind
@pytest.mark.parametrize("phase", PHASES)
def test_a_cancelled_call_leaves_nothing(kind: Kind, phase: str) -> None:
    """Cancelled at any point, the socket is closed and the only slot is free again."""
    hang: list[Step] = [Fault.HANG]
    if phase == "reading the body":
        hang = [head(200, [*SSE, (b"transfer-encoding", b"chunked")]), chunk(b"1"), Fault.HANG]
    with ScriptedUpstream(lambda _: hang) as server, deaf_port() as deaf:
        upstream = at(server.url, connections=1)

        async def call(transport: Transport, where: Upstream) -> None:
            await exchange(transport, a_request(where))

        async def work(transport: Transport) -> None:
            async with anyio.create_task_group() as group:
                if phase == "connecting":
                    group.start_soon(call, transport, at(f"http://127.0.0.1:{deaf}"))
                else:
                    group.start_soon(call, transport, upstream)
                    await anyio.to_thread.run_sync(server.wait_requests, 1)
                    if phase == "waiting for a slot":
                        group.start_soon(call, transport, upstream)
                await anyio.sleep(0.02)  # the phase may as well be over: nothing may be left all the same
                group.cancel_scope.cancel()
            assert await anyio.to_thread.run_sync(server.wait_open, 0)
            server.script = lambda _: OK
            assert (await exchange(transport, a_request(upstream)))[2] == b"{}"

        kind.use(upstream, work)


@each_kind
def test_the_pool_has_its_size(kind: Kind) -> None:
    """With two connections in use a third call finds none within its connect time, and opens none."""
    gate = Gate()
    with ScriptedUpstream(lambda _: answer(200, JSON, [b"{", gate, b"}"])) as server:
        upstream = at(server.url, connections=2, timeouts=Timeouts(connect=0.1))

        async def work(transport: Transport) -> None:
            held = [await transport.send(a_request(upstream)) for _ in range(2)]
            with pytest.raises(UpstreamError) as caught:
                await transport.send(a_request(upstream))
            assert isinstance(caught.value, UpstreamUnreachableError | UpstreamTimeoutError)
            assert (server.open_connections, len(server.requests)) == (2, 2)
            gate.open()
            assert [await read_all(response) for response in held] == [b"{}", b"{}"]
            assert (await exchange(transport, a_request(upstream)))[2] == b"{}"
            assert server.open_connections == 2

        kind.use(upstream, work)


@each_on_asyncio
def test_an_upstream_that_closes_after_its_answer(kind: Kind) -> None:
    """The next call takes a new connection instead of failing on the closed one."""
    with ScriptedUpstream(lambda _: [*OK, Fault.CLOSE]) as server:
        upstream = at(server.url, connections=1)

        async def work(transport: Transport) -> None:
            for _ in range(3):
                assert (await exchange(transport, a_request(upstream)))[2] == b"{}"
                assert await anyio.to_thread.run_sync(server.wait_open, 0)
                await anyio.sleep(0.05)  # the event loop hears of the closed socket

        kind.use(upstream, work)
