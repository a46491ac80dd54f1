"""Reads a request body within its limits."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from itertools import chain
from typing import Any

import anyio
from starlette.types import Message, Receive, Scope

from nexusflow_asgi.backend import runs_on_asyncio
from nexusflow_core.config import Limits
from nexusflow_core.errors import CallerError, RequestTimeoutError, RequestTooLargeError

__all__ = ["Arriving", "ClientDisconnectedError", "check_head"]


class ClientDisconnectedError(CallerError):
    """The client left while its request was arriving, so nobody gets an answer."""


def check_head(scope: Scope, limits: Limits) -> None:
    """Raises RequestTooLargeError for headers and a query over their bound. Some servers have no bound."""
    size = len(scope.get("query_string", b"")) + sum(map(len, chain.from_iterable(scope["headers"])))
    if size > limits.header_bytes:
        raise RequestTooLargeError(f"Request headers exceed the maximum size of {limits.header_bytes} bytes")


class Arriving:
    """A request body that is arriving. `stop()` ends the reading from outside."""

    def __init__(self, receive: Receive, limits: Limits, *, on_asyncio: bool | None = None) -> None:
        self._on_asyncio = runs_on_asyncio() if on_asyncio is None else on_asyncio
        self._receive = receive
        self._limits = limits
        self._kept: deque[Message] | None = None  # messages received before `read` asked for them
        self._begun: Awaitable[Message] | None = None
        self._stop: Callable[[], None] | None = None

    async def receive(self) -> Message:
        """Returns the next message of the request."""
        return self._kept.popleft() if self._kept else await self._receive()

    def when_gone(self, callback: Callable[[], None] | None) -> bool:
        """Has our own server call back once the client leaves; with None, no longer.

        Returns False if only `receive` can tell.
        """
        server: Any = getattr(self._receive, "__self__", None)
        return not self._kept and hasattr(server, "when_gone") and bool(server.when_gone(callback))

    async def until_gone(self, room: Callable[[int], bool]) -> None:
        """Returns once the client has left. Keeps its messages, and stops reading once `room` is False."""
        while True:
            message = await self._receive()
            if self._kept is None:
                self._kept = deque()
            self._kept.append(message)
            if message["type"] == "http.disconnect":
                return
            if not room(len(message.get("body", b""))):
                await anyio.sleep_forever()

    def stop(self) -> None:
        """Ends a running `read`, which raises RequestTimeoutError."""
        if self._stop is not None:
            self._stop()

    def now(self) -> bytes | None:
        """Returns the body if our own server has all of it and `receive` was not called yet; else None.

        Raises RequestTooLargeError.
        """
        if self._kept is not None or self._begun is not None:
            return None
        server: Any = getattr(self._receive, "__self__", None)
        body: bytes | None = server.take_body() if hasattr(server, "take_body") else None
        if body is not None and len(body) > self._limits.body_bytes:
            raise _too_large(self._limits)
        return body

    async def read(self, *, keep: bool = True) -> bytes:
        """Returns the body. With `keep=False`, reads and discards it.

        Raises RequestTooLargeError, RequestTimeoutError or ClientDisconnectedError. A body over the limit is
        read on and discarded, up to twice the limit: many servers reset the connection of a client that is
        still sending, which would then not see the answer.
        """
        if self._is_here():
            return await self._collect(keep, _no_time)
        seconds, idle = self._limits.body_seconds, self._limits.body_idle_seconds
        try:
            if self._on_asyncio:
                return await self._read_on_asyncio(seconds, idle, keep)
            return await self._read_on_trio(seconds, idle, keep)
        except TimeoutError as late:
            why = str(late) or f"took longer than {seconds:g} s to arrive"
            raise RequestTimeoutError(f"the request body {why}") from None
        finally:
            self._stop = None

    def _is_here(self) -> bool:
        """Returns True if the whole body has arrived. Nearly every body has, and then needs no timer.

        On asyncio it also looks for the first message, without waiting. On trio only a task can do that.
        """
        if not self._kept and self._on_asyncio:
            received = self._receive()
            if not isinstance(received, Coroutine):  # an awaitable of the server's own, which takes no steps
                self._begun = received
                return False
            steps = received.__await__()
            try:
                self._begun = _Begun(steps, next(steps))
            except StopIteration as done:
                self._kept = deque([done.value])
        kept = self._kept
        return kept is not None and bool(kept) and not kept[-1].get("more_body", False)

    async def _read_on_asyncio(self, seconds: float, idle: float, keep: bool) -> bytes:
        clock = asyncio.get_running_loop().time
        end = clock() + seconds

        def stop() -> None:
            if not timer.expired():
                timer.reschedule(0.0)

        try:
            async with asyncio.timeout_at(min(end, clock() + idle)) as timer:  # ten times cheaper than anyio's
                self._stop = stop
                return await self._collect(keep, lambda: timer.reschedule(min(end, clock() + idle)))
        except TimeoutError:
            raise _late(clock() < end, idle) from None

    async def _read_on_trio(self, seconds: float, idle: float, keep: bool) -> bytes:
        clock = anyio.current_time
        end = clock() + seconds

        def go_on() -> None:
            scope.deadline = min(end, clock() + idle)

        with anyio.CancelScope(deadline=min(end, clock() + idle)) as scope:
            self._stop = scope.cancel
            return await self._collect(keep, go_on)
        raise _late(clock() < end, idle)

    async def _collect(self, keep: bool, go_on: Callable[[], None]) -> bytes:
        """Returns the body. Calls `go_on` after each piece, to extend the idle deadline."""
        pieces: list[bytes] = []
        size, limit = 0, self._limits.body_bytes
        more = True
        while more and size <= 2 * limit:
            message = self._kept.popleft() if self._kept else await self._next()
            if message["type"] == "http.disconnect":
                raise ClientDisconnectedError("the client left")
            piece: bytes = message.get("body", b"")
            size += len(piece)
            if size <= limit and keep:
                pieces.append(piece)
            else:
                pieces.clear()
            more = message.get("more_body", False)
            if more and piece:
                go_on()
        if not self._kept:
            self._kept = None  # an empty deque takes 600 bytes, for as long as the answer lasts
        if size > limit:
            raise _too_large(self._limits)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _next(self) -> Message:
        begun, self._begun = self._begun, None
        return await (begun or self._receive())


class _Begun:
    """A running `receive()`, to be awaited in the same task. It has taken its first step.

    `waits`: the object that this step yielded to the event loop.
    """

    def __init__(self, steps: Generator[Any, Any, Message], waits: Any) -> None:
        self._steps = steps
        self._waits = waits

    def __await__(self) -> Generator[Any, Any, Message]:
        steps, waits = self._steps, self._waits
        try:
            while True:
                try:
                    sent = yield waits
                except BaseException as error:  # a cancellation, which is for the server's code to see
                    waits = steps.throw(error)
                else:
                    waits = steps.send(sent)
        except StopIteration as done:
            message: Message = done.value
            return message


def _no_time() -> None:
    """Does nothing: a body that has arrived needs no deadline."""


def _too_large(limits: Limits) -> RequestTooLargeError:
    return RequestTooLargeError(f"Request exceeds the maximum size of {limits.body_bytes} bytes")


def _late(idle: bool, seconds: float) -> TimeoutError:
    return TimeoutError(f"stopped arriving: no byte came for {seconds:g} s" if idle else "")
