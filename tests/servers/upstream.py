"""A scripted HTTP/1.1 upstream on a raw socket: it records what really came and misbehaves to order."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Literal, Self, TypeAlias, cast

LIMIT = 20.0
"""Seconds after which a wait gives up: a guard against a deadlock, never a measurement."""

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]


class Gate:
    """The script waits at a gate until a test opens it, from any thread."""

    def __init__(self) -> None:
        self._opened: Future[None] = Future()

    def open(self) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    async def _wait(self) -> None:
        await asyncio.shield(asyncio.wrap_future(self._opened))


class Fault(enum.Enum):
    HANG = "say nothing more until the peer closes"
    CLOSE = "close the socket in an orderly way"
    RESET = "close the socket with a reset"


Step: TypeAlias = bytes | Gate | Fault
Script: TypeAlias = "Callable[[Received], Iterable[Step]]"

JSON: Headers = ((b"content-type", b"application/json"),)
SSE: Headers = ((b"content-type", b"text/event-stream; charset=utf-8"),)
LAST_CHUNK = b"0\r\n\r\n"


def head(status: int, headers: Headers = (), *, reason: bytes = b"Any Reason") -> bytes:
    lines = [b"HTTP/1.1 %d %s" % (status, reason), *(name + b": " + value for name, value in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def answer(
    status: int = 200,
    headers: Headers = JSON,
    pieces: Iterable[bytes | Gate] = (),
    *,
    framing: Literal["chunked", "length", "close"] = "length",
) -> list[Step]:
    """A whole, honest answer. A gate among the pieces holds back everything after it."""
    pieces = [piece for piece in pieces if piece != b""]
    if framing == "chunked":
        body: list[Step] = [chunk(p) if isinstance(p, bytes) else p for p in pieces]
        return [head(status, [*headers, (b"transfer-encoding", b"chunked")]), *body, LAST_CHUNK]
    if framing == "close":
        return [head(status, [*headers, (b"connection", b"close")]), *pieces, Fault.CLOSE]
    length = sum(len(p) for p in pieces if isinstance(p, bytes))
    return [head(status, [*headers, (b"content-length", b"%d" % length)]), *pieces]


def parse_head(text: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The first line and the header pairs, as they stand on the wire."""
    first, *lines = text.removesuffix(b"\r\n\r\n").split(b"\r\n")
    pairs = (line.partition(b":") for line in lines)
    return first, [(name, value.strip(b" \t")) for name, _, value in pairs]


def always(steps: Iterable[Step]) -> Script:
    """The same answer for every request."""
    return lambda _: steps


def in_order(*answers: Iterable[Step]) -> Script:
    """The first answer for the first request, and so on; one request too many is an error."""
    rest = iter(answers)
    return lambda _: next(rest)


class Received:
    """One request as it stood on the wire: order, case and duplicates of its headers are kept."""

    def __init__(self, line: bytes, headers: list[tuple[bytes, bytes]], closed: threading.Event) -> None:
        self.line, self.headers, self.body = line, headers, b""
        self.answered = threading.Event()
        self.over = threading.Event()
        self.early = False
        self._closed = closed

    @property
    def target(self) -> bytes:
        return self.line.split(b" ")[1]

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key.lower() == name]

    def settled(self, timeout: float = LIMIT) -> None:
        """Returns once the script is through, or its connection is gone. Blocks the thread."""
        assert self.over.wait(timeout), "the script is not through"

    def wait_closed(self, timeout: float = LIMIT) -> bool:
        """True once the socket of this request was seen to close."""
        return self._closed.wait(timeout)

    def cut_off(self, timeout: float = LIMIT) -> bool:
        """True if the peer closed the socket before the script was through."""
        return self._closed.wait(timeout) and not self.answered.is_set()


class _Gone(Exception):
    """The peer closed its socket."""


class _Connection(asyncio.Protocol):
    transport: asyncio.Transport
    task: asyncio.Task[None]

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self.upstream = upstream
        self.buffer = bytearray()
        self.news, self.gone, self.writable = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.writable.set()
        self.closed = threading.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.upstream._count(self, opened=True)
        self.task = asyncio.get_running_loop().create_task(self.serve())

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.news.set()

    def eof_received(self) -> None:
        self.lose()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lose()
        self.upstream._count(self, opened=False)

    def lose(self) -> None:
        self.gone.set()
        self.news.set()
        self.writable.set()
        self.closed.set()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    async def serve(self) -> None:
        try:
            await self.obey(self.upstream.greeting)
            self.upstream.greeted.set()
            while True:
                received = await self.read_request()
                self.upstream._received(received)
                try:
                    if not received.early:
                        await self.obey(self.upstream.script(received))
                    received.answered.set()
                finally:
                    received.over.set()
        except _Gone:
            pass
        except Exception as error:
            self.upstream.errors.append(error)
        finally:
            self.transport.close()

    async def obey(self, steps: Iterable[Step]) -> None:
        for step in steps:
            match step:
                case Gate():
                    await self.until(step._wait())
                case Fault.HANG:
                    await self.gone.wait()
                case Fault.CLOSE:
                    self.transport.close()
                    raise _Gone
                case Fault.RESET:
                    raw = self.transport.get_extra_info("socket")
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.transport.abort()
                    raise _Gone
                case bytes():
                    self.transport.write(step)
                    await self.writable.wait()
                    await asyncio.sleep(0)
            if self.gone.is_set():
                raise _Gone

    async def until(self, wanted: Coroutine[None, None, None]) -> None:
        """Wait for something, but no longer than the peer stays."""
        tasks = {asyncio.ensure_future(wanted), asyncio.ensure_future(self.gone.wait())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def read_request(self) -> Received:
        line, headers = parse_head(await self.take_until(b"\r\n\r\n"))
        received = Received(line, headers, self.closed)
        if self.upstream.on_head is not None and (early := self.upstream.on_head(received)):
            received.early = True
            await self.obey(early)
        if received.values(b"transfer-encoding"):
            received.body = await self.take_chunks()
        else:
            received.body = await self.take(int((received.values(b"content-length") or [b"0"])[0]))
        return received

    async def take_chunks(self) -> bytes:
        body = bytearray()
        while size := int((await self.take_until(b"\r\n")).split(b";")[0], 16):
            body += (await self.take(size + 2))[:-2]
        await self.take_until(b"\r\n")
        return bytes(body)

    async def take_until(self, mark: bytes) -> bytes:
        while (at := self.buffer.find(mark)) < 0:
            await self.more()
        return await self.take(at + len(mark))

    async def take(self, size: int) -> bytes:
        while len(self.buffer) < size:
            await self.more()
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    async def more(self) -> None:
        if self.gone.is_set():
            raise _Gone
        self.news.clear()
        await self.news.wait()


class ScriptedUpstream:
    """Serves `script` on 127.0.0.1 in its own thread; leaving the context leaves no thread and no socket.

    With `tls` it speaks https; with `path` it listens on a unix socket.
    `greeting` is what it says on each connection before it is asked anything. `on_head` is what it says to the
    head of a request, before the body; where that is something, the script is not asked. `accepted` counts
    connections.
    """

    def __init__(
        self,
        script: Script,
        *,
        greeting: Sequence[Step] = (),
        on_head: Callable[[Received], Iterable[Step]] | None = None,
        tls: ssl.SSLContext | None = None,
        path: str | None = None,
    ) -> None:
        self.script = script
        self._tls = tls
        self._path = path
        self.on_head = on_head
        self.greeting = greeting
        self.greeted = threading.Event()
        self.accepted = 0
        self.port = 0
        self.errors: list[Exception] = []
        self._requests: list[Received] = []
        self._open: set[_Connection] = set()
        self._changed = threading.Condition()
        self._started: Future[None] = Future()
        self._loop = asyncio.new_event_loop()
        self._stop = Gate()
        self._thread = threading.Thread(target=self._run, name="scripted-upstream", daemon=True)

    @property
    def url(self) -> str:
        if self._path is not None:
            return f"unix:{self._path}:"
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[Received]:
        with self._changed:
            return list(self._requests)

    @property
    def open_connections(self) -> int:
        with self._changed:
            return len(self._open)

    def wait_requests(self, count: int, timeout: float = LIMIT) -> list[Received]:
        """All requests so far, once there are `count` of them (or the time is up)."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._requests) >= count, timeout)
            return list(self._requests)

    def wait_open(self, most: int, timeout: float = LIMIT) -> bool:
        """True once no more than `most` connections are open."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._open) <= most, timeout)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.result(LIMIT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.open()
        self._thread.join(LIMIT)
        assert not self._thread.is_alive(), "the scripted upstream did not stop"
        if self.errors and error is None:
            raise self.errors[0]

    def _run(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._main())

    async def _main(self) -> None:
        server = await self._listen()
        self._started.set_result(None)
        await self._stop._wait()
        server.close()
        await asyncio.sleep(0.01)  # a connection accepted just now has its protocol a few turns later
        connections = list(self._open)
        for connection in connections:
            connection.task.cancel()
            connection.transport.abort()
        await asyncio.gather(*(connection.task for connection in connections), return_exceptions=True)
        while self._open:
            await asyncio.sleep(0.001)
        await server.wait_closed()

    async def _listen(self) -> asyncio.Server:
        if self._path is not None:
            return await self._loop.create_unix_server(lambda: _Connection(self), self._path, backlog=512)
        server = await self._loop.create_server(
            lambda: _Connection(self), "127.0.0.1", 0, backlog=512, ssl=self._tls
        )
        self.port = server.sockets[0].getsockname()[1]
        return server

    def _received(self, received: Received) -> None:
        with self._changed:
            self._requests.append(received)
            self._changed.notify_all()

    def _count(self, connection: _Connection, *, opened: bool) -> None:
        with self._changed:
            self.accepted += opened
            (self._open.add if opened else self._open.discard)(connection)
            self._changed.notify_all()


@contextlib.contextmanager
def refusing_port() -> Iterator[int]:
    """A port that stays ours and refuses every connection: bound, never listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
