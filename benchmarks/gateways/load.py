"""The load on a gateway: keep-alive connections, each with one request at a time, in a process of its own.

A line of JSON on stdin asks for a number of answers, as `Question` says; one line answers when they have come.
"""

import asyncio
import hashlib
import re
import statistics
import sys
import time
from typing import cast

import msgspec
import uvloop

from benchmarks.gateways.scenarios import QUICK, SCENARIOS, body

__all__ = ["Reply"]

_SECONDS = 120
_CONNECTIONS_AT_ONCE = 64
_BETWEEN_SECONDS = 0.1
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_HEADERS = """Host: 127.0.0.1
Accept-Encoding: identity
Accept: application/json
Content-Type: application/json
User-Agent: Anthropic/Python 2.14.0
X-Stainless-Lang: python
X-Stainless-Package-Version: 2.14.0
X-Stainless-OS: Linux
X-Stainless-Arch: x64
X-Stainless-Runtime: CPython
X-Stainless-Async: async:asyncio
anthropic-version: 2023-06-01
x-stainless-retry-count: 0
x-stainless-read-timeout: 600"""
"""What the Anthropic SDK for Python sends."""


class Question(msgspec.Struct):
    """Load for one gateway: `headers` are its own, beside those of every client."""

    port: int
    scenario: str
    model: str
    headers: dict[str, str]
    count: int
    quick: bool = False


class Reply(msgspec.Struct):
    """What came. `body` is a digest of the first answer's body; `error` tells of the first wrong answer.

    `at_once`: the most answers that had begun and not ended.
    """

    seconds: float = 0
    at_once: int = 0
    first_byte_ms: float = 0
    body: str = ""
    error: str = ""


class _Round:
    """The answers that one question asks for."""

    def __init__(self, question: Question) -> None:
        self.scenario = (QUICK if question.quick else SCENARIOS)[question.scenario]
        content = body(self.scenario, question.model)
        own = [f"{name}: {value}" for name, value in question.headers.items()]
        lines = (
            "POST /v1/messages HTTP/1.1",
            *_HEADERS.split("\n"),
            *own,
            f"Content-Length: {len(content)}",
            "",
            "",
        )
        self.request = "\r\n".join(lines).encode() + content
        self.port = question.port
        self.unasked = self.unanswered = question.count
        self.begun = self.at_once = 0
        self.first_byte: list[float] = []
        self.first_body = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> Reply:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(_SECONDS):
                await self._connect_all()
                await self.done
        except (OSError, ValueError, TimeoutError) as error:
            return Reply(error=str(error) or f"no answer within {_SECONDS} seconds")
        return Reply(
            time.perf_counter() - began,
            self.at_once,
            statistics.median(self.first_byte) * 1000,
            hashlib.sha256(self.first_body).hexdigest(),
        )

    async def _connect_all(self) -> None:
        """Opens many connections over some time: a thousand clients do not come within a millisecond."""
        wanted = min(self.scenario.connections, self.unasked)
        while wanted and not self.done.done():
            some = min(wanted, _CONNECTIONS_AT_ONCE)
            await asyncio.gather(*(self.connect() for _ in range(some)))
            if wanted := wanted - some:
                await asyncio.sleep(_BETWEEN_SECONDS)

    async def connect(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: _Connection(self), "127.0.0.1", self.port)

    def take(self, head: bytes, content: bytes, chunked: bool) -> None:
        """Checks a whole answer, and counts it."""
        if not self.first_body:
            self.first_body = _unchunked(content) if chunked else content
        if not (head.startswith(b"HTTP/1.1 200") and self._is_right(content, chunked)):
            self.fail(f"{head[:20]!r}, {len(content)} bytes that end with {content[-200:]!r}")
            return
        self.unanswered -= 1
        if not self.unanswered and not self.done.done():
            self.done.set_result(None)

    def fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(ValueError(f"a wrong answer: {why}"))

    def _is_right(self, content: bytes, chunked: bool) -> bool:
        if not self.scenario.stream:
            return content.startswith(b"{") and content.endswith(b"}") and b'"usage"' in content
        if b"message_stop" not in content[-400:]:
            return False
        if self.scenario.translated or content.count(b"\ndata: ") >= self.scenario.events:
            return True  # a gateway may add pings
        return chunked and _unchunked(content).count(b"\ndata: ") >= self.scenario.events  # a cut inside of one


class _Connection(asyncio.Protocol):
    def __init__(self, whole: _Round) -> None:
        self._round = whole
        self._received = bytearray()
        self._head_end, self._first = 0, 0.0
        self._length: int | None = None
        self._chunked = False
        self._waits = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is no subclass of it
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._head_end and not self._read_head():
            return
        if not self._first and len(self._received) > self._head_end:
            self._first = time.perf_counter()
            self._round.begun += 1
            self._round.at_once = max(self._round.at_once, self._round.begun)
        if self._length is not None:
            whole = len(self._received) >= self._head_end + self._length
        else:
            whole = self._chunked and self._received.endswith(b"\r\n0\r\n\r\n")
        if whole:
            self._take()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waits and self._head_end and self._length is None and not self._chunked:
            self._take()  # its end is the end of the connection
        elif self._waits:
            self._round.fail(f"the connection was closed after {len(self._received)} bytes of an answer")

    def _ask(self) -> None:
        if not self._round.unasked:
            self._transport.close()
            return
        self._round.unasked -= 1
        self._received.clear()
        self._head_end, self._first, self._waits = 0, 0.0, True
        self._asked = time.perf_counter()
        self._transport.write(self._round.request)

    def _read_head(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        self._head_end = end + 4
        length = _LENGTH.search(self._received, 0, end)
        self._length = int(length[1]) if length else None
        self._chunked = _CHUNKED.search(self._received, 0, end) is not None
        return True

    def _take(self) -> None:
        self._waits = False
        self._round.begun -= 1
        self._round.first_byte.append(self._first - self._asked)
        head, content = bytes(self._received[: self._head_end]), bytes(self._received[self._head_end :])
        self._round.take(head, content, self._chunked)
        if self._transport.is_closing() or _CLOSES.search(head):
            self._transport.close()
            self._again = asyncio.ensure_future(self._round.connect())
        else:
            self._ask()


def _unchunked(content: bytes) -> bytes:
    """Returns a body without its chunks' sizes."""
    pieces, at = list[bytes](), 0
    while (end := content.find(b"\r\n", at)) >= 0 and (size := int(content[at:end].partition(b";")[0], 16)):
        pieces.append(content[end + 2 : end + 2 + size])
        at = end + 2 + size + 2
    return b"".join(pieces)


async def _main() -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        question = msgspec.json.decode(line, type=Question)
        print(msgspec.json.encode(await _Round(question).run()).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(_main())
