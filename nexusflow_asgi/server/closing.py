"""A transport that does close: one that still has bytes for a client that takes none is cut after a while."""

import asyncio
from typing import Any

__all__ = ["ClosingTransport"]

_ROUNDS = 24
"""So often a client that takes something, however little, is waited for anew."""


class ClosingTransport:
    """asyncio's `close()` waits for ever until the client has taken what was written. This one waits for as
    long as it takes something. What is written after the end is dropped: event loops differ in what they raise.
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
        """Writes, or drops the bytes where the connection is closing."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Closes once the client has taken what was written, or has stopped taking it."""
        if not self._transport.is_closing():
            self.lost()
            self._transport.close()
            self._watch()

    def close_writing(self) -> None:
        """Says that nothing more will come, and leaves the client the same time to take notice."""
        if self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._timer = self._loop.call_later(self._seconds, self.abort)

    def abort(self) -> None:
        """Closes now."""
        self.lost()
        self._transport.abort()

    def lost(self) -> None:
        """The connection is gone: there is nothing to wait for."""
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
