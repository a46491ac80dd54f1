"""The floor of any gateway in Python on uvicorn: a pool of sockets and httptools, and no HTTP client at all.

PINNED, as the bare proxy is: a change would change what every noted ratio means. It lacks what makes a client
safe: no time limits, no bounds, no TLS, no back pressure, and a dead connection is an error.
"""

import asyncio
from typing import Any, cast

import httptools

__all__ = ["BareSocketProxy"]

_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer"
    b" transfer-encoding upgrade".split()
)
_NOT_SENT = _HOP_BY_HOP | {b"host", b"content-length", b"accept-encoding", b"x-api-key", b"authorization"}


class BareSocketProxy:
    """An ASGI app: headers filtered both ways, key set, pieces passed on, a client that leaves noticed."""

    def __init__(self, host: str, port: int, api_key: str) -> None:
        self._address = (host, port)
        self._own_headers = b"host: %b:%d\r\naccept-encoding: identity\r\nx-api-key: %b\r\n" % (
            host.encode(),
            port,
            api_key.encode(),
        )
        self._idle: list[_Upstream] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        upstream = self._idle.pop() if self._idle else await self._connect()
        watcher = asyncio.ensure_future(_close_when_left(receive, upstream))
        try:
            upstream.send(self._request(scope, body))
            await _pass_on(upstream, send)
        finally:
            watcher.cancel()
        self._idle.append(upstream)

    async def _connect(self) -> "_Upstream":
        loop = asyncio.get_running_loop()
        _, upstream = await loop.create_connection(_Upstream, *self._address)
        return upstream

    def _request(self, scope: Any, body: bytes) -> bytes:
        kept = [b"%b: %b\r\n" % pair for pair in scope["headers"] if pair[0] not in _NOT_SENT]
        line = b"POST %b HTTP/1.1\r\n" % scope["path"].encode()
        length = b"content-length: %d\r\n\r\n" % len(body)
        return b"".join([line, *kept, self._own_headers, length, body])


class _Upstream(asyncio.Protocol):
    """One connection to the upstream, and the answer that comes on it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.has_head = self.is_whole = False
        self._error: Exception | None = None
        self._news: asyncio.Future[None] | None = None
        self.transport.write(request)

    async def wait(self) -> None:
        """Returns when there is more of the answer than there was."""
        if self._error:
            raise self._error
        self._news = asyncio.get_running_loop().create_future()
        await self._news

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._error = exc or ConnectionError("the upstream has closed the connection")
        self._wake()

    def on_header(self, name: bytes, value: bytes) -> None:
        if (name := name.lower()) not in _HOP_BY_HOP:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.has_head = True
        self.status = self._parser.get_status_code()

    def on_body(self, piece: bytes) -> None:
        self.pieces.append(piece)

    def on_message_complete(self) -> None:
        self.is_whole = True

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


async def _pass_on(upstream: _Upstream, send: Any) -> None:
    while not upstream.has_head:
        await upstream.wait()
    await send({"type": "http.response.start", "status": upstream.status, "headers": upstream.headers})
    while True:
        whole = upstream.is_whole
        pieces, upstream.pieces = upstream.pieces, []
        if pieces or whole:
            await send({"type": "http.response.body", "body": b"".join(pieces), "more_body": not whole})
        if whole:
            return
        if not upstream.pieces and not upstream.is_whole:
            await upstream.wait()


async def _close_when_left(receive: Any, upstream: _Upstream) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    upstream.transport.close()
