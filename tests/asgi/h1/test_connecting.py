"""From a name to a socket: several addresses, both families, names that are none."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import anyio
import pytest

from nexusflow_asgi.transports.h1 import H1Transport, connecting
from nexusflow_core import Timeouts
from nexusflow_core.errors import UpstreamError, UpstreamTimeoutError, UpstreamUnreachableError
from tests.asgi.test_transport_faults import deaf_port
from tests.asgi.transports import OK, Kind, a_request, at, exchange, named, without_proxies
from tests.servers import ScriptedUpstream, refusing_port

each_loop = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy but those that a test sets."""
    without_proxies(monkeypatch)


def resolves_to(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    """Every name has these addresses."""

    async def resolved(*_: Any) -> list[tuple[int, Any]]:
        return [(socket.AF_INET, ("127.0.0.1", port)) for port in ports]

    monkeypatch.setattr(connecting, "_resolved", resolved)


def call(loop: str, url: str, **options: Any) -> int:
    async def work(transport: Any) -> int:
        return (await exchange(transport, a_request(upstream)))[0]

    upstream = at(url, **options)
    return Kind("h1", loop, named("h1")).use(upstream, work)


@each_loop
def test_an_address_that_does_not_answer(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is tried a quarter of a second later, beside it: nobody waits for the deadline."""
    with ScriptedUpstream(lambda _: OK) as server, deaf_port() as deaf:
        resolves_to(monkeypatch, deaf, server.port)
        before = time.monotonic()
        assert call(loop, "http://many.example") == 200
        assert 0.2 < time.monotonic() - before < 5
        assert server.accepted == 1


@each_loop
def test_an_address_that_refuses(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is tried at once, even where several refuse."""
    with ScriptedUpstream(lambda _: OK) as server, refusing_port() as port:
        monkeypatch.setattr(connecting, "_NEXT_ADDRESS_SECONDS", 60.0)
        resolves_to(monkeypatch, port, port, server.port)
        assert call(loop, "http://many.example") == 200


@each_loop
def test_no_address_answers(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All refuse: `refused`. All are silent: the deadline, and no socket stays."""
    with refusing_port() as port, deaf_port() as deaf:
        resolves_to(monkeypatch, port, port)
        with pytest.raises(UpstreamUnreachableError) as refused:
            call(loop, "http://many.example")
        assert refused.value.reason == "refused"
        resolves_to(monkeypatch, deaf, deaf)
        with pytest.raises(UpstreamTimeoutError) as slow:
            call(loop, "http://many.example", timeouts=Timeouts(connect=0.4))
        assert slow.value.reason == "connect_timeout"


def test_small_writes_do_not_wait() -> None:
    """Nagle's algorithm is off: it would hold back what follows the head of a request."""

    async def main() -> int:
        raw = await connecting._connect(asyncio.get_running_loop(), socket.AF_INET, ("127.0.0.1", server.port))
        with raw:
            return raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    with ScriptedUpstream(lambda _: OK) as server:
        assert anyio.run(main) == 1


@each_loop
def test_ipv6(loop: str) -> None:
    """An address in brackets, which `host` repeats."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
            port = listener.getsockname()[1]
    except OSError:
        pytest.skip("this machine has no IPv6")
    heads: list[bytes] = []

    async def main() -> int:
        async def serve(stream: Any) -> None:
            async with stream:
                heads.append(await stream.receive())
                await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

        async with await anyio.create_tcp_listener(local_host="::1", local_port=port) as listener:
            async with anyio.create_task_group() as group:
                group.start_soon(listener.serve, serve)
                upstream = at(f"http://[::1]:{port}")
                transport = H1Transport(upstream)
                status, _, _ = await exchange(transport, a_request(upstream))
                await transport.aclose()
                group.cancel_scope.cancel()
        return status

    assert anyio.run(main, backend_options={"use_uvloop": loop == "uvloop"}) == 200
    assert b"\r\nhost: [::1]:%d\r\n" % port in heads[0]


@pytest.mark.parametrize("host", ["a" * 70 + ".example", ".example", "a..b", "xn--" + "a" * 70])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_host_that_is_none(scheme: str, host: str) -> None:
    """Whatever the resolver or TLS makes of it: an error of ours, which is not a timeout."""
    with pytest.raises(UpstreamError) as caught:
        call("asyncio", f"{scheme}://{host}")
    assert not isinstance(caught.value, UpstreamTimeoutError)
