"""Any ASGI app on a real uvicorn, in a thread; and a hook that keeps the records."""

from __future__ import annotations

import asyncio
import functools
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import msgspec
import uvicorn

from tests.planted import assert_no_key
from tests.servers.upstream import LIMIT

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from nexusflow_asgi.server import ServerLimits
    from nexusflow_core.record import CallRecord

T = TypeVar("T")


class Served:
    """`with Served(app) as served:` listens on 127.0.0.1:`served.port`; leaving stops server and thread."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        loop: Literal["asyncio", "uvloop"] = "asyncio",
        limits: ServerLimits | None = None,  # then by the protocol of `nexusflow serve`
        own_headers: bool = False,
    ) -> None:
        self._app = app
        self._loop: asyncio.AbstractEventLoop | None = None
        self._calls = 0
        self._entered = threading.Condition()
        # With its protocol named: asyncio sets TCP_NODELAY only then, else each answer waits 40 ms for an ACK.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._server = _Server(
            uvicorn.Config(
                self._entry,
                interface="asgi3",
                loop=loop,
                http="httptools" if limits is None else _protocol(limits),
                ws="none",
                lifespan="auto",
                log_config=None,
                access_log=False,
                server_header=own_headers,
                date_header=own_headers,
                timeout_keep_alive=600,
                timeout_graceful_shutdown=5,
            )
        )
        self._thread = threading.Thread(target=self._run, name="served", daemon=True)

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self._thread.start()
        assert self._server.ready.wait(LIMIT), "uvicorn did not start"
        assert self._server.started, "uvicorn stopped at once"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(LIMIT)
        self._socket.close()
        assert not self._thread.is_alive(), "uvicorn did not stop"

    @property
    def calls(self) -> int:
        """How many requests have reached the app."""
        with self._entered:
            return self._calls

    def wait_calls(self, count: int) -> None:
        """Returns once the app has been entered for `count` requests."""
        with self._entered:
            came = self._entered.wait_for(lambda: self._calls >= count, LIMIT)
        assert came, f"{self._calls} of {count} requests reached the app"

    def tasks(self) -> Counter[str]:
        """What runs in the server's loop now, by name of coroutine, but for uvicorn's main task."""
        names = self._ask(lambda: Counter(_name(task) for task in asyncio.all_tasks()))
        return names - Counter(["Server.serve", "Served._ask._answer"])

    def leftovers(self, than: Counter[str]) -> Counter[str]:
        """The tasks beyond those in `than` that are still there after time enough to end."""
        return self._until(lambda: self.tasks() - than)

    def client_connections(self) -> int:
        """Connections of clients that are still open after time enough to close."""
        return self._until(lambda: self._ask(lambda: len(self._server.server_state.connections)))

    def _until(self, question: Callable[[], T]) -> T:
        """Asks again and again until the answer is empty, or the time is up."""
        end = time.monotonic() + LIMIT
        while (found := question()) and time.monotonic() < end:
            time.sleep(0.005)
        return found

    def _ask(self, question: Callable[[], T]) -> T:
        async def _answer() -> T:
            return question()

        assert self._loop is not None, "the app has not been called yet"
        return asyncio.run_coroutine_threadsafe(_answer(), self._loop).result(LIMIT)

    async def _entry(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._loop = asyncio.get_running_loop()
        if scope["type"] == "http":
            with self._entered:
                self._calls += 1
                self._entered.notify_all()
        await self._app(scope, receive, send)

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._server.ready.set()


def _protocol(limits: ServerLimits) -> Any:
    from nexusflow_asgi.server import GatewayProtocol

    return functools.partial(GatewayProtocol, limits=limits)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        """As uvicorn's own, which looks ten times a second whether to stop: a test is over sooner."""
        while not await self.on_tick(0):
            await asyncio.sleep(0.01)


def _name(task: asyncio.Task[object]) -> str:
    return getattr(task.get_coro(), "__qualname__", repr(task)).replace(".<locals>", "").split(".<lambda>")[0]


class RecordingHook:
    """Keeps every record; a test waits for them from its own thread."""

    def __init__(self) -> None:
        self._records: list[CallRecord] = []
        self._changed = threading.Condition()

    async def after(self, record: CallRecord) -> None:
        for text in (repr(record), msgspec.json.encode(record)):
            assert_no_key(text, "a record")
        with self._changed:
            self._records.append(record)
            self._changed.notify_all()

    @property
    def records(self) -> list[CallRecord]:
        with self._changed:
            return list(self._records)

    def wait(self, count: int, timeout: float = LIMIT) -> list[CallRecord]:
        """All records so far, once there are `count` of them; fails if they do not come."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self._records) >= count, timeout)
            assert came, f"{len(self._records)} of {count} records came"
            return list(self._records)
