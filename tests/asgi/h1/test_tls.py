"""TLS, through proxies too: bodies, early ends, strays, early refusals, sessions that are resumed."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest

from nexusflow_asgi.transports import Proxies
from nexusflow_asgi.transports.h1 import H1Transport
from nexusflow_core import Upstream
from nexusflow_core.errors import UpstreamProtocolError, UpstreamUnreachableError
from tests.asgi.test_cross_talk import asked, echo, foreign
from tests.asgi.test_early_refusals import LARGE, TOO_LARGE, refusing, then_reset
from tests.asgi.test_transport_environment import certificate
from tests.asgi.transports import Kind, a_request, at, exchange, named, without_proxies
from tests.servers import JSON, LIMIT, SSE, Fault, Gate, Received, ScriptedUpstream, Step, answer, chunk, head

__all__ = ["certificate"]

T = TypeVar("T")
each_loop = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy but those that a test sets."""
    without_proxies(monkeypatch)


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


def trusting(url: str, certificate: tuple[Path, Path], **options: Any) -> Upstream:
    return at(url, ca_file=str(certificate[0]), **options)


def use(loop: str, upstream: Upstream, work: Callable[[Any], Any]) -> Any:
    return Kind("h1", loop, named("h1")).use(upstream, work)


@each_loop
def test_bodies_both_ways(loop: str, certificate: tuple[Path, Path], tls: ssl.SSLContext) -> None:
    """16 MB there and back, and small ones after them on the same connection."""

    async def work(transport: Any) -> None:
        for body in (b"{}", LARGE, b"", b"{}"):
            status, _, got = await exchange(transport, a_request(upstream, body=body))
            assert (status, got) == (200, body)

    with ScriptedUpstream(echo, tls=tls) as server:
        upstream = trusting(server.url, certificate)
        use(loop, upstream, work)
        assert server.accepted == 1


@each_loop
@pytest.mark.parametrize("fault", [Fault.CLOSE, Fault.RESET])
@pytest.mark.parametrize("begun", [b"", head(200, [*SSE, (b"transfer-encoding", b"chunked")]) + chunk(b"1")])
def test_an_early_end(
    loop: str, fault: Fault, begun: bytes, certificate: tuple[Path, Path], tls: ssl.SSLContext
) -> None:
    """Before the head or in the body: an error, and the next call is served."""

    async def work(transport: Any) -> None:
        with pytest.raises(UpstreamProtocolError) as caught:
            await exchange(transport, a_request(upstream))
        assert caught.value.reason in ("closed", "reset")
        server.script = echo
        assert (await exchange(transport, a_request(upstream)))[0] == 200

    with ScriptedUpstream(lambda _: [begun, fault], tls=tls) as server:
        upstream = trusting(server.url, certificate, connections=1)
        use(loop, upstream, work)


@each_loop
@pytest.mark.parametrize("heard", [True, False])
def test_bytes_on_an_idle_connection(
    loop: str, heard: bool, certificate: tuple[Path, Path], tls: ssl.SSLContext
) -> None:
    """They answer nobody: the next call goes out on another connection."""
    gate = Gate()

    def script(received: Received) -> Iterable[Step]:
        return [*echo(received), gate, foreign()] if received.body == asked(1) else echo(received)

    async def work(transport: Any) -> None:
        for number in range(1, 4):
            assert (await exchange(transport, a_request(upstream, body=asked(number))))[2] == asked(number)
            if number == 1:
                gate.open()
                server.requests[0].settled()
                await anyio.sleep(0.02 if heard else 0)
        assert server.accepted == 2

    with ScriptedUpstream(script, tls=tls) as server:
        upstream = trusting(server.url, certificate)
        use(loop, upstream, work)


class _Records:
    """The server's end of TLS, whose records the test can cut."""

    def __init__(self, connection: socket.socket, tls: ssl.SSLContext) -> None:
        self._connection, self._incoming, self._outgoing = connection, ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = tls.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._wait_for(self._object.do_handshake)

    def receive(self, *, until: bytes) -> None:
        received = b""
        while not received.endswith(until):
            received += self._wait_for(lambda: self._object.read(1 << 16))

    def encrypted(self, data: bytes) -> bytes:
        self._object.write(data)
        return self._outgoing.read()

    def _wait_for(self, verb: Callable[[], T]) -> T:
        while True:
            try:
                return verb()
            except ssl.SSLWantReadError:
                self._flush()
                if not (data := self._connection.recv(1 << 16)):
                    raise ConnectionError from None
                self._incoming.write(data)
            finally:
                self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._connection.sendall(self._outgoing.read())


@each_loop
@pytest.mark.parametrize("begun", [1, 4, 5, 40])
@pytest.mark.parametrize("together", [True, False], ids=["in one write", "later"])
def test_half_a_record_behind_an_answer(
    loop: str, together: bool, begun: int, certificate: tuple[Path, Path], tls: ssl.SSLContext
) -> None:
    """Its rest comes after the next request and answers nobody: that request goes out elsewhere."""
    own = head(200, [*JSON, (b"content-length", b"2")]) + b"{}"
    sent, seen = threading.Event(), threading.Event()

    def first(connection: socket.socket) -> None:
        records = _Records(connection, tls)
        records.receive(until=b"{}")
        answer, stray = records.encrypted(own), records.encrypted(foreign())
        connection.sendall(answer + (stray[:begun] if together else b""))
        if not together:
            seen.wait(LIMIT)
            connection.sendall(stray[:begun])
        sent.set()
        with contextlib.suppress(OSError):
            if connection.recv(1):
                connection.sendall(stray[begun:])

    def second(connection: socket.socket) -> None:
        records = _Records(connection, tls)
        for _ in range(2):
            records.receive(until=b"{}")
            connection.sendall(records.encrypted(own))

    def serve(listener: socket.socket) -> None:
        for answering in (first, second):
            connection, _ = listener.accept()
            with connection, contextlib.suppress(ConnectionError):
                answering(connection)

    async def work(transport: Any) -> list[bytes]:
        bodies = []
        for _ in range(3):
            bodies.append((await exchange(transport, a_request(upstream)))[2])
            seen.set()
            await anyio.to_thread.run_sync(sent.wait, LIMIT)
            await anyio.sleep(0.02)  # the loop reads what has come
        return bodies

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        upstream = trusting(f"https://127.0.0.1:{listener.getsockname()[1]}", certificate)
        assert use(loop, upstream, work) == [b"{}"] * 3
        thread.join(LIMIT)
        assert not thread.is_alive(), "the third request was to go to the second connection"


@each_loop
def test_a_413_and_a_reset(loop: str, certificate: tuple[Path, Path], tls: ssl.SSLContext) -> None:
    """The status arrives, though the body was not taken and the connection broke."""

    def steps(_: Received) -> Iterator[Step]:
        return then_reset(refusing())

    async def work(transport: Any) -> None:
        status, _, body = await exchange(transport, a_request(upstream, body=LARGE))
        assert (status, body) == (413, TOO_LARGE)

    with ScriptedUpstream(steps, on_head=steps, tls=tls) as server:
        upstream = trusting(server.url, certificate)
        use(loop, upstream, work)
        assert server.accepted == 1


@each_loop
def test_a_cancelled_call(loop: str, certificate: tuple[Path, Path], tls: ssl.SSLContext) -> None:
    """Its socket is closed at once, with no word of good-bye to wait for."""
    begun = head(200, [*SSE, (b"transfer-encoding", b"chunked")]) + chunk(b"1")

    async def work(transport: Any) -> None:
        response = await transport.send(a_request(upstream))
        assert await response.read() == b"1"
        await response.aclose()
        assert await anyio.to_thread.run_sync(server.requests[0].cut_off)

    with ScriptedUpstream(lambda _: [begun, Fault.HANG], tls=tls) as server:
        upstream = trusting(server.url, certificate)
        use(loop, upstream, work)


# Sessions


@each_loop
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_resumed(
    loop: str, version: ssl.TLSVersion, certificate: tuple[Path, Path], tls: ssl.SSLContext
) -> None:
    """The second connection to a server spares both the certificate and its check."""
    tls.maximum_version = version
    resumed: list[bool | None] = []

    def serve(listener: socket.socket) -> None:
        for _ in range(3):
            plain, _ = listener.accept()
            with plain, tls.wrap_socket(plain, server_side=True) as secure:
                resumed.append(secure.session_reused)
                received = b""
                while not received.endswith(b"{}"):
                    received += secure.recv(1 << 16)
                secure.sendall(head(200, [(b"content-length", b"2"), (b"connection", b"close")]) + b"{}")

    async def work(transport: Any) -> None:
        for _ in range(3):
            assert (await exchange(transport, a_request(upstream)))[2] == b"{}"

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        upstream = trusting(f"https://127.0.0.1:{listener.getsockname()[1]}", certificate)
        use(loop, upstream, work)
        thread.join(LIMIT)
    assert resumed == [False, True, True]


# Proxies


@contextlib.contextmanager
def tunnelling(tls: ssl.SSLContext | None = None, reply: bytes = b"") -> Iterator[tuple[int, list[bytes]]]:
    """A proxy that opens tunnels, itself behind TLS or not. Yields its port, and the heads that it was sent."""
    reply = reply or b"HTTP/1.1 200 Connection established\r\n\r\n"
    heads: list[bytes] = []

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        for it in (source, sink):
            with contextlib.suppress(OSError):
                it.shutdown(socket.SHUT_RDWR)

    def serve(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            near = client if tls is None else tls.wrap_socket(client, server_side=True)
            received = b""
            while not received.endswith(b"\r\n\r\n"):
                received += near.recv(1)
            heads.append(received)
            _, port = received.split(b" ")[1].rsplit(b":", 1)
            with near, socket.create_connection(("127.0.0.1", int(port))) as far:
                near.sendall(reply)
                threading.Thread(target=pump, args=(far, near), daemon=True).start()
                pump(near, far)

    def accept(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1], heads
        listener.shutdown(socket.SHUT_RDWR)


def through(proxy: str, upstream: Upstream, work: Callable[[Any], Any], loop: str = "asyncio") -> Any:
    async def main() -> Any:
        transport = H1Transport(upstream, Proxies({"https": proxy}))
        try:
            with anyio.fail_after(LIMIT):
                return await work(transport)
        finally:
            await transport.aclose()

    return anyio.run(main, backend_options={"use_uvloop": loop == "uvloop"})


@each_loop
@pytest.mark.parametrize("length", [b"", b"content-length: 0\r\n"], ids=["no length", "a length of zero"])
def test_a_tunnel(loop: str, length: bytes, certificate: tuple[Path, Path], tls: ssl.SSLContext) -> None:
    """The proxy hears of host, port and its password, and nothing of the request; the tunnel is used again."""

    async def work(transport: Any) -> None:
        for number in range(3):
            headers = [(b"x-api-key", b"sk-ant-secret")]
            got = await exchange(transport, a_request(upstream, headers=headers, body=asked(number)))
            assert got[2] == asked(number)

    reply = b"HTTP/1.1 200 Connection established\r\n" + length + b"\r\n"
    with ScriptedUpstream(echo, tls=tls) as server, tunnelling(reply=reply) as (port, heads):
        upstream = trusting(server.url.replace("127.0.0.1", "localhost"), certificate)
        through(f"http://user:p%40ss@127.0.0.1:{port}", upstream, work, loop)
        assert server.accepted == 1
        assert all(received.values(b"proxy-authorization") == [] for received in server.requests)
        where = b"localhost:%d" % server.port
    credentials = b"proxy-authorization: Basic dXNlcjpwQHNz\r\n"
    assert heads == [b"CONNECT " + where + b" HTTP/1.1\r\nhost: " + where + b"\r\n" + credentials + b"\r\n"]


def test_a_proxy_behind_tls(
    certificate: tuple[Path, Path], tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS inside TLS: the system's authorities vouch for the proxy, `ca_file` for the upstream."""

    async def work(transport: Any) -> bytes:
        body = b"x" * 300_000
        assert (await exchange(transport, a_request(upstream, body=body)))[2] == body
        return (await exchange(transport, a_request(upstream)))[2]

    with ScriptedUpstream(echo, tls=tls) as server, tunnelling(tls) as (port, heads):
        upstream = trusting(server.url, certificate)
        with pytest.raises(UpstreamUnreachableError) as caught:
            through(f"https://localhost:{port}", upstream, work)
        assert caught.value.reason == "certificate"
        trusted = ssl.create_default_context(cafile=str(certificate[0]))
        monkeypatch.setattr("nexusflow_asgi.transports.h1.transport._system_context", lambda: trusted)
        assert through(f"https://localhost:{port}", upstream, work) == b"{}"
    assert len(heads) == 1


PROXY_ANSWERS: dict[str, list[Step]] = {
    "407": answer(407, [(b"proxy-authenticate", b"Basic")], [b"who are you?"]),
    "502": [*answer(502, JSON, [b"no"]), Fault.CLOSE],
    "nothing": [Fault.CLOSE],
    "no HTTP": [b"SSH-2.0-OpenSSH_9.6\r\n\r\n", Fault.CLOSE],
    "200 with bytes behind it": [b"HTTP/1.1 200 OK\r\n\r\n" + foreign()],
    "a head without end": [b"HTTP/1.1 200 OK\r\nx: ", *[b"y" * 60_000] * 4],
}


@pytest.mark.parametrize("steps", PROXY_ANSWERS.values(), ids=PROXY_ANSWERS)
def test_no_tunnel(steps: list[Step], certificate: tuple[Path, Path]) -> None:
    """Unreachable, by the proxy's doing; its connection is closed and no word of it is repeated."""

    async def work(transport: Any) -> None:
        for _ in range(2):
            with pytest.raises(UpstreamUnreachableError) as caught:
                await exchange(transport, a_request(upstream))
            assert caught.value.reason == "proxy"
            assert "hidden" not in repr(caught.value) + str(caught.value.cause)
        assert await anyio.to_thread.run_sync(proxy.wait_open, 0)

    with ScriptedUpstream(lambda _: steps) as proxy:
        upstream = trusting("https://api.example", certificate, connections=1)
        through(f"http://user:hidden@127.0.0.1:{proxy.port}", upstream, work)
