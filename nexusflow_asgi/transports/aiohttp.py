"""The fast transport: aiohttp, asyncio only. `nexusflow serve` takes it where it is installed."""

import asyncio
import ssl
from io import BytesIO
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakKeyDictionary

import aiohttp
from multidict import CIMultiDict, istr
from yarl import URL

from nexusflow_core.errors import (
    InvalidRequest,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from nexusflow_core.upstream import Headers, Upstream, UpstreamRequest

__all__ = ["AiohttpTransport"]

_NO_HEADERS_OF_ITS_OWN = tuple(map(istr, ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")))
_MAX_HEADER_BYTES = 64 * 1024
_LARGE_BODY = 2**20


class AiohttpTransport:
    """Give it an `aiohttp.ClientSession`: it stays yours, and is not closed here.

    The session must neither decompress nor keep cookies (`auto_decompress=False`, `DummyCookieJar()`).
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._owned = False
        # The library's `trust_env` would also send credentials from ~/.netrc upstream.
        self._proxies = getproxies()
        self._guards: WeakKeyDictionary[object, _Guard] = WeakKeyDictionary()

    @classmethod
    def for_upstream(cls, upstream: Upstream) -> "AiohttpTransport":
        """A transport with a session and pool of its own. Proxies come from the environment."""
        verify = ssl.create_default_context(cafile=upstream.ca_file) if upstream.ca_file else True
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=upstream.connections, ssl=verify),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
            skip_auto_headers=_NO_HEADERS_OF_ITS_OWN,
        )
        transport = cls(session)
        transport._owned = True
        return transport

    async def send(self, request: UpstreamRequest) -> "_Response":
        connect = request.upstream.timeouts.connect
        try:
            response = await self._session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=_headers(request.headers),
                skip_auto_headers=None if self._owned else _NO_HEADERS_OF_ITS_OWN,
                # In pieces beyond 1 MiB, between which other calls get their turn.
                data=request.body if len(request.body) <= _LARGE_BODY else BytesIO(request.body),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=connect, sock_connect=connect, sock_read=None
                ),
                proxy=self._proxy(request.url),
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _translated(error, request) from None
        self._guard(response)
        return _Response(response, request)

    async def aclose(self) -> None:
        if self._owned:
            await self._session.close()

    def _guard(self, response: aiohttp.ClientResponse) -> None:
        """Sees to it that a read ends when its connection does."""
        protocol = response.connection.protocol if response.connection is not None else None
        if protocol is None or protocol.closed is None:
            return  # the whole body has come already
        guard = self._guards.get(protocol)
        if guard is None:
            guard = self._guards[protocol] = _Guard()
            protocol.closed.add_done_callback(guard)
        guard.content = response.content

    def _proxy(self, url: str) -> str | None:
        if not self._proxies:
            return None
        parts = urlsplit(url)
        proxy = self._proxies.get(parts.scheme) or self._proxies.get("all")
        return None if proxy is None or proxy_bypass(parts.netloc) else proxy


class _Guard:
    """One a connection. The library's parser, where it meets garbage in a chunked body, closes the connection
    and leaves whoever waits for the body waiting."""

    def __init__(self) -> None:
        self.content: aiohttp.StreamReader | None = None

    def __call__(self, closed: "asyncio.Future[None]") -> None:
        if not closed.cancelled():
            closed.exception()  # marks it as seen
        content, self.content = self.content, None  # it holds on to its protocol, which would live for ever
        if content is not None and not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("the connection broke"))


class _Response:
    def __init__(self, response: aiohttp.ClientResponse, request: UpstreamRequest) -> None:
        self.status = response.status
        self._response = response
        self._request = request
        self._content = response.content

    @property
    def headers(self) -> Headers:
        return [(name.lower(), value) for name, value in self._response.raw_headers]

    async def read(self) -> bytes:
        try:
            return await self._content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _translated(error, self._request) from None

    async def aclose(self) -> None:
        if self._content.at_eof():
            self._response.release()
        else:
            self._response.close()


def _headers(pairs: Headers) -> CIMultiDict[str]:
    """As text: the library writes it as UTF-8, so bytes that are something else cannot pass."""
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in pairs:
        try:
            headers.add(name.decode("ascii"), value.decode())
        except UnicodeDecodeError:
            raise InvalidRequest(f"header {name.decode('latin-1')}: neither ASCII nor UTF-8") from None
    return headers


def _translated(error: Exception, request: UpstreamRequest) -> UpstreamError:
    """The library's exception as ours; its own text may hold the URL and is not repeated."""
    name = request.upstream.name
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return UpstreamTimeout(f"upstream {name}: connecting took too long")
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError):
        return UpstreamUnreachable(f"upstream {name}: could not connect")
    return UpstreamProtocolError(f"upstream {name}: the connection broke ({type(error).__name__})")
