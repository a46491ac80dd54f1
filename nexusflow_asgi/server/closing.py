"""ClosingTransport: closes a connection even if its client stops reading."""

import asyncio
from typing import Any

__all__ = ["ClosingTransport"]

_ROUNDS = 24
"""The number of times that a slowly reading client gets more time."""


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
