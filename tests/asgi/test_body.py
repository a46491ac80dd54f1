"""A request's body: read at once where it has come, and waited for where it has not."""

import asyncio
from typing import Any

import anyio
import pytest

from nexusflow_asgi.body import Arriving, ClientDisconnectedError
from nexusflow_core.config import Limits
from nexusflow_core.errors import RequestTimeoutError

both_backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])

LAST = {"type": "http.request", "body": b"two", "more_body": False}
FIRST = {"type": "http.request", "body": b"one ", "more_body": True}


class Server:
    """A `receive` that gives these messages. Before each None it waits until `go_on` is called."""

    def __init__(self, *messages: Any) -> None:
        self.left = list(messages)
        self.waits = anyio.Event()
        self.cancelled = False
        self._gate = anyio.Event()

    def go_on(self) -> None:
        self._gate.set()

    async def __call__(self) -> Any:
        if self.left[0] is None:
            self.left.pop(0)
            self.waits.set()
            try:
                await self._gate.wait()
            except BaseException:
                self.cancelled = True
                raise
        message = self.left.pop(0)
        if isinstance(message, Exception):
            raise message
        return message


def test_a_body_that_has_come_is_read_without_waiting() -> None:
    """The task is not suspended once, so no other runs before the call goes on."""

    async def main() -> bytes:
        reading = Arriving(Server(LAST), Limits()).read()
        with pytest.raises(StopIteration) as done:
            reading.send(None)
        body: bytes = done.value.value
        return body

    assert asyncio.run(main()) == b"two"


@both_backends
@pytest.mark.parametrize("messages", [(None, FIRST, LAST), (FIRST, None, LAST), (None, FIRST, None, LAST)])
def test_a_body_is_waited_for_in_any_place(backend: str, messages: tuple[Any, ...]) -> None:
    """Before its first piece, between two, or both."""

    async def main() -> bytes:
        server = Server(*messages)
        found: list[bytes] = []

        async def read() -> None:
            found.append(await Arriving(server, Limits()).read())

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await server.waits.wait()
            assert found == []
            server.go_on()
        return found[0]

    assert anyio.run(main, backend=backend) == b"one two"


@both_backends
@pytest.mark.parametrize("messages", [(None, LAST), (FIRST, None, LAST)])
def test_a_cancellation_reaches_the_server(backend: str, messages: tuple[Any, ...]) -> None:
    """Its `receive` may have something to put in order."""

    async def main() -> bool:
        server = Server(*messages)
        async with anyio.create_task_group() as group:
            group.start_soon(Arriving(server, Limits()).read)
            await server.waits.wait()
            group.cancel_scope.cancel()
        return server.cancelled

    assert anyio.run(main, backend=backend)


@both_backends
@pytest.mark.parametrize("messages", [(None, LAST), (FIRST, None, LAST)])
@pytest.mark.parametrize("stopped", [False, True])
def test_a_body_that_does_not_come_is_a_timeout(backend: str, messages: tuple[Any, ...], stopped: bool) -> None:
    """By its own time, or from outside; the server's `receive` is cancelled."""

    async def main() -> bool:
        server = Server(*messages)
        arriving = Arriving(server, Limits() if stopped else Limits(body_idle_seconds=0.01))

        async def read() -> None:
            with pytest.raises(RequestTimeoutError):
                await arriving.read()

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await server.waits.wait()
            if stopped:
                arriving.stop()
        return server.cancelled

    assert anyio.run(main, backend=backend)


@both_backends
@pytest.mark.parametrize("error", [OSError("a server's"), {"type": "http.disconnect"}])
@pytest.mark.parametrize("before", [(), (None,), (FIRST,), (FIRST, None)])
def test_what_the_server_raises_is_raised(backend: str, before: tuple[Any, ...], error: Any) -> None:
    """At once or after a wait; a disconnect is an error of its own."""

    async def main() -> None:
        server = Server(*before, error)
        server.go_on()
        with pytest.raises(OSError if isinstance(error, OSError) else ClientDisconnectedError):
            await Arriving(server, Limits()).read()

    anyio.run(main, backend=backend)


class Awaited:
    """What granian's `receive` returns: an awaitable that is not a coroutine, with only `next`."""

    def __init__(self, message: Any) -> None:
        self._message = message
        self._turns = 2

    def __await__(self) -> Any:
        return self

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> None:
        if not self._turns:
            raise StopIteration(self._message)
        self._turns -= 1


def test_an_awaitable_of_the_servers_own() -> None:
    """It is awaited as any other; nothing but the awaiting is asked of it."""

    async def main() -> bytes:
        messages = [FIRST, LAST]
        receive: Any = lambda: Awaited(messages.pop(0))  # noqa: E731
        return await Arriving(receive, Limits()).read()

    assert asyncio.run(main()) == b"one two"
