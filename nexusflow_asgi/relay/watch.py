"""Watch: interrupts a call when its client leaves or an order's time has passed.

Few servers raise from `send` after a disconnect; only `receive()` reports it. So one listener waits for it
during the call; our own server calls back instead. One timer is set again only when it fires, or when it must
fire earlier. Both would be most of a short call's cost, so a short call starts no listener, and has no timer of
its own: see YoungCalls.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType

import anyio
from anyio.abc import TaskGroup
from starlette.types import Receive

from nexusflow_asgi.relay.client import Client
from nexusflow_core.errors import NexusFlowError
from nexusflow_core.exchange import Close, Exchange

__all__ = ["LAST_WORDS_SECONDS", "Watch", "YoungCalls", "open_watch"]

_LOOK_SECONDS = 10.0
"""The longest time until the timer fires. A later deadline, which most are, does not set it again."""

_LISTEN_SECONDS = 0.02
"""Seconds after which a call is not short: the listener starts, at the latest after twice this time."""

LAST_WORDS_SECONDS = 5.0
"""Seconds to deliver the final error after a timeout or a shutdown: the client may have stopped reading."""


class Watch(ABC):
    """Inside `with watch:` it may interrupt: it cancels the running code and leaves the block quietly.

    The exchange already knows the reason; `take()` returns the bytes of its reaction. A ping does not
    interrupt: it is sent beside the relay, which reads on. `due`, set only here, is the timer's next time.
    """

    def __init__(self, exchange: Exchange, receive: Receive, client: Client) -> None:
        self.due = float("inf")
        self._exchange = exchange
        self._receive = receive
        self._client = client
        self._out = b""
        self._latest = self._end_by = float("inf")
        self._error: Exception | None = None

    @abstractmethod
    def __enter__(self) -> None: ...

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool: ...

    @abstractmethod
    def arm(self) -> None:
        """Sets the timer for the current order."""

    @abstractmethod
    def _interrupt(self) -> None:
        """Cancels the code inside `with watch:`, if any is running."""

    @abstractmethod
    def _spawn_ping(self, data: bytes) -> None:
        """Starts `_ping` in a task that ends with the watch."""

    def fail(self, error: NexusFlowError) -> None:
        """Ends the call from outside, with this error. Last bytes that are being sent get a short deadline."""
        now = time.monotonic()
        if isinstance(self._exchange.order, Close):
            self._latest = min(self._latest, now + LAST_WORDS_SECONDS)
            self.end_by(self._end_by)
            self.arm()
            return
        try:
            self._turn(self._exchange.fail(error, now), now)
        except Exception as defect:  # `take` raises it in the relay
            self._defect(defect)

    def take(self) -> bytes:
        """Returns the exchange's bytes after an interruption. Raises an error of the watch itself."""
        if self._error is not None:
            raise self._error
        out, self._out = self._out, b""
        return out

    def end_by(self, until: float) -> None:
        """Sets the deadline for sending, once the order is Close."""
        self._end_by = min(until, self._latest)

    def _turn(self, out: bytes, now: float) -> None:
        """Handles a change of order from outside the relay: keeps the bytes, and interrupts."""
        self._out += out
        if isinstance(self._exchange.order, Close):
            self._latest = min(self._latest, now + LAST_WORDS_SECONDS)
        self._interrupt()

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left()

    def _left(self) -> None:
        """Handles a client that has left."""
        if not isinstance(self._exchange.order, Close):  # else the server may still be writing the end
            now = time.monotonic()
            try:
                self._exchange.client_gone(now)
                self._turn(b"", now)
            except Exception as error:  # `take` raises it in the relay
                self._defect(error)

    def _tick(self) -> None:
        """Handles the timer. Errors are passed to the relay, since a timer's would be lost."""
        try:
            self._check_time()
        except Exception as error:
            self._defect(error)

    def _defect(self, error: Exception) -> None:
        self._error = error
        self._interrupt()

    def _check_time(self) -> None:
        """Checks the deadline. It may be early, since a read's deadline moves on without the timer."""
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
        """Returns the deadline of the current order."""
        order = self._exchange.order
        return self._end_by if isinstance(order, Close) else order.until

    def _until_due(self) -> float | None:
        """Returns the seconds until the next check; None if no deadline applies."""
        until = self._until()
        if until == float("inf") or self._error is not None:
            self.due = float("inf")
            return None
        now = time.monotonic()
        self.due = min(until, now + _LOOK_SECONDS)
        return max(self.due - now, 0.0)


def open_watch(
    exchange: Exchange, receive: Receive, client: Client, young: "YoungCalls | None"
) -> AbstractAsyncContextManager[Watch]:
    """Returns the watch of one call. On asyncio it uses bare tasks, ten times cheaper than a task group.

    `young`: the event loop's own; None on trio.
    """
    if young is None:
        return _AnyioWatch(exchange, receive, client)
    return _AsyncioWatch(exchange, receive, client, young)


class YoungCalls:
    """The calls of one asyncio event loop that may turn out to be short. They share one timer.

    Each turn of it looks at the calls that were there at the turn before, so it serves any number of calls.
    """

    __slots__ = ("_before", "_new", "_timer")

    def __init__(self) -> None:
        self._new: dict[_AsyncioWatch, None] = {}
        self._before: dict[_AsyncioWatch, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, watch: "_AsyncioWatch", loop: asyncio.AbstractEventLoop) -> None:
        """Calls `watch.fire` after once to twice `_LISTEN_SECONDS`, unless it is removed before."""
        self._new[watch] = None
        if self._timer is None:
            self._timer = loop.call_later(_LISTEN_SECONDS, self._turn, loop)

    def remove(self, watch: "_AsyncioWatch") -> None:
        """Forgets a watch whose call has ended, or whose own timer has fired."""
        self._new.pop(watch, None)
        self._before.pop(watch, None)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        grown, self._before, self._new = self._before, self._new, {}
        self._timer = loop.call_later(_LISTEN_SECONDS, self._turn, loop) if self._before else None
        for watch in grown:
            watch.fire()


class _AsyncioWatch(Watch):
    def __init__(self, exchange: Exchange, receive: Receive, client: Client, young: YoungCalls) -> None:
        super().__init__(exchange, receive, client)
        self._young: YoungCalls | None = young

    async def __aenter__(self) -> Watch:
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = asyncio.current_task(self._loop)
        self._timer: asyncio.TimerHandle | None = None
        self._inside = self._cancelling = False
        self._pings: asyncio.Task[None] | None = None
        self._listener: asyncio.Task[None] | None = None
        self._when_gone: Callable[[Callable[[], None] | None], bool] | None = None
        if self._young is not None:
            self._young.add(self, self._loop)
            self.due = time.monotonic() + 2 * _LISTEN_SECONDS
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        listener, timer = self._listener, self._timer
        # Break the cycle through a finished task's traceback: it would keep the request's body in memory.
        self._listener = self._timer = self._task = None
        self._grow_up()
        if self._when_gone is not None:
            self._when_gone(None)
        if timer is not None:
            timer.cancel()
        for task in (listener, self._pings):
            if task is not None and not task.cancel() and not task.cancelled():
                task.result()  # raises the error of the host's receive() or send()

    def __enter__(self) -> None:
        self._inside = True
        if self._until() < self.due:
            self.arm()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._inside = False
        if not self._cancelling:
            return False
        self._cancelling = False
        # True only if this watch alone cancelled the task, as in asyncio.timeout.
        others = self._task.uncancel() if self._task is not None else 0
        return others == 0 and kind is asyncio.CancelledError

    def arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        seconds = self._until_due()
        self._timer = None if seconds is None else self._loop.call_later(seconds, self.fire)

    def fire(self) -> None:
        """Looks at the time. At first it also starts the listener: the call is not short."""
        self._grow_up()
        if self._when_gone is None and self._listener is None:
            self._when_gone = when_gone = getattr(getattr(self._receive, "__self__", None), "when_gone", None)
            if when_gone is None or not when_gone(self._left):
                self._listener = self._loop.create_task(self._listen())
        self._tick()
        self.arm()

    def _grow_up(self) -> None:
        young, self._young = self._young, None
        if young is not None:
            young.remove(self)

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
