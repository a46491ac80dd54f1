"""Answers in any cut of bytes, read as h11 reads them; hostile ones read alike however they are cut."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nexusflow_asgi.transports.failures import HEAD_BYTES
from nexusflow_asgi.transports.h1.connection import Connection, Phase
from nexusflow_asgi.transports.h1.states import HeadTooLargeError
from tests.asgi.test_answer_framing import LYING
from tests.asgi.test_cross_talk import BEHIND, STRAY
from tests.asgi.test_transport_faults import BROKEN
from tests.cuts import cut, cuts
from tests.servers import LAST_CHUNK, chunk, head


class Read(NamedTuple):
    """What a client reads. `whole`: to its end. `reusable`: its connection would be kept, had it not ended."""

    status: int | None
    headers: list[tuple[bytes, bytes]]
    body: bytes
    whole: bool
    reusable: bool


class Wire(asyncio.Transport):
    """A socket that nobody reads, so that the test says which bytes come, and when."""

    def __init__(self, quiet: socket.socket) -> None:
        super().__init__({"socket": quiet})
        self.closed = False
        self.paused = 0

    def write(self, data: Any) -> None: ...

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused += 1

    def resume_reading(self) -> None:
        self.paused -= 1


@pytest.fixture(scope="module")
def quiet() -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours


def asked(quiet: socket.socket) -> tuple[Connection, Wire]:
    """A connection on which a request has gone out."""
    wire = Wire(quiet)
    loop = cast(asyncio.AbstractEventLoop, None)  # for futures alone, and nobody waits here
    connection = Connection(loop, lambda _: None)
    connection.connection_made(wire)
    connection.ask(b"POST / HTTP/1.1\r\n\r\n")
    return connection, wire


def ours(quiet: socket.socket, pieces: Sequence[bytes]) -> Read:
    """What our connection reads, taking each time all that has come."""
    connection, wire = asked(quiet)
    body = b""
    for piece in pieces:
        if wire.closed:  # the event loop hands over no more
            break
        if piece:
            connection.data_received(piece)
        body += connection.take()
    reusable = connection.phase is Phase.ANSWERED and connection.reusable
    if not wire.closed:
        connection.eof_received()
    body += connection.take()
    whole = connection.phase is Phase.ANSWERED
    headers = connection.headers if connection.status else []  # else nobody sees them
    read = Read(connection.status or None, headers, body, whole, reusable)
    connection.connection_lost(None)
    return read


def h11s(data: bytes) -> Read:
    """What h11 reads of it, all at once."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="POST", target="/", headers=[("host", "x"), ("content-length", "0")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    client.receive_data(b"")
    status, headers, body = None, [], b""
    try:
        while True:
            event = client.next_event()
            if isinstance(event, h11.Response):
                status, headers = event.status_code, [(bytes(n), bytes(v)) for n, v in event.headers]
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return Read(status, headers, body, True, False)
            elif isinstance(event, h11.ConnectionClosed):
                return Read(status, headers, body, False, False)
    except h11.RemoteProtocolError:
        return Read(status, headers, body, False, False)


# Honest answers

NAMES = st.from_regex(rb"[A-Za-z][A-Za-z0-9-]{0,12}", fullmatch=True).filter(
    lambda it: it.lower() not in (b"content-length", b"transfer-encoding", b"connection", b"upgrade")
)
VALUES = st.from_regex(rb"([!-~\x80-\xff]([!-~ \t\x80-\xff]{0,20}[!-~\x80-\xff])?)?", fullmatch=True)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=5)
PIECES = st.lists(st.binary(min_size=1, max_size=300), max_size=6)
INTERIM = st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\r\nlink: </x>\r\n\r\n"])


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """An answer that keeps to RFC 9112, in any of its framings."""
    status = draw(st.sampled_from([200, 201, 204, 304, 400, 404, 429, 500, 529]))
    headers, pieces = draw(HEADERS), draw(PIECES)
    framing = draw(st.sampled_from(["length", "chunked", "close"]))
    if status in (204, 304):
        return draw(INTERIM) + head(status, headers)
    if framing == "length":
        body = b"".join(pieces)
        headers = [*headers, (b"Content-Length", b"%d" % len(body))]
    elif framing == "chunked":
        trailers = draw(st.sampled_from([b"", b"x-trailer: 1\r\n", b"a: b\r\nc: d\r\n"]))
        body = b"".join(map(chunk, pieces)) + b"0\r\n" + trailers + b"\r\n"
        headers = [(b"Transfer-Encoding", b"chunked"), *headers]
    else:
        body = b"".join(pieces)
    return draw(INTERIM) + head(status, headers) + body


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=answers(), places=cuts())
def test_an_answer_in_any_cut(quiet: socket.socket, data: bytes, places: list[int]) -> None:
    """Status, headers and body are those that h11 reads of the same bytes in one piece."""
    read, oracle = ours(quiet, cut(data, places)), h11s(data)
    assert oracle.whole
    assert (read.status, read.body, read.whole) == (oracle.status, oracle.body, True)
    lower = [(name.lower(), value) for name, value in oracle.headers]
    assert sorted(read.headers) == sorted(lower)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=answers(), keep=st.integers(0, 2**16), places=cuts())
def test_an_answer_that_breaks_off(quiet: socket.socket, data: bytes, keep: int, places: list[int]) -> None:
    """Its beginning is whole for us exactly where it is for h11."""
    data = data[: keep % (len(data) + 1)]
    read, oracle = ours(quiet, cut(data, places)), h11s(data)
    assert read.whole == oracle.whole
    if read.whole:
        assert (read.status, read.body) == (oracle.status, oracle.body)
    assert len(read.body) <= len(data)


# Answers that are not honest


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=answers(),
    changes=st.lists(st.tuples(st.integers(0, 2**16), st.binary(max_size=3)), min_size=1, max_size=3),
    places=cuts(),
)
def test_a_damaged_answer(
    quiet: socket.socket, data: bytes, changes: list[tuple[int, bytes]], places: list[int]
) -> None:
    """However it is cut, the same is read. Where h11 takes it as whole too, it is the same answer."""
    for place, new in changes:
        at = place % (len(data) + 1)
        data = data[:at] + new + data[at + 1 :]
    once = ours(quiet, [data])
    assert ours(quiet, cut(data, places))[:4] == once[:4]
    oracle = h11s(data)
    if once.whole and oracle.whole and not _is_odd(once):
        assert (once.status, once.body) == (oracle.status, oracle.body)


def _is_odd(read: Read) -> bool:
    """h11 takes a coding that it does not know as an error, or the body as none: RFC 9112 reads to the end."""
    return any(name == b"transfer-encoding" and value.lower() != b"chunked" for name, value in read.headers)


def _bytes(steps: Sequence[Any]) -> bytes:
    return b"".join(step for step in steps if isinstance(step, bytes))


SIZED = head(200, [(b"content-length", b"2")]) + b"{}"
CHUNKED = head(200, [(b"transfer-encoding", b"chunked")]) + chunk(b"{}") + LAST_CHUNK
HOSTILE: dict[str, bytes] = {
    **{f"lying: {name}": _bytes(steps) for name, steps in LYING.items()},
    **{f"broken: {name}": _bytes(steps) for name, steps in BROKEN.items()},
    **{f"stray: {name}": _bytes(steps) for name, steps in STRAY.items()},
    **{f"behind a length: {name}": SIZED + tail for name, tail in BEHIND.items()},
    **{f"behind chunks: {name}": CHUNKED + tail for name, tail in BEHIND.items()},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_cut_anywhere(quiet: socket.socket, name: str) -> None:
    """Each cut gives the same answer, or the same failure. With bytes behind it no connection is kept."""
    data = HOSTILE[name]
    once = ours(quiet, [data])
    reads = [ours(quiet, [data[:at], data[at:]]) for at in range(1, len(data))]
    reads.append(ours(quiet, [data[at : at + 1] for at in range(len(data))]))
    for read in (once, *reads):
        assert read[:4] == once[:4]
        assert not (read.reusable and name.startswith("behind"))


@pytest.mark.parametrize(
    "head_of_it",
    [
        b"HTTP/1.1 200 OK\r\nx: ",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-trailer: ",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n",
    ],
)
def test_headers_and_trailers_without_end(quiet: socket.socket, head_of_it: bytes) -> None:
    """Both are given up at the bound, whether their reader takes the body or not."""
    line = b"x" * 1000 if head_of_it.endswith(b": ") else b"x: y\r\n" * 200
    for reading in (True, False):
        connection, wire = asked(quiet)
        connection.data_received(head_of_it)
        sent = 0
        while not wire.closed:
            assert sent <= HEAD_BYTES
            connection.data_received(line)
            sent += len(line)
            if reading:
                connection.take()
        assert isinstance(connection.failure, HeadTooLargeError)
        connection.connection_lost(None)


def test_a_reader_that_waits_stops_the_socket(quiet: socket.socket) -> None:
    """With 64 KiB unread no more is read; once they are taken, reading goes on."""
    connection, wire = asked(quiet)
    connection.data_received(head(200, [(b"content-length", b"1000000")]))
    for _ in range(4):
        connection.data_received(b"x" * 16 * 1024)
    assert wire.paused == 0
    connection.data_received(b"x")
    assert wire.paused == 1
    assert len(connection.take()) == 64 * 1024 + 1
    assert wire.paused == 0
    connection.close()
    connection.connection_lost(None)
