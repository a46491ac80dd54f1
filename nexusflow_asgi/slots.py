"""How many calls run at once: on an event loop, and of one caller. A few more wait; the rest is refused."""

from collections import deque

import anyio

from nexusflow_core.config import Limits
from nexusflow_core.errors import Overloaded

__all__ = ["COME_BACK", "Slots"]

COME_BACK = {"retry-after": "1"}
"""With each 529 of ours: there may be room, or another process, in a second."""


class _Gate:
    """So many places, and a queue in the order of arrival."""

    def __init__(self, places: int) -> None:
        self.free = places
        self.waiting: deque[anyio.Event] = deque()

    def enter(self) -> bool:
        """Takes a place where one is free and nobody waits."""
        if self.free and not self.waiting:
            self.free -= 1
            return True
        return False

    def leave(self) -> None:
        """Gives a place back, to who has waited longest."""
        if self.waiting:
            self.waiting.popleft().set()
        else:
            self.free += 1


class Slots:
    """The places of one event loop. A call takes one of its caller's, then one of all, and gives both back."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._all = _Gate(limits.calls)
        self._keys: dict[str, tuple[_Gate, int]] = {}  # with the calls that run or wait there
        self._waiting = 0
        self._closed = False

    async def take(self, key: str | None) -> None:
        """Returns once the call may go on. Raises Overloaded where the queue is full, or the wait too long."""
        if key is not None:
            gate, calls = self._keys.get(key) or (_Gate(self._limits.calls_per_key), 0)
            self._keys[key] = gate, calls + 1
            try:
                await self._enter(gate)
            except BaseException:
                self._forget(key)
                raise
        try:
            await self._enter(self._all)
        except BaseException:
            if key is not None:
                self._keys[key][0].leave()
                self._forget(key)
            raise

    def give(self, key: str | None) -> None:
        """The call is over."""
        self._all.leave()
        if key is not None:
            self._keys[key][0].leave()
            self._forget(key)

    def close(self) -> None:
        """Whoever waits is refused, as is whoever would have to."""
        self._closed = True
        for gate in [self._all, *(gate for gate, _ in self._keys.values())]:
            for event in gate.waiting:
                event.set()

    async def _enter(self, gate: _Gate) -> None:
        if gate.enter():
            return
        if self._closed or self._waiting >= self._limits.queue:
            raise self._refusal()
        event = anyio.Event()
        gate.waiting.append(event)
        self._waiting += 1
        given = False
        try:
            with anyio.move_on_after(self._limits.queue_seconds):
                await event.wait()
            given = event not in gate.waiting
        finally:
            self._waiting -= 1
            if event in gate.waiting:
                gate.waiting.remove(event)
            elif not given:  # cancelled in the moment that the place was given
                gate.leave()
        if not given:
            raise self._refusal()

    def _refusal(self) -> Overloaded:
        why = "the gateway is shutting down" if self._closed else "too many calls at once"
        return Overloaded(why, headers=COME_BACK)

    def _forget(self, key: str) -> None:
        gate, calls = self._keys[key]
        if calls > 1:
            self._keys[key] = gate, calls - 1
        else:
            del self._keys[key]
