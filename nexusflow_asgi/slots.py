"""Slots: limits the calls at once, on an event loop and per caller. More calls wait in a bounded queue."""

from collections import deque

import anyio

from nexusflow_asgi.body import Arriving, ClientDisconnectedError
from nexusflow_core.config import Limits
from nexusflow_core.errors import OverloadedError

__all__ = ["COME_BACK", "Slots"]

COME_BACK = {"retry-after": "1"}
"""Sent with each 529 of ours: in a second there may be room, or another process."""


class _Gate:
    """A number of places, and a queue in order of arrival."""

    def __init__(self, places: int) -> None:
        self.free = places
        self.waiting: deque[anyio.Event] = deque()

    def enter(self) -> bool:
        """Takes a place. Returns False if none is free, or other calls wait."""
        if self.free and not self.waiting:
            self.free -= 1
            return True
        return False

    def leave(self) -> None:
        """Gives a place back, to the longest waiting call if there is one."""
        if self.waiting:
            self.waiting.popleft().set()
        else:
            self.free += 1


class _Caller:
    """One caller's gate, its running and waiting calls, and its waiting calls alone."""

    __slots__ = ("calls", "gate", "waiting")

    def __init__(self, places: int) -> None:
        self.gate = _Gate(places)
        self.calls = 0
        self.waiting = 0


class Slots:
    """The places of one event loop. A call takes one of its caller's places, then one of all."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._share = max(1, int(limits.queue * limits.queue_share))
        self._all = _Gate(limits.calls)
        self._keys: dict[str, _Caller] = {}
        self._spare: _Caller | None = None
        self._waiting = 0
        self._room = limits.body_bytes  # for the bytes that all waiting clients send
        self._closed = False

    def enter(self, key: str | None) -> bool:
        """Takes both places of a call. Returns False, and takes none, if the call must wait for one."""
        every = self._all
        if not every.free or every.waiting:
            return False
        caller = self._caller(key)
        if caller is not None and not caller.gate.enter():
            self._forget(key, caller)
            return False
        every.free -= 1
        return True

    async def take(self, key: str | None, arriving: Arriving | None = None) -> None:
        """Returns once the call may go on. `arriving` is its request, and shows if the client leaves.

        Raises OverloadedError if the queue or the caller's share of it is full, or the wait too long, and
        ClientDisconnectedError.
        """
        if self.enter(key):
            return
        caller = self._caller(key)
        inside = False
        try:
            inside = caller is None or caller.gate.enter()
            if not (inside and self._all.enter()):
                await self._wait(caller, arriving, inside=inside)
        except BaseException:
            if caller is not None:
                if inside:
                    caller.gate.leave()
                self._forget(key, caller)
            raise

    def give(self, key: str | None) -> None:
        """Returns the places of a finished call."""
        self._all.leave()
        caller = self._keys.get(key) if key is not None else None
        if caller is not None:
            caller.gate.leave()
            self._forget(key, caller)

    @property
    def waiting(self) -> int:
        """Calls that wait for a place."""
        return self._waiting

    def close(self) -> None:
        """Refuses all waiting calls, and every later call that would have to wait."""
        self._closed = True
        for gate in [self._all, *(caller.gate for caller in self._keys.values())]:
            for event in gate.waiting:
                event.set()

    async def _wait(self, caller: _Caller | None, arriving: Arriving | None, *, inside: bool) -> None:
        """Waits for the missing places, within one deadline. `inside`: the caller's own place is taken."""
        full = caller is not None and caller.waiting >= self._share
        if self._closed or full or self._waiting >= self._limits.queue:
            raise self._refusal()
        until = anyio.current_time() + self._limits.queue_seconds
        self._waiting += 1
        if caller is not None:
            caller.waiting += 1
        try:
            if caller is not None and not inside:
                await self._enter(caller.gate, until, arriving)
                try:
                    await self._enter(self._all, until, arriving)
                except BaseException:
                    caller.gate.leave()
                    raise
            else:
                await self._enter(self._all, until, arriving)
        finally:
            self._waiting -= 1
            if caller is not None:
                caller.waiting -= 1

    async def _enter(self, gate: _Gate, until: float, arriving: Arriving | None) -> None:
        if gate.enter():
            return
        event = anyio.Event()
        gate.waiting.append(event)
        given = False
        try:
            await self._until_set(event, until, arriving)
            given = event not in gate.waiting
        finally:
            if event in gate.waiting:
                gate.waiting.remove(event)
            elif not given:  # cancelled at the moment the place was given
                gate.leave()
        if not given:
            raise self._refusal()

    async def _until_set(self, event: anyio.Event, until: float, arriving: Arriving | None) -> None:
        """Returns once the event is set or the deadline has passed.

        Raises ClientDisconnectedError, and errors of the server's `receive`.
        """
        if arriving is None:
            with anyio.CancelScope(deadline=until):
                await event.wait()
            return
        failed: Exception | None = None
        held = 0

        def room(size: int) -> bool:
            nonlocal held
            held += size
            self._room -= size
            return self._room > 0

        async def listen() -> None:
            nonlocal failed
            try:
                await arriving.until_gone(room)
                failed = ClientDisconnectedError("the client left")
            except Exception as error:
                failed = error
            group.cancel_scope.cancel()

        try:
            async with anyio.create_task_group() as group:
                group.cancel_scope.deadline = until
                group.start_soon(listen)
                await event.wait()
                group.cancel_scope.cancel()
        finally:
            self._room += held
        if failed is not None and not event.is_set():
            raise failed

    def _refusal(self) -> OverloadedError:
        why = "the gateway is shutting down" if self._closed else "too many calls at once"
        return OverloadedError(why, headers=COME_BACK)

    def _caller(self, key: str | None) -> _Caller | None:
        """Returns the caller of a new call; None for an anonymous one."""
        if key is None:
            return None
        caller = self._keys.get(key)
        if caller is None:
            spare, self._spare = self._spare, None
            caller = self._keys[key] = spare or _Caller(self._limits.calls_per_key)
        caller.calls += 1
        return caller

    def _forget(self, key: str | None, caller: _Caller) -> None:
        caller.calls -= 1
        if not caller.calls and key is not None:
            del self._keys[key]
            self._spare = caller  # nothing of it is taken, so it can be the next caller's
