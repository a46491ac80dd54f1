"""Requests whose head is the one before, byte for byte: the app sees them as if each had been parsed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from nexusflow_asgi.auth import RepeatedHeaders
from nexusflow_asgi.server import GatewayProtocol, ServerLimits
from tests.asgi.test_server_cycle import Wire

FRONT = b"POST /v1/messages?beta=true HTTP/1.1\r\nHost: here\r\nX-Api-Key: nxf-1\r\nContent-Length: "
BACK = b"\r\nAccept: */*\r\n\r\n"


def post(body: bytes, front: bytes = FRONT, back: bytes = BACK) -> bytes:
    return front + b"%d" % len(body) + back + body


class Socket(Wire):
    """A wire whose reading can be paused, and which can be half-closed."""

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def can_write_eof(self) -> bool:
        return False

    def abort(self) -> None:
        self.closed = True


class Server:
    """One connection, and what the app has seen of each request."""

    def __init__(self, limits: ServerLimits | None = None) -> None:
        self.seen: list[tuple[dict[str, Any], bytes]] = []
        self.repeated: list[bool] = []
        self.wire = Socket()
        config = uvicorn.Config(self._app, log_config=None, proxy_headers=False, interface="asgi3")
        self.state = ServerState()
        self.protocol = GatewayProtocol(config, self.state, {}, limits=limits or ServerLimits())
        self.protocol.connection_made(self.wire)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        self.repeated.append(type(scope["headers"]) is RepeatedHeaders)
        seen = {**scope, "headers": list(scope["headers"])}
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        self.seen.append((seen, body))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async def ask(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.protocol.data_received(piece)
            for _ in range(10):  # turns of the event loop: nothing here waits for a socket
                await asyncio.sleep(0)


def served(*requests: tuple[bytes, ...], limits: ServerLimits | None = None) -> Server:
    async def serve() -> Server:
        server = Server(limits)
        for pieces in requests:
            await server.ask(*pieces)
        for task in server.state.tasks:
            task.cancel()
        server.protocol.connection_lost(None)
        return server

    return asyncio.run(serve())


def test_the_scope_is_the_parsers() -> None:
    """Only the length differs: method, path, query and headers are those that a parser finds."""
    bodies = [b"{}", b'{"model":"a"}', b"", b"{}"]
    server = served(*[(post(body),) for body in bodies])
    alone = [served((post(body),)).seen[0] for body in bodies]
    assert server.seen == alone
    assert server.repeated == [False, True, True, True]
    assert len(server.wire.writes) == len(bodies)


def test_a_head_that_changes_is_parsed() -> None:
    """Another key, another path or one more header is another head, on the same connection."""
    others = [
        post(b"{}", FRONT.replace(b"nxf-1", b"nxf-2")),
        post(b"{}", FRONT.replace(b"/v1/messages", b"/v1/complete")),
        post(b"{}", back=b"\r\nX: 1" + BACK),
        post(b"{}", FRONT.replace(b"nxf-1", b"nxf-10")),
    ]
    for other in others:
        server = served((post(b"{}"),), (post(b"{}"),), (other,), (post(b"{}"),))
        assert server.seen[2] == served((other,)).seen[0]
        assert server.repeated[:3] == [False, True, False]


@pytest.mark.parametrize("cut", [1, len(FRONT), len(FRONT) + 1, len(post(b"")), len(post(b"")) + 3])
def test_a_request_in_pieces_is_parsed(cut: int) -> None:
    """Wherever a known head or its body is cut, the request is the same one."""
    whole = post(b'{"model":"a"}')
    server = served((post(b"{}"),), (whole[:cut], whole[cut:]), (whole,))
    assert server.seen[1] == served((whole,)).seen[0]
    assert server.repeated == [False, False, True]


@pytest.mark.parametrize(
    "length", [b"+2", b" 2", b"0x2", b"2 ", b"2,2", "٢".encode(), b"", b"1_0", b"3", b"1", b"2" * 30]
)
def test_a_length_that_is_no_number_is_left_to_the_parser(length: bytes) -> None:
    """A known head decides nothing about its length: the answer is the one that a first request gets."""
    odd = FRONT + length + BACK + b"{}"
    server, alone = served((post(b"{}"),), (odd,)), served((odd,))
    assert server.seen[1:] == alone.seen
    assert server.wire.closed == alone.wire.closed
    assert True not in server.repeated


def test_two_requests_in_one_piece() -> None:
    """Each is answered, in order; the second is no part of the first one's body."""
    server = served((post(b"{}"),), (post(b"1") + post(b"22"),), (post(b"333"),))
    assert [body for _, body in server.seen] == [b"{}", b"1", b"22", b"333"]


@pytest.mark.parametrize(
    "front",
    [
        FRONT.replace(b"Host: here", b"Host: here\r\nConnection: close"),
        FRONT.replace(b"HTTP/1.1", b"HTTP/1.0"),
        FRONT.replace(b"Host: here", b"Host: here\r\nExpect: 100-continue"),
        FRONT.replace(b"Host: here", b"Host: " + b"a" * 9000),
        b"\r\n\r\n" + FRONT,
    ],
)
def test_heads_that_are_parsed_each_time(front: bytes) -> None:
    """They end the connection, expect an interim answer, are large, or begin with blank lines."""
    server = served((post(b"{}", front),), (post(b"{}", front),))
    assert True not in server.repeated
    assert server.seen[0] == served((post(b"{}", front),)).seen[0]


def test_a_client_that_never_repeats_itself_is_no_longer_watched() -> None:
    """After a few heads that never came again a connection keeps none, and serves on."""
    heads = [FRONT.replace(b"nxf-1", b"nxf-%d" % number) for number in range(9)]
    server = served(*[(post(b"{}", front),) for front in heads], (post(b"{}", heads[-1]),))
    assert len(server.seen) == 10
    assert True not in server.repeated


def test_a_known_head_has_the_bounds_of_others() -> None:
    """The idle timer and the count of waiting connections go on as before."""
    server = served((post(b"{}"),), (post(b"{}"),), limits=ServerLimits(waiting=1))
    assert server.repeated == [False, True]
    assert len(server.state.connections) == 0
