"""A blocking HTTP/1.1 client on a raw socket: it sends what a test says and shows what really came."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import NamedTuple, Self

from tests.planted import assert_no_key
from tests.servers.upstream import LIMIT, Headers, parse_head


class Head(NamedTuple):
    status: int
    headers: list[tuple[bytes, bytes]]

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key.lower() == name]

    def value(self, name: bytes) -> bytes | None:
        return next(iter(self.values(name)), None)


class Truncated(Exception):
    """The connection ended before the answer did."""


class RawClient:
    """One keep-alive connection. Every wait is bounded: a gateway that buffers means a TimeoutError."""

    def __init__(self, port: int, *, timeout: float = LIMIT, echoes: bool = False) -> None:
        self._echoes = echoes  # the upstream says what it was told, keys and all, and its bytes pass
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self._body: Iterator[bytes] = iter(())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def reset(self) -> None:
        """Go away the rude way, with a reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def post(self, target: str, headers: Headers, body: bytes) -> None:
        self.send(request(target, headers, body))

    def call(self, target: str, headers: Headers, body: bytes) -> tuple[Head, bytes]:
        self.post(target, headers, body)
        return self.head(), self.rest()

    def head(self) -> Head:
        """Status and headers of the next answer; what is left of the body before it is read first."""
        self.rest()
        text = self._take_until(b"\r\n\r\n")
        assert_no_key(text, "the head of an answer")
        line, headers = parse_head(text)
        found = Head(int(line.split(b" ")[1]), headers)
        self._body = self._pieces(found)
        return found

    def piece(self) -> bytes:
        """The next bytes of the body, as soon as there are any; empty at its end."""
        piece = next(self._body, b"")
        if not self._echoes:
            assert_no_key(piece, "an answer")
        return piece

    def rest(self) -> bytes:
        return b"".join(iter(self.piece, b""))

    def exactly(self, size: int) -> bytes:
        """Bytes of the body up to `size` of them, waiting no longer than those take to come."""
        data = bytearray()
        while len(data) < size:
            piece = self.piece()
            if not piece:
                raise Truncated(f"the body ended after {len(data)} of {size} bytes")
            data += piece
        return bytes(data)

    def _pieces(self, found: Head) -> Iterator[bytes]:
        length = found.value(b"content-length")
        if found.value(b"transfer-encoding") == b"chunked":
            while size := int(self._take_until(b"\r\n"), 16):
                yield self._take(size + 2)[:-2]
            self._take_until(b"\r\n")
        elif length is not None:
            left = int(length)
            while left:
                if not self._buffer:
                    self._more()
                piece = self._take(min(left, len(self._buffer)))
                left -= len(piece)
                yield piece
        else:
            while self._buffer or self._received():
                yield self._take(len(self._buffer))

    def _take_until(self, mark: bytes) -> bytes:
        while (at := self._buffer.find(mark)) < 0:
            self._more()
        return self._take(at + len(mark))

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._more()
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _more(self) -> None:
        if not self._received():
            raise Truncated(f"the connection ended; unread: {bytes(self._buffer[:200])!r}")

    def _received(self) -> bool:
        data = self._socket.recv(1 << 16)
        self._buffer += data
        return bool(data)


def request(target: str, headers: Headers, body: bytes, *, method: str = "POST") -> bytes:
    """The bytes of a request with a content-length."""
    return request_head(target, [*headers, (b"content-length", b"%d" % len(body))], method=method) + body


def request_head(target: str, headers: Headers, *, method: str = "POST") -> bytes:
    lines = [f"{method} {target} HTTP/1.1".encode(), b"host: localhost"]
    if method == "POST" and not any(name.lower() == b"content-type" for name, _ in headers):
        lines.append(b"content-type: application/json")  # as every client says, unless the test says otherwise
    return b"\r\n".join([*lines, *(name + b": " + value for name, value in headers)]) + b"\r\n\r\n"
