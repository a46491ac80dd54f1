"""Claude Code's written contract for gateways, over real sockets, in a mount and before a scripted upstream."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from nexusflow_asgi import NexusFlow
from nexusflow_core import Call, RateLimitedError, decode_config
from tests.servers import (
    JSON,
    SSE,
    Gate,
    Head,
    RawClient,
    Received,
    RecordingHook,
    ScriptedUpstream,
    Served,
    Step,
    answer,
    request,
)

KEY, OWN = "nxf-claude-code", "sk-ant-oat01-own"
TOML = """
[upstreams.anthropic]
dialect = "anthropic"
base_url = "{url}"

[upstreams.other]
dialect = "openai-chat"
base_url = "{url}/other/v1"
auth = "none"

[[routes]]
model = "gpt-*"
targets = ["other"]

[[routes]]
model = "claude-*"
targets = ["anthropic"]

[[routes]]
model = "claude-not-in-any-price-list"
targets = ["anthropic"]

[auth]
keys = ["env:NEXUSFLOW_KEY"]
"""
BETAS = b"claude-code-20250219,oauth-2025-04-20,interleaved-thinking-2025-05-14,a-beta-of-tomorrow-2027-01-01"
HEADERS = [
    (b"accept", b"application/json"),
    (b"content-type", b"application/json"),
    (b"anthropic-version", b"2023-06-01"),
    (b"anthropic-beta", BETAS),
    (b"anthropic-dangerous-direct-browser-access", b"true"),
    (b"anthropic-header-of-tomorrow", b"yes"),
    (b"x-app", b"cli"),
    (b"x-claude-code-session-id", b"6f1d0f3e-0000-4000-8000-000000000000"),
    (b"user-agent", b"claude-cli/2.1.330 (external, sdk-cli)"),
    (b"x-custom", b"from ANTHROPIC_CUSTOM_HEADERS"),
]
BOTH = [(b"authorization", b"Bearer " + OWN.encode()), (b"x-api-key", KEY.encode())]
BODY = (
    b'{"model": "claude-opus-4-7",  "stream":true, "max_tokens":32000,\n'
    b' "system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1.330; cc_entrypoint=cli;"},'
    b'{"type":"text","text":"You are Claude Code.","cache_control":{"type":"ephemeral","ttl":"1h"}},'
    b'{"type":"text","text":"You are Claude Code.","cache_control":{"type":"ephemeral"}}],'
    b'"messages":[{"role":"user","content":[{"type":"text","text":"hi \\u00e9"}]},'
    b'{"role":"system","content":"A reminder."}],'
    b'"thinking":{"type":"adaptive"},"output_config":{"effort":"high"},'
    b'"context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]},'
    b'"metadata":{"user_id":"{\\"device_id\\":\\"d\\"}"},"a_field_of_tomorrow":[1.0, 1e2,null],'
    b'"tools":[{"name":"Bash","input_schema":{"type":"object"},"eager_input_streaming":true}]}'
)
START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message",'
    b'"role":"assistant","content":[],"model":"claude-opus-4-7","usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
)
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
END = (
    b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":2}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)


class Gateway:
    """A mounted gateway, its upstream, and one client's connection at a time."""

    def __init__(
        self, upstream: ScriptedUpstream, hook: RecordingHook, refusals: list[RateLimitedError]
    ) -> None:
        self.upstream, self.hook, self.refusals = upstream, hook, refusals
        self.port = 0

    def post(
        self, steps: Sequence[Step], *, headers: Sequence[tuple[bytes, bytes]] = BOTH, body: bytes = BODY
    ) -> tuple[Head, bytes]:
        """Claude Code's request, for which the upstream has this answer."""
        self.upstream.script = lambda received: steps
        with RawClient(self.port) as client:
            return client.call(
                "/llm/v1/messages?beta=true", [*HEADERS, (b"accept-encoding", b"br, zstd"), *headers], body
            )

    def get(self, target: str, *, method: str = "GET") -> tuple[Head, bytes]:
        with RawClient(self.port) as client:
            client.send(request(target, [BOTH[1]], b"", method=method))
            head = client.head()
            return head, b"" if method == "HEAD" else client.rest()

    @property
    def received(self) -> Received:
        return self.upstream.requests[-1]


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    monkeypatch.setenv("NEXUSFLOW_KEY", KEY)
    hook, refusals = RecordingHook(), list[RateLimitedError]()

    class Limit:
        def before(self, call: Call) -> None:
            if refusals:
                raise refusals.pop()

    with ScriptedUpstream(lambda received: ()) as upstream:
        config = decode_config(TOML.format(url=upstream.url).encode())
        ours = NexusFlow(config=config, hooks=[Limit(), hook])
        made = Gateway(upstream, hook, refusals)
        with Served(Starlette(routes=[Mount("/llm", ours)], lifespan=ours.lifespan)) as served:
            made.port = served.port
            yield made


WHOLE = answer(200, SSE, [START, END], framing="chunked")


def test_the_request_goes_on_as_it_came(gateway: Gateway) -> None:
    """The query, the body to its last byte (the system array, unknown fields, spaces), and every header."""
    head, body = gateway.post(WHOLE)
    assert (head.status, body) == (200, START + END)
    assert gateway.received.target == b"/v1/messages?beta=true"
    assert gateway.received.body == BODY
    for name, value in HEADERS:
        assert gateway.received.values(name) == [value], name
    assert gateway.received.values(b"accept-encoding") == [b"identity"], "the one header that is ours to change"


@pytest.mark.parametrize(
    ("headers", "spent", "own"),
    [
        (BOTH, b"x-api-key", (b"authorization", b"Bearer " + OWN.encode())),
        (
            [(b"authorization", b"Bearer " + KEY.encode()), (b"x-api-key", b"sk-ant-own")],
            b"authorization",
            (b"x-api-key", b"sk-ant-own"),
        ),
    ],
)
def test_both_credentials_at_once(
    gateway: Gateway, headers: Sequence[tuple[bytes, bytes]], spent: bytes, own: tuple[bytes, bytes]
) -> None:
    """Whichever is the gateway's key is spent; the other, and it alone, goes upstream in its own header."""
    assert gateway.post(WHOLE, headers=headers)[0].status == 200
    assert gateway.received.values(spent) == []
    assert gateway.received.values(own[0]) == [own[1]]
    assert gateway.hook.wait(1)[0].principal == "NEXUSFLOW_KEY"


def test_a_stream_is_a_stream(gateway: Gateway) -> None:
    """Each event and each ping arrives before the next is sent, so that no idle watchdog ever fires."""
    first, second, third = Gate(), Gate(), Gate()
    gateway.upstream.script = lambda received: answer(
        200, SSE, [first, START, second, PING, third, END], framing="chunked"
    )
    with RawClient(gateway.port) as client:
        client.post("/llm/v1/messages?beta=true", [*HEADERS, *BOTH], BODY)
        for gate, piece in ((first, START), (second, PING), (third, END)):
            gate.open()
            if piece is START:
                assert client.head().status == 200
            assert client.exactly(len(piece)) == piece


ERRORS = [
    (400, b'{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000"}}'),
    (400, b'{"error" : {"message":"thinking or redacted_thinking blocks cannot be modified"}, "type":"error"}'),
    (401, b'{"type":"error","error":{"type":"authentication_error","message":"OAuth token has expired."}}'),
    (402, b'{"type":"error","error":{"type":"billing_error","message":"credit balance is too low"}}'),
    (413, b"<html><h1>413 Request Entity Too Large</h1></html>"),
    (529, b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}'),
]


@pytest.mark.parametrize(("status", "body"), ERRORS, ids=lambda value: str(value)[:12])
def test_error_bodies_are_not_touched(gateway: Gateway, status: int, body: bytes) -> None:
    """Recovery goes by their wording: status, body and headers are the upstream's."""
    headers = [*JSON, (b"x-should-retry", b"false"), (b"retry-after", b"17"), (b"request-id", b"req_up")]
    head, got = gateway.post(answer(status, headers, [body]))
    assert (head.status, got) == (status, body)
    for name, value in headers:
        assert head.values(name) == [value]


def test_an_error_in_a_stream_is_not_touched(gateway: Gateway) -> None:
    """It goes on as it came, and nothing after it is made up."""
    failed = (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    )
    assert gateway.post(answer(200, SSE, [START, failed], framing="chunked"))[1] == START + failed


def test_retry_after_is_whole_seconds(gateway: Gateway) -> None:
    """A limit of the host's own says so in whole seconds; a translated upstream's fractions are rounded up."""
    gateway.refusals.append(
        RateLimitedError("slow down", headers={"retry-after": "7", "x-should-retry": "false"})
    )
    head, body = gateway.post(WHOLE)
    assert (head.status, json.loads(body)["error"]["type"]) == (429, "rate_limit_error")
    assert (head.value(b"retry-after"), head.value(b"x-should-retry")) == (b"7", b"false")
    assert gateway.upstream.requests == []

    limited = answer(429, [*JSON, (b"retry-after", b"1.2")], [b'{"error":{"message":"slow down"}}'])
    plain = b'{"model":"gpt-5.4","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'
    head, body = gateway.post(limited, body=plain)
    assert (head.status, json.loads(body)["error"]["type"]) == (429, "rate_limit_error")
    assert head.value(b"retry-after") == b"2"


def test_model_discovery(gateway: Gateway) -> None:
    """`GET /v1/models?limit=1000` with one credential: answered here, no redirect, ids to choose from."""
    head, body = gateway.get("/llm/v1/models?limit=1000")
    page = json.loads(body)
    assert (head.status, page["has_more"]) == (200, False)
    ids = [model["id"] for model in page["data"]]
    assert {"claude-opus-4-7", "claude-not-in-any-price-list"} <= set(ids)
    assert all(model["display_name"] for model in page["data"])
    assert gateway.upstream.requests == []


@pytest.mark.parametrize(("target", "status"), [("/llm/", 200), ("/llm/api/hello", 404)])
def test_the_probes_do_no_harm(gateway: Gateway, target: str, status: int) -> None:
    """`HEAD /` meets the page for a person, `HEAD /api/hello` a 404; nothing goes upstream or into a record."""
    head, _ = gateway.get(target, method="HEAD")
    assert head.status == status
    assert gateway.upstream.requests == []
    assert gateway.hook.records == []


def test_counting_tokens_passes(gateway: Gateway) -> None:
    """With its query, its body and its answer untouched."""
    counted = b'{"input_tokens": 12}'
    gateway.upstream.script = lambda received: answer(200, JSON, [counted])
    with RawClient(gateway.port) as client:
        got = client.call("/llm/v1/messages/count_tokens?beta=true", [*HEADERS, *BOTH], BODY)
    assert (got[0].status, got[1]) == (200, counted)
    assert (gateway.received.target, gateway.received.body) == (b"/v1/messages/count_tokens?beta=true", BODY)


def test_the_same_call_again_without_a_stream(gateway: Gateway) -> None:
    """After a stream that broke it asks again for a whole answer: two calls, two records."""
    cut = answer(200, [*SSE, (b"connection", b"close")], [START], framing="close")
    assert b"event: error" in gateway.post(cut)[1]
    message = b'{"type":"message","id":"m2","usage":{"input_tokens":3,"output_tokens":2}}'
    again = BODY.replace(b'"stream":true,', b"")
    assert gateway.post(answer(200, JSON, [message]), body=again)[1] == message
    first, second = gateway.hook.wait(2)
    assert (first.ending, first.stream, first.usage_source) == ("error", True, "partial")
    assert (second.ending, second.stream, second.usage_source) == ("complete", False, "upstream")
    assert first.request_id != second.request_id
