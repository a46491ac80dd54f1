"""The answers of the server of `nexusflow serve`: what is written, in how many writes, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from nexusflow_asgi.server import GatewayProtocol

REQUEST = b"POST /v1/messages?beta=true HTTP/1.1\r\nhost: here\r\ncontent-length: 2\r\n\r\n{}"

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Wire(asyncio.Transport):
    """A socket that keeps each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False
        self.cut = False  # after the answer

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0


def start(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def answered(answer: Callable[[Send], Awaitable[None]], request: bytes = REQUEST) -> Wire:
    """Returns the wire after the app has answered one request."""
    wire = Wire()

    async def app(scope: Any, receive: Any, send: Send) -> None:
        await answer(send)

    async def serve() -> None:
        state = ServerState()
        protocol = GatewayProtocol(uvicorn.Config(app, log_config=None, proxy_headers=False), state, {})
        protocol.connection_made(wire)
        protocol.data_received(request)
        await asyncio.gather(*state.tasks)
        wire.cut = wire.closed
        protocol.connection_lost(None)

    asyncio.run(serve())
    return wire


def test_the_head_and_the_first_piece_share_a_write() -> None:
    """A client gets both in one packet; later pieces are written as they come."""

    async def answer(send: Send) -> None:
        await send(start((b"content-type", b"text/event-stream")))
        await send(body(b"one", more=True))
        await send(body(b"two", more=True))
        await send(body(b""))

    assert answered(answer).writes == [
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n",
        b"3\r\ntwo\r\n",
        b"0\r\n\r\n",
    ]


def test_a_head_without_a_body_is_sent_before_the_cut() -> None:
    """A broken answer of known length: its client sees the head, and that the body is missing."""

    async def answer(send: Send) -> None:
        await send(start((b"content-length", b"9")))

    wire = answered(answer)
    assert wire.writes == [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"]
    assert wire.cut


def test_names_are_sent_in_lower_case() -> None:
    """ASGI asks for lower case; an app that does not keep to it is understood all the same."""

    async def answer(send: Send) -> None:
        await send(start((b"Content-Length", b"2"), (b"Connection", b"Close")))
        await send(body(b"{}"))

    wire = answered(answer)
    assert wire.writes[0].startswith(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: Close\r\n")
    assert wire.cut


@pytest.mark.parametrize("header", [(b"x-one\r\nx-two", b"1"), (b"x one", b"1"), (b"x-one", b"1\r\nx-two: 2")])
def test_a_header_that_would_split_the_answer_is_not_sent(header: tuple[bytes, bytes]) -> None:
    """The app gets a RuntimeError, and nothing of the header is written."""

    async def answer(send: Send) -> None:
        with pytest.raises(RuntimeError, match="Invalid HTTP header"):
            await send(start(header))

    assert not any(b"x-two" in data or b"x one" in data for data in answered(answer).writes)


@pytest.mark.parametrize("data", [b"longer", b"s"])
def test_a_body_of_another_length_is_an_error(data: bytes) -> None:
    """Bytes beyond a content-length would be read as the next answer, and missing ones be awaited."""

    async def answer(send: Send) -> None:
        await send(start((b"content-length", b"2")))
        await send(body(data))

    wire = answered(answer)
    assert wire.cut
    assert b"".join(wire.writes).partition(b"\r\n\r\n")[2] == (data if len(data) < 2 else b"")


@pytest.mark.parametrize(
    "messages", [[body(b"early")], [start(), start()], [start(), body(b""), body(b"late")]]
)
def test_messages_out_of_order_are_an_error(messages: list[dict[str, Any]]) -> None:
    """The app is told at once."""

    async def answer(send: Send) -> None:
        *before, wrong = messages
        for message in before:
            await send(message)
        with pytest.raises(RuntimeError, match="unexpected ASGI message"):
            await send(wrong)

    answered(answer)


def test_a_head_request_gets_no_body() -> None:
    """Only the head is written, with the length that a GET would have."""

    async def answer(send: Send) -> None:
        await send(start((b"content-length", b"5")))
        await send(body(b"hello"))

    wire = answered(answer, b"HEAD /health HTTP/1.1\r\nhost: here\r\n\r\n")
    assert wire.writes == [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"]
    assert not wire.cut


def test_a_long_answer_does_not_keep_the_requests_headers() -> None:
    """Once the answer has begun they are freed: thousands of streams may be open for an hour."""
    kept: list[int] = []

    async def app(scope: Any, receive: Any, send: Send) -> None:
        kept.append(len(scope["headers"]))
        await send(start())
        kept.append(len(scope["headers"]))
        await send(body(b""))

    async def serve() -> None:
        state = ServerState()
        protocol = GatewayProtocol(uvicorn.Config(app, log_config=None, proxy_headers=False), state, {})
        protocol.connection_made(Wire())
        protocol.data_received(REQUEST)
        await asyncio.gather(*state.tasks)
        protocol.connection_lost(None)

    asyncio.run(serve())
    assert kept == [2, 0]


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize(
    "headers", [[(b"content-length", b"2")], [(b"content-type", b"text/event-stream")], []]
)
@pytest.mark.parametrize("request_", [REQUEST, REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0")])
def test_an_answer_at_once_is_the_one_of_two_sends(
    headers: list[tuple[bytes, bytes]], last: bool, request_: bytes
) -> None:
    """`answer_now` writes the same bytes, and ends the connection alike."""

    async def by_messages(send: Send) -> None:
        await send(start(*headers))
        await send(body(b"{}", more=not last))

    async def at_once(send: Any) -> None:
        assert send.__self__.answer_now(200, headers, b"{}", last=last)

    wires = answered(by_messages, request_), answered(at_once, request_)
    assert wires[0].writes == wires[1].writes
    assert wires[0].cut == wires[1].cut


def test_a_client_that_does_not_read_gets_nothing_at_once() -> None:
    """Where `send` would wait, `answer_now` writes nothing and says so; for one that has left it drops."""

    async def answer(send: Any) -> None:
        cycle = send.__self__
        cycle.flow.write_paused = True
        assert not cycle.answer_now(200, [], b"late", last=True)
        assert not cycle.response_started
        cycle.flow.write_paused = False
        cycle.disconnected = True
        assert cycle.answer_now(200, [], b"gone", last=True)

    assert answered(answer).writes == []


@pytest.mark.parametrize("pieces", [(REQUEST,), (REQUEST[:-1], REQUEST[-1:])])
def test_a_body_is_taken_once_it_is_whole(pieces: tuple[bytes, ...]) -> None:
    """Before that, and for a client that waits for a 100 or has left, `receive` has to be asked."""
    took: list[bytes | None] = []

    async def app(scope: Any, receive: Any, send: Send) -> None:
        cycle: Any = receive.__self__  # type: ignore[attr-defined]
        took.append(cycle.take_body())
        while cycle.more_body:
            await asyncio.sleep(0)
        took.append(cycle.take_body())
        cycle.disconnected = True
        took.append(cycle.take_body())

    async def serve() -> None:
        state = ServerState()
        protocol = GatewayProtocol(uvicorn.Config(app, log_config=None, proxy_headers=False), state, {})
        protocol.connection_made(Wire())
        for piece in pieces:
            protocol.data_received(piece)
            await asyncio.sleep(0)
        await asyncio.gather(*state.tasks)

    asyncio.run(serve())
    assert [it for it in took if it] == [b"{}"]
    assert (took[0] is None) == (len(pieces) == 2)
    assert took[-1] is None
