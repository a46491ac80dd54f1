"""Checks httpx's connections just before a request is written, and bounds the bytes before an answer's body.

The library's pool drops a kept connection whose socket has unread bytes. It misses bytes that are already in a
buffer, and bytes that arrive between its check and the first write. The library's `trace` extension passes each
new connection to us; then our methods replace its read and write.
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
    """Bytes came before the request was written: they answer another call, or none."""


class HeadTooLargeError(Exception):
    """More bytes came before the body than any head has."""


class Sending:
    """One request, until the head of its answer has arrived. `new_only`: it must not use a kept connection."""

    __slots__ = ("_new_only", "kept", "received", "written")

    def __init__(self, *, new_only: bool = False) -> None:
        self._new_only = new_only
        self.kept = True  # True if its connection has served an earlier request
        self.written = False  # True once its first bytes are being written
        self.received = 0  # bytes of the answer's head so far

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        """Called by the library for each event, such as `connection.connect_tcp.complete`."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete", ".connect_unix_socket.complete")):
            self.kept, self.written = False, False
            _watch(info["return_value"])

    def before_write(self, stream: Any) -> None:
        """Raises AnswerTooEarlyError if the connection must not be used: it has unexpected bytes."""
        refused = self.kept and self._new_only
        if not self.written and (refused or _has_unread(stream, new=not self.kept)):
            raise AnswerTooEarlyError
        self.written = True

    def before_read(self) -> None:
        """Raises HeadTooLargeError if too many bytes have arrived without a complete head."""
        if self.received > HEAD_BYTES:
            raise HeadTooLargeError


SENDING: ContextVar[Sending | None] = ContextVar("nexusflow_sending", default=None)
"""The request that the current task is sending; None for the other requests of a host's own client."""


def _watch(stream: Any) -> None:
    tls = stream.get_extra_info("ssl_object")
    if tls is not None and tls.selected_alpn_protocol() == "h2":
        return  # a host's own client: many requests share this connection
    kind = cast(Any, type(stream))
    if not issubclass(kind, _Watched):
        stream.__class__ = _watched(kind)


class _Watched:
    """Marks a connection whose read and write are replaced by ours."""


@functools.cache
def _watched(plain: type) -> type:
    """Returns a subclass of the library's connection class, with our read and write.

    Closures on each connection would cost memory for as long as its stream is open.
    """
    kind = cast(Any, plain)

    def read(self: Any, max_bytes: int, timeout: float | None = None) -> Awaitable[bytes]:
        sending = SENDING.get()
        if sending is None:  # after the head no frame of ours stays on the stack
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
    """Saves the server's answer if the rest of the body cannot be written.

    asyncio closes a socket at the first failed write, with its unread bytes. A second descriptor reads them.
    """
    protocol = _protocol(stream)
    own = stream.get_extra_info("socket")
    if protocol is None or own is None or own.fileno() < 0:
        yield
        return
    with socket.socket(fileno=os.dup(own.fileno())) as second:
        try:
            yield
        finally:  # a failed write may not raise: anyio sometimes only stores the error
            if protocol.exception is not None or own.fileno() < 0:
                second.setblocking(False)
                with suppress(OSError):
                    while (data := second.recv(HEAD_BYTES)) and len(protocol.read_queue) < _MOST_PIECES:
                        protocol.read_queue.append(data)


def _has_unread(stream: Any, *, new: bool) -> bool:
    """True if the socket, or a buffer above it, has unread bytes or its end.

    A new TLS connection is not checked: it may hold the server's session tickets.
    """
    if new and stream.get_extra_info("ssl_object") is not None:
        return False
    return bool(stream.get_extra_info("is_readable")) or bool(_buffered(stream))


def _buffered(stream: Any) -> Any:
    """Returns the bytes that anyio has read and not yet passed on. No public name leads there."""
    return getattr(_protocol(stream), "read_queue", None)


def _protocol(stream: Any) -> Any:
    """Returns anyio's protocol object on asyncio and uvloop; None on trio, which keeps unread bytes itself."""
    inner = getattr(stream, "_stream", None)
    inner = getattr(inner, "transport_stream", inner)  # below TLS
    return getattr(inner, "_protocol", None)
