"""Unread bytes of a socket: finds out whether there are any, and reads the rest of a broken one."""

import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

from nexusflow_asgi.transports.failures import HEAD_BYTES

__all__ = ["poll_of", "unread_bytes"]

_MOST_LEFT: Final = 8 * HEAD_BYTES
"""Bound on the bytes read from a broken connection."""


def poll_of(raw: Any) -> Callable[[int], Any]:
    """Returns a function that is true if a read from this socket would not block: it has bytes, or its end.

    The function takes the milliseconds to wait.
    """
    if not hasattr(select, "poll"):  # Windows
        return lambda milliseconds: select.select([raw], [], [], milliseconds / 1000)[0]
    poll = select.poll()
    poll.register(raw.fileno(), select.POLLIN)
    return poll.poll


def unread_bytes(raw: Any) -> Iterator[bytes]:
    """Yields the unread bytes of a socket, up to a bound.

    The event loop closes a socket unread after a failed write. A second descriptor can still read it.
    """
    with suppress(OSError, ValueError, AttributeError), socket.socket(fileno=os.dup(raw.fileno())) as second:
        second.setblocking(False)
        left = _MOST_LEFT
        while left > 0 and (data := second.recv(HEAD_BYTES)):
            left -= len(data)
            yield data
