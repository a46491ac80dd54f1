"""Looks at a connection of httpx's just before a request is written, and counts what comes before the body.

The library's pool gives up a kept connection whose socket has something to read. That leaves what was read
already and lies in a buffer, and what comes between the pool's look and the first byte written. `trace`, the
library's extension for observers, hands over each new connection; its read and write are then ours to watch.
"""

import functools
import os
import socket
from collections.abc import Awaitable, Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, cast

from nexusflow_asgi.transports.failures import HEAD_BYTES

__all__ = ["SENDING", "AnswerTooEarlyError", "HeadTooLargeError", "Sending"]


class AnswerTooEarlyError(Exception):
    """Bytes came before the request was written: they answer somebody else, or nobody."""


class HeadTooLargeError(Exception):
    """More came before the body than any head takes."""


class Sending:
    """One request on its way, until the head of its answer has come. `new_only`: no kept connection will do."""

    __slots__ = ("_new_only", "kept", "received", "written")

    def __init__(self, *, new_only: bool = False) -> None:
        self._new_only = new_only
        self.kept = True  # an earlier request went out on its connection
        self.written = False
        self.received = 0  # bytes

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        """The library's observer. Names end in what happened, as `connection.connect_tcp.complete`."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete", ".connect_unix_socket.complete")):
            self.kept, self.written = False, False
            _watch(info["return_value"])

    def before_write(self, stream: Any) -> None:
        """Raises AnswerTooEarlyError for a connection that must not be used: bytes lie ready that were not
        due."""
        refused = self.kept and self._new_only
        if not self.written and (refused or _has_unread(stream, new=not self.kept)):
            raise AnswerTooEarlyError
        self.written = True

    def before_read(self) -> None:
        """Raises HeadTooLargeError where enough has come, and no head yet."""
        if self.received > HEAD_BYTES:
            raise HeadTooLargeError


SENDING: ContextVar[Sending | None] = ContextVar("nexusflow_sending", default=None)
"""The request that the running task is sending. A host's client has requests of its own: they have none."""


def _watch(stream: Any) -> None:
    tls = stream.get_extra_info("ssl_object")
    if tls is not None and tls.selected_alpn_protocol() == "h2":
        return  # a host's own client: many requests share this connection
    kind = cast(Any, type(stream))
    if not issubclass(kind, _Watched):
        stream.__class__ = _watched(kind)


class _Watched:
    """Marks a connection whose reads and writes are ours to watch."""


@functools.cache
def _watched(plain: type) -> type:
    """Returns the library's kind of connection with reads and writes of ours. A class and no closures: of a
    stream that waits, each connection would keep them."""
    kind = cast(Any, plain)

    def read(self: Any, max_bytes: int, timeout: float | None = None) -> Awaitable[bytes]:
        sending = SENDING.get()
        if sending is None:  # the head has come: no frame of ours waits
            return cast("Awaitable[bytes]", kind.read(self, max_bytes, timeout))
        return read_head(self, sending, max_bytes, timeout)

    async def read_head(self: Any, sending: Sending, max_bytes: int, timeout: float | None) -> bytes:
        sending.before_read()
        data: bytes = await kind.read(self, max_bytes, timeout)
        sending.received += len(data)
        return data

    async def write(self: Any, buffer: bytes, timeout: float | None = None) -> None:
        sending = SENDING.get()
        if sending is None or not sending.written:
            if sending is not None:
                sending.before_write(self)
            await kind.write(self, buffer, timeout)
            return
        with _unread_kept(self):
            await kind.write(self, buffer, timeout)

    return type(f"Watched{plain.__name__}", (_Watched, plain), {"read": read, "write": write})


_MOST_PIECES = 8


@contextmanager
def _unread_kept(stream: Any) -> Generator[None]:
    """Keeps what a server had answered where the body cannot be written: asyncio closes a socket at the first
    failed write, with all that lies in it unread. What it held is read from a second descriptor."""
    protocol = _protocol(stream)
    own = stream.get_extra_info("socket")
    if protocol is None or own is None or own.fileno() < 0:
        yield
        return
    with socket.socket(fileno=os.dup(own.fileno())) as second:
        try:
            yield
        finally:  # not each failed write raises: anyio may only note it
            if protocol.exception is not None or own.fileno() < 0:
                second.setblocking(False)
                with suppress(OSError):
                    while (data := second.recv(HEAD_BYTES)) and len(protocol.read_queue) < _MOST_PIECES:
                        protocol.read_queue.append(data)


def _has_unread(stream: Any, *, new: bool) -> bool:
    """True if bytes, or the end, wait in the socket or in a buffer above it. A new connection with TLS may hold
    the server's session tickets."""
    if new and stream.get_extra_info("ssl_object") is not None:
        return False
    return bool(stream.get_extra_info("is_readable")) or bool(_buffered(stream))


def _buffered(stream: Any) -> Any:
    """What anyio has read from the socket and not handed on: no public name leads there."""
    return getattr(_protocol(stream), "read_queue", None)


def _protocol(stream: Any) -> Any:
    """Of anyio's, on asyncio and uvloop; None on trio, which keeps what was not read."""
    inner = getattr(stream, "_stream", None)
    inner = getattr(inner, "transport_stream", inner)  # below TLS
    return getattr(inner, "_protocol", None)
