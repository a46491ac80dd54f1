"""How bytes reach an upstream: one small protocol, one class a library, each imported only when used."""

import importlib.util
from collections.abc import Callable, Iterable
from typing import Final, Literal, Protocol, TypeAlias, get_args

from nexusflow_asgi.backend import runs_on_asyncio
from nexusflow_asgi.transports.proxies import Proxies
from nexusflow_core.errors import ConfigError
from nexusflow_core.upstream import Headers, Upstream, UpstreamRequest

__all__ = [
    "Proxies",
    "Transport",
    "TransportName",
    "TransportResponse",
    "describe_transport",
    "transport_factory",
]

TransportName: TypeAlias = Literal["auto", "h1", "httpx", "aiohttp", "offline"]
"""`auto`, the default: on asyncio h1 where httptools is installed, else aiohttp where that is; else httpx."""


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


def transport_factory(
    transport: TransportName | Transport, upstreams: Iterable[Upstream] = ()
) -> Callable[[Upstream], Transport]:
    """Returns what makes the transport of an upstream: a new one by name, or always the given one.

    The proxies of the environment are read now, once. Raises ConfigError for an unknown name, for one whose
    library is not installed, and for a proxy of these `upstreams` that cannot be used.
    """
    if not isinstance(transport, str):
        return lambda upstream: transport
    if transport not in _FACTORIES:
        known = ", ".join(get_args(TransportName))
        raise ConfigError("transport", f"{transport!r} is not one of {known}")
    library = _LIBRARIES.get(transport)
    if library is not None and not _is_installed(library):
        raise ConfigError("transport", f"{library} is not installed: pip install 'nexusflow[server]'")
    proxies = Proxies.of_environment()
    if transport != "offline":
        proxies.check(upstreams)
    make = _FACTORIES[transport]
    return lambda upstream: make(upstream, proxies)


def describe_transport(transport: TransportName | Transport) -> str:
    """Returns the transport that a name stands for on this machine's asyncio, for people: "h1"."""
    if not isinstance(transport, str):
        return type(transport).__name__
    if transport != "auto":
        return transport
    return _best_on_asyncio()


def _is_installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


def _best_on_asyncio() -> str:
    return next((name for name, library in _LIBRARIES.items() if _is_installed(library)), "httpx")


def _auto(upstream: Upstream, proxies: Proxies) -> Transport:
    """Chosen on the event loop that the transport is for: h1 and aiohttp know asyncio alone."""
    name = _best_on_asyncio() if runs_on_asyncio() else "httpx"
    return _FACTORIES[name](upstream, proxies)


def _h1(upstream: Upstream, proxies: Proxies) -> Transport:
    from nexusflow_asgi.transports.h1 import H1Transport

    return H1Transport(upstream, proxies)


def _httpx(upstream: Upstream, proxies: Proxies) -> Transport:
    from nexusflow_asgi.transports.httpx import HttpxTransport

    return HttpxTransport.for_upstream(upstream, proxies)


def _aiohttp(upstream: Upstream, proxies: Proxies) -> Transport:
    from nexusflow_asgi.transports.aiohttp import AiohttpTransport

    return AiohttpTransport.for_upstream(upstream, proxies)


def _offline(upstream: Upstream, proxies: Proxies) -> Transport:
    from nexusflow_asgi.transports.offline import OfflineTransport

    return OfflineTransport()


_FACTORIES: Final[dict[str, Callable[[Upstream, Proxies], Transport]]] = {
    "auto": _auto,
    "h1": _h1,
    "httpx": _httpx,
    "aiohttp": _aiohttp,
    "offline": _offline,
}

_LIBRARIES: Final[dict[str, str]] = {"h1": "httptools", "aiohttp": "aiohttp"}
"""What the transports for asyncio need, the best of them first."""
