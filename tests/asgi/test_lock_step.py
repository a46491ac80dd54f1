"""The upstream sends the next bytes only after the client has read the last ones: a buffer deadlocks."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from typing import Literal

import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.transports import TransportName
from nexusflow_core.config import decode_config
from tests.servers import (
    SSE,
    Gate,
    Headers,
    RawClient,
    RecordingHook,
    ScriptedUpstream,
    Served,
    Step,
    answer,
    chunk,
    head,
)

CONFIG = """
[upstreams.anthropic]
dialect = "anthropic"
base_url = "{url}"

[[routes]]
model = "claude-*"
targets = ["anthropic"]

[auth]
anonymous = true
"""
HEADERS = [(b"content-type", b"application/json"), (b"x-api-key", b"sk-ant-own")]
BODY = b'{"model":"claude-x","stream":true}'

START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message",'
    b'"role":"assistant","content":[],"model":"claude-x","usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
)
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
BLOCK = b'event: content_block_start\ndata: {"type":"content_block_start","index":0}\n\n'
TEXTS = [
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"text":"%d"}}\n\n' % i
    for i in range(20)
]
END = b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":20}}\n\n'
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
EVENTS = [START, BLOCK, PING, b": a comment\n\n", *TEXTS, END, STOP]

everywhere = [
    pytest.mark.parametrize("transport", ["h1", "httpx", "aiohttp"]),
    pytest.mark.parametrize("loop", ["asyncio", "uvloop"]),
]


def in_lock_step(
    pieces: list[bytes],
    transport: TransportName,
    loop: Literal["asyncio", "uvloop"],
    *,
    headers: Headers = SSE,
) -> None:
    gates = [Gate() for _ in pieces]
    script = [step for pair in zip(gates, pieces, strict=True) for step in pair]
    hook = RecordingHook()
    with ScriptedUpstream(lambda _: answer(200, headers, script, framing="chunked")) as upstream:
        app = NexusFlow(
            config=decode_config(CONFIG.format(url=upstream.url).encode()), transport=transport, hooks=[hook]
        )
        with Served(app, loop=loop) as served, RawClient(served.port) as client:
            client.post("/v1/messages", HEADERS, BODY)
            gates[0].open()
            assert client.head().status == 200
            for i, piece in enumerate(pieces):
                gates[i].open()
                assert client.exactly(len(piece)) == piece, f"piece {i}"
            assert client.rest() == b""
            assert hook.wait(1)[0].ending == "complete"


@everywhere[0]
@everywhere[1]
def test_each_event_arrives_before_the_next_is_sent(
    transport: TransportName, loop: Literal["asyncio", "uvloop"]
) -> None:
    """Every event, ping and comment reaches the client while the upstream waits."""
    in_lock_step(EVENTS, transport, loop)


@everywhere[0]
@everywhere[1]
def test_half_an_event_is_not_held_back(transport: TransportName, loop: Literal["asyncio", "uvloop"]) -> None:
    """After the first event every piece goes on as it comes, wherever it was cut."""
    rest = b"".join(EVENTS[1:])
    in_lock_step([START, *(rest[i : i + 37] for i in range(0, len(rest), 37))], transport, loop)


@everywhere[0]
def test_a_compressed_stream_is_not_held_back(transport: TransportName) -> None:
    """An upstream that compresses although it was asked not to: its pieces go on as they come."""
    pack = zlib.compressobj(wbits=31)
    pieces = [pack.compress(event) + pack.flush(zlib.Z_SYNC_FLUSH) for event in EVENTS] + [pack.flush()]
    in_lock_step(pieces, transport, "uvloop", headers=[*SSE, (b"content-encoding", b"gzip")])


@everywhere[0]
def test_two_streams_do_not_wait_for_each_other(transport: TransportName) -> None:
    """While one stream stands still, another one on the same gateway runs to its end."""
    still = Gate()
    with ScriptedUpstream(lambda received: ()) as upstream:
        upstream.script = lambda received: answer(
            200, SSE, [START, still, STOP] if b"slow" in received.body else [START, STOP], framing="chunked"
        )
        app = NexusFlow(config=decode_config(CONFIG.format(url=upstream.url).encode()), transport=transport)
        with Served(app) as served, RawClient(served.port) as slow, RawClient(served.port) as quick:
            slow.post("/v1/messages", HEADERS, BODY.replace(b"-x", b"-slow"))
            assert slow.head().status == 200
            assert slow.exactly(len(START)) == START
            assert quick.call("/v1/messages", HEADERS, BODY)[1] == START + STOP
            still.open()
            assert slow.rest() == STOP


@everywhere[0]
def test_a_client_that_does_not_read_stops_the_upstream(transport: TransportName) -> None:
    """One chunk is pulled for each that is sent: a slow client does not fill the memory."""
    filler, pulled = chunk(b": %065000d\n\n" % 0), 0

    def flood() -> Iterator[Step]:
        nonlocal pulled
        yield head(200, [*SSE, (b"transfer-encoding", b"chunked")])
        yield chunk(START)
        for _ in range(1500):  # 100 MB
            pulled += 1
            yield filler

    with ScriptedUpstream(lambda _: flood()) as upstream:
        app = NexusFlow(config=decode_config(CONFIG.format(url=upstream.url).encode()), transport=transport)
        with Served(app) as served, RawClient(served.port) as client:
            client.post("/v1/messages", HEADERS, BODY)
            assert client.head().status == 200
            before = -1
            while before != pulled:  # a busy machine makes this end early, never fail
                before = pulled
                time.sleep(0.3)
            assert 0 < pulled < 750
