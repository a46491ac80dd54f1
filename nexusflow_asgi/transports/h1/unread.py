"""Bytes that lie in a socket and that the event loop has not read."""

import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

from nexusflow_asgi.transports.failures import HEAD_BYTES

__all__ = ["left_in", "poll_of"]

_MOST_LEFT: Final = 8 * HEAD_BYTES
"""Bytes that are read of a connection that broke."""


def poll_of(raw: Any) -> Callable[[int], Any]:
    """Returns a function that says whether a read from this socket would not wait: there are bytes, or its end.

    The function takes the milliseconds to wait.
    """
    if not hasattr(select, "poll"):  # Windows
        return lambda milliseconds: select.select([raw], [], [], milliseconds / 1000)[0]
    poll = select.poll()
    poll.register(raw.fileno(), select.POLLIN)
    return poll.poll


def left_in(raw: Any) -> Iterator[bytes]:
    """Yields what a socket holds, bounded. The event loop closes it unread at the first failed write; a second
    descriptor still reads it."""
    with suppress(OSError, ValueError, AttributeError), socket.socket(fileno=os.dup(raw.fileno())) as second:
        second.setblocking(False)
        left = _MOST_LEFT
        while left > 0 and (data := second.recv(HEAD_BYTES)):
            left -= len(data)
            yield data
