"""Fallback as the exchange orders it: rests, other targets, one answer; thinking that another model signed."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from nexusflow_core import Call, Config, Exchange, Gateway, ModelRoute, Target, Upstream
from nexusflow_core.errors import (
    OverloadedError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from nexusflow_core.exchange import Close, Read, Send, Sleep
from nexusflow_core.routing import Retry
from nexusflow_core.upstream import Headers, Secret
from tests.core.test_exchange import ANSWER, JSON_HEAD, SSE_HEAD, START, exchange_of

LIMITED = b'{"type":"error","error":{"type":"rate_limit_error","message":"m"}}'
OVERLOADED = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n'


def url(x: Exchange) -> str:
    assert isinstance(x.order, Send), x.order
    return x.order.request.url.removeprefix("http://").removesuffix("/v1/messages")


def refuse(x: Exchange, status: int, now: float, *headers: tuple[bytes, bytes], body: bytes = LIMITED) -> bytes:
    """The upstream answers with an error, whole and at once."""
    x.receive_head(status, [*JSON_HEAD, *headers], now)
    if not isinstance(x.order, Read):
        return b""
    return x.receive_data(body, now) + (x.receive_eof(now) if isinstance(x.order, Read) else b"")


def serve(x: Exchange, now: float) -> bytes:
    x.receive_head(200, JSON_HEAD, now)
    return x.receive_data(ANSWER, now) + x.receive_eof(now)


def test_it_rests_as_long_as_the_upstream_asks() -> None:
    """`retry-after` within the cap: Sleep, then the same target; the client sees the second answer alone."""
    x = exchange_of(retry=Retry())
    x.start(0.0)
    assert refuse(x, 429, 1.0, (b"retry-after", b"7")) == b""
    assert (x.order, x.response_head) == (Sleep(8.0), None)
    assert x.on_timer(7.9) == b""
    assert x.order == Sleep(8.0)
    assert x.on_timer(8.0) == b""
    assert url(x) == "one"
    assert serve(x, 9.0) == ANSWER
    record = x.record(10.0)
    assert (record.ending, record.status, record.error_type) == ("complete", 200, None)
    assert [(a.status, a.reason, a.duration) for a in record.attempts] == [
        (429, "rate_limit_error", 1.0),
        (200, "", 1.0),
    ]


def test_the_last_failure_is_the_answer_as_it_came() -> None:
    """When the budget is spent, the upstream's own answer goes out unchanged, with its name."""
    x = exchange_of(retry=Retry(attempts=2))
    x.start(0.0)
    refuse(x, 529, 0.0)
    x.on_timer(x.order.until)  # type: ignore[union-attr]
    assert refuse(x, 429, 1.0, (b"retry-after", b"3"), body=LIMITED + b" ") == LIMITED + b" "
    assert x.response_head is not None
    assert (x.response_head.status, list(x.response_head.headers)) == (
        429,
        [*JSON_HEAD, (b"retry-after", b"3"), (b"x-nexusflow-upstream", b"one")],
    )
    assert x.order == Close()
    assert (x.record(2.0).ending, x.response_head.status) == ("error", 429)


def test_who_answered_is_in_a_header() -> None:
    """After a fallback too; a name that was made by hand cannot break out of its line."""
    x = exchange_of(upstreams=("one", "two\r\nset-cookie: a=b é"))
    x.start(0.0)
    x.transport_failed(UpstreamUnreachableError("refused"), 0.0)
    serve(x, 1.0)
    assert x.response_head is not None
    assert dict(x.response_head.headers)[b"x-nexusflow-upstream"] == b"two??set-cookie:?a=b??"


@pytest.mark.parametrize("how", ["gone", "stopped"])
def test_a_rest_can_be_interrupted(how: str) -> None:
    """The client leaves, or the gateway closes, while nothing is being asked: one record, no attempt twice."""
    x = exchange_of(retry=Retry())
    x.start(0.0)
    refuse(x, 503, 1.0, (b"retry-after", b"9"))
    assert x.order == Sleep(10.0)
    if how == "gone":
        x.client_gone(2.0)
    else:
        assert json.loads(x.fail(OverloadedError("closing"), 2.0))["error"]["type"] == "overloaded_error"
    assert x.order == Close()
    record = x.record(3.0)
    assert record.ending == ("client_gone" if how == "gone" else "error")
    assert [a.status for a in record.attempts] == [503]


def test_a_stream_that_begins_with_an_error_is_tried_elsewhere() -> None:
    """Nothing has gone out, so the failure of a stream of status 200 can still be hidden."""
    for first in (OVERLOADED, b""):
        x = exchange_of(upstreams=("one", "two"))
        x.start(0.0)
        x.receive_head(200, SSE_HEAD, 0.0)
        assert (x.receive_data(first, 0.0) if first else x.receive_eof(0.0)) == b""
        assert url(x) == "two"
    assert x.response_head is None


def test_a_whole_answer_of_status_200_that_is_an_error() -> None:
    """It is tried elsewhere like one with its own status; where nothing else is left, it passes as it came."""
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}'
    x = exchange_of(upstreams=("one", "two"))
    x.start(0.0)
    assert refuse(x, 200, 0.0, body=body) == b""
    assert url(x) == "two"
    assert refuse(x, 200, 1.0, body=body) == body
    record = x.record(2.0)
    assert (record.status, record.ending, record.error_type) == (200, "error", "overloaded_error")
    assert [attempt.reason for attempt in record.attempts] == ["overloaded_error"] * 2


def test_an_error_after_message_start_is_not_hidden() -> None:
    """The upstream has begun to answer, and to charge: in whatever chunks it came, it goes on to the client."""
    x = exchange_of(upstreams=("one", "two"))
    x.start(0.0)
    x.receive_head(200, SSE_HEAD, 0.0)
    assert x.receive_data(START + OVERLOADED, 0.0) == START + OVERLOADED


def test_a_slow_error_body_is_not_waited_for_where_another_target_waits() -> None:
    """Five seconds for its words, then the next target; the last target gets all its time."""
    x = exchange_of(upstreams=("one", "two"))
    x.start(0.0)
    x.receive_head(529, JSON_HEAD, 1.0)
    x.receive_data(b"{", 2.0)
    assert x.on_timer(6.0) == b""
    assert url(x) == "two"
    x.receive_head(529, JSON_HEAD, 7.0)
    assert x.on_timer(12.0) == b""
    assert isinstance(x.order, Read)
    assert x.receive_data(LIMITED, 13.0) == b""
    assert x.receive_eof(13.0) == LIMITED
    assert [a.upstream for a in x.record(14.0).attempts] == ["one", "two"]


def test_an_error_body_that_never_ends_is_a_504() -> None:
    """It had its time, and said nothing that could be passed on."""
    x = exchange_of()
    x.start(0.0)
    x.receive_head(529, JSON_HEAD, 0.0)
    assert x.on_timer(5.0) == b""
    assert json.loads(x.on_timer(10.0))["error"]["type"] == "timeout_error"
    record = x.record(11.0)
    assert (record.status, [a.status for a in record.attempts]) == (504, [529])


def test_silence_is_not_tried_at_the_same_target() -> None:
    """It has cost its time; the next one may do better."""
    x = exchange_of(upstreams=("one", "two"), retry=Retry(attempts=9))
    x.start(0.0)
    x.on_timer(10.0)
    assert url(x) == "two"
    assert b"timeout_error" in x.transport_failed(UpstreamTimeoutError("connecting"), 11.0)


def test_the_deadline_ends_an_attempt_that_is_under_way() -> None:
    """One deadline a call, whatever an upstream's own total time is."""
    x = exchange_of(upstreams=("one", "two"), retry=Retry(attempts=2, deadline=12.0))
    x.start(0.0)
    x.transport_failed(UpstreamUnreachableError("refused"), 9.0)
    assert isinstance(x.order, Send)
    assert x.order.until == 12.0
    assert b"timeout_error" in x.on_timer(12.0)


def test_the_clients_retries_leave_less() -> None:
    """At the client's second retry there is one attempt left, or retries would multiply."""
    x = exchange_of(retry=Retry(), headers=[(b"x-stainless-retry-count", b"2")])
    x.start(0.0)
    assert refuse(x, 529, 1.0) == LIMITED
    nonsense = exchange_of(retry=Retry(), headers=[(b"x-stainless-retry-count", "²".encode("latin-1"))])
    nonsense.start(0.0)
    assert refuse(nonsense, 529, 1.0) == b""


# The health of targets, over several calls of one gateway


def gateway_of(*models: str | None, dialects: tuple[str, ...] = (), **route: Any) -> Gateway:
    kinds = dialects or ("anthropic",) * len(models)
    made = [
        Upstream(name=f"u{i}", dialect=kind, base_url=f"http://u{i}", api_key=Secret("sk-planted-upstream"))
        for i, kind in enumerate(kinds)
    ]
    targets = tuple(Target(upstream, model) for upstream, model in zip(made, models, strict=True))
    route = {"retry": Retry(attempts=len(targets)), **route}
    config = Config(
        upstreams={it.name: it for it in made},
        routes=(ModelRoute("claude-*", targets, **route),),
        anonymous=True,
    )
    return Gateway(config)


def call(gateway: Gateway, now: float, *, body: bytes = b'{"model":"claude-x"}', **fields: Any) -> Exchange:
    made: dict[str, Any] = {"endpoint": "messages", "request_id": "req_1", "body": body, **fields}
    x = gateway.open(Call(started_at=datetime(2026, 11, 22, tzinfo=UTC), **made).look(10**6), started=now)
    x.start(now)
    return x


def test_a_target_that_cools_down_is_left_out() -> None:
    """After an hour's `retry-after` further calls go to the next target at once, until the hour is over."""
    gateway = gateway_of(None, None)
    x = call(gateway, 0.0)
    refuse(x, 429, 0.0, (b"retry-after", b"3600"))
    assert url(x) == "u1"
    assert [url(call(gateway, now)) for now in (1.0, 3599.0, 3600.0)] == ["u1", "u1", "u0"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
def test_a_callers_own_mistakes_never_cool_a_target(status: int) -> None:
    """A hundred of them, and the next call still goes there: one bad client must not stop the others."""
    gateway = gateway_of(None, None)
    for _ in range(100):
        refuse(call(gateway, 0.0), status, 0.0, (b"retry-after", b"3600"))
    assert url(call(gateway, 0.0)) == "u0"


def test_count_tokens_never_cools_a_target() -> None:
    """An auxiliary endpoint that fails says nothing about the model."""
    gateway = gateway_of(None, None)
    for _ in range(100):
        refuse(call(gateway, 0.0, endpoint="count_tokens"), 529, 0.0, (b"retry-after", b"3600"))
    assert url(call(gateway, 0.0)) == "u0"


def test_streams_that_break_count() -> None:
    """A stream that ends in an error is a failure of its target, though its status was 200."""
    gateway = gateway_of(None, None)
    for _ in range(5):
        x = call(gateway, 0.0)
        x.receive_head(200, SSE_HEAD, 0.0)
        x.receive_data(START[:-2], 0.0)
        x.transport_failed(UpstreamProtocolError("broke"), 0.0)
    assert url(call(gateway, 0.0)) == "u1"


# Thinking

SIGNED = {"type": "thinking", "thinking": "hm", "signature": "EqQBCgIYAh"}
REFUSAL = (
    b'{"type":"error","error":{"type":"invalid_request_error","message":'
    b'"messages.1.content.0: Invalid `signature` in `thinking` block"}}'
)


def conversation(*blocks: dict[str, Any]) -> bytes:
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [*blocks, {"type": "text", "text": "b"}]},
        {"role": "user", "content": "c"},
    ]
    return json.dumps({"model": "claude-x", "temperature": 1.0, "messages": messages}, indent=1).encode()


@pytest.mark.parametrize(
    ("block", "model", "goes"),
    [
        (SIGNED, "claude-y", False),
        ({"type": "redacted_thinking", "data": "x"}, "claude-y", False),
        (SIGNED, None, True),
        (SIGNED, "claude-x", True),
        ({"type": "thinking", "thinking": "hm", "signature": ""}, "claude-y", True),
        ({"type": "text", "text": '"type":"thinking","signature":"x"'}, "claude-y", True),
    ],
)
def test_signed_thinking_stops_a_fallback_to_another_model(block: Any, model: str | None, goes: bool) -> None:
    """Another model would refuse it, so the failure goes out in the upstream's own words.
    The same model elsewhere, and unsigned thinking, do not matter."""
    x = call(gateway_of(None, model), 0.0, body=conversation(block))
    out = refuse(x, 529, 1.0)
    if goes:
        assert url(x) == "u1"
    else:
        assert (out, x.order) == (LIMITED, Close())
        assert x.response_head is not None
        assert (x.response_head.status, dict(x.response_head.headers)[b"x-nexusflow-upstream"]) == (529, b"u0")
        record = x.record(2.0)
        assert (record.error_type, [a.upstream for a in record.attempts]) == ("rate_limit_error", ["u0"])


def test_signed_thinking_does_not_go_to_another_model_for_a_cooldown_either() -> None:
    """The target that cools down is asked all the same: its answer is better than a certain refusal."""
    gateway = gateway_of(None, "claude-y")
    refuse(call(gateway, 0.0), 429, 0.0, (b"retry-after", b"3600"))
    assert url(call(gateway, 1.0)) == "u1"
    assert url(call(gateway, 1.0, body=conversation(SIGNED))) == "u0"


def test_signed_thinking_may_fall_back_to_a_translation() -> None:
    """There it is no thinking that could be refused: the dialect carries or names it."""
    gateway = gateway_of(None, "qwen", dialects=("anthropic", "openai-chat"))
    x = call(
        gateway, 0.0, body=conversation(SIGNED).replace(b'"temperature"', b'"max_tokens": 9, "temperature"')
    )
    refuse(x, 529, 1.0)
    assert isinstance(x.order, Send)
    assert x.order.request.url == "http://u1/chat/completions"


def test_a_route_that_strips_does_so_once_and_only_when_refused() -> None:
    """It goes as it is; after a 400 about the signature once more without, to the same target.
    The rest of the body keeps its bytes, and the record names the edit."""
    x = call(gateway_of(None, "claude-y", thinking="strip", retry=Retry()), 0.0, body=conversation(SIGNED))
    x.transport_failed(UpstreamTimeoutError("silent"), 0.0)
    assert isinstance(x.order, Send)
    assert b"EqQBCgIYAh" in x.order.request.body
    assert refuse(x, 400, 1.0, body=REFUSAL) == b""
    assert isinstance(x.order, Send)
    assert url(x) == "u1"
    sent = json.loads(x.order.request.body)
    assert sent["messages"][1]["content"] == [{"type": "text", "text": "b"}]
    assert b'"temperature": 1.0,\n' in x.order.request.body
    assert refuse(x, 400, 2.0, body=REFUSAL) == REFUSAL, "twice is no cure"
    assert x.record(3.0).edits == ("model", "thinking")


def test_a_stripped_body_has_its_models_name_elsewhere() -> None:
    """A large body's name is replaced where the peek has found it, not once text before it is gone."""
    known = json.loads(conversation(SIGNED))
    known["system"] = "x" * 20_000
    known["model"] = known.pop("model")
    body = json.dumps(known).encode()
    x = call(gateway_of(None, "claude-y", thinking="strip", retry=Retry()), 0.0, body=body)
    x.transport_failed(UpstreamTimeoutError("silent"), 0.0)
    assert isinstance(x.order, Send)
    assert x.order.request.body == body.replace(b'"claude-x"', b'"claude-y"')
    assert refuse(x, 400, 1.0, body=REFUSAL) == b""
    assert isinstance(x.order, Send)
    known["messages"][1]["content"] = [{"type": "text", "text": "b"}]
    assert json.loads(x.order.request.body) == {**known, "model": "claude-y"}


def test_stripping_takes_an_attempt() -> None:
    """Where none is left the refusal is the answer, and the record names no edit that nobody sent."""
    x = call(gateway_of(None, thinking="strip", retry=Retry(attempts=1)), 0.0, body=conversation(SIGNED))
    assert refuse(x, 400, 1.0, body=REFUSAL) == REFUSAL
    record = x.record(2.0)
    assert (record.edits, len(record.attempts)) == ((), 1)


def test_a_stripped_body_that_came_compressed_goes_out_plain() -> None:
    """And the record says so, as for every other edit."""
    packed = gzip.compress(conversation(SIGNED), mtime=0)
    x = call(
        gateway_of(None, thinking="strip", retry=Retry()),
        0.0,
        body=packed,
        headers=[(b"content-encoding", b"gzip")],
    )
    assert isinstance(x.order, Send)
    assert x.order.request.body == packed
    assert refuse(x, 400, 1.0, body=REFUSAL) == b""
    assert isinstance(x.order, Send)
    assert b"content-encoding" not in dict(x.order.request.headers)
    assert json.loads(x.order.request.body)["messages"][1]["content"] == [{"type": "text", "text": "b"}]
    serve(x, 2.0)
    assert x.record(3.0).edits == ("thinking", "content-encoding")


@pytest.mark.parametrize("body", [b'{"model":"claude-x"}', conversation()])
def test_nothing_is_sent_again_that_did_not_change(body: bytes) -> None:
    """A 400 about thinking that the request does not have stays the answer."""
    x = call(gateway_of(None, thinking="strip", retry=Retry()), 0.0, body=body)
    assert refuse(x, 400, 1.0, body=REFUSAL) == REFUSAL


def test_a_plain_route_passes_the_refusal_on() -> None:
    """Without `thinking = "strip"` the client repairs its own conversation: the words are what it goes by."""
    x = call(gateway_of(None, retry=Retry()), 0.0, body=conversation(SIGNED))
    assert refuse(x, 400, 1.0, body=REFUSAL) == REFUSAL


HEADERS: Headers = [(b"content-type", b"text/event-stream")]


# Pings


def chunk(**delta: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


def a_translated_stream() -> Exchange:
    gateway = gateway_of("qwen", dialects=("openai-chat",))
    x = call(
        gateway,
        0.0,
        body=b'{"model":"claude-x","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"a"}]}',
    )
    x.receive_head(200, HEADERS, 0.0)
    return x


def test_pings_fill_the_silence_until_the_idle_time_is_up() -> None:
    """A real event every ten seconds, the order stays; then one error and no ping."""
    x = a_translated_stream()
    assert x.receive_data(chunk(content="a"), 0.0).startswith(b"event: message_start\n")
    order, pings = x.order, []
    for second in range(1, 121):
        out = x.on_timer(float(second))
        if out:
            pings.append((second, out))
        if second < 120:
            assert x.order is order
    assert pings[:-1] == [(second, b'event: ping\ndata: {"type": "ping"}\n\n') for second in range(10, 120, 10)]
    assert pings[-1][1].startswith(b"event: error\n")
    assert pings[-1][1].count(b"event: ") == 1
    assert (x.order, x.on_timer(1000.0)) == (Close(), b"")


def test_pings_go_out_while_the_upstream_says_what_cannot_be_passed_on() -> None:
    """Chunks that make no event for the client do not put a ping off; bytes for it do."""
    x = a_translated_stream()
    x.receive_data(chunk(content="a"), 0.0)
    for second in range(1, 10):
        assert x.receive_data(b": still thinking\n\n", float(second)) == b""
    assert x.on_timer(10.0).startswith(b"event: ping")
    assert x.receive_data(chunk(content="b"), 15.0)
    assert x.on_timer(20.0) == b""
    assert x.on_timer(25.0).startswith(b"event: ping")


def test_no_ping_before_message_start() -> None:
    """Nothing goes out that would fix the status; silence there is a 504."""
    x = a_translated_stream()
    assert x.on_timer(599.0) == b""
    assert json.loads(x.on_timer(600.0))["error"]["type"] == "timeout_error"
    assert x.response_head is not None
    assert x.response_head.status == 504


def test_no_ping_of_ours_on_a_relayed_stream() -> None:
    """The upstream's own pings pass unchanged."""
    x = exchange_of()
    x.start(0.0)
    x.receive_head(200, SSE_HEAD, 0.0)
    x.receive_data(START, 0.0)
    assert x.on_timer(4.9) == b""
    ping = b'event: ping\ndata: {"type":"ping"}\n\n'
    assert x.receive_data(ping, 4.9) is ping
