"""Bad requests, keys and upstreams: a clear error in Anthropic's shape, one record, nothing left behind."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.transports import TransportName
from nexusflow_core.config import decode_config
from tests.servers import (
    JSON,
    LAST_CHUNK,
    SSE,
    Fault,
    Gate,
    Head,
    RawClient,
    RecordingHook,
    ScriptedUpstream,
    Served,
    Step,
    Truncated,
    always,
    answer,
    chunk,
    head,
    refusing_port,
    request_head,
)

LIMIT = 100_000
CONFIG = """
[upstreams.anthropic]
dialect = "anthropic"
base_url = "{url}"
connections = 2

[upstreams.hasty]
dialect = "anthropic"
base_url = "{url}"
connections = 2
[upstreams.hasty.timeouts]
first_byte = 0.3

[upstreams.restless]
dialect = "anthropic"
base_url = "{url}"
connections = 2
[upstreams.restless.timeouts]
idle = 0.3

[upstreams.gone]
dialect = "anthropic"
base_url = "http://127.0.0.1:{refusing}"
connections = 2

[[routes]]
model = "claude-*"
targets = ["anthropic"]
[[routes]]
model = "hasty-*"
targets = ["hasty"]
[[routes]]
model = "restless-*"
targets = ["restless"]
[[routes]]
model = "gone-*"
targets = ["gone"]

[limits]
body_bytes = 100000

[retry]
attempts = 1

[auth]
"""
OWN_KEY = b"sk-ant-the-clients-own"
HEADERS = [(b"content-type", b"application/json"), (b"x-api-key", OWN_KEY)]
GOOD = b'{"model":"claude-x"}'
ANSWER = b'{"type":"message","usage":{"input_tokens":3,"output_tokens":1}}'
LENGTH, CHUNKED = (b"content-length", b"60"), (b"transfer-encoding", b"chunked")

START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message",'
    b'"role":"assistant","content":[],"model":"claude-x","usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
)
TEXT = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"text":"hi"}}\n\n'
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
OVERLOADED = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Busy"}}\n\n'


class Bench(NamedTuple):
    served: Served
    upstream: ScriptedUpstream
    hook: RecordingHook

    def call(self, headers: list[tuple[bytes, bytes]], body: bytes) -> tuple[Head, bytes, Any]:
        """One call, and its record; then a good one on the same connection, to see that nothing is wrong."""
        count = len(self.hook.records)
        with RawClient(self.served.port) as client:
            got, answered = client.call("/v1/messages", headers, body)
            record = self.hook.wait(count + 1)[count]
            self.assert_good_call_works(client)
        assert len(self.hook.records) == count + 2, "one record a call"
        return got, answered, record

    def assert_good_call_works(self, client: RawClient) -> None:
        count = len(self.hook.records)
        self.upstream.script = lambda _: answer(200, JSON, [ANSWER])
        got, body = client.call("/v1/messages", HEADERS, GOOD)
        assert (got.status, body) == (200, ANSWER)
        assert self.hook.wait(count + 1)[count].ending == "complete"


def running(transport: TransportName, auth: str = "anonymous = true") -> Iterator[Bench]:
    hook = RecordingHook()
    with refusing_port() as refusing, ScriptedUpstream(lambda _: ()) as upstream:
        toml = CONFIG.format(url=upstream.url, refusing=refusing) + auth
        app = NexusFlow(config=decode_config(toml.encode()), transport=transport, hooks=[hook])
        with Served(app) as served:
            yield Bench(served, upstream, hook)
        assert upstream.wait_open(0), "closing the gateway closes its connections"


@pytest.fixture(scope="module", params=["h1", "httpx"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """One open gateway a transport, with two connections to each upstream, for all cases of this module."""
    yield from running(request.param)


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A gateway with a key of its own."""
    monkeypatch.setenv("BAD_INPUT_KEY", "nxf-right")
    yield from running("httpx", 'keys = ["env:BAD_INPUT_KEY"]')


def assert_error(got: Head, body: bytes, record: Any, status: int, kind: str) -> None:
    """What a client sees and what the record says, and that they agree."""
    assert got.status == status, body
    assert got.value(b"content-type") == b"application/json"
    assert_error_document(body, record, kind)
    assert got.values(b"request-id") == [record.request_id.encode()]
    assert (record.status, record.error_type) == (status, kind)
    assert (record.usage, record.usage_source) == (None, "none")


def assert_error_document(body: bytes, record: Any, kind: str) -> None:
    document = json.loads(body)
    assert set(document) == {"type", "error", "request_id"}
    assert document["type"] == "error"
    assert set(document["error"]) == {"type", "message"}
    assert document["error"]["type"] == kind
    assert document["error"]["message"]
    assert document["request_id"] == record.request_id
    assert b"127.0.0.1" not in body, "an address of ours"
    assert OWN_KEY not in body, "a key"


# The client's fault: nothing goes upstream.

DEEP = 100_000 // 2 - 50
BAD_BODIES: dict[str, bytes] = {
    "empty": b"",
    "cut short": b'{"model":"claude-x"',
    "a word": b"nope",
    "not UTF-8": b'{"model":"claude-\xff"}',
    "UTF-16": '{"model":"claude-x"}'.encode("utf-16"),
    "two documents": GOOD + GOOD,
    "NaN": b'{"model":"claude-x","a":NaN}',
    "single quotes": b"{'model':'claude-x'}",
    "a list": b'[{"model":"claude-x"}]',
    "a string": b'"claude-x"',
    "null": b"null",
    "a number": b"1",
    "no model": b'{"messages":[]}',
    "a model deeper down": b'{"metadata":{"model":"claude-x"}}',
    "model null": b'{"model":null}',
    "model a number": b'{"model":7}',
    "model a list": b'{"model":["claude-x"]}',
    "model an object": b'{"model":{"id":"claude-x"}}',
    "two models": b'{"model":"claude-x","model":"claude-y"}',
    "two models, one escaped": b'{"model":"claude-x","mod\\u0065l":"gone-x"}',
    "model, then null": b'{"model":"claude-x","model":null}',
    "deep": b'{"model":"claude-x","a":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep, cut short": b'{"model":"claude-x","a":' + b'{"a":' * 10_000,
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_a_body_that_cannot_be_routed(bench: Bench, body: bytes) -> None:
    """400 invalid_request_error, whatever is wrong with the body; the upstream hears nothing of it."""
    before = len(bench.upstream.requests)
    got, answered, record = bench.call(HEADERS, body)
    assert_error(got, answered, record, 400, "invalid_request_error")
    assert (record.ending, record.attempts) == ("refused", ())
    assert len(bench.upstream.requests) == before + 1, "only the good call"


@pytest.mark.parametrize("model", ["gpt-6", "", "Claude-x", "claude", " claude-x", "\U0001f600\n"])
def test_an_unknown_model(bench: Bench, model: str) -> None:
    """404 not_found_error for a model without a route."""
    got, answered, record = bench.call(HEADERS, json.dumps({"model": model}).encode())
    assert_error(got, answered, record, 404, "not_found_error")
    assert (record.ending, record.model) == ("refused", model)


@pytest.mark.parametrize("size", [LIMIT + 1, 2 * LIMIT, 30 * LIMIT])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_body_over_the_limit(bench: Bench, size: int, chunked: bool) -> None:
    """413 request_too_large, announced by its length or counted while reading; the client gets to read it."""
    count, body = len(bench.hook.records), GOOD.ljust(size)
    with RawClient(bench.served.port) as client:
        if chunked:
            pieces = [chunk(body[at : at + 50_000]) for at in range(0, size, 50_000)]
            sent = b"".join([request_head("/v1/messages", [*HEADERS, CHUNKED]), *pieces, LAST_CHUNK])
        else:
            sent = request_head("/v1/messages", [*HEADERS, (b"content-length", b"%d" % size)]) + body
        client.send(sent)
        got, answered = client.head(), client.rest()
    assert_error(got, answered, bench.hook.wait(count + 1)[count], 413, "request_too_large")
    with RawClient(bench.served.port) as client:
        bench.assert_good_call_works(client)
    assert [r.ending for r in bench.hook.records[count:]] == ["refused", "complete"]


def test_a_body_at_the_limit_is_served(bench: Bench) -> None:
    """The limit itself is allowed."""
    bench.upstream.script = lambda _: answer(200, JSON, [ANSWER])
    got, answered, _ = bench.call(HEADERS, GOOD.ljust(LIMIT))
    assert (got.status, answered) == (200, ANSWER)


@pytest.mark.parametrize(
    ("encoding", "body", "status", "kind"),
    [
        (b"gzip", b"not gzip at all", 400, "invalid_request_error"),
        (b"gzip", gzip.compress(GOOD)[:-9], 400, "invalid_request_error"),
        (b"gzip", gzip.compress(b"nope"), 400, "invalid_request_error"),
        (b"made-up", GOOD, 400, "invalid_request_error"),
        (b"gzip", gzip.compress(GOOD.ljust(LIMIT + 1)), 413, "request_too_large"),
        (b"deflate", zlib.compress(GOOD.ljust(60_000_000)), 413, "request_too_large"),
    ],
    ids=["broken", "cut short", "not JSON", "unknown", "over the limit", "a bomb"],
)
def test_an_encoded_body(bench: Bench, encoding: bytes, body: bytes, status: int, kind: str) -> None:
    """An encoding that cannot be undone is a 400, one that inflates over the limit a 413."""
    got, answered, record = bench.call([*HEADERS, (b"content-encoding", encoding)], body)
    assert_error(got, answered, record, status, kind)
    assert record.ending == "refused"


@pytest.mark.parametrize(
    "credentials",
    [
        [],
        [(b"x-api-key", b"nxf-wrong")],
        [(b"x-api-key", b"")],
        [(b"authorization", b"Bearer nxf-wrong")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Basic nxf-right")],
        [(b"x-api-key", b"nxf-right\xe9")],
        [(b"x-api-key", b"nxf-righ")],
        [(b"cookie", b"x-api-key=nxf-right")],
    ],
)
def test_a_wrong_or_missing_key(locked: Bench, credentials: list[tuple[bytes, bytes]]) -> None:
    """401 authentication_error after the body is drained: the connection serves the next call as well."""
    body = GOOD.ljust(LIMIT)
    with RawClient(locked.served.port) as client:
        for count in range(3):
            client.post("/v1/messages", credentials, body)
            got, answered = client.head(), client.rest()
            record = locked.hook.wait(count + 1)[count]
            assert_error(got, answered, record, 401, "authentication_error")
            assert (record.ending, record.principal) == ("refused", None)
            assert b"nxf-" not in answered
    assert locked.upstream.requests == []


def test_the_answer_to_a_wrong_key_waits_for_the_body(locked: Bench) -> None:
    """Eight megabytes with a wrong key: no server closes on the client while it is still sending."""
    with RawClient(locked.served.port) as client:
        client.post("/v1/messages", [(b"x-api-key", b"nxf-wrong")], GOOD.ljust(8_000_000))
        got = client.head()
        assert got.status in (401, 413)
        assert json.loads(client.rest())["type"] == "error"
        assert got.values(b"request-id")


def test_a_key_that_leaves_nothing_for_the_upstream(locked: Bench) -> None:
    """The gateway key is right, but this upstream has no key and the client brought none of its own: 401."""
    with RawClient(locked.served.port) as client:
        got, answered = client.call("/v1/messages", [(b"x-api-key", b"nxf-right")], GOOD)
    assert_error(got, answered, locked.hook.wait(1)[0], 401, "authentication_error")
    assert locked.upstream.requests == []


# The upstream's fault.


def whole(status: int, headers: list[tuple[bytes, bytes]], *pieces: bytes) -> list[Step]:
    return answer(status, headers, pieces)


BROKEN: dict[str, list[Step]] = {
    "closes at once": [Fault.CLOSE],
    "resets at once": [Fault.RESET],
    "half a head": [b"HTTP/1.1 200 OK\r\ncontent-ty", Fault.CLOSE],
    "garbage": [b"\x00\x01\x02 hello there\r\n\r\n", Fault.CLOSE],
    "another protocol": [b"SSH-2.0-OpenSSH_9.9\r\n", Fault.CLOSE],
    "an impossible status": [b"HTTP/1.1 abc OK\r\n\r\n", Fault.CLOSE],
    "a status that nobody knows": whole(999, list(JSON), b"{}"),
    "another protocol, agreed to": [head(101, [(b"upgrade", b"x"), (b"connection", b"upgrade")]), Fault.HANG],
    "a control character in a header": whole(200, [*JSON, (b"x-a", b"a\x01b")], ANSWER),
    **{
        f"a redirect {status}": whole(status, [*JSON, (b"location", b"/v1/messages?again")], b"{}")
        for status in (300, 301, 302, 303, 307, 308)
    },
}
BROKEN_SYNC: dict[str, list[Step]] = {
    "head, then closes": [head(200, [*JSON, LENGTH]), Fault.CLOSE],
    "half the body, then closes": [head(200, [*JSON, LENGTH]), ANSWER[:30], Fault.CLOSE],
    "half the chunks, then resets": [head(200, [*JSON, CHUNKED]), chunk(ANSWER[:30]), Fault.RESET],
    "a chunk of nonsense size": [head(200, [*JSON, CHUNKED]), b"zz\r\n", Fault.CLOSE],
    "HTML": whole(200, [(b"content-type", b"text/html")], b"<html>Sign in</html>"),
    "HTML called JSON": whole(200, list(JSON), b"<html>Sign in</html>"),
    "nothing": whole(200, list(JSON)),
    "half a JSON document, ended properly": whole(200, list(JSON), ANSWER[:30]),
}
BROKEN_STREAM: dict[str, list[Step]] = {
    "head, then closes": [head(200, [*SSE, CHUNKED]), Fault.CLOSE],
    "half an event, then closes": [head(200, [*SSE, CHUNKED]), chunk(START[:40]), Fault.CLOSE],
    "half an event, ended properly": [head(200, [*SSE, CHUNKED]), chunk(START[:40]), LAST_CHUNK],
    "no event": [head(200, [*SSE, CHUNKED]), LAST_CHUNK],
    "only a comment": [head(200, [*SSE, CHUNKED]), chunk(b": hi\n\n"), LAST_CHUNK],
    "a chunk of nonsense size": [head(200, [*SSE, CHUNKED]), b"zz\r\n", Fault.CLOSE],
}


def fail(bench: Bench, steps: list[Step], model: str, stream: bool) -> tuple[Head, bytes, Any]:
    """One call against this script. It is sent twice only where a kept connection gave no byte of answer."""
    before = len(bench.upstream.requests)
    bench.upstream.script = lambda _: steps
    found = bench.call(HEADERS, json.dumps({"model": model, "stream": stream}).encode())
    most = 3 if steps[:1] in ([Fault.CLOSE], [Fault.RESET]) else 2
    assert len(bench.upstream.requests) <= before + most, "sent once, and then the good call"
    return found


def fail_after(bench: Bench, sent: bytes, then: list[Step], model: str = "claude-x") -> tuple[Head, bytes, Any]:
    """A stream that goes wrong only when the client has read all that was sent before."""
    gate, count = Gate(), len(bench.hook.records)
    bench.upstream.script = lambda _: [head(200, [*SSE, CHUNKED]), chunk(sent), gate, *then]
    with RawClient(bench.served.port) as client:
        client.post("/v1/messages", HEADERS, json.dumps({"model": model, "stream": True}).encode())
        got, body = client.head(), client.exactly(len(sent))
        gate.open()
        body += client.rest()
        record = bench.hook.wait(count + 1)[count]
        bench.assert_good_call_works(client)
    assert len(bench.hook.records) == count + 2, "one record a call"
    return got, body, record


def assert_upstream_error(found: tuple[Head, bytes, Any], status: int, kind: str) -> None:
    assert_error(*found, status, kind)
    record = found[2]
    assert record.ending == "error"
    assert len(record.attempts) == 1
    assert record.attempts[0].reason


@pytest.mark.parametrize("stream", [False, True], ids=["sync", "stream"])
@pytest.mark.parametrize("steps", BROKEN.values(), ids=BROKEN.keys())
def test_an_upstream_without_an_answer(bench: Bench, steps: list[Step], stream: bool) -> None:
    """502 api_error; a redirect is not followed."""
    assert_upstream_error(fail(bench, steps, "claude-x", stream), 502, "api_error")
    assert all(request.target == b"/v1/messages" for request in bench.upstream.requests)


@pytest.mark.parametrize("stream", [False, True], ids=["sync", "stream"])
def test_an_upstream_that_refuses(bench: Bench, stream: bool) -> None:
    """502 api_error where nobody listens."""
    assert_upstream_error(fail(bench, [], "gone-x", stream), 502, "api_error")


@pytest.mark.parametrize("steps", BROKEN_SYNC.values(), ids=BROKEN_SYNC.keys())
def test_an_upstream_with_a_broken_body(bench: Bench, steps: list[Step]) -> None:
    """A sync answer that is cut or is no JSON is a 502, not half an answer with status 200."""
    assert_upstream_error(fail(bench, steps, "claude-x", stream=False), 502, "api_error")


def test_a_large_sync_body_cut_short(bench: Bench) -> None:
    """Too large to be held back, so its head is out: the client's connection is cut, not ended properly."""
    count, size = len(bench.hook.records), 20_000_000
    half = b'{"text":"'.ljust(size - 1_000_000, b"x")
    bench.upstream.script = lambda _: [head(200, [*JSON, (b"content-length", b"%d" % size)]), half, Fault.CLOSE]
    with RawClient(bench.served.port) as client:
        client.post("/v1/messages", HEADERS, GOOD)
        assert client.head().status == 200
        with pytest.raises(Truncated):
            client.rest()
    record = bench.hook.wait(count + 1)[count]
    assert (record.ending, record.status, record.error_type) == ("error", 200, "api_error")
    with RawClient(bench.served.port) as client:
        bench.assert_good_call_works(client)


@pytest.mark.parametrize("steps", BROKEN_STREAM.values(), ids=BROKEN_STREAM.keys())
def test_an_upstream_that_ends_before_its_first_event(bench: Bench, steps: list[Step]) -> None:
    """No event, no 200: a 502 that the client may retry."""
    assert_upstream_error(fail(bench, steps, "claude-x", stream=True), 502, "api_error")


@pytest.mark.parametrize(
    ("steps", "stream", "model"),
    [
        ([Fault.HANG], False, "hasty-x"),
        ([Fault.HANG], True, "hasty-x"),
        ([b"HTTP/1.1 200 OK\r\nconte", Fault.HANG], False, "hasty-x"),
        ([head(200, [*JSON, LENGTH]), Fault.HANG], False, "hasty-x"),
        ([head(200, [*JSON, LENGTH]), ANSWER[:30], Fault.HANG], False, "restless-x"),
        ([head(200, [*SSE, CHUNKED]), Fault.HANG], True, "hasty-x"),
        ([head(200, [*SSE, CHUNKED]), chunk(START[:40]), Fault.HANG], True, "restless-x"),
    ],
    ids=["head", "head, stream", "half a head", "body", "half a body", "first event", "half an event"],
)
def test_an_upstream_that_hangs(bench: Bench, steps: list[Step], stream: bool, model: str) -> None:
    """504 timeout_error, and the upstream sees its socket close."""
    bench.upstream.script = lambda _: answer(200, JSON, [ANSWER])
    bench.call(HEADERS, json.dumps({"model": model}).encode())  # its client is made, which may take its time
    count = len(bench.upstream.requests)
    assert_upstream_error(fail(bench, steps, model, stream), 504, "timeout_error")
    assert bench.upstream.requests[count].cut_off()


@pytest.mark.parametrize(
    ("sent", "then", "model", "added", "kind"),
    [
        (START + TEXT, [Fault.CLOSE], "claude-x", b"", "api_error"),
        (START + TEXT, [Fault.RESET], "claude-x", b"", "api_error"),
        (START + TEXT, [LAST_CHUNK], "claude-x", b"", "api_error"),
        (START + TEXT, [b"nonsense\r\n", Fault.CLOSE], "claude-x", b"", "api_error"),
        (START + TEXT, [Fault.HANG], "restless-x", b"", "timeout_error"),
        (START + TEXT[:50], [Fault.CLOSE], "claude-x", b"\n\n", "api_error"),
        (START + TEXT[:50], [LAST_CHUNK], "claude-x", b"\n\n", "api_error"),
        (START + TEXT[:50], [Fault.HANG], "restless-x", b"\n\n", "timeout_error"),
        (START + TEXT[:-2], [LAST_CHUNK], "claude-x", b"\n\n", "api_error"),
        (START + b"event: cont", [LAST_CHUNK], "claude-x", b"\n\n", "api_error"),
    ],
)
def test_a_stream_cut_short(
    bench: Bench, sent: bytes, then: list[Step], model: str, added: bytes, kind: str
) -> None:
    """What came goes on unchanged, then one `event: error`, set apart from half an event; nothing after it."""
    got, body, record = fail_after(bench, sent, then, model)
    assert got.status == 200
    event = b"event: error\ndata: "
    assert body.startswith(sent + added + event)
    assert body.count(b"event: error") == 1
    document = body.removeprefix(sent + added + event)
    assert document.endswith(b"}\n\n")
    assert document.count(b"\n") == 2
    assert_error_document(document, record, kind)
    assert (record.ending, record.status, record.error_type) == ("error", 200, kind)
    assert (record.usage, record.usage_source) == ({"input_tokens": 3, "output_tokens": 1}, "partial")


@pytest.mark.parametrize("then", [[LAST_CHUNK], [Fault.CLOSE], [Fault.RESET]], ids=["end", "close", "reset"])
def test_the_upstreams_own_error_event_is_the_last(bench: Bench, then: list[Step]) -> None:
    """An error that the upstream sends in its stream goes on as it is, and we add nothing."""
    _, body, record = fail_after(bench, START + TEXT + OVERLOADED, then)
    assert body == START + TEXT + OVERLOADED
    assert (record.ending, record.error_type) == ("error", "overloaded_error")


def test_a_stream_that_promised_a_length_and_broke_off(bench: Bench) -> None:
    """The error event stands where the rest should be, and the answer ends properly: the length is not kept."""
    steps = [head(200, [*SSE, (b"content-length", b"9999")]), START, Fault.CLOSE]
    got, body, record = fail(bench, steps, "claude-x", stream=True)
    assert got.value(b"content-length") is None
    assert body.startswith(START + b"event: error\ndata: ")
    assert (record.ending, record.error_type, record.usage_source) == ("error", "api_error", "partial")


@pytest.mark.parametrize("then", [[Fault.CLOSE], [Fault.RESET], [b"nonsense\r\n", Fault.CLOSE]])
def test_nothing_follows_message_stop(bench: Bench, then: list[Step]) -> None:
    """An upstream that breaks off after message_stop has said all: the answer is complete."""
    _, body, record = fail_after(bench, START + TEXT + STOP, then)
    assert body == START + TEXT + STOP
    assert (record.ending, record.error_type, record.usage_source) == ("complete", None, "upstream")


def soak(bench: Bench, count: int) -> None:
    """Faults of every kind in turn over few connections, in one client connection."""
    scripts = [*BROKEN.values(), *BROKEN_SYNC.values(), *BROKEN_STREAM.values()]
    with RawClient(bench.served.port) as client:
        bench.assert_good_call_works(client)
    assert bench.served.client_connections() == 0
    at_rest, records = bench.served.tasks(), len(bench.hook.records)
    bodies = list(BAD_BODIES.values())
    with RawClient(bench.served.port) as client:
        for i in range(count):
            steps = scripts[i % len(scripts)]
            stream = steps in BROKEN_STREAM.values() or (steps in BROKEN.values() and i % 2 == 0)
            bench.upstream.script = always(steps)
            bad = json.dumps({"model": "gone-x" if i % 7 == 0 else "claude-x", "stream": stream}).encode()
            got, _ = client.call("/v1/messages", HEADERS, bodies[i % len(bodies)] if i % 3 == 0 else bad)
            assert got.status in (400, 502)
        bench.hook.wait(records + count)
        bench.assert_good_call_works(client)
    assert len(bench.hook.wait(records + count + 1)) == records + count + 1
    assert bench.served.client_connections() == 0
    assert not bench.served.leftovers(at_rest)
    assert bench.upstream.wait_open(2), f"{bench.upstream.open_connections} sockets, of a pool of two"


def test_two_hundred_faults_leave_nothing_behind(bench: Bench) -> None:
    """No task, no socket and no slot is left, and every one has its record."""
    soak(bench, 200)


@pytest.mark.soak
def test_a_thousand_faults_leave_nothing_behind(bench: Bench) -> None:
    """The same by the thousand."""
    soak(bench, 1000)
