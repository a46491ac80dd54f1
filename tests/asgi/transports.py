"""The transports under test, each over asyncio and trio where it can, and what they are asked to do."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import aiohttp
import anyio
import httpx
import httpx2
import pytest

from nexusflow_asgi import Transport, TransportResponse
from nexusflow_asgi.transports import transport_factory
from nexusflow_asgi.transports.aiohttp import AiohttpTransport
from nexusflow_asgi.transports.httpx import HttpxTransport
from nexusflow_core import Upstream
from nexusflow_core.errors import (
    UpstreamError,
)
from nexusflow_core.upstream import UpstreamRequest
from tests.servers import (
    JSON,
    LIMIT,
    Received,
    ScriptedUpstream,
    Step,
    answer,
)

T = TypeVar("T")
Pairs = Sequence[tuple[bytes, bytes]]

OK = answer(200, JSON, [b"{}"])
_TLS = ssl.create_default_context()


# The transports


@contextlib.asynccontextmanager
async def owned(transport: Any) -> AsyncIterator[Transport]:
    try:
        yield transport
    finally:
        await transport.aclose()


@contextlib.asynccontextmanager
async def injected(library: Any, upstream: Upstream) -> AsyncIterator[Transport]:
    """A client of the host's, with habits of its own that must not show upstream."""
    async with library.AsyncClient(
        verify=_TLS,
        limits=library.Limits(max_connections=upstream.connections),
        follow_redirects=True,
        headers={"x-habit": "1", "user-agent": "host"},
        cookies={"habit": "1"},
        params={"habit": "1"},
        auth=("user", "password"),
        timeout=0.001,
    ) as client:
        transport = HttpxTransport(client)
        yield transport
        await transport.aclose()
        assert not client.is_closed, "it is the host's"


@contextlib.asynccontextmanager
async def injected_session(upstream: Upstream) -> AsyncIterator[Transport]:
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=upstream.connections),
        auto_decompress=False,
        max_field_size=1 << 16,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=0.001),
    ) as session:
        transport = AiohttpTransport(session)
        yield transport
        await transport.aclose()
        assert not session.closed, "it is the host's"


class Kind(NamedTuple):
    name: str
    backend: str
    open: Callable[[Upstream], contextlib.AbstractAsyncContextManager[Transport]]

    def use(self, upstream: Upstream, work: Callable[[Transport], Awaitable[T]]) -> T:
        async def main() -> T:
            async with self.open(upstream) as transport:
                with anyio.fail_after(LIMIT):
                    return await work(transport)

        if self.backend == "uvloop":
            return anyio.run(main, backend_options={"use_uvloop": True})
        return anyio.run(main, backend=self.backend)


def named(name: str) -> Callable[[Upstream], contextlib.AbstractAsyncContextManager[Transport]]:
    return lambda upstream: owned(transport_factory(name)(upstream))  # type: ignore[arg-type]


KINDS = [
    Kind("httpx", "asyncio", named("httpx")),
    Kind("httpx", "trio", named("httpx")),
    Kind("client of httpx", "asyncio", lambda upstream: injected(httpx, upstream)),
    Kind("client of httpx", "trio", lambda upstream: injected(httpx, upstream)),
    Kind("client of httpx2", "asyncio", lambda upstream: injected(httpx2, upstream)),
    Kind("client of httpx2", "trio", lambda upstream: injected(httpx2, upstream)),
    Kind("h1", "asyncio", named("h1")),
    Kind("aiohttp", "asyncio", named("aiohttp")),
    Kind("session of aiohttp", "asyncio", injected_session),
]
EVERYWHERE = [
    *KINDS,
    Kind("h1", "uvloop", named("h1")),
    Kind("httpx", "uvloop", named("httpx")),
    Kind("aiohttp", "uvloop", named("aiohttp")),
    Kind("session of aiohttp", "uvloop", injected_session),
]
"""The transports on each event loop that serves them, for what hangs on the order of its events."""
OWN = [kind for kind in KINDS if kind.name in ("h1", "httpx", "aiohttp")]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.name}-{kind.backend}")
each_loop = pytest.mark.parametrize("kind", EVERYWHERE, ids=lambda kind: f"{kind.name}-{kind.backend}")
each_own = pytest.mark.parametrize("kind", OWN, ids=lambda kind: f"{kind.name}-{kind.backend}")
each_on_asyncio = pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.backend == "asyncio"], ids=lambda kind: kind.name
)


def at(url: str, **options: Any) -> Upstream:
    return Upstream(name="vendor", dialect="anthropic", base_url=url, **options)


def a_request(
    upstream: Upstream, target: str = "/v1/messages", headers: Pairs = (), body: bytes = b"{}"
) -> UpstreamRequest:
    return UpstreamRequest(upstream, "POST", upstream.base_url + target, headers, body)


async def read_all(response: TransportResponse) -> bytes:
    pieces = []
    try:
        while piece := await response.read():
            pieces.append(piece)
    finally:
        with anyio.CancelScope(shield=True):
            await response.aclose()
    return b"".join(pieces)


async def exchange(transport: Transport, request: UpstreamRequest) -> tuple[int, Pairs, bytes]:
    response = await transport.send(request)
    return response.status, response.headers, await read_all(response)


def sent(kind: Kind, target: str = "/v1/messages", headers: Pairs = (), body: bytes = b"{}") -> Received:
    """What one request looks like on the wire."""
    with ScriptedUpstream(lambda _: OK) as server:
        upstream = at(server.url)
        status, _, _ = kind.use(upstream, lambda t: exchange(t, a_request(upstream, target, headers, body)))
        assert status == 200
    [received] = server.requests
    return received


def answered(kind: Kind, steps: Sequence[Step]) -> tuple[int, Pairs, bytes]:
    """What one answer becomes."""
    with ScriptedUpstream(lambda _: steps) as server:
        upstream = at(server.url)
        return kind.use(upstream, lambda t: exchange(t, a_request(upstream)))


async def failing(transport: Transport, upstream: Upstream) -> UpstreamError:
    """The error of a call that must have one; its message names the upstream, and nothing else of it."""
    with pytest.raises(UpstreamError) as caught:
        await exchange(transport, a_request(upstream, "/v1/messages?token=secret"))
    message = str(caught.value)
    assert "vendor" in message
    assert "127.0.0.1" not in message
    assert "secret" not in message
    return caught.value


def failure(kind: Kind, upstream: Upstream) -> UpstreamError:
    return kind.use(upstream, lambda transport: failing(transport, upstream))


def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy but those that a test sets."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "request_method"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
