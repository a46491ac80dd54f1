"""What can interrupt a call: the client goes away, or the time of an order is up.

No server raises on `send` or cancels after a disconnect; only `receive()` tells. So one listener waits on it
for as long as the call takes, beside one timer that is set anew only when it fires or must fire sooner.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from types import TracebackType

import anyio
from anyio.abc import TaskGroup
from starlette.types import Receive, Send

from nexusflow_asgi.backend import runs_on_asyncio
from nexusflow_core.errors import NexusFlowError
from nexusflow_core.exchange import Close, Exchange

__all__ = ["Watch", "open_watch"]


class Watch(ABC):
    """`with watch:` marks where it may interrupt: what runs there is cancelled, and the block left quietly.

    The exchange has heard of the reason by then; `take()` gives the bytes that it answered with. A ping is no
    interruption: it is sent from here while the relay reads on, and `pinged()` keeps the two apart.
    """

    def __init__(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        self.due = float("inf")  # when the timer fires next
        self.writing = False  # bytes are on their way to the client: silence is not the upstream's now
        self.pinging: anyio.Event | None = None  # a ping is on its way to the client
        self._exchange = exchange
        self._receive = receive
        self._send = send
        self._out = b""

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
        """Starts `_send_ping` in a task that ends with the watch."""

    async def pinged(self) -> None:
        """Returns once no ping is on its way."""
        while self.pinging is not None:
            await self.pinging.wait()

    def fail(self, error: NexusFlowError) -> None:
        """Ends the call from outside, with this error."""
        self._out += self._exchange.fail(error, time.monotonic())
        self._interrupt()

    def take(self) -> bytes:
        out, self._out = self._out, b""
        return out

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._exchange.client_gone(time.monotonic())
        self._interrupt()

    def _check_time(self) -> None:
        """The timer fired: often too early, since the time of a read moves on without it."""
        now = time.monotonic()
        order = self._exchange.order
        if isinstance(order, Close) or now < order.until:
            return
        if self.writing and self._exchange.client_slow(now):
            return
        out = self._exchange.on_timer(now)
        if self._exchange.order is not order:
            self._out += out
            self._interrupt()
        elif out and self.pinging is None:  # else the client has not even taken the last one
            self.pinging = anyio.Event()
            self._spawn_ping(out)

    async def _send_ping(self, data: bytes) -> None:
        done = self.pinging
        try:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
        except OSError:
            self._exchange.client_gone(time.monotonic())
            self._interrupt()
        finally:
            self.pinging = None
            if done is not None:
                done.set()

    def _until_due(self) -> float | None:
        """Seconds from now to the time of the current order; None where nothing is waited for."""
        order = self._exchange.order
        if isinstance(order, Close):
            return None
        self.due = order.until
        return max(order.until - time.monotonic(), 0.0)


def open_watch(exchange: Exchange, receive: Receive, send: Send) -> AbstractAsyncContextManager[Watch]:
    """A watch over one call: on asyncio bare tasks, which cost a tenth of the task group that trio needs."""
    kind = _AsyncioWatch if runs_on_asyncio() else _AnyioWatch
    return kind(exchange, receive, send)


class _AsyncioWatch(Watch):
    async def __aenter__(self) -> Watch:
        self._task: asyncio.Task[object] | None = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._inside = self._cancelling = False
        self._ping: asyncio.Task[None] | None = None
        self._listener = self._loop.create_task(self._listen())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        listener, timer = self._listener, self._timer
        # No cycle through a finished task's traceback: it would keep the request's body until a collection.
        del self._listener
        self._timer = self._task = None
        if timer is not None:
            timer.cancel()
        for task in (listener, self._ping):
            if task is not None and not task.cancel() and not task.cancelled():
                task.result()  # the host's receive() or send() failed: its error is not swallowed

    def __enter__(self) -> None:
        self._inside = True
        order = self._exchange.order
        if self._timer is None or (not isinstance(order, Close) and order.until < self.due):
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
        self._check_time()
        self.arm()

    def _spawn_ping(self, data: bytes) -> None:
        self._ping = self._loop.create_task(self._send_ping(data))

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
            self._check_time()

    def _spawn_ping(self, data: bytes) -> None:
        self._group.start_soon(self._send_ping, data)

    def _interrupt(self) -> None:
        if self._scope is not None:
            self._scope.cancel()
