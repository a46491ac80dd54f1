"""Transports to upstreams: one small protocol, one class per library, each imported only when used."""

import importlib.util
from collections.abc import Callable, Iterable
from typing import Final, Literal, Protocol, TypeAlias, get_args

from nexusflow_asgi.backend import runs_on_asyncio
from nexusflow_asgi.transports.proxies import Proxies
from nexusflow_core.errors import ConfigError
from nexusflow_core.upstream import Headers, Upstream, UpstreamRequest, is_unix

__all__ = [
    "Proxies",
    "Transport",
    "TransportName",
    "TransportResponse",
    "describe_transport",
    "transport_factory",
]

TransportName: TypeAlias = Literal["auto", "h1", "httpx", "aiohttp", "offline"]
"""`auto`, the default: h1 on asyncio if httptools is installed, else aiohttp if that is; else httpx."""


class TransportResponse(Protocol):
    """An answer. Its head has arrived, and its body is being read."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Headers:
        """As received: in order, with repetitions, names in lower case."""
        ...

    async def read(self) -> bytes:
        """Returns the next bytes of the body as received, never decompressed; b"" at its end.

        Raises UpstreamError if the connection breaks earlier.
        """
        ...

    async def aclose(self) -> None:
        """Reuses the connection if the body was read to its end, else closes its socket at once."""
        ...


class Transport(Protocol):
    """Sends requests over HTTP/1.1, without redirects and cookies. It adds only host and content-length.

    It turns every exception of its library into an UpstreamError. A cancelled `send` leaves no connection open.
    """

    async def send(self, request: UpstreamRequest) -> TransportResponse:
        """Returns once the head of the answer has arrived. Raises UpstreamError."""
        ...

    async def aclose(self) -> None:
        """Closes all connections."""
        ...


def transport_factory(
    transport: TransportName | Transport, upstreams: Iterable[Upstream] = ()
) -> Callable[[Upstream], Transport]:
    """Returns a function that makes an upstream's transport: a new one by name, or always the given one.

    It reads the environment's proxies once, now. Raises ConfigError for an unknown name, for a library that is
    not installed, and for an unusable proxy of one of these `upstreams`.
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
        upstreams = list(upstreams)
        proxies.check(upstreams)
        _check_sockets(describe_transport(transport), upstreams)
    make = _FACTORIES[transport]
    return lambda upstream: make(upstream, proxies)


def describe_transport(transport: TransportName | Transport) -> str:
    """Returns the name of the transport on this machine's asyncio, for people: "h1"."""
    if not isinstance(transport, str):
        return type(transport).__name__
    if transport != "auto":
        return transport
    return _best_on_asyncio()


def _check_sockets(transport: str, upstreams: Iterable[Upstream]) -> None:
    """Raises ConfigError for an upstream behind a unix socket, unless our own client calls it."""
    for upstream in upstreams:
        if is_unix(upstream.base_url) and transport != "h1":
            advice = "a unix socket needs the transport h1: pip install 'nexusflow[server]', and run on asyncio"
            raise ConfigError(f"upstreams.{upstream.name}.base_url", advice)


def _is_installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


def _best_on_asyncio() -> str:
    return next((name for name, library in _LIBRARIES.items() if _is_installed(library)), "httpx")


def _auto(upstream: Upstream, proxies: Proxies) -> Transport:
    """Returns the best transport for the running event loop: h1 and aiohttp work only on asyncio."""
    name = _best_on_asyncio() if runs_on_asyncio() else "httpx"
    _check_sockets(name, [upstream])
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
