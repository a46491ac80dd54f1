"""Answers whose lengths lie, heads without end, kept connections that die: all callers see their own bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import anyio
import pytest

from nexusflow_asgi import NexusFlow, Transport
from nexusflow_asgi.transports.failures import HEAD_BYTES
from nexusflow_core.config import decode_config
from nexusflow_core.errors import UpstreamProtocolError
from tests.asgi.test_cross_talk import FOREIGN, asked, echo, foreign, own_or_error
from tests.asgi.transports import Kind, a_request, at, each_loop, exchange, without_proxies
from tests.servers import (
    JSON,
    LAST_CHUNK,
    Fault,
    Gate,
    RawClient,
    Received,
    RecordingHook,
    ScriptedUpstream,
    Served,
    Step,
    answer,
    chunk,
    head,
)

# The generators inside httpx and httpx2 are not closed with the response that reads them; trio says so.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator .* was garbage collected:ResourceWarning")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy but those that a test sets."""
    without_proxies(monkeypatch)


# Lengths that lie

LENGTH, CHUNKED = b"content-length", (b"transfer-encoding", b"chunked")


def sized(*sizes: object, also: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    return head(200, [*JSON, *((LENGTH, str(size).encode()) for size in sizes), *also])


LYING: dict[str, list[Step]] = {
    "too short": [sized(2) + b"{}" + FOREIGN],
    "too short, the rest later": [sized(2) + b"{}", Gate(), FOREIGN],
    "zero, with a body": [sized(0) + FOREIGN],
    "too long": [sized(9000) + b"{}", Fault.CLOSE],
    "two lengths": [sized(2, 2 + len(FOREIGN)) + b"{}" + FOREIGN],
    "two lengths, the longer first": [sized(2 + len(FOREIGN), 2) + b"{}" + FOREIGN],
    "a list of lengths": [sized("2, 24") + b"{}" + FOREIGN],
    "a negative length": [sized("-2") + b"{}" + FOREIGN],
    "a length with a sign": [sized("+2") + b"{}" + FOREIGN],
    "a length in hex": [sized("0x2") + b"{}" + FOREIGN],
    "beyond all numbers": [sized("9" * 30) + b"{}", Fault.CLOSE],
    "chunked beside a length": [sized(5, also=[CHUNKED]) + chunk(b"{}") + LAST_CHUNK],
    "chunked before a length": [head(200, [CHUNKED, (LENGTH, b"5")]) + chunk(b"{}") + LAST_CHUNK],
    "chunked, with an answer for a length": [
        sized(len(FOREIGN), also=[CHUNKED]) + chunk(b"{}") + LAST_CHUNK + foreign()
    ],
    "chunked twice": [head(200, [CHUNKED, CHUNKED]) + chunk(b"{}") + LAST_CHUNK],
    "a coding that nobody knows": [
        head(200, [(b"transfer-encoding", b"xchunked")]) + chunk(b"{}") + LAST_CHUNK,
        Fault.CLOSE,
    ],
    "a chunk longer than it says": [head(200, [CHUNKED]) + b"2\r\n{}" + FOREIGN + b"\r\n0\r\n\r\n"],
    "a negative chunk": [head(200, [CHUNKED]) + b"-2\r\n{}\r\n0\r\n\r\n"],
    "a chunk beyond all numbers": [head(200, [CHUNKED]) + b"f" * 30 + b"\r\n{}\r\n", Fault.CLOSE],
    "no last chunk": [head(200, [CHUNKED]) + chunk(b"{}"), Fault.CLOSE],
    "204 with a body": [head(204, [(LENGTH, b"%d" % len(FOREIGN))]) + FOREIGN],
    "204 with an answer behind it": [head(204) + foreign()],
    "304 with a body": [head(304, [(LENGTH, b"%d" % len(FOREIGN))]) + FOREIGN],
    "205 with a body": [head(205, [(LENGTH, b"%d" % len(FOREIGN))]) + FOREIGN],
    "a head alone, as for HEAD": [sized(2), Fault.CLOSE],
    "HTTP/1.0 without a length": [b"HTTP/1.0 200 OK\r\n\r\n{}", Fault.CLOSE],
    "HTTP/1.0, and a length too short": [b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}" + FOREIGN],
}


@each_loop
@pytest.mark.parametrize("steps", LYING.values(), ids=LYING)
def test_a_length_that_lies(kind: Kind, steps: list[Step]) -> None:
    """Who asked gets what its own answer holds, or an error. The callers behind get their own answers."""

    def script(received: Received) -> Iterable[Step]:
        return steps if received.body == asked(1) else echo(received)

    async def work(transport: Transport) -> None:
        try:
            _, headers, body = await exchange(transport, a_request(at(server.url), body=asked(1)))
            lengths = [value for name, value in headers if name == LENGTH]
            raw = chunk(b"{}") + LAST_CHUNK
            assert body in (b"", b"{}", raw, FOREIGN), "no more than this answer held"
            assert not lengths or CHUNKED in headers or body == b"" or lengths == [b"%d" % len(body)]
        except UpstreamProtocolError:
            pass
        for gate in (step for step in steps if isinstance(step, Gate)):
            gate.open()
            server.requests[0].settled()
        for number in range(2, 6):
            assert await own_or_error(transport, server.url, number)

    with ScriptedUpstream(script) as server:
        kind.use(at(server.url), work)


GATEWAY = """
[upstreams.vendor]
dialect = "anthropic"
base_url = "{url}"
auth = "none"
[[routes]]
model = "claude-*"
targets = ["vendor"]
[auth]
anonymous = true
"""
MESSAGE = (
    b'{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[],'
    b'"usage":{"input_tokens":3,"output_tokens":1}}'
)
EVENTS = (
    b'event: message_start\ndata: {"type":"message_start","message":%s}\n\n' % MESSAGE,
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{}}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
)


@pytest.mark.parametrize("transport", ["h1", "httpx", "aiohttp"])
@pytest.mark.parametrize("length", [5, 100_000])
@pytest.mark.parametrize("stream", [False, True])
def test_a_length_beside_chunks_is_not_relayed(transport: Any, length: int, stream: bool) -> None:
    """The client gets all of the answer or a 502, and the next answer on its connection; nothing in between."""
    pieces = EVENTS if stream else (MESSAGE,)
    kind = b"text/event-stream" if stream else b"application/json"
    lying = head(200, [(b"content-type", kind), (LENGTH, b"%d" % length), CHUNKED])
    steps = [lying, *map(chunk, pieces), LAST_CHUNK]
    body = b'{"model":"claude-x","max_tokens":9,"stream":%s,"messages":[]}' % (b"true" if stream else b"false")
    with ScriptedUpstream(lambda _: steps) as upstream:
        config = decode_config(GATEWAY.format(url=upstream.url).encode())
        hook = RecordingHook()
        with Served(NexusFlow(config=config, transport=transport, hooks=[hook])) as served:
            with RawClient(served.port) as client:
                for _ in range(2):
                    got, answered = client.call("/v1/messages", [(b"content-type", b"application/json")], body)
                    if got.status == 502:
                        assert transport != "httpx", "which takes such an answer"
                    else:
                        assert answered == b"".join(pieces)
                        assert [value for value in got.values(LENGTH) if int(value) != len(answered)] == []
        assert [record.status for record in hook.wait(2)] == [got.status] * 2


# Heads without end

INTERIM = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n"
ENDLESS: dict[str, bytes] = {
    "100": b"HTTP/1.1 100 Continue\r\n\r\n" * 4000,
    "103 with headers": INTERIM * 2000,
    "headers": b"x-more: 0123456789\r\n" * 4000,
    "one header": b"0123456789" * 8000,
    "a reason": b"",
}


@each_loop
@pytest.mark.parametrize("flood", ENDLESS.values(), ids=ENDLESS)
def test_a_head_without_end(kind: Kind, flood: bytes) -> None:
    """Given up once more has come than any head takes, and the connection is closed."""
    start = b"" if flood.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\nx-first: "
    if not flood:
        start, flood = b"HTTP/1.1 200 O", b"K" * 80_000

    def script(received: Received) -> Iterable[Step]:
        yield start
        while True:
            yield flood

    async def work(transport: Transport) -> None:
        with pytest.raises(UpstreamProtocolError):
            await exchange(transport, a_request(at(server.url), body=asked(1)))
        assert await anyio.to_thread.run_sync(server.wait_open, 0)
        server.script = echo
        assert await own_or_error(transport, server.url, 2)

    with ScriptedUpstream(script) as server:
        kind.use(at(server.url), work)


@each_loop
def test_many_interim_answers(kind: Kind) -> None:
    """A few hundred hints before the answer are passed over."""
    few = INTERIM * (HEAD_BYTES // 4 // len(INTERIM))

    async def work(transport: Transport) -> None:
        for number in range(3):
            assert await own_or_error(transport, server.url, number)
        assert server.accepted == 1

    with ScriptedUpstream(lambda received: [few, *echo(received)]) as server:
        kind.use(at(server.url), work)


# Kept connections that die as they are used again


@each_loop
@pytest.mark.parametrize("fault", [Fault.CLOSE, Fault.RESET])
def test_a_kept_connection_that_dies(kind: Kind, fault: Fault) -> None:
    """The upstream closes it just as the request arrives: it is sent once more, on a new connection."""
    answered: list[bytes] = []

    def script(received: Received) -> Iterable[Step]:
        if answered and received.body not in answered:
            answered.append(received.body)
            return [fault]
        answered.append(received.body)
        return echo(received)

    async def work(transport: Transport) -> None:
        for number in range(6):
            assert await own_or_error(transport, server.url, number)

    with ScriptedUpstream(script) as server:
        kind.use(at(server.url), work)
        bodies = [received.body for received in server.requests]
    assert bodies == [asked(0), *(asked(number) for number in range(1, 6) for _ in range(2))]


@each_loop
def test_sent_once_more_and_no_more(kind: Kind) -> None:
    """A new connection that dies as well is an error; so is one that has begun to answer."""
    first: list[Step] = [Fault.CLOSE]

    def script(received: Received) -> Iterable[Step]:
        return echo(received) if received.body == asked(1) else first

    async def work(transport: Transport) -> None:
        nonlocal first
        assert await own_or_error(transport, server.url, 1)
        assert not await own_or_error(transport, server.url, 2)
        assert await own_or_error(transport, server.url, 1)
        first = [b"HTTP/1.1 2", Fault.CLOSE]
        assert not await own_or_error(transport, server.url, 3)
        bodies = [received.body for received in server.requests]
        assert bodies == [asked(1), asked(2), asked(2), asked(1), asked(3)]

    with ScriptedUpstream(script) as server:
        kind.use(at(server.url), work)


@each_loop
def test_an_upstream_that_closes_every_kept_connection(kind: Kind) -> None:
    """Closed while idle, under many callers at once: each gets its own answer."""

    def script(received: Received) -> Iterable[Step]:
        return [*echo(received), Fault.CLOSE]

    async def work(transport: Transport) -> None:
        for round in range(4):
            async with anyio.create_task_group() as group:
                for number in range(10):
                    group.start_soon(own, transport, 10 * round + number)

    async def own(transport: Transport, number: int) -> None:
        assert await own_or_error(transport, server.url, number)

    with ScriptedUpstream(script) as server:
        kind.use(at(server.url), work)


@each_loop
def test_two_callers_at_once(kind: Kind) -> None:
    """One upstream connection each, strays between them: nobody gets the other's answer."""

    def script(received: Received) -> Iterable[Step]:
        return [*answer(200, JSON, [received.body], framing="chunked"), foreign()]

    async def work(transport: Transport) -> None:
        for number in range(20):
            async with anyio.create_task_group() as group:
                group.start_soon(own_or_error, transport, server.url, 100 + number)
                group.start_soon(own_or_error, transport, server.url, 200 + number)
            for received in list(server.requests):  # what is still on its way, nobody can know of
                await anyio.to_thread.run_sync(received.settled)
        server.script = echo
        assert await own_or_error(transport, server.url, 1)

    with ScriptedUpstream(script) as server:
        kind.use(at(server.url), work)
