"""HttpxTransport: httpx2, or the host's AsyncClient of httpx or httpx2, on every event loop."""

import ssl
import sys
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

from nexusflow_asgi.transports.failures import (
    broken,
    early_answer,
    head_too_large,
    slow_connect,
    unreachable,
)
from nexusflow_asgi.transports.httpx_guard import SENDING, AnswerTooEarlyError, HeadTooLargeError, Sending
from nexusflow_asgi.transports.proxies import Proxies
from nexusflow_core.errors import InvalidRequestError, UpstreamError
from nexusflow_core.upstream import Headers, Upstream, UpstreamRequest

__all__ = ["HttpxTransport"]


class HttpxTransport:
    """Sends requests through an AsyncClient of httpx2 or httpx. A client passed in is not closed here.

    Both libraries use the same names, so request and error classes come from the client's own library.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._owned = False
        request = client.build_request("GET", "http://localhost")
        self._request_class: Any = type(request)
        self._library = sys.modules[self._request_class.__module__.partition(".")[0]]

    @classmethod
    def for_upstream(cls, upstream: Upstream, proxies: Proxies | None = None) -> "HttpxTransport":
        """Returns a transport with its own client and pool. Proxies come from the environment."""
        import httpx2

        limits = httpx2.Limits(
            max_connections=upstream.connections, max_keepalive_connections=upstream.connections
        )
        verify = ssl.create_default_context(cafile=upstream.ca_file) if upstream.ca_file else True
        proxies = Proxies.of_environment() if proxies is None else proxies
        # With an explicit transport the client does not look for proxies itself.
        pool = httpx2.AsyncHTTPTransport(
            verify=verify, limits=limits, http2=False, proxy=proxies.for_url(upstream.base_url)
        )
        transport = cls(httpx2.AsyncClient(transport=pool, follow_redirects=False))
        transport._owned = True
        return transport

    async def send(self, request: UpstreamRequest) -> "_Response":
        repeated = False
        while True:
            sending = Sending(new_only=repeated)
            try:
                response = await self._send_once(request, sending)
            except AnswerTooEarlyError:
                if not sending.kept:
                    raise early_answer(request.upstream.name) from None
            except HeadTooLargeError:
                raise head_too_large(request.upstream.name) from None
            except self._library.LocalProtocolError:  # the request itself is invalid, and was not sent
                raise InvalidRequestError("a header of this request cannot be sent on") from None
            except self._library.HTTPError as error:
                if repeated or not self._met_a_dead_connection(error, sending):
                    raise _translated(self._library, error, request.upstream.name) from None
                repeated = True
            else:
                return _Response(response, self._library, request.upstream.name)

    async def _send_once(self, request: UpstreamRequest, sending: Sending) -> Any:
        built = self._build(request)
        built.extensions["trace"] = sending.trace
        token = SENDING.set(sending)
        try:
            return await self._client.send(built, stream=True, follow_redirects=False, auth=None)
        finally:
            SENDING.reset(token)
            built.extensions.clear()  # frees memory: an answer may take an hour
            if self._owned:  # a host's own client may have hooks that look at it later
                built.headers = ()

    def _met_a_dead_connection(self, error: Exception, sending: Sending) -> bool:
        """True if a kept connection broke before it delivered any byte of the answer."""
        library = self._library
        broke = isinstance(error, library.ReadError | library.WriteError | library.RemoteProtocolError)
        return broke and sending.kept and not sending.received

    async def aclose(self) -> None:
        if self._owned:
            await self._client.aclose()

    def _build(self, request: UpstreamRequest) -> Any:
        # The exchange has all other deadlines: one here would cost a cancel scope per read.
        connect = request.upstream.timeouts.connect
        extensions: dict[str, Any] = {
            "timeout": {"connect": connect, "pool": connect, "read": None, "write": None}
        }
        try:
            built = self._request_class(
                request.method,
                request.url,
                headers=[*request.headers, (b"Content-Length", str(len(request.body)).encode())],
                content=_Once(request.body) if self._owned else request.body,
                extensions=extensions,
            )
        except self._library.InvalidURL as error:
            raise InvalidRequestError(f"query: {error}") from None
        target = "/" + request.url.split("://", 1)[1].partition("/")[2]
        if built.url.raw_path != target.encode("ascii"):  # the library normalises it; send it unchanged
            built.extensions["target"] = target.encode("ascii")
        return built


class _Once:
    """A body that is freed as it is sent: the library keeps its request until the answer ends."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        body, self._body = self._body, b""
        yield body


class _Response:
    def __init__(self, response: Any, library: ModuleType, upstream: str) -> None:
        self.status: int = response.status_code
        self._response = response
        self._library = library
        self._upstream = upstream  # its name alone: an answer may take an hour, the request is let go
        self._chunks: AsyncIterator[bytes] = aiter(response.stream)

    @property
    def headers(self) -> Headers:
        return [(name.lower(), value) for name, value in self._response.headers.raw]

    async def read(self) -> bytes:
        try:
            async for chunk in self._chunks:
                if chunk:
                    return chunk
            _retire_if_polluted(self._response.stream)
            return b""
        except self._library.HTTPError as error:
            raise _translated(self._library, error, self._upstream) from None

    async def aclose(self) -> None:
        await self._response.aclose()
        try:  # the library's nested generators end only after the innermost one finds its socket closed
            async for _ in self._chunks:
                pass
        except (self._library.HTTPError, self._library.StreamError):  # the answer is given up: closed is closed
            pass


_TO_THE_CONNECTION = ("_stream", "_httpcore_stream", "_stream", "_connection")


def _retire_if_polluted(stream: Any) -> None:
    """Keeps a connection from being used again if bytes came after the end of its answer.

    The library would take them for the next call's answer. They are reachable only through private members; a
    test of the transports checks these.
    """
    for name in _TO_THE_CONNECTION:
        stream = getattr(stream, name, None)
    parser = getattr(stream, "_h11_state", None)
    if stream is not None and parser is not None and parser.trailing_data[0]:
        stream._keepalive_expiry = -1.0  # the pool treats it as expired when it is returned


def _translated(library: Any, error: Exception, name: str) -> UpstreamError:
    """Returns the library's exception as ours, without its text, which may contain the URL."""
    if isinstance(error, library.PoolTimeout | library.ConnectTimeout):
        return slow_connect(name, pool=isinstance(error, library.PoolTimeout))
    if isinstance(error, library.ConnectError | library.ProxyError):
        return unreachable(name, error, proxy=isinstance(error, library.ProxyError))
    return broken(name, error)
