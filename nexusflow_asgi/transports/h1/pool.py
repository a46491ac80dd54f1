"""The connections of one transport. The number of calls with a connection is bounded; others wait in order."""

import asyncio
from collections import deque
from typing import Final

from nexusflow_asgi.transports.h1.connection import Connection
from nexusflow_asgi.transports.h1.origin import Origin

__all__ = ["Pool"]

_KEEP_SECONDS: Final = 60.0
"""Seconds after which an idle connection is not used again: many load balancers drop it silently."""


class Pool:
    """Places for calls, and kept connections. `enter` takes a place, `wait` waits for one, `leave` frees it.

    A free place goes to the call that has waited longest. A call with a place takes a kept connection or opens
    one. There are never more connections than places.
    """

    __slots__ = ("_idle", "_limit", "_loop", "_open", "_used", "_waiting")

    def __init__(self, limit: int) -> None:
        self._limit: Final = limit
        self._used = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._idle: dict[Origin, dict[Connection, None]] = {}  # the most recently used one is last
        self._open: set[Connection] = set()
        self._loop: Final = asyncio.get_running_loop()

    def enter(self) -> bool:
        """Takes a place. Returns False if none is free, or other calls wait."""
        if self._used >= self._limit or self._waiting:
            return False
        self._used += 1
        return True

    async def wait(self) -> None:
        """Waits for a place. A cancelled call gets none."""
        place = self._loop.create_future()
        self._waiting.append(place)
        try:
            await place
        except BaseException:
            if place.done() and not place.cancelled():
                self.leave()  # the place was given at the same moment
            elif place in self._waiting:  # else `leave` has already removed it
                self._waiting.remove(place)
            raise

    def leave(self) -> None:
        """Frees a place."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._used -= 1

    def take(self, origin: Origin) -> Connection | None:
        """Returns a kept connection that can be used, or None."""
        idle = self._idle.get(origin)
        if not idle:
            return None
        oldest = self._loop.time() - _KEEP_SECONDS
        while idle:
            connection, _ = idle.popitem()
            if connection.idle_since > oldest and connection.usable():
                return connection
            connection.close()
        return None

    def keep(self, origin: Origin, connection: Connection) -> None:
        """Keeps a connection for another call. Closes it if it cannot serve one."""
        if origin.address.tls and connection.requests == 1:
            origin.session = connection.session
        if connection.make_idle():
            connection.idle_since = self._loop.time()
            self._idle.setdefault(origin, {})[connection] = None

    def add(self, connection: Connection) -> None:
        """Adds a new connection. Closes an idle one if there are now more connections than places."""
        self._open.add(connection)
        if len(self._open) > self._limit:
            oldest = [next(iter(idle)) for idle in self._idle.values() if idle]
            if oldest:
                min(oldest, key=lambda it: it.idle_since).close()

    def forget(self, connection: Connection) -> None:
        """Removes a closed connection."""
        self._open.discard(connection)
        for idle in self._idle.values():
            idle.pop(connection, None)

    def close(self) -> None:
        """Closes every connection at once."""
        for connection in list(self._open):
            connection.close()
