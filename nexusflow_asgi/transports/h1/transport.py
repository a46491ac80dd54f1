"""H1Transport: sends each request on one connection of a pool."""

import asyncio
import functools
import ssl
from collections.abc import Callable
from typing import Final

from nexusflow_asgi.transports.failures import (
    broken,
    early_answer,
    forget_traceback,
    head_too_large,
    slow_connect,
    unreachable,
)
from nexusflow_asgi.transports.h1.connecting import connect, ready
from nexusflow_asgi.transports.h1.connection import Connection
from nexusflow_asgi.transports.h1.origin import Origin, parse_origin
from nexusflow_asgi.transports.h1.pool import Pool
from nexusflow_asgi.transports.h1.states import (
    AnswerTooEarlyError,
    BrokenConnectionError,
    ConnectionEndedError,
    HeadTooLargeError,
    Phase,
    ProxyRefusedError,
)
from nexusflow_asgi.transports.proxies import Proxies
from nexusflow_core.errors import InvalidRequestError, UpstreamError
from nexusflow_core.upstream import Headers, Upstream, UpstreamRequest, derived, split_url

__all__ = ["H1Transport"]

_SMALL_BODY: Final = 64 * 1024
"""Bytes. A body up to this size is written together with its head."""

_MOST_PREFIXES: Final = 64
_LONGEST_PREFIX: Final = 1024
"""The first lines of a head are cached by URL: at most _MOST_PREFIXES, for URLs up to this length."""

_ASKED, _ANSWERING, _ANSWERED, _CLOSED = Phase.ASKED, Phase.ANSWERING, Phase.ANSWERED, Phase.CLOSED


class H1Transport:
    """HTTP/1.1 on asyncio, for one upstream. It has a pool, TLS contexts, and cached first lines of heads.

    Create it inside the event loop that will use it.
    """

    def __init__(self, upstream: Upstream, proxies: Proxies | None = None) -> None:
        self._proxies = Proxies.of_environment() if proxies is None else proxies
        self._ca_file = upstream.ca_file
        self._pool = Pool(upstream.connections)
        self._origins: dict[str, Origin] = {}
        self._prefixes: dict[tuple[str, str], tuple[Origin, bytes]] = {}
        self._context: ssl.SSLContext | None = None

    async def send(self, request: UpstreamRequest) -> "_Answer":
        origin, head, body = self._rendered(request)
        pool, upstream = self._pool, request.upstream
        entered = pool.enter()
        connection = pool.take(origin) if entered else None
        if connection is None:
            connection = await self._open(origin, upstream, entered=entered)
        while True:
            try:
                connection.ask(head, body)
                while connection.phase is _ASKED:
                    await connection.changed()
            except BaseException:
                connection.close()
                pool.leave()
                raise
            if connection.status:
                return _Answer(connection, origin, pool, upstream.name)
            if not connection.died_unanswered:
                break
            connection = await self._open(origin, upstream, entered=True)  # happens only once
        pool.leave()
        raise _failed(connection, upstream.name)

    async def aclose(self) -> None:
        self._pool.close()
        await asyncio.sleep(0)  # lets the event loop close the sockets

    def _rendered(self, request: UpstreamRequest) -> tuple[Origin, bytes, bytes]:
        """Returns origin, head and body of a request. A small body is part of the head, and the body is b""."""
        origin, prefix = self._prefix(request.method, request.url)
        body = request.body
        lines = derived(request.headers, "h1", _lines)
        head = b"%b%bcontent-length: %d\r\n\r\n" % (prefix, lines, len(body))
        return (origin, head + body, b"") if len(body) <= _SMALL_BODY else (origin, head, body)

    def _prefix(self, method: str, url: str) -> tuple[Origin, bytes]:
        known = self._prefixes.get((method, url))
        if known is not None:
            return known
        text, target = split_url(url)
        if not target.isascii() or not target.isprintable() or " " in target:
            raise InvalidRequestError("the path or query of this request cannot be sent on")
        origin = self._origins.get(text)
        if origin is None:
            origin = self._origins[text] = parse_origin(text, self._proxies)
        found = origin, origin.head(method, target or "/")
        if len(url) <= _LONGEST_PREFIX:
            if len(self._prefixes) >= _MOST_PREFIXES:
                self._prefixes.clear()  # clients choose the queries, so there may be any number
            self._prefixes[method, url] = found
        return found

    async def _open(self, origin: Origin, upstream: Upstream, *, entered: bool) -> Connection:
        """Returns a new connection, or a kept one if the call had to wait for its place in the pool.

        `entered`: the call already has a place. Raises UpstreamError; then the place is free again.
        """
        pool = self._pool
        limit = asyncio.timeout(upstream.timeouts.connect)
        try:
            async with limit:
                if not entered:
                    await pool.wait()
                    entered = True
                    connection = pool.take(origin)
                    if connection is not None:
                        return connection
                return await self._connected(origin)
        except (
            OSError,
            ValueError,
            BrokenConnectionError,
        ) as error:  # ValueError: a host name that the resolver rejects
            forget_traceback(error)
            failure = error
        except BaseException:
            if entered:
                pool.leave()
            raise
        if entered:
            pool.leave()
        if limit.expired():
            raise slow_connect(upstream.name, pool=not entered)
        raise unreachable(upstream.name, failure, proxy=isinstance(failure, ProxyRefusedError))

    async def _connected(self, origin: Origin) -> Connection:
        connection = await connect(origin.proxy or origin.address, self._pool.forget)
        self._pool.add(connection)
        try:
            await ready(connection, origin, self._tls_context)
        except BaseException:
            connection.close()
            raise
        return connection

    def _tls_context(self, for_proxy: bool) -> ssl.SSLContext:
        """Returns the context that verifies the upstream. A proxy is verified by the system's authorities."""
        if for_proxy or self._ca_file is None:
            return _system_context()
        if self._context is None:
            self._context = _verifying(self._ca_file)
        return self._context


def _lines(headers: Headers) -> bytes:
    """Returns the lines of these headers. Raises InvalidRequestError for one that would be several lines."""
    lines = b"".join([b"%b: %b\r\n" % pair for pair in headers])
    if not lines.count(b"\r") == lines.count(b"\n") == len(headers) or b"\0" in lines:
        raise InvalidRequestError("a header of this request cannot be sent on")
    return lines


class _Answer:
    """See TransportResponse. The connection returns to the pool as soon as the end has been read."""

    __slots__ = ("_connection", "_origin", "_pool", "_upstream", "headers", "status")

    def __init__(self, connection: Connection, origin: Origin, pool: Pool, upstream: str) -> None:
        self.status: int = connection.status
        self.headers: Headers = connection.headers
        self._connection: Connection | None = connection
        self._origin = origin
        self._pool = pool
        self._upstream = upstream

    async def read(self) -> bytes:
        connection = self._connection
        if connection is None:
            return b""
        while not (data := connection.take()):
            phase = connection.phase
            if phase is _ANSWERED:
                self._give_back()
                break
            if phase is _CLOSED:
                raise _failed(connection, self._upstream)
            await connection.changed()
        return data

    def take_whole(self) -> bytes | None:
        """Returns the body, and keeps the connection, if all of the body has arrived; else None."""
        connection = self._connection
        if connection is None or connection.phase is not _ANSWERED:
            return None
        body = connection.take()
        self._give_back()
        return body

    async def pump(self, sink: Callable[[bytes], bytes | None]) -> None:
        """Hands bytes to `sink` as they arrive, without a switch of tasks. It returns None to go on.

        Returns once `sink` has returned bytes, which `read` returns then unless they are empty; and whenever
        `read` would return at once, or raise.
        """
        connection = self._connection
        if connection is None or connection.phase is not _ANSWERING or connection.has_bytes:
            return
        connection.sink = sink
        try:
            await connection.changed()
        finally:
            connection.sink = None

    async def aclose(self) -> None:
        self._give_back()

    def _give_back(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.keep(self._origin, connection)
            self._pool.leave()


def _failed(connection: Connection, upstream: str) -> UpstreamError:
    """Returns the error of a connection that closed after its request was sent."""
    failure = connection.failure
    if isinstance(failure, AnswerTooEarlyError):
        return early_answer(upstream)
    if isinstance(failure, HeadTooLargeError):
        return head_too_large(upstream)
    return broken(upstream, failure or ConnectionEndedError())


@functools.cache
def _system_context() -> ssl.SSLContext:
    """Returns the context with the system's authorities. It is slow to make, so each process makes one."""
    return _verifying(None)


def _verifying(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context
