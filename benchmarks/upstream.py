"""The upstream of the gateway benchmark: fixed answers from a raw asyncio server in a process of its own.

`python -m benchmarks.upstream MILLISECONDS`: a stream's writes are that far apart. Without a pause the kernel
would hand a slow proxy several events at once, and each variant would be measured on other chunks.
"""

import asyncio
import socket
import sys
from typing import cast

import uvloop

from benchmarks.processes import announce, answer_questions, bound_lifetime
from benchmarks.samples import ANSWER, ANSWER_HEAD, EVENTS, FEW_WRITES, STREAM_HEAD

__all__: list[str] = []


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _writes(pieces: list[bytes]) -> list[bytes]:
    """A stream's writes: the head, one a piece, and the end."""
    return [STREAM_HEAD, *map(_chunk, pieces), b"0\r\n\r\n"]


_EVENTS_A_PIECE = len(EVENTS) // FEW_WRITES
_ONE_EVENT_A_WRITE = _writes(EVENTS)
_SEVERAL_EVENTS_A_WRITE = _writes(
    [b"".join(EVENTS[at : at + _EVENTS_A_PIECE]) for at in range(0, len(EVENTS), _EVENTS_A_PIECE)]
)


class _Upstream(asyncio.Protocol):
    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._loop = asyncio.get_running_loop()
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is no subclass of it

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        if not blank or len(body) < _content_length(head):
            return
        self._received = b""  # no client of ours pipelines
        if b"benchmark-events" in body:
            self._write(_ONE_EVENT_A_WRITE, 0)
        elif b"benchmark-pieces" in body:
            self._write(_SEVERAL_EVENTS_A_WRITE, 0)
        else:
            self._transport.write(ANSWER_HEAD + ANSWER)

    def _write(self, writes: list[bytes], number: int) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(writes[number])
        if number + 1 < len(writes):
            self._loop.call_later(self._pause, self._write, writes, number + 1)


def _content_length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])


async def _serve(pause: float) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    server = await asyncio.get_running_loop().create_server(lambda: _Upstream(pause), sock=listener)
    announce(port=listener.getsockname()[1])
    await server.serve_forever()


if __name__ == "__main__":
    bound_lifetime()
    answer_questions()
    uvloop.run(_serve(float(sys.argv[1]) / 1000))
