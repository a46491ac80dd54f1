"""Clients and upstreams that mean harm, or merely behave so: one function each, drawn at random by the soak."""

from __future__ import annotations

import contextlib
import gzip
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Final

from tests.chaos.faults import FAULTS, SPEAKS, Dialect, honest
from tests.servers import LIMIT, Fault, Received, Step, chunk, head

MODELS: Final = ("anthropic", "openai-chat")
BOMB: Final = gzip.compress(
    b'{"model":"anthropic","max_tokens":1,"messages":[],"x":"' + b"0" * 4_000_000 + b'"}', 9
)
DEEP: Final = b"[" * 50_000


class Caller:
    """One hostile client on one connection."""

    def __init__(self, port: int, rng: random.Random) -> None:
        self.rng = rng
        self.socket = socket.create_connection(("127.0.0.1", port), LIMIT)

    def body(self, *, stream: bool | None = None) -> bytes:
        streaming = self.rng.random() < 0.5 if stream is None else stream
        text = b'{"model":"%s","max_tokens":9,"stream":%s,"messages":[{"role":"user","content":"a"}]}'
        return text % (self.rng.choice(MODELS).encode(), b"true" if streaming else b"false")

    def send(self, *pieces: bytes, pause: float = 0.0) -> None:
        for piece in pieces:
            self.socket.sendall(piece)
            if pause:
                time.sleep(pause)

    def read(self, most: int = 1_000_000) -> None:
        """Reads until the peer closes, or so many bytes have come."""
        got = 0
        while got < most and (data := self.socket.recv(1 << 16)):
            got += len(data)

    def leave(self, *, rudely: bool) -> None:
        if rudely:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def request(body: bytes, *extra: bytes, length: int | None = None, path: bytes = b"/v1/messages") -> bytes:
    size = len(body) if length is None else length
    lines = [b"POST %s HTTP/1.1" % path, b"host: localhost", b"content-type: application/json", *extra]
    return b"\r\n".join([*lines, b"content-length: %d" % size, b"connection: close", b"", body])


def honest_call(it: Caller) -> None:
    it.send(request(it.body()))
    it.read()


def half_a_head(it: Caller) -> None:
    whole = request(it.body())
    it.send(whole[: it.rng.randrange(1, whole.index(b"\r\n\r\n"))])


def leaves_early(it: Caller) -> None:
    it.send(request(it.body()))
    time.sleep(it.rng.random() / 100)


def leaves_in_the_answer(it: Caller) -> None:
    it.send(request(it.body(stream=True)))
    it.socket.recv(64)


def half_a_body(it: Caller) -> None:
    body = it.body()
    it.send(request(body)[: -len(body) // 2])


def pipelines(it: Caller) -> None:
    one = request(it.body()).replace(b"connection: close\r\n", b"")
    it.send(one + one + request(it.body()))
    it.read()


def pipelines_and_leaves(it: Caller) -> None:
    one = request(it.body(stream=True)).replace(b"connection: close\r\n", b"")
    it.send(one + one)
    it.socket.recv(64)


def stops_reading(it: Caller) -> None:
    it.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    it.send(request(it.body(stream=True)))
    time.sleep(0.05)


def length_too_large(it: Caller) -> None:
    it.send(request(it.body(), length=100_000))
    time.sleep(0.01)


def length_too_small(it: Caller) -> None:
    it.send(request(it.body(), length=20))
    it.read()


def two_lengths(it: Caller) -> None:
    it.send(request(it.body(), b"content-length: 3"))
    it.read()


def giant_path(it: Caller) -> None:
    it.send(request(it.body(), path=b"/a" * 20_000))
    it.read()


def many_headers(it: Caller) -> None:
    it.send(request(it.body(), *[b"x-%d: %s" % (number, b"y" * 200) for number in range(200)]))
    it.read()


def slow_body(it: Caller) -> None:
    whole = request(it.body())
    it.send(*[whole[at : at + 60] for at in range(0, len(whole), 60)], pause=0.002)
    it.read()


def bad_json(it: Caller) -> None:
    it.send(request(it.rng.choice([b"", b"{", b"null", b"[]", DEEP, b"\xff\xfe", b'{"model":7}', b"{}" * 9])))
    it.read()


def odd_members(it: Caller) -> None:
    odd = it.rng.choice(
        [b'"messages":7', b'"system":[[]]', b'"tools":{}', b'"stream":"yes"', b'"model":"' + b"m" * 5000 + b'"']
    )
    it.send(request(it.body()[:-1] + b"," + odd + b"}"))
    it.read()


def gzip_bomb(it: Caller) -> None:
    it.send(request(BOMB, b"content-encoding: gzip"))
    it.read()


def broken_gzip(it: Caller) -> None:
    it.send(request(BOMB[:500], b"content-encoding: gzip"))
    it.read()


def chunks_of_nonsense(it: Caller) -> None:
    it.send(b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")
    it.read()


def another_protocol(it: Caller) -> None:
    it.send(it.rng.randbytes(200))
    it.read()


CLIENTS: Final[list[Callable[[Caller], None]]] = [
    *[honest_call] * 12,
    *(half_a_head, leaves_early, leaves_in_the_answer, half_a_body, pipelines, pipelines_and_leaves),
    *(stops_reading, length_too_large, length_too_small, two_lengths, giant_path, many_headers, slow_body),
    *(bad_json, odd_members, gzip_bomb, broken_gzip, chunks_of_nonsense, another_protocol),
]


def be_hostile(port: int, rng: random.Random) -> None:
    """One client, whatever becomes of it."""
    it = Caller(port, rng)
    with contextlib.suppress(ConnectionError):
        rng.choice(CLIENTS)(it)
    it.leave(rudely=rng.random() < 0.3)


# Upstreams

_RARE: Final = {
    "an endless body",
    "a hundred thousand events",
    "byte by byte",
    "an endless header",
    "deep JSON",
}
_QUICK: Final = sorted(
    name for name in FAULTS if "hangs" not in name and name not in _RARE and "retry-after" not in name
)
_FOREIGN: Final = head(200, [(b"content-length", b"7")]) + b"foreign"


def answers(received: Received) -> Iterator[Step]:
    """Half of the calls are served; the others meet whatever an upstream can do."""
    dialect: Dialect = "openai-chat" if b"chat/completions" in received.line else "anthropic"
    stream = b'"stream":true' in received.body.replace(b" ", b"")
    rng = random.Random(random.random())
    spoken, whole = SPEAKS[dialect], honest(SPEAKS[dialect], stream)
    match rng.randrange(24):
        case 0:
            yield from [*whole, _FOREIGN]
        case 1:
            yield from [*whole, rng.randbytes(100), Fault.CLOSE]
        case 2:
            yield from [b"HTTP/1.1 100 Continue\r\n\r\n" * 50, *whole]
        case 3:
            yield from [b"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n" * 5000, Fault.HANG]
        case 4:
            yield from [b"HTTP/1.1 200 OK\r\n" + b"x-y: z\r\n" * 30_000, Fault.CLOSE]
        case 5:
            yield from [head(200, [(b"transfer-encoding", b"chunked")]), chunk(b"x" * 1000), Fault.RESET]
        case 6:
            yield from [head(200, [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")])]
            yield from [chunk(spoken.body), b"0\r\n\r\n"]
        case 7 if rng.random() < 0.1:
            yield from FAULTS["an endless body"].steps(spoken, stream)
        case 8 | 9 | 10 | 11:
            yield from FAULTS[rng.choice(_QUICK)].steps(spoken, stream)
        case _:
            yield from whole
