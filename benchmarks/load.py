"""The load generator of the gateway benchmark: keep-alive connections over raw asyncio, in its own process.

A question `{"port": P, "kind": K, "count": N, "connections": C}` is answered when all N answers have come.
"""

import asyncio
import json
import re
import sys
from typing import Any, cast

import uvloop

from benchmarks.processes import announce, bound_lifetime
from benchmarks.samples import ANSWER, EVENTS, GATEWAY_KEY, REQUESTS

__all__: list[str] = []

_ROUND_SECONDS = 60

_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

# What the Anthropic SDK for Python sends.
_HEADERS = (
    "Host: 127.0.0.1",
    "Accept-Encoding: gzip, deflate",
    "Connection: keep-alive",
    "Accept: application/json",
    "Content-Type: application/json",
    "User-Agent: Anthropic/Python 0.76.0",
    "X-Stainless-Lang: python",
    "X-Stainless-Package-Version: 0.76.0",
    "X-Stainless-OS: Linux",
    "X-Stainless-Arch: x64",
    "X-Stainless-Runtime: CPython",
    "X-Stainless-Runtime-Version: 3.12.3",
    "X-Stainless-Async: async:asyncio",
    f"X-Api-Key: {GATEWAY_KEY}",
    "anthropic-version: 2023-06-01",
    "anthropic-beta: context-1m-2025-08-07",
    "x-stainless-retry-count: 0",
    "x-stainless-read-timeout: 600",
)


def _request(body: bytes) -> bytes:
    lines = ("POST /v1/messages HTTP/1.1", *_HEADERS, f"Content-Length: {len(body)}", "", "")
    return "\r\n".join(lines).encode() + body


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._length: int | None = None  # of the whole answer; None for a chunked one
        self._head_came = False
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is no subclass of it

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the connection was closed inside an answer"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._head_came:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            self._head_came = True
            length = _CONTENT_LENGTH.search(self._received, 0, end)
            self._length = end + 4 + int(length[1]) if length else None
        whole = (
            self._received.endswith(b"\r\n0\r\n\r\n")
            if self._length is None
            else len(self._received) >= self._length
        )
        if whole and self._answer is not None and not self._answer.done():
            self._answer.set_result(bytes(self._received))
            self._received.clear()
            self._head_came = False

    async def ask(self, request: bytes) -> bytes:
        """The whole answer, head and all."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer


class _Load:
    """Connections stay open between rounds: accepting them is not what is measured."""

    def __init__(self) -> None:
        self._connections: dict[int, list[_Connection]] = {}

    async def run(self, port: int, kind: str, count: int, connections: int) -> int:
        """Asks `count` times; returns how many chunks the answers came in. Raises for a wrong answer."""
        opened = self._connections.setdefault(port, [])
        while len(opened) < connections:
            _, connection = await asyncio.get_running_loop().create_connection(_Connection, "127.0.0.1", port)
            opened.append(connection)
        request = _request(REQUESTS[kind])
        waiting = iter(range(count))
        chunks = 0

        async def ask_on(connection: _Connection) -> None:
            nonlocal chunks
            for _ in waiting:
                answer = await connection.ask(request)
                chunks += _checked(answer, kind)

        async with asyncio.timeout(_ROUND_SECONDS), asyncio.TaskGroup() as group:
            for connection in opened[:connections]:
                group.create_task(ask_on(connection))
        return chunks


def _checked(answer: bytes, kind: str) -> int:
    """How many chunks with data an answer came in. Raises ValueError for one that is not as the upstream's."""
    if kind == "sync":
        if not (answer.startswith(b"HTTP/1.1 200") and answer.endswith(ANSWER)):
            raise ValueError(f"unexpected answer: {answer[:1000]!r}")
        return 1
    if not (answer.startswith(b"HTTP/1.1 200") and answer.count(b"\ndata: ") == len(EVENTS)):
        raise ValueError(f"unexpected stream: {answer[:1000]!r}")
    return answer.count(b"\n\n\r\n")  # an event's blank line where a chunk ends, too


async def _main() -> None:
    load = _Load()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        question: dict[str, Any] = json.loads(line)
        announce(chunks=await load.run(**question))


if __name__ == "__main__":
    bound_lifetime()
    uvloop.run(_main())
