"""Recorded traffic of clouds through real sockets: raw client -> NexusFlow on uvicorn -> replaying upstream."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_core import CallRecord, Usage, cost, decode_config
from nexusflow_core.aws_eventstream import EventStreamDecoder
from tests import cloud_traffic
from tests.cloud_traffic import CloudExchange
from tests.servers import Headers, RawClient, Received, RecordingHook, ScriptedUpstream, Served, always, answer

CLOUD_KEY = "sk-cloud-key"
HEADERS: Headers = [(b"content-type", b"application/json"), (b"anthropic-version", b"2023-06-01")]

FRAMING = (b"transfer-encoding", b"content-length", b"content-encoding")
"""The bodies are stored plain, and the gateway asks for `identity`."""
INVOKE = ("invoke", "invoke-with-response-stream")
STREAMS = ("streamRawPredict", "invoke-with-response-stream")

pytestmark = [
    pytest.mark.recorded,
    pytest.mark.skipif(cloud_traffic.why_absent() is not None, reason=cloud_traffic.why_absent() or ""),
]


class Replayed(NamedTuple):
    """One exchange as it went through."""

    exchange: CloudExchange
    received: Received
    status: int
    body: bytes
    record: CallRecord


def config_of(url: str, door: str, settings: str) -> bytes:
    return f"""
        [upstreams.cloud]
        dialect = "anthropic"
        door = "{door}"
        base_url = "{url}"
        {settings}
        api_key = "env:CLOUD_KEY"
        [[routes]]
        model = "*"
        targets = ["cloud"]
        [retry]
        attempts = 1
        [auth]
        anonymous = true
    """.encode()


def replay(exchanges: Sequence[CloudExchange], door: str, settings: str) -> Iterator[Replayed]:
    """Sends each recorded request through a gateway whose cloud gives the recorded answer, in random pieces."""
    hook = RecordingHook()
    with ScriptedUpstream(lambda _: ()) as upstream:
        config = decode_config(config_of(upstream.url, door, settings))
        with Served(NexusFlow(config=config, hooks=[hook])) as served, RawClient(served.port) as client:
            for done, exchange in enumerate(exchanges, 1):
                rng = Random(exchange.id)
                names = [(name.encode(), value.encode()) for name, value in exchange.response_headers.items()]
                kept = [pair for pair in names if pair[0] not in FRAMING]
                steps = answer(exchange.status, kept, pieces(exchange.data, rng), framing="chunked")
                upstream.script = always(steps)
                asked = {"model": exchange.model or "claude-x", **(exchange.request or {})}
                asked.pop("anthropic_version", None)
                asked |= {"stream": True} if exchange.operation in STREAMS else {}
                body = json.dumps(asked).encode()
                head, got = client.call("/v1/messages", HEADERS, body)
                yield Replayed(exchange, upstream.requests[done - 1], head.status, got, hook.wait(done)[-1])


def pieces(data: bytes, rng: Random) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = rng.choice([1, 7, 100, 3000, len(data)])
        yield data[at : at + size]
        at += size


def usage_of(exchange: CloudExchange) -> dict[str, Any]:
    """The counts in the answer, by an independent fold."""
    if exchange.body_is_eventstream:
        return usage_in(reframed(exchange.data).decode())
    if not exchange.body_is_sse:
        return known(json.loads(exchange.data)["usage"])
    return usage_in(exchange.data.decode())


def usage_in(text: str) -> dict[str, Any]:
    usage: dict[str, Any] = {}
    for line in text.split("\n"):
        if line.startswith("data:") and '"message_' in line:
            event = json.loads(line[5:])
            usage |= known(event["message"]["usage"] if "message" in event else event.get("usage") or {})
    return usage


def known(usage: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in usage.items() if value is not None}


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUD_KEY", CLOUD_KEY)


@pytest.mark.parametrize(
    ("door", "kind", "settings", "count"),
    [
        ("foundry", "foundry", 'resource = "acme"', 32),
        ("bedrock-mantle", "bedrock-mantle", 'region = "us-east-1"', 2),
    ],
)
def test_relayed_doors_pass_byte_for_byte(door: str, kind: str, settings: str, count: int) -> None:
    """Request and answer are the recorded ones; usage is read, and each call has a price."""
    found = list(replay(list(cloud_traffic.exchanges(host_kind=kind)), door, settings))
    assert len(found) >= count
    for it in found:
        assert json.loads(it.received.body) == it.exchange.request, it.exchange.id
        assert (it.status, it.body) == (it.exchange.status, it.exchange.data), it.exchange.id
        assert known(it.record.usage or {}) == usage_of(it.exchange), it.exchange.id
        assert it.record.cost_usd is not None, it.exchange.id
        assert (it.record.ending, list(it.record.edits)) == ("complete", [])
        assert it.record.upstream_request_id == it.exchange.response_headers.get("apim-request-id")


def test_vertex_gets_what_it_got_and_answers_byte_for_byte() -> None:
    """Path and members of the body are the recorded ones, the answer is unchanged, and has usage and price."""
    recorded = list(cloud_traffic.exchanges(host_kind="vertex"))
    regions = {exchange.url_path.split("/")[5] for exchange in recorded}
    found: list[Replayed] = []
    for region in sorted(regions):
        mine = [exchange for exchange in recorded if exchange.url_path.split("/")[5] == region]
        found += replay(mine, "vertex", f'project = "example-project"\nregion = "{region}"')
    assert len(found) >= 202
    for it in found:
        assert it.received.target.decode() == it.exchange.url_path, it.exchange.id
        assert json.loads(it.received.body) == it.exchange.request, it.exchange.id
        assert (it.status, it.body) == (it.exchange.status, it.exchange.data), it.exchange.id
        assert known(it.record.usage or {}) == usage_of(it.exchange), it.exchange.id
        assert it.record.cost_usd is not None, it.exchange.id
        assert (it.record.ending, list(it.record.edits)) == ("complete", ["model", "anthropic_version"])


def test_invoke_model_gets_what_it_got_and_answers_event_for_event() -> None:
    """A body passes byte for byte, and so does the JSON of each event, inside another framing."""
    recorded = [e for e in cloud_traffic.exchanges(host_kind="bedrock-runtime") if e.protocol == "anthropic"]
    recorded = [e for e in recorded if e.operation in INVOKE and e.status == 200]
    assert len(recorded) >= 1103
    for it in replay(recorded, "bedrock-invoke", 'region = "us-east-1"'):
        exchange, sent = it.exchange, json.loads(it.received.body)
        assert unquote(it.received.target.decode()) == unquote(exchange.url_path), exchange.id
        asked = {**(exchange.request or {}), "anthropic_version": "bedrock-2023-05-31"}
        assert sent == (asked if exchange.request else {"anthropic_version": "bedrock-2023-05-31"}), exchange.id
        wanted = reframed(exchange.data) if exchange.body_is_eventstream else exchange.data
        assert (it.status, it.body) == (200, wanted), exchange.id
        assert known(it.record.usage or {}) == usage_of(exchange), exchange.id
        assert it.record.upstream_request_id == exchange.response_headers.get("x-amzn-requestid")
        assert it.record.ending == "complete", exchange.id
        assert it.record.cost_usd == cost_of(it), exchange.id


def cost_of(it: Replayed) -> str | None:
    """The cost of the recorded counts by the offline reader. The target's geography is the factor.

    One row answers with a name without a price (`claude-3-sonnet-28k-20240229`): there the target's counts.
    """
    where = "global" if (it.exchange.model or "").startswith("global.") else "regional"
    usage = Usage.from_wire(usage_of(it.exchange), "anthropic")
    for model in (it.record.response_model or "", it.exchange.model or ""):
        priced = cost(usage, model=model, at=it.record.started_at, endpoint=where, unknown="none")
        if priced is not None:
            return f"{priced.usd:f}"
    return None


def test_recorded_counts_of_tokens() -> None:
    """The request is the recorded one, for the base model. Three rows: the others are of Converse, not ours."""
    recorded = [
        e for e in cloud_traffic.exchanges(operation="count-tokens") if "invokeModel" in e.request["input"]
    ]
    assert len(recorded) == 3
    with ScriptedUpstream(lambda _: ()) as upstream:
        config = decode_config(config_of(upstream.url, "bedrock-invoke", 'region = "us-east-1"'))
        with Served(NexusFlow(config=config)) as served, RawClient(served.port) as client:
            for done, exchange in enumerate(recorded):
                upstream.script = always(answer(exchange.status, pieces=[exchange.data]))
                inner = json.loads(base64.b64decode(exchange.request["input"]["invokeModel"]["body"]))
                asked = {"model": exchange.model, **inner}
                asked.pop("anthropic_version")
                head, got = client.call("/v1/messages/count_tokens", HEADERS, json.dumps(asked).encode())
                sent = json.loads(upstream.requests[done].body)["input"]["invokeModel"]["body"]
                assert json.loads(base64.b64decode(sent)) == inner, exchange.id
                path = (exchange.model or "").removeprefix("us.")
                assert upstream.requests[done].target.decode() == f"/model/{path}/count-tokens"
                if exchange.status == 200:
                    wanted = json.loads(exchange.data)["inputTokens"]
                    assert (head.status, json.loads(got)) == (200, {"input_tokens": wanted})
                else:  # the model has no counter, or a server tool has none
                    assert head.status == (404 if b"support counting" in exchange.data else 400)


def test_every_recorded_frame_decodes_in_any_cut() -> None:
    """Also those of other models and operations."""
    streams = [exchange for exchange in cloud_traffic.exchanges() if exchange.body_is_eventstream]
    assert len(streams) >= 640
    for exchange in streams:
        whole, cut = EventStreamDecoder(), EventStreamDecoder()
        frames = whole.feed(exchange.data)
        in_pieces = [frame for piece in pieces(exchange.data, Random(exchange.id)) for frame in cut.feed(piece)]
        assert frames == in_pieces != []
        assert (whole.damage, whole.pending, cut.pending) == (None, False, False), exchange.id


def reframed(data: bytes) -> bytes:
    """The events of a stream by an independent reading: each frame is a length, and JSON at its end."""
    out, at = b"", 0
    while at < len(data):
        length, headers = (int.from_bytes(data[i : i + 4], "big") for i in (at, at + 4))
        event = base64.b64decode(json.loads(data[at + 12 + headers : at + length - 4])["bytes"])
        out += b"event: %b\ndata: %b\n\n" % (json.loads(event)["type"].encode(), event)
        at += length
    return out


@pytest.mark.parametrize("door", ["bedrock", "bedrock-invoke"])
def test_recorded_errors_of_aws_become_anthropics(door: str) -> None:
    """Each has a type that clients know, and no account or ARN. The record tells it too."""
    recorded = [e for e in cloud_traffic.exchanges(host_kind="bedrock-runtime") if e.status >= 400]
    assert len(recorded) >= 40
    for it in replay(recorded, door, 'region = "us-east-1"'):
        told = json.loads(it.body)
        assert told["type"] == "error", it.exchange.id
        assert told["error"]["message"]
        assert "000000000000" not in it.body.decode()
        assert "arn:aws" not in it.body.decode()
        assert told["error"]["type"] == it.record.error_type
        assert (it.status < 500) is (it.exchange.status < 500 and it.record.error_type != "api_error")
