"""What can interrupt a call: the client goes away, or the time of an order is up.

No server raises on `send` or cancels after a disconnect; only `receive()` tells. So one listener waits on it
for as long as the call takes, beside one timer that is set anew only when it fires or must fire sooner. Most of
what a short call costs would be these two: its timer is set once, and its listener does not begin at all.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from types import TracebackType

import anyio
from anyio.abc import TaskGroup
from starlette.types import Receive

from nexusflow_asgi.backend import runs_on_asyncio
from nexusflow_asgi.relay.client import Client
from nexusflow_core.errors import NexusFlowError
from nexusflow_core.exchange import Close, Exchange

__all__ = ["LAST_WORDS_SECONDS", "Watch", "open_watch"]

_LOOK_SECONDS = 10.0
"""The timer fires at least so often. A time that is further away, as nearly all are, does not set it anew."""

_LISTEN_SECONDS = 0.02
"""After this a call is no short one."""

LAST_WORDS_SECONDS = 5.0
"""What an answer that was ended for its time, or from outside, gets to say so, to a client that may not be
reading."""


class Watch(ABC):
    """`with watch:` marks where it may interrupt: what runs there is cancelled, and the block left quietly.

    The exchange has heard of the reason by then; `take()` gives the bytes that it answered with. A ping is no
    interruption: it is sent beside the relay, which reads on. `due`, which only this module sets, is when the
    timer fires next.
    """

    def __init__(self, exchange: Exchange, receive: Receive, client: Client) -> None:
        self.due = float("inf")
        self._exchange = exchange
        self._receive = receive
        self._client = client
        self._out = b""
        self._latest = self._end_by = float("inf")
        self._look_seconds = _LOOK_SECONDS
        self._error: Exception | None = None

    @abstractmethod
    def __enter__(self) -> None: ...

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool: ...

    @abstractmethod
    def arm(self) -> None:
        """Sets the timer to the time of the current order."""

    @abstractmethod
    def _interrupt(self) -> None:
        """Cancels what runs inside `with watch:`, if anything does."""

    @abstractmethod
    def _spawn_ping(self, data: bytes) -> None:
        """Starts `_ping` in a task that ends with the watch."""

    def fail(self, error: NexusFlowError) -> None:
        """Ends the call from outside, with this error; last words that are being said get little time."""
        now = time.monotonic()
        if isinstance(self._exchange.order, Close):
            self._latest = min(self._latest, now + LAST_WORDS_SECONDS)
            self.end_by(self._end_by)
            self.arm()
            return
        try:
            self._turn(self._exchange.fail(error, now), now)
        except Exception as defect:
            self._defect(defect)

    def take(self) -> bytes:
        """What the exchange has answered to an interruption. Raises what went wrong in the watch itself."""
        if self._error is not None:
            raise self._error
        out, self._out = self._out, b""
        return out

    def end_by(self, until: float) -> None:
        """Once the order is Close: interrupts what runs then."""
        self._end_by = min(until, self._latest)

    def _turn(self, out: bytes, now: float) -> None:
        """The exchange has changed its order beside the relay."""
        self._out += out
        if isinstance(self._exchange.order, Close):
            self._latest = min(self._latest, now + LAST_WORDS_SECONDS)
        self._interrupt()

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not isinstance(self._exchange.order, Close):  # else the server may be writing the end
            now = time.monotonic()
            try:
                self._exchange.client_gone(now)
                self._turn(b"", now)
            except Exception as error:
                self._defect(error)

    def _tick(self) -> None:
        """The timer fired. What goes wrong here is the relay's to tell: nobody would hear of it otherwise."""
        try:
            self._check_time()
        except Exception as error:
            self._defect(error)

    def _defect(self, error: Exception) -> None:
        self._error = error
        self._interrupt()

    def _check_time(self) -> None:
        """Often too early, since the time of a read moves on without the timer."""
        now = time.monotonic()
        order = self._exchange.order
        if now < self._until():
            return
        if isinstance(order, Close):
            self._end_by = float("inf")
            self._interrupt()
            return
        if self._client.writing and self._exchange.client_slow(now):
            return
        out = self._exchange.on_timer(now)
        if self._exchange.order is not order:
            self._turn(out, now)
        elif out and self._client.begin_ping():
            self._spawn_ping(out)

    async def _ping(self, data: bytes) -> None:
        if not await self._client.send_ping(data):
            self._interrupt()

    def _until(self) -> float:
        """The time of the current order."""
        order = self._exchange.order
        return self._end_by if isinstance(order, Close) else order.until

    def _until_due(self) -> float | None:
        """Seconds from now to the next look at the time; None where nothing is waited for."""
        until = self._until()
        if until == float("inf") or self._error is not None:
            return None
        now = time.monotonic()
        self.due = min(until, now + self._look_seconds)
        return max(self.due - now, 0.0)


def open_watch(exchange: Exchange, receive: Receive, client: Client) -> AbstractAsyncContextManager[Watch]:
    """A watch over one call: on asyncio bare tasks, which cost a tenth of the task group that trio needs."""
    kind = _AsyncioWatch if runs_on_asyncio() else _AnyioWatch
    return kind(exchange, receive, client)


class _AsyncioWatch(Watch):
    async def __aenter__(self) -> Watch:
        self._task: asyncio.Task[object] | None = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._inside = self._cancelling = False
        self._pings: asyncio.Task[None] | None = None
        self._listener: asyncio.Task[None] | None = None
        self._look_seconds = _LISTEN_SECONDS
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        listener, timer = self._listener, self._timer
        # No cycle through a finished task's traceback: it would keep the request's body until a collection.
        self._listener = self._timer = self._task = None
        if timer is not None:
            timer.cancel()
        for task in (listener, self._pings):
            if task is not None and not task.cancel() and not task.cancelled():
                task.result()  # the host's receive() or send() failed: its error is not swallowed

    def __enter__(self) -> None:
        self._inside = True
        if self._timer is None or self._until() < self.due:
            self.arm()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._inside = False
        if not self._cancelling:
            return False
        self._cancelling = False
        # Cancelled by us, and by nobody else besides (as asyncio.timeout tells the two apart).
        others = self._task.uncancel() if self._task is not None else 0
        return others == 0 and kind is asyncio.CancelledError

    def arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        seconds = self._until_due()
        self._timer = None if seconds is None else self._loop.call_later(seconds, self._fire)

    def _fire(self) -> None:
        self._timer = None
        if self._listener is None:
            self._listener = self._loop.create_task(self._listen())
            self._look_seconds = _LOOK_SECONDS
        self._tick()
        self.arm()

    def _spawn_ping(self, data: bytes) -> None:
        self._pings = self._loop.create_task(self._ping(data))

    def _interrupt(self) -> None:
        if self._inside and not self._cancelling and self._task is not None:
            self._cancelling = self._task.cancel()


class _AnyioWatch(Watch):
    async def __aenter__(self) -> Watch:
        self._scope: anyio.CancelScope | None = None
        self._sleep = anyio.CancelScope()
        self._group: TaskGroup = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._listen)
        self._group.start_soon(self._keep_time)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._group.cancel_scope.cancel()
        return await self._group.__aexit__(kind, error, trace)

    def __enter__(self) -> None:
        self._scope = anyio.CancelScope()
        self._scope.__enter__()
        self.arm()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        scope, self._scope = self._scope, None
        return scope is not None and bool(scope.__exit__(kind, error, trace))

    def arm(self) -> None:
        self._sleep.cancel()

    async def _keep_time(self) -> None:
        while True:
            seconds = self._until_due()
            with anyio.CancelScope() as self._sleep:
                await (anyio.sleep_forever() if seconds is None else anyio.sleep(seconds))
            self._tick()

    def _spawn_ping(self, data: bytes) -> None:
        self._group.start_soon(self._ping, data)

    def _interrupt(self) -> None:
        if self._scope is not None:
            self._scope.cancel()
