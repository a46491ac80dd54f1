"""How bytes reach an upstream: one small protocol, one class a library, each imported only when used."""

from collections.abc import Callable
from typing import Final, Literal, Protocol, TypeAlias, get_args

from nexusflow_core.errors import ConfigError
from nexusflow_core.upstream import Headers, Upstream, UpstreamRequest

__all__ = ["Transport", "TransportName", "TransportResponse", "transport_factory"]

TransportName: TypeAlias = Literal["httpx", "aiohttp", "offline"]


class TransportResponse(Protocol):
    """An answer whose head has come and whose body is being read."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Headers:
        """As received, in order, repetitions kept, names in lower case."""
        ...

    async def read(self) -> bytes:
        """The next bytes of the body as they arrive, never decompressed; b"" at its end.

        Raises UpstreamError where the connection breaks before that.
        """
        ...

    async def aclose(self) -> None:
        """Gives the connection back where the body was read to its end, else closes its socket at once."""
        ...


class Transport(Protocol):
    """Sends requests over HTTP/1.1: no redirects, no cookies, no header of its own but host and content-length.

    Every exception of the library becomes an UpstreamError here. A cancelled `send` leaves no connection.
    """

    async def send(self, request: UpstreamRequest) -> TransportResponse:
        """Returns once the head of the answer has come. Raises UpstreamError."""
        ...

    async def aclose(self) -> None: ...


def transport_factory(transport: TransportName | Transport) -> Callable[[Upstream], Transport]:
    """What makes the transport of an upstream: a fresh one by name, or always the given one."""
    if not isinstance(transport, str):
        return lambda upstream: transport
    try:
        return _FACTORIES[transport]
    except KeyError:
        known = ", ".join(get_args(TransportName))
        raise ConfigError("transport", f"{transport!r} is not one of {known}") from None


def _httpx(upstream: Upstream) -> Transport:
    from nexusflow_asgi.transports.httpx import HttpxTransport

    return HttpxTransport.for_upstream(upstream)


def _aiohttp(upstream: Upstream) -> Transport:
    from nexusflow_asgi.transports.aiohttp import AiohttpTransport

    return AiohttpTransport.for_upstream(upstream)


def _offline(upstream: Upstream) -> Transport:
    from nexusflow_asgi.transports.offline import OfflineTransport

    return OfflineTransport()


_FACTORIES: Final[dict[str, Callable[[Upstream], Transport]]] = {
    "httpx": _httpx,
    "aiohttp": _aiohttp,
    "offline": _offline,
}
