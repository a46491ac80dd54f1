"""AiohttpTransport: aiohttp, on asyncio."""

import functools
import ssl
from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any

import aiohttp
from multidict import CIMultiDict, istr
from yarl import URL

from nexusflow_asgi.transports.aiohttp_guard import (
    AnswerTooEarlyError,
    GuardedConnector,
    GuardedHandler,
    HeadTooLargeError,
    guarded,
)
from nexusflow_asgi.transports.failures import (
    HEAD_BYTES,
    broken,
    early_answer,
    forget_traceback,
    head_too_large,
    slow_connect,
    unreachable,
)
from nexusflow_asgi.transports.proxies import Proxies
from nexusflow_core.errors import InvalidRequestError, UpstreamError
from nexusflow_core.upstream import Headers, Upstream, UpstreamRequest

__all__ = ["AiohttpTransport"]

_NO_HEADERS_OF_ITS_OWN = tuple(map(istr, ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")))
_LARGE_BODY = 2**20


class AiohttpTransport:
    """Sends requests through an `aiohttp.ClientSession`. A session passed in is not closed here.

    It must neither decompress nor keep cookies (`auto_decompress=False`, `DummyCookieJar()`).
    """

    def __init__(self, session: aiohttp.ClientSession, proxies: Proxies | None = None) -> None:
        self._session = session
        self._owned = False
        # aiohttp's `trust_env` would also send credentials from ~/.netrc upstream.
        self._proxies = Proxies.of_environment() if proxies is None else proxies

    @classmethod
    def for_upstream(cls, upstream: Upstream, proxies: Proxies | None = None) -> "AiohttpTransport":
        """Returns a transport with its own session and pool. Proxies come from the environment."""
        verify = ssl.create_default_context(cafile=upstream.ca_file) if upstream.ca_file else True
        session = aiohttp.ClientSession(
            connector=GuardedConnector(limit=upstream.connections, ssl=verify),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=HEAD_BYTES,
            max_field_size=HEAD_BYTES,
            skip_auto_headers=_NO_HEADERS_OF_ITS_OWN,
        )
        transport = cls(session, proxies)
        transport._owned = True
        return transport

    async def send(self, request: UpstreamRequest) -> "_Response":
        sending = _Sending()
        while True:
            try:
                return _Response(await self._request(request, sending), request)
            except _StaleError:
                continue  # nothing was sent, and this connection is closed: the next try meets another one
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if not sending.may_repeat(error):
                    raise _translated(error, request) from None
                sending.repeated = True

    async def _request(self, request: UpstreamRequest, sending: "_Sending") -> aiohttp.ClientResponse:
        connect = request.upstream.timeouts.connect
        ours = () if self._owned else tuple(getattr(self._session, "_middlewares", ()))
        return await self._session.request(
            request.method,
            URL(request.url, encoded=True),
            headers=_headers(request.headers),
            skip_auto_headers=None if self._owned else _NO_HEADERS_OF_ITS_OWN,
            # A body over 1 MiB is sent in pieces, so that other calls can run in between.
            data=request.body if len(request.body) <= _LARGE_BODY else BytesIO(request.body),
            allow_redirects=False,
            timeout=_timeout(connect),
            proxy=self._proxies.for_url(request.url),
            middlewares=(*ours, sending.guard),
        )

    async def aclose(self) -> None:
        if self._owned:
            await self._session.close()


class _StaleError(aiohttp.ClientError):
    """The pool returned a kept connection that must not be used."""


class _Sending:
    """One call's use of connections: checks each one from the pool before the request is written."""

    def __init__(self) -> None:
        self.repeated = False  # True after a dead kept connection: now it must be a new one
        self.connection: GuardedHandler | None = None

    async def guard(
        self,
        request: aiohttp.ClientRequest,
        handler: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]],
    ) -> aiohttp.ClientResponse:
        """Sends a request on a checked connection, as aiohttp's innermost middleware. Returns the answer."""
        send = request.send
        self.connection = None

        async def checked(connection: Any) -> aiohttp.ClientResponse:
            request.__dict__.pop("send", None)
            self.connection = protocol = guarded(connection.protocol)
            kept = protocol.requests > 1
            if not protocol.begin() or (kept and self.repeated):
                raise _StaleError if kept else AnswerTooEarlyError
            response = await send(connection)
            protocol.begun(getattr(response, "_stream_writer", None))
            return response

        request.__dict__["send"] = checked
        try:
            return await handler(request)
        finally:
            request.__dict__.pop("send", None)  # breaks a cycle that would keep the body in memory

    def may_repeat(self, error: Exception) -> bool:
        """True, once, if a kept connection was dead before it delivered any byte of the answer."""
        connection = self.connection
        if self.repeated or connection is None or connection.requests < 2 or connection.received:
            return False
        return isinstance(error, AnswerTooEarlyError | aiohttp.ServerDisconnectedError | ConnectionError) or (
            isinstance(error, aiohttp.ClientOSError) and not isinstance(error, aiohttp.ClientConnectorError)
        )


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
    """Returns the headers as text: aiohttp writes UTF-8. Raises InvalidRequestError for other bytes."""
    try:
        return CIMultiDict([(name.decode("ascii"), value.decode()) for name, value in pairs])
    except UnicodeDecodeError:
        odd = next(name for name, value in pairs if not (name.isascii() and _is_utf8(value)))
        raise InvalidRequestError(f"header {odd.decode('latin-1')}: neither ASCII nor UTF-8") from None


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


@functools.lru_cache(maxsize=64)
def _timeout(connect: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=connect, sock_read=None)


def _translated(error: Exception, request: UpstreamRequest) -> UpstreamError:
    """Returns aiohttp's exception as ours, without its text, which may contain the URL."""
    name = request.upstream.name
    forget_traceback(error)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return slow_connect(name)
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError):
        proxy = isinstance(error, aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError)
        return unreachable(name, error, proxy=proxy)
    if isinstance(error, AnswerTooEarlyError):
        return early_answer(name)
    if isinstance(error, HeadTooLargeError):
        return head_too_large(name)
    return broken(name, error)
