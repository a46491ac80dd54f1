"""Recorded Anthropic traffic through real sockets: raw client -> NexusFlow on uvicorn -> replaying upstream."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.transports import TransportName
from nexusflow_core.config import decode_config
from tests import traffic
from tests.odd_json import UNKNOWN, oddly, without_unknown
from tests.servers import (
    Head,
    Headers,
    RawClient,
    Received,
    RecordingHook,
    ScriptedUpstream,
    Served,
    always,
    answer,
)
from tests.traffic import Exchange

GATEWAY_KEY, UPSTREAM_KEY, OWN_KEY = b"nxf-gateway-key", b"sk-ant-upstream-key", b"sk-ant-the-clients-own"

CONFIG = """
[upstreams.anthropic]
dialect = "anthropic"
base_url = "{url}"
api_key = "env:REPLAY_UPSTREAM_KEY"

[[routes]]
model = "*"
targets = ["anthropic"]

[retry]
attempts = 1

[auth]
keys = ["env:REPLAY_GATEWAY_KEY"]
"""

CREDENTIALS: Sequence[Headers] = (
    [(b"x-api-key", GATEWAY_KEY)],
    [(b"authorization", b"Bearer " + GATEWAY_KEY)],
    [(b"Authorization", b"bearer  " + GATEWAY_KEY)],
    [(b"x-api-key", GATEWAY_KEY), (b"authorization", b"Bearer " + OWN_KEY)],
    [(b"authorization", b"Bearer " + GATEWAY_KEY), (b"x-api-key", OWN_KEY)],
)
ODD_REQUEST_HEADERS: Headers = (
    (b"X-Stainless-Retry-Count", b"0"),
    (b"x-claude-code-session-id", b"a  b\tc"),
    (b"x-caf", "café".encode()),
    (b"user-agent", b"raw/1"),
    (b"accept", b"application/json"),
    (b"x-twice", b"1"),
    (b"X-Twice", b"2"),
)
DROPPED_REQUEST_HEADERS: Headers = (
    (b"accept-encoding", b"br, zstd"),
    (b"cookie", b"session=1"),
    (b"x-forwarded-for", b"10.0.0.1"),
    (b"forwarded", b"for=10.0.0.1"),
    (b"proxy-authorization", b"Basic eA=="),
    (b"x-nexusflow-anything", b"1"),
    (b"connection", b"keep-alive, x-hop"),
    (b"x-hop", b"1"),
    (b"te", b"trailers"),
)
ODD_RESPONSE_HEADERS: Headers = (
    (b"date", b"Tue, 03 Nov 2026 10:00:00 GMT"),
    (b"server", b"cloudflare"),
    (b"X-Odd", b"a  b,, c"),
    (b"set-cookie", b"a=1; Path=/"),
    (b"x-empty", b""),
    (b"set-cookie", b"b=2"),
    (b"x-caf", b"caf\xe9"),
)
DROPPED_RESPONSE_HEADERS: Headers = (
    (b"connection", b"keep-alive, x-hop"),
    (b"x-hop", b"1"),
    (b"keep-alive", b"timeout=5"),
    (b"x-nexusflow-cost-usd", b"0"),
)
QUERIES = ("", "beta=true", "beta=true&a=%7e&b=%2F&c=a+b&d=&&e=%20%C3%A9", "x=[1]&y='(*)!~")
OURS = {b"host", b"content-length", b"accept-encoding", b"connection", b"x-api-key", b"authorization"}
HOP_BY_HOP = {b"connection", b"keep-alive", b"content-length", b"transfer-encoding"}


def stream_body(*events: str, end: str = "\n\n") -> str:
    return "\n\n".join(f"event: {json.loads(e)['type']}\ndata: {e}" for e in events) + end


def own(name: str, body: str, **fields: Any) -> Exchange:
    """An exchange of our own making, for where no recordings are."""
    sse = body.startswith(("event:", ":", "\ufeff"))
    whole: dict[str, Any] = {
        "id": name, "source": "own", "provider": "anthropic", "protocol": "anthropic", "method": "POST",
        "url_path": "/v1/messages", "model": "claude-x", "status": 200, "stream": sse, "body_is_sse": sse,
        "request": None, "request_headers": {}, "body": body, "body_form": "raw", "features": [], "framing": [],
        "response_headers": {"content-type": "text/event-stream" if sse else "application/json"},
    }  # fmt: skip
    return msgspec.convert(whole | fields, Exchange)


START = (
    '{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],'
    '"model":"claude-x","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":60385,'
    '"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":3},"output_tokens":4,'
    '"cache_creation_input_tokens":3,"cache_read_input_tokens":7,"service_tier":"standard"}}       }'
)
TEXT = (
    '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}  }',
    '{"type":"ping"}',
    '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\u2028\x85 message_delta"}}',
    '{"type":"content_block_stop","index":0}',
)
DELTA = (
    '{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
    '"usage":{"input_tokens":null,"output_tokens":65,"server_tool_use":{"web_search_requests":2}}}'
)
STOP = '{"type":"message_stop"}'
REFUSAL = (
    '{"type":"error","error":{"type":"%s","message":"No.","details":{"error_code":"x"}},"request_id":"req_1"}'
)
OWN = [
    own("sync", '{"id":"m","content":[],"usage":{"input_tokens":1,"output_tokens":2,"speed":null}}\n'),
    own(
        "spaces",
        ' { "usage" : {"input_tokens": 1, "iterations":[{"input_tokens": 9}]} , "type": "message" }\r\n',
    ),
    own("stream", stream_body(START, *TEXT, DELTA, STOP)),
    own("two deltas", stream_body(START, *TEXT, DELTA.replace("65", "9"), DELTA, STOP)),
    own("start and stop alone", stream_body(START, STOP)),
    own("CRLF", stream_body(START, *TEXT, DELTA, STOP).replace("\n", "\r\n")),
    own("CR", stream_body(START, *TEXT, DELTA, STOP).replace("\n", "\r")),
    own(
        "comments",
        ": hi\n\n" + stream_body(START, end="\n\n: mid\n\n") + stream_body(DELTA, STOP) + ": bye\n\n",
    ),
    own("byte order mark", "\ufeff" + stream_body(START, DELTA, STOP)),
    own("one newline at the end", stream_body(START, DELTA, STOP, end="\n")),
    own("no newline at the end", stream_body(START, DELTA, STOP, end="")),
    own("DONE after the end", stream_body(START, DELTA, STOP) + "data: [DONE]\n\n"),
    own("overloaded", REFUSAL % "overloaded_error", status=529),
    own("limited", REFUSAL % "rate_limit_error", status=429, stream=True),
    own("plain text", "upstream connect error", status=503, response_headers={"content-type": "text/plain"}),
    own("counted", '{"input_tokens":14}', url_path="/v1/messages/count_tokens"),
    own(
        "a request",
        '{"usage":{"output_tokens":0}}',
        request={"model": "claude-x", "stream": None, "top_k": 1.0},
    ),
]


def recorded() -> list[Exchange]:
    """Every recorded POST to messages or count_tokens that has a body."""
    return [exchange for exchange in traffic.exchanges("anthropic", method="POST") if exchange.body]


def request_of(exchange: Exchange, rng: Random) -> tuple[str, Headers, bytes]:
    """Target, headers and body, as odd as HTTP and JSON allow. The publisher's request, or a small one."""
    minimal = {
        "model": exchange.model or "claude-x",
        "max_tokens": 1,
        "messages": [],
        "stream": exchange.stream,
    }
    body = oddly(minimal if exchange.request is None else exchange.request, rng)
    headers = [(name.encode(), value.encode()) for name, value in exchange.request_headers.items()]
    beta = [value for name, value in headers if name == b"anthropic-beta"] or [b"a-2025-01-01, b", b"c"]
    headers = [pair for pair in headers if pair[0] != b"anthropic-beta"]
    if rng.random() < 0.7:
        headers += [(rng.choice([b"anthropic-beta", b"Anthropic-Beta"]), b) for b in beta]
        headers.append((b"anthropic-beta", b"odd-2026-01-01"))
    if rng.random() < 0.1:
        body = gzip.compress(body)
        headers.append((b"content-encoding", b"gzip"))
    headers += [*ODD_REQUEST_HEADERS, *DROPPED_REQUEST_HEADERS, *rng.choice(CREDENTIALS)]
    if b"content-type" not in dict(headers):  # these recordings have none, as a client never sends them
        headers.append((b"content-type", b"application/json"))
    rng.shuffle(headers)
    path = "/v1/messages/count_tokens" if exchange.path.endswith("/count_tokens") else "/v1/messages"
    query = exchange.query or rng.choice(QUERIES)
    return f"{path}?{query}" if query else path, headers, body


def answer_of(exchange: Exchange, rng: Random) -> tuple[Headers, bytes]:
    headers = [(name.encode(), value.encode()) for name, value in exchange.response_headers.items()]
    headers += [*ODD_RESPONSE_HEADERS, *DROPPED_RESPONSE_HEADERS]
    rng.shuffle(headers)
    return headers, (exchange.body or "").encode()


def cut(data: bytes, rng: Random) -> Iterator[bytes]:
    """The data in pieces of any size, now and then byte by byte for a while."""
    at = 0
    while at < len(data):
        size = rng.choice([1, 2, 7, 30, 100, 1000, 20_000, len(data)])
        yield data[at : at + size]
        at += size


def pairs(headers: Headers, without: set[bytes]) -> list[tuple[bytes, bytes]]:
    lowered = [(name.lower(), value) for name, value in headers]
    return [pair for pair in lowered if pair[0] not in without and not pair[0].startswith(b"x-nexusflow-")]


def folded_usage(exchange: Exchange) -> dict[str, Any] | None:
    """What the body says of tokens, by the documentation: fields replace, null and absence keep.

    An independent fold: it shares no code with the product.
    """
    if exchange.status != 200 or exchange.path.endswith("/count_tokens"):
        return None
    if not exchange.body_is_sse:
        return known(json.loads(exchange.body or "").get("usage"))
    usage: dict[str, Any] = {}
    for line in (exchange.body or "").replace("\r", "\n").split("\n"):
        if line.startswith("data:") and '"message_' in line:
            event = json.loads(line[5:])
            news = event["message"]["usage"] if event["type"] == "message_start" else event.get("usage")
            usage |= known(news) or {}
    return usage


def known(usage: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if usage is None else {name: value for name, value in usage.items() if value is not None}


def request_faults(sent: tuple[str, Headers, bytes], got: Received) -> Iterator[str]:
    target, headers, body = sent
    if got.body != body:
        yield "the request's bytes changed"
    if got.target != target.encode():
        yield f"the target became {got.target!r}, from {target!r}"
    dropped = {name.lower() for name, _ in DROPPED_REQUEST_HEADERS}
    wanted = pairs(headers, OURS | dropped)
    if not any(name == b"anthropic-version" for name, _ in wanted):
        wanted.append((b"anthropic-version", b"2023-06-01"))
    found = pairs(got.headers, OURS)
    if sorted(found, key=lambda pair: pair[0]) != sorted(wanted, key=lambda pair: pair[0]):
        yield f"request headers: {sorted(set(found) ^ set(wanted))}"
    if got.values(b"accept-encoding") != [b"identity"]:
        yield f"accept-encoding: {got.values(b'accept-encoding')}"
    credentials = got.values(b"x-api-key") + got.values(b"authorization")
    if [c.removeprefix(b"Bearer ") for c in credentials] != [UPSTREAM_KEY]:
        yield f"credentials upstream: {credentials}"
    if any(GATEWAY_KEY in value or OWN_KEY in value for _, value in got.headers):
        yield "a key of the client's went upstream"


def response_faults(exchange: Exchange, sent: Headers, head: Head, body: bytes) -> Iterator[str]:
    if head.status != exchange.status:
        yield f"status {head.status}, not {exchange.status}"
    if body != (exchange.body or "").encode():
        yield f"the answer's bytes changed; it ends with {body[-200:]!r}"
    dropped = {name.lower() for name, _ in DROPPED_RESPONSE_HEADERS}
    if (found := pairs(head.headers, HOP_BY_HOP)) != (wanted := pairs(sent, HOP_BY_HOP | dropped)):
        yield f"response headers {found}, not {wanted}"
    if any(UPSTREAM_KEY in value for _, value in head.headers):
        yield "the upstream's key went to the client"


def record_faults(exchange: Exchange, record: Any) -> Iterator[str]:
    usage = folded_usage(exchange)
    if known(record.usage) != usage:
        yield f"usage {record.usage}, not {usage}"
    if record.usage_source != ("none" if usage is None else "upstream"):
        yield f"usage source {record.usage_source}"
    if record.ending != ("complete" if exchange.status < 400 else "error") or record.status != exchange.status:
        yield f"ending {record.ending}, status {record.status}"
    if record.upstream_request_id != exchange.response_headers.get("request-id"):
        yield f"upstream's request id {record.upstream_request_id}"
    if record.endpoint != ("count_tokens" if exchange.path.endswith("/count_tokens") else "messages"):
        yield f"endpoint {record.endpoint}"


def replay(
    exchanges: Sequence[Exchange], transport: TransportName, seed: int, *, log: Path | None = None
) -> int:
    """Sends each exchange through a gateway; fails with everything that differed. How many were sent."""
    hook, faults = RecordingHook(), []
    with ScriptedUpstream(lambda _: ()) as upstream:
        logged = f'[log]\ncalls = "{log}"\n' if log else ""
        config = decode_config((CONFIG.format(url=upstream.url) + logged).encode())
        # As `serve` does, before a server that adds no `server` and `date` of its own.
        app = NexusFlow(config=config, transport=transport, hooks=[hook], upstream_server_headers=True)
        with Served(app, loop="uvloop") as served, RawClient(served.port) as client:
            for done, exchange in enumerate(exchanges, 1):
                rng = Random(f"{seed} {exchange.id}")
                sent = request_of(exchange, rng)
                headers, body = answer_of(exchange, rng)
                ways: list[Any] = ["chunked", "length", "close" if exchange.body_is_sse else "length"]
                steps = answer(exchange.status, headers, cut(body, rng), framing=rng.choice(ways))
                upstream.script = always(steps)
                head, got = client.call(*sent)
                record = hook.wait(done)[-1]
                found = [*response_faults(exchange, headers, head, got), *record_faults(exchange, record)]
                received = upstream.requests[done - 1 :]
                assert len(received) == 1, (
                    f"{exchange.id}: {len(received)} upstream calls, {head} {got[:300]!r}"
                )
                found += request_faults(sent, received[0])
                faults += [f"{exchange.id}: {fault}" for fault in found]
    assert len(hook.records) == len(exchanges), "one record a call"
    assert not faults, f"{len(faults)} differences\n" + "\n".join(faults[:30])
    return len(exchanges)


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLAY_UPSTREAM_KEY", UPSTREAM_KEY.decode())
    monkeypatch.setenv("REPLAY_GATEWAY_KEY", GATEWAY_KEY.decode())


both_transports = pytest.mark.parametrize("transport", ["h1", "httpx"])
needs_recordings = pytest.mark.skipif(traffic.why_absent() is not None, reason=traffic.why_absent() or "")


@both_transports
def test_our_own_exchanges_pass_byte_for_byte(transport: TransportName) -> None:
    """The shapes that the recordings taught, each five times with other cuts and other odd requests."""
    assert sum(replay(OWN, transport, seed) for seed in range(5)) == 5 * len(OWN)


@needs_recordings
@both_transports
def test_a_tenth_of_the_recordings_passes_byte_for_byte(transport: TransportName) -> None:
    """Every tenth recorded exchange, for the plain run."""
    sample = recorded()[::10]
    assert replay(sample, transport, seed=1) == len(sample) >= 100


@pytest.mark.recorded
@needs_recordings
@both_transports
def test_every_recording_passes_byte_for_byte(
    transport: TransportName, record_property: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """All recorded exchanges: request, status, headers and body unchanged, usage as recorded."""
    replayed = replay(recorded(), transport, seed=2)
    record_property("replayed", replayed)
    with capsys.disabled():
        print(f"\nreplayed {replayed} recorded Anthropic exchanges over {transport}")
    assert replayed >= 1028


def test_odd_json_keeps_the_values() -> None:
    """The generator is honest: other bytes, the same values, and something unknown in each object."""
    value = {
        "model": "claude-é/😀\ud800",
        "stream": True,
        "n": [1, 20, -0.5, 1e22, None, {"": "\n\x00"}],
        "e": {},
    }
    seen = set()
    for seed in range(300):
        text = oddly(value, Random(seed))
        assert without_unknown(json.loads(text)) == value
        assert UNKNOWN in "".join(json.loads(text))
        assert json.loads(oddly(value, Random(seed), unknown=False)) == value
        seen.add(text)
    assert len(seen) == 300
