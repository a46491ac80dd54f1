"""The server behind `nexusflow serve`: what strangers send before, beside and after a request, over sockets."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.server import ServerLimits
from nexusflow_core import Config
from nexusflow_core.config import decode_config
from tests.asgi.asking import BODY, LIMIT, OFFLINE, offline
from tests.servers import (
    JSON,
    LAST_CHUNK,
    SSE,
    Fault,
    Gate,
    RawClient,
    RecordingHook,
    ScriptedUpstream,
    Served,
    Truncated,
    answer,
    chunk,
    head,
    request,
    request_head,
)

LONG = 300.0  # seconds that no test waits for
PATIENT = ServerLimits(head_seconds=LONG, idle_seconds=LONG, head_bytes=4096, url_bytes=1024, held_bytes=1024)
MESSAGE = b'{"type":"message","id":"m","usage":{"input_tokens":3,"output_tokens":1}}'
START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message",'
    b'"role":"assistant","content":[],"model":"claude-x","usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
)
STREAM = BODY.replace(b'"model"', b'"stream":true,"model"')
STREAM_HEAD = head(200, [*SSE, (b"transfer-encoding", b"chunked")])
HEALTH = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"

both_loops = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
Loop = Literal["asyncio", "uvloop"]


def gateway() -> NexusFlow:
    return NexusFlow(config=offline(), transport="offline")


@pytest.fixture(params=["asyncio", "uvloop"])
def served(request: Any) -> Iterator[Served]:
    with Served(gateway(), loop=request.param, limits=PATIENT) as running:
        yield running


def error(client: RawClient) -> tuple[int, str]:
    """Status and type of a refusal in Anthropic's shape, after which the connection has ended."""
    got = client.head()
    document = json.loads(client.rest())
    assert document["request_id"] == (got.value(b"request-id") or b"").decode()
    assert got.value(b"connection") == b"close"
    assert ended(client)
    return got.status, document["error"]["type"]


def ended(client: RawClient) -> bool:
    """True once the server has closed; fails where it does not."""
    try:
        return not client._socket.recv(1)
    except ConnectionResetError:
        return True


def flood(client: RawClient, piece: bytes, pieces: int) -> int:
    """Sends until the server has had enough; returns how many bytes it let come."""
    sent = 0
    try:
        for _ in range(pieces):
            client.send(piece)
            sent += len(piece)
    except OSError:
        pass
    return sent


# Heads


@pytest.mark.parametrize(
    "begin",
    [b"x: 1\r\n", b"x: " + b"a" * 1000, b"a" * 1000, b"x: 1\r\n\t"],
    ids=["many headers", "one value", "one name", "folded"],
)
def test_headers_that_never_end(served: Served, begin: bytes) -> None:
    """Refused with 431 in Anthropic's shape while they arrive, then the connection ends."""
    with RawClient(served.port) as client:
        client.send(b"GET /health HTTP/1.1\r\n" + begin)
        piece = begin if begin.endswith(b"\n") else b"a" * 1000
        client.send(piece * (6000 // len(piece)))
        status, kind = error(client)
    assert (status, kind) in [(431, "invalid_request_error"), (400, "invalid_request_error")]
    assert status == 431 or b"\t" in begin, "folded lines are no HTTP any more"


def test_a_flood_of_headers_is_cut_off(served: Served) -> None:
    """Of a client that sends on after its refusal no more than a little is read."""
    with RawClient(served.port) as client:
        client.send(b"GET /health HTTP/1.1\r\n")
        assert flood(client, b"x: " + b"a" * 65_000 + b"\r\n", 4000) < 64_000_000
    with RawClient(served.port) as client:
        client.send(HEALTH)
        assert client.head().status == 200


@pytest.mark.parametrize("pieces", [1, 7, 1100])
def test_a_url_that_is_too_long(served: Served, pieces: int) -> None:
    """Refused with 414, whether it comes at once or in pieces, ended or not."""
    whole = b"GET /v1/models?" + b"a" * 1100
    with RawClient(served.port) as client:
        for at in range(0, len(whole), -(-len(whole) // pieces)):
            client.send(whole[at : at + -(-len(whole) // pieces)])
        assert error(client) == (414, "invalid_request_error")


CHUNKED = (b"transfer-encoding", b"chunked")
ENDLESS = {
    "a trailer": chunk(BODY) + b"0\r\nx: ",
    "a trailer's name": chunk(BODY) + b"0\r\nx",
    "a chunk's extension": b"5;a",
    "an extension behind content": chunk(BODY) + b"5;a",
}


@pytest.mark.parametrize("begin", ENDLESS.values(), ids=ENDLESS)
def test_framing_that_never_ends(served: Served, begin: bytes) -> None:
    """Of a chunked body without any more content as much is read as of a head; then the client is cut off."""
    with RawClient(served.port) as client:
        client.send(request_head("/v1/messages", [CHUNKED]) + begin)
        assert flood(client, b"a" * 65_000, 1000) < 20_000_000


def test_trailers_without_end(served: Served) -> None:
    """The same for small ones."""
    with RawClient(served.port) as client:
        client.send(request_head("/v1/messages", [CHUNKED]) + chunk(BODY) + b"0\r\n")
        assert flood(client, b"x: y\r\n" * 10_000, 1000) < 20_000_000


def test_a_body_in_many_chunks(served: Served) -> None:
    """Framing between pieces of content adds up to nothing, whatever its sum."""
    whole = b"".join(
        chunk(BODY[at : at + 1]).replace(b"\r\n", b";x=%s\r\n" % (b"y" * 500), 1) for at in range(len(BODY))
    )
    with RawClient(served.port) as client:
        client.send(request_head("/v1/messages", [CHUNKED]) + whole + LAST_CHUNK)
        assert client.head().status == 200


def test_trailers_are_no_headers() -> None:
    """A key that comes behind the body admits nobody, and no trailer goes upstream."""
    config = decode_config(OFFLINE.replace(b"anonymous = true", b'keys = ["env:GATEWAY_KEY"]'))
    config.resolve({"SIM_KEY": "sk-ant-simulated", "GATEWAY_KEY": "sk-ant-of-the-gateway"})
    whole = request_head("/v1/messages", [CHUNKED]) + chunk(BODY)
    with Served(NexusFlow(config=config, transport="offline"), limits=PATIENT) as served:
        with RawClient(served.port) as client:
            client.send(whole + b"0\r\nx-api-key: sk-ant-of-the-gateway\r\n\r\n")
            assert client.head().status == 401
            client.rest()
            client.send(request("/v1/messages", [(b"x-api-key", b"sk-ant-of-the-gateway")], BODY))
            assert client.head().status == 200


def test_blank_lines_for_ever(served: Served) -> None:
    """What a parser skips before a request is counted too."""
    with RawClient(served.port) as client:
        client.send(b"\r\n" * 3000)
        assert error(client)[0] == 431


@pytest.mark.parametrize("size", [1, 3, 100, 5000])
def test_a_head_within_its_bound(served: Served, size: int) -> None:
    """Cut anywhere, followed by a body beyond the bound, and again on the same connection: served."""
    fat = [(b"x-%d" % number, b"v" * 80) for number in range(30)]
    body = BODY.replace(b"hello", b"hello " * 3000)
    whole = request("/v1/messages", fat, body)
    with RawClient(served.port) as client:
        for _ in range(2):
            for at in range(0, 3500, size):
                client.send(whole[at : min(at + size, 3500)])
            client.send(whole[3500:])
            assert client.head().status == 200
            client.rest()


@pytest.mark.parametrize(
    "garbage",
    [b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n"],
)
def test_what_is_no_http(served: Served, garbage: bytes) -> None:
    """400 in Anthropic's shape, then the connection ends."""
    with RawClient(served.port) as client:
        client.send(garbage)
        assert error(client) == (400, "invalid_request_error")


@both_loops
def test_a_refused_head_behind_an_answer(loop: Loop) -> None:
    """The answer that is being made goes out whole, and then the connection ends."""
    go_on = Gate()
    with ScriptedUpstream(lambda _: answer(200, JSON, [go_on, MESSAGE])) as upstream:
        app = NexusFlow(config=relaying(upstream), transport="httpx")
        with Served(app, loop=loop, limits=PATIENT) as served, RawClient(served.port) as client:
            client.post("/v1/messages", [], BODY)
            upstream.wait_requests(1)
            client.send(b"GET /health HTTP/1.1\r\nx: " + b"a" * 10_000)
            go_on.open()
            assert client.head().status == 200
            assert client.rest() == MESSAGE
            assert ended(client)


# Deadlines


@both_loops
@pytest.mark.parametrize("sent", [b"", b"\r\n", b"GET /hea", b"GET /health HTTP/1.1\r\nhost: localhost\r\n"])
def test_nothing_or_half_a_head(loop: Loop, sent: bytes) -> None:
    """A connection that asks for nothing in its time is closed; half a head is answered with 408 first."""
    limits = ServerLimits(
        head_seconds=0.1 if sent.strip() else LONG, idle_seconds=LONG if sent.strip() else 0.1
    )
    with Served(gateway(), loop=loop, limits=limits) as served, RawClient(served.port) as client:
        client.send(sent)
        if sent.strip():
            assert error(client) == (408, "invalid_request_error")
        else:
            assert ended(client)


@both_loops
@pytest.mark.parametrize("sent", [b"", b"GET /hea"])
def test_the_same_after_an_answer(loop: Loop, sent: bytes) -> None:
    """A connection that is kept has the same time for its next head."""
    limits = ServerLimits(head_seconds=0.1 if sent else LONG, idle_seconds=LONG if sent else 0.1)
    with Served(gateway(), loop=loop, limits=limits) as served, RawClient(served.port) as client:
        for _ in range(2):
            client.send(HEALTH)
            assert client.head().status == 200
            client.rest()
        client.send(sent)
        if sent:
            assert error(client)[0] == 408
        else:
            assert ended(client)


@both_loops
def test_a_head_byte_by_byte_gets_no_more_time(loop: Loop) -> None:
    """The deadline is the whole head's, however many bytes of it come."""
    limits = ServerLimits(head_seconds=0.3, idle_seconds=LONG)
    with Served(gateway(), loop=loop, limits=limits) as served, RawClient(served.port) as client:
        client.send(b"GET /health HTTP/1.1\r\n")
        client._socket.settimeout(0.01)
        for _ in range(2000):
            try:
                assert client._socket.recv(12) == b"HTTP/1.1 408"
                return
            except TimeoutError:
                client.send(b"x: 1\r\n")
        raise AssertionError("it was never too late")


@both_loops
def test_an_answer_takes_its_time(loop: Loop) -> None:
    """No deadline of a head runs while a body arrives, or an answer is made."""
    go_on = Gate()
    limits = ServerLimits(head_seconds=0.05, idle_seconds=0.05)
    with ScriptedUpstream(lambda _: answer(200, JSON, [go_on, MESSAGE])) as upstream:
        app = NexusFlow(config=relaying(upstream), transport="httpx")
        with Served(app, loop=loop, limits=limits) as served, RawClient(served.port) as client:
            client.send(request_head("/v1/messages", [(b"content-length", b"%d" % len(BODY))]))
            served.wait_calls(1)
            assert upstream.wait_requests(1, timeout=0.15) == []
            client.send(BODY)
            upstream.wait_requests(1)
            client._socket.settimeout(0.15)
            with pytest.raises(TimeoutError):
                client.head()
            client._socket.settimeout(LIMIT)
            go_on.open()
            assert client.head().status == 200
            assert client.rest() == MESSAGE


# Connections that wait


def test_connections_without_a_request_are_bounded() -> None:
    """The oldest one makes room; who has a call keeps its place, and a newcomer is served."""
    go_on = Gate()
    limits = ServerLimits(head_seconds=LONG, idle_seconds=LONG, waiting=3)
    with ScriptedUpstream(lambda _: answer(200, JSON, [go_on, MESSAGE])) as upstream:
        app = NexusFlow(config=relaying(upstream), transport="httpx")
        with Served(app, limits=limits) as served, RawClient(served.port) as calling:
            calling.post("/v1/messages", [], BODY)
            upstream.wait_requests(1)
            with RawClient(served.port) as first, RawClient(served.port) as second:
                second.send(b"GET /hea")
                others = [RawClient(served.port) for _ in range(3)]
                assert ended(first)
                assert ended(second)
                others[-1].send(HEALTH)
                assert others[-1].head().status == 200
                go_on.open()
                assert calling.head().status == 200
                for client in others:
                    client.close()


# Upgrades


def h2c(body: bytes, *more: tuple[bytes, bytes], connection: bytes = b"Upgrade, HTTP2-Settings") -> bytes:
    """A request as the HttpClient of a JDK makes it on http://."""
    offer = [
        (b"Connection", connection),
        (b"HTTP2-Settings", b"AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"),
        (b"Upgrade", b"h2c"),
    ]
    return request("/v1/messages", [*offer, *more], body)


@pytest.mark.parametrize("size", [0, 1, 50, 300])
def test_an_offer_of_http_2_is_not_taken(served: Served, size: int) -> None:
    """The body is kept, however the request is cut, and the connection goes on."""
    whole = h2c(STREAM)
    with RawClient(served.port) as client:
        for _ in range(2):
            if size:
                for at in range(0, len(whole), size):
                    client.send(whole[at : at + size])
            else:
                client.send(whole)
            assert client.head().status == 200
            assert client.rest().endswith(b'data: {"type":"message_stop"}\n\n')


def test_an_offer_with_a_chunked_body(served: Served) -> None:
    """The other framing, and `Expect`: the body is kept too."""
    head_, _, body = h2c(BODY, (b"Expect", b"100-continue")).partition(b"\r\n\r\n")
    head_ = head_.replace(b"content-length: %d" % len(BODY), b"transfer-encoding: chunked")
    with RawClient(served.port) as client:
        client.send(head_ + b"\r\n\r\n")
        assert client._take_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(chunk(body) + LAST_CHUNK)
        assert client.head().status == 200


def test_an_offer_and_a_last_request(served: Served) -> None:
    """`close` beside `Upgrade` is heard."""
    with RawClient(served.port) as client:
        client.send(h2c(BODY, connection=b"close, Upgrade"))
        assert client.head().status == 200
        client.rest()
        assert ended(client)


@pytest.mark.parametrize("offer", [b"websocket", b"h2c", b"TLS/1.0, HTTP/1.1"])
def test_an_offer_without_a_body(served: Served, offer: bytes) -> None:
    """Whatever is offered, the answer is that of the plain request."""
    plain = b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: %s\r\n\r\n"
    with RawClient(served.port) as client:
        client.send(plain % offer + HEALTH)
        assert client.head().status == 200
        assert client.head().status == 200


def test_connect(served: Served) -> None:
    """No tunnel is opened, and none is waited for."""
    with RawClient(served.port) as client:
        client.send(b"CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example:443\r\n\r\n")
        assert error(client) == (405, "invalid_request_error")


# Requests ahead of their answers


def relaying(upstream: ScriptedUpstream) -> Config:
    toml = f"""
        [upstreams.anthropic]
        dialect = "anthropic"
        base_url = "{upstream.url}"
        auth = "none"
        [[routes]]
        model = "claude-*"
        targets = ["anthropic"]
        [auth]
        anonymous = true
    """
    return decode_config(toml.encode())


def test_pipelined_requests(served: Served) -> None:
    """Each is answered in its turn, whatever follows it and however it is cut."""
    many = request("/v1/messages", [], STREAM) + HEALTH + request("/v1/messages", [], BODY) + HEALTH
    for size in (7, 400, len(many)):
        with RawClient(served.port) as client:
            for at in range(0, len(many), size):
                client.send(many[at : at + size])
            for _ in range(4):
                assert client.head().status == 200
            client.rest()
            client.send(HEALTH)
            assert client.head().status == 200


def test_a_pipelined_body_beyond_what_is_held(served: Served) -> None:
    """It waits in the client until its turn has come, and is whole then."""
    body = BODY.replace(b"hello", b"hello " * 100_000)
    with RawClient(served.port) as client:
        client.send(request("/v1/messages", [], STREAM) + request("/v1/messages", [], body))
        assert client.head().status == 200
        assert client.head().status == 200
        assert b'"message"' in client.rest()


@both_loops
@pytest.mark.parametrize("way", ["close", "reset"])
@pytest.mark.parametrize("stream", [False, True], ids=["sync", "stream"])
@pytest.mark.parametrize("more", [HEALTH, HEALTH * 3, request("/v1/messages", [], BODY) + b"GET /hea"])
def test_a_client_that_pipelines_and_leaves(
    loop: Loop, way: str, stream: bool, more: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It is noticed: the upstream is closed at once, the record says so, and nothing is logged as a defect."""
    hook = RecordingHook()
    script: list[Any] = [STREAM_HEAD, chunk(START), Fault.HANG] if stream else [Fault.HANG]
    with ScriptedUpstream(lambda _: script) as upstream:
        app = NexusFlow(config=relaying(upstream), transport="httpx", hooks=[hook])
        with Served(app, loop=loop, limits=PATIENT) as served:
            client = RawClient(served.port)
            client.post("/v1/messages", [], STREAM if stream else BODY)
            upstream.wait_requests(1)
            if stream:
                assert client.head().status == 200
                assert client.exactly(len(START)) == START
            client.send(more)
            client.close() if way == "close" else client.reset()
            assert upstream.requests[0].wait_closed()
            [record] = hook.wait(1)
            assert served.client_connections() == 0
    assert record.ending == "client_gone"
    assert len(hook.records) == 1, "the second request was never begun"
    assert "Traceback" not in caplog.text


# Clients that do not read


@both_loops
@pytest.mark.parametrize("whole", [True, False], ids=["a whole answer", "an answer cut off"])
def test_a_client_that_stops_reading_is_cut(loop: Loop, whole: bool) -> None:
    """What it was sent has its time, then the socket is closed, so that nobody holds one by not reading."""
    hook = RecordingHook()
    large = MESSAGE.replace(b'"m"', b'"%s"' % (b"m" * 15_000_000))
    script: Callable[[Any], Any] = lambda _: (  # noqa: E731
        answer(200, JSON, [large])
        if whole
        else [STREAM_HEAD, chunk(START), *[chunk(b": %s\n\n" % (b"x" * 60_000))] * 200, Fault.HANG]
    )
    limits = ServerLimits(head_seconds=LONG, idle_seconds=0.1, stalled_seconds=0.1)
    with ScriptedUpstream(script) as upstream:
        config = decode_config(
            b"[upstreams.anthropic]\ndialect = 'anthropic'\nauth = 'none'\nbase_url = '%s'\n"
            b"timeouts = { idle = 0.3, total = 2 }\n[[routes]]\nmodel = 'claude-*'\ntargets = ['anthropic']\n"
            b"[auth]\nanonymous = true\n" % upstream.url.encode()
        )
        app = NexusFlow(config=config, transport="httpx", hooks=[hook])
        with Served(app, loop=loop, limits=limits) as served:
            with RawClient(served.port) as client:
                client._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.post("/v1/messages", [], BODY if whole else STREAM)
                hook.wait(1)
                assert served.client_connections() == 0


@both_loops
def test_a_slow_client_gets_all_of_it(loop: Loop) -> None:
    """One that reads on, however slowly, is not cut, though its connection is to close."""
    text = b"m" * 3_000_000
    limits = ServerLimits(head_seconds=LONG, idle_seconds=LONG, stalled_seconds=0.2)
    with ScriptedUpstream(lambda _: answer(200, JSON, [MESSAGE.replace(b'"m"', b'"%s"' % text)])) as upstream:
        app = NexusFlow(config=relaying(upstream), transport="httpx")
        with Served(app, loop=loop, limits=limits) as served, RawClient(served.port) as client:
            client.post("/v1/messages", [(b"connection", b"close")], BODY)
            assert client.head().status == 200
            body = bytearray()
            while piece := client.piece():
                body += piece
            assert text in body


def test_half_an_answer_is_seen_as_such(served: Served) -> None:
    """A client that says that it has no more to send is gone; it gets an end in any case."""
    with RawClient(served.port) as client:
        client.send(request("/v1/messages", [], STREAM))
        client._socket.shutdown(socket.SHUT_WR)
        try:
            client.head()
            client.rest()
        except (Truncated, ConnectionResetError):
            pass
        assert ended(client)
