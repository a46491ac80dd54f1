"""Opens a connection to an origin: resolves addresses, opens the proxy's tunnel, and adds TLS."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import chain, zip_longest
from typing import Any, Final

from nexusflow_asgi.transports.h1.connection import Connection
from nexusflow_asgi.transports.h1.origin import Address, Origin
from nexusflow_asgi.transports.h1.states import Phase, ProxyRefusedError

__all__ = ["connect", "ready"]

_NEXT_ADDRESS_SECONDS: Final = 0.25
"""Seconds until the next address is tried in parallel (RFC 8305, Happy Eyeballs)."""

_MOST_ADDRESSES: Final = 16


async def connect(address: Address, forget: Callable[[Connection], object]) -> Connection:
    """Returns a connection to a server, without TLS. Raises OSError."""
    loop = asyncio.get_running_loop()
    raw = await _connected_socket(loop, address)
    connection = Connection(loop, forget)
    try:
        await loop.create_connection(lambda: connection, sock=raw)
    except BaseException:
        connection.close()
        raw.close()
        raise
    return connection


async def ready(connection: Connection, origin: Origin, contexts: Callable[[bool], ssl.SSLContext]) -> None:
    """Prepares a new connection for requests: the proxy's tunnel, then TLS.

    `contexts(True)` returns the TLS context for the proxy, `contexts(False)` that for the upstream. Raises
    OSError (ssl.SSLError is one) or BrokenConnectionError.
    """
    if origin.proxy is not None:
        await _through_proxy(connection, origin, origin.proxy, contexts)
    if origin.address.tls:
        await connection.start_tls(contexts(False), origin.address.host, origin.session)


async def _through_proxy(
    connection: Connection, origin: Origin, proxy: Address, contexts: Callable[[bool], ssl.SSLContext]
) -> None:
    if proxy.tls:
        await connection.start_tls(contexts(True), proxy.host, None)
    if origin.address.tls:
        connection.ask(origin.connect_head)
        while connection.phase is Phase.ASKED:
            await connection.changed()
        if isinstance(connection.failure, OSError):
            raise connection.failure
        if connection.status // 100 != 2 or connection.failure is not None or connection.has_bytes:
            raise ProxyRefusedError(f"status {connection.status}")
        connection.begin_tunnel()


async def _connected_socket(loop: asyncio.AbstractEventLoop, address: Address) -> socket.socket:
    if address.path:
        if not hasattr(socket, "AF_UNIX"):  # Windows
            raise OSError("no unix sockets on this system")
        return await _connect(loop, socket.AF_UNIX, address.path)
    found = await _resolved(loop, address)
    if len(found) == 1:
        return await _connect(loop, *found[0])
    return await _first_connected(loop, found)


async def _resolved(loop: asyncio.AbstractEventLoop, address: Address) -> list[tuple[int, Any]]:
    """Returns families and addresses in the order to try them. The two families alternate."""
    for family in (socket.AF_INET, socket.AF_INET6):  # a literal address needs no resolver thread
        with suppress(OSError, ValueError):
            socket.inet_pton(family, address.host)
            return [(family, (address.host, address.port))]
    found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    pairs: list[tuple[int, Any]] = list(dict.fromkeys((family, where) for family, _, _, _, where in found))
    if not pairs:
        raise socket.gaierror(socket.EAI_NONAME, "no address")
    first = [pair for pair in pairs if pair[0] == pairs[0][0]]
    other = [pair for pair in pairs if pair[0] != pairs[0][0]]
    by_turns: list[tuple[int, Any]] = [
        pair for pair in chain.from_iterable(zip_longest(first, other)) if pair is not None
    ]
    return by_turns[:_MOST_ADDRESSES]


async def _connect(loop: asyncio.AbstractEventLoop, family: int, where: Any) -> socket.socket:
    raw = socket.socket(family, socket.SOCK_STREAM)
    try:
        raw.setblocking(False)
        if not isinstance(where, str):  # no Nagle delay: the head of a large request is sent before its body
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(raw, where)
    except BaseException:
        raw.close()
        raise
    return raw


async def _first_connected(
    loop: asyncio.AbstractEventLoop, addresses: Iterable[tuple[int, Any]]
) -> socket.socket:
    """Returns the socket that connects first. A failure or a short delay starts the next address."""
    rest = list(addresses)
    errors: list[BaseException] = []
    running: set[asyncio.Task[socket.socket]] = set()
    try:
        while rest or running:
            if rest:
                running.add(loop.create_task(_connect(loop, *rest.pop(0))))
            seconds = _NEXT_ADDRESS_SECONDS if rest else None
            done, _ = await asyncio.wait(running, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if error is None:
                    running.discard(task)
                    return task.result()
                running.discard(task)
                errors.append(error)
    finally:
        for task in running:
            task.cancel()
            task.add_done_callback(_close_socket)
    raise _one_of(errors)


def _close_socket(task: "asyncio.Task[socket.socket]") -> None:
    """Closes the socket of an attempt that connected too late."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _one_of(errors: list[BaseException]) -> BaseException:
    """Returns the most informative error: a refusal, rather than a missing route of the other family."""
    unreachable = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    telling = [error for error in errors if getattr(error, "errno", None) not in unreachable]
    return (telling or errors)[0]
