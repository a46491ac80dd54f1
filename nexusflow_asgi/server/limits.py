"""Bounds on a connection whose caller is unknown yet, the answer to data beyond them, and a bounded end."""

import asyncio
from http import HTTPStatus
from typing import Any, Final

from msgspec import Struct
from uvicorn.protocols.http.flow_control import FlowControl

from nexusflow_asgi.calls import new_request_id
from nexusflow_core.errors import NexusFlowError, error_body
from nexusflow_core.exchange.heads import error_headers

__all__ = ["DEFAULT", "ClosingTransport", "Flow", "LazyEvent", "ServerLimits", "refusal"]

_ROUNDS = 24
"""The number of times that a slowly reading client gets more time."""


class ServerLimits(Struct, frozen=True, kw_only=True):
    """Bounds of a server that unknown clients can reach.

    `head_bytes`: request line and headers (beyond it 431), and framing within a chunked body. `url_bytes`: the
    URL (beyond it 414). `head_seconds`: from the first to the last byte of a head. `idle_seconds`: without a
    request. `waiting`: connections without a request; a new one closes the oldest. `held_bytes`: data sent
    ahead of an answer. `stalled_seconds`: for a closing connection whose client reads nothing.
    """

    head_bytes: int = 160 * 1024
    url_bytes: int = 16 * 1024
    head_seconds: float = 30.0
    idle_seconds: float = 30.0
    waiting: int = 4096
    held_bytes: int = 64 * 1024
    stalled_seconds: float = 5.0


DEFAULT: Final = ServerLimits()


def refusal(error: NexusFlowError) -> bytes:
    """Returns the answer to data that never becomes a request: head and body, in Anthropic's error shape."""
    request_id = new_request_id()
    body = error_body(error, request_id)
    lines = [b"HTTP/1.1 %d %s" % (error.status, HTTPStatus(error.status).phrase.encode()), b"connection: close"]
    lines += [name + b": " + value for name, value in error_headers(error, request_id, len(body))]
    return b"\r\n".join([*lines, b"", body])


class LazyEvent:
    """An asyncio.Event that takes no memory for waiters before the first: most connections never have one."""

    __slots__ = ("_event", "_set")

    def __init__(self) -> None:
        self._set = False
        self._event: asyncio.Event | None = None

    def set(self) -> None:
        """Lets every waiter go on."""
        self._set = True
        if self._event is not None:
            self._event.set()

    def clear(self) -> None:
        """Makes later waiters wait."""
        self._set = False
        if self._event is not None:
            self._event.clear()

    async def wait(self) -> bool:
        """Returns True once the event is set."""
        if self._set:
            return True
        if self._event is None:
            self._event = asyncio.Event()
        return await self._event.wait()


class Flow(FlowControl):
    """uvicorn's flow control, with an event of ours."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.read_paused = self.write_paused = False
        self._is_writable_event: Any = LazyEvent()
        self._is_writable_event.set()


class ClosingTransport:
    """Closes within bounded time. asyncio's `close()` waits for ever until the client has read everything.

    This one waits only while the client keeps reading. Bytes written after the end are dropped: some event
    loops would raise.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, stalled_seconds: float
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._seconds = stalled_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._rounds = 0
        self.is_closing = transport.is_closing
        self.write_now = transport.write  # for a caller that has looked at `is_closing`

    def write(self, data: bytes) -> None:
        """Writes the bytes, or drops them if the connection is closing."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Closes once the client has read everything, or has stopped reading."""
        if not self._transport.is_closing():
            self.lost()
            self._transport.close()
            self._watch()

    def close_writing(self) -> None:
        """Half-closes the connection, and aborts it after the same time."""
        if self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._timer = self._loop.call_later(self._seconds, self.abort)

    def abort(self) -> None:
        """Closes at once, without sending the rest."""
        self.lost()
        self._transport.abort()

    def lost(self) -> None:
        """Notes that the connection is gone: stops the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def _watch(self) -> None:
        left = self._transport.get_write_buffer_size()
        if left:
            self._timer = self._loop.call_later(self._seconds, self._look_again, left)

    def _look_again(self, before: int) -> None:
        self._rounds += 1
        if self._rounds >= _ROUNDS or self._transport.get_write_buffer_size() >= before:
            self._transport.abort()
        else:
            self._watch()
