"""The yardstick: the least that still is a proxy of the Messages API, on the same server and client library.

PINNED. Every ratio ever noted is a ratio to this file: a change to it, even a good one, changes what all of
them mean. If it has to change, give it another name and keep this one.
"""

import asyncio
from typing import Any

import aiohttp
from yarl import URL

__all__ = ["BareProxy"]

_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer"
    b" transfer-encoding upgrade".split()
)
_NOT_SENT = _HOP_BY_HOP | {b"host", b"content-length", b"accept-encoding", b"x-api-key", b"authorization"}


class BareProxy:
    """An ASGI app: headers filtered both ways, key set, chunks passed on, a client that leaves noticed."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self._base_url = base_url
        self._own_headers = [("accept-encoding", "identity"), ("x-api-key", api_key)]
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        task = asyncio.current_task()
        watcher = asyncio.create_task(_watch(receive, task))
        try:
            await self._relay(scope, body, send)
        except asyncio.CancelledError:
            pass  # the client has left: the upstream's connection is closed by now
        finally:
            watcher.cancel()

    async def _relay(self, scope: Any, body: bytes, send: Any) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=1000),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            )
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in scope["headers"]
            if name not in _NOT_SENT
        ]
        async with self._session.post(
            URL(self._base_url + scope["path"], encoded=True),
            data=body,
            headers=headers + self._own_headers,
            allow_redirects=False,
        ) as response:
            kept = [(name.lower(), value) for name, value in response.raw_headers]
            kept = [pair for pair in kept if pair[0] not in _HOP_BY_HOP]
            await send({"type": "http.response.start", "status": response.status, "headers": kept})
            async for chunk in response.content.iter_any():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _watch(receive: Any, task: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    task.cancel()
