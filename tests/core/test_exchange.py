"""The exchange: orders, endings and exactly one record, driven by hand with a clock of our own."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusflow_core import Call, Config, Exchange, Gateway, ModelRoute, Target, Timeouts, Upstream
from nexusflow_core.errors import (
    InternalError,
    NotFoundError,
    OverloadedError,
    UpstreamProtocolError,
    UpstreamUnreachableError,
)
from nexusflow_core.exchange import Close, Read, Send
from nexusflow_core.routing import Retry
from nexusflow_core.upstream import Credential, Headers

TIMEOUTS = Timeouts(connect=1, first_byte=10, idle=5, total=100, grace=2)
JSON_HEAD: Headers = [(b"content-type", b"application/json"), (b"request-id", b"req_up")]
SSE_HEAD: Headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
ANSWER = b'{"type":"message","model":"claude-x","usage":{"input_tokens":3,"output_tokens":4}}'
START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"model":"claude-x",'
    b'"usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
)
DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0}\n\n'
DONE = b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":4}}\n\n'
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


BY_ONE = (b"x-nexusflow-upstream", b"one")


def exchange_of(
    *,
    body: bytes = b'{"model":"claude-x"}',
    upstreams: Sequence[str] = ("one",),
    retry: Retry | None = None,
    headers: Headers = (),
    **route: Any,
) -> Exchange:
    """A call to these upstreams, each asked once where nothing else is said."""
    made = {
        name: Upstream(name=name, dialect="anthropic", base_url=f"http://{name}", timeouts=TIMEOUTS)
        for name in upstreams
    }
    targets = tuple(map(Target, made.values()))
    found = ModelRoute("claude-*", targets, retry or Retry(attempts=len(upstreams)), **route)
    call = Call(
        endpoint="messages",
        request_id="req_ours",
        started_at=datetime(2026, 11, 22, tzinfo=UTC),
        headers=headers,
        body=body,
        credential=Credential("bearer", b"sk-client"),
    ).look(1000)
    return Gateway(Config(upstreams=made, routes=(found,), anonymous=True)).open(call, started=0.0)


def events(body: bytes) -> list[Any]:
    return [json.loads(frame.partition(b"data: ")[2]) for frame in body.split(b"\n\n") if b"data: " in frame]


def test_a_sync_call_from_send_to_record() -> None:
    """Send, read, close; the body is held until it is whole, the record says what happened when."""
    x = exchange_of()
    assert x.start(1.0) == b""
    assert isinstance(x.order, Send)
    assert (x.order.request.url, x.order.until) == ("http://one/v1/messages", 11.0)
    assert x.receive_head(200, JSON_HEAD, 2.0) == b""
    assert x.order == Read(11.0)
    assert x.receive_data(ANSWER[:20], 3.0) == b""
    assert (x.order, x.response_head) == (Read(8.0), None)
    assert x.receive_data(ANSWER[20:], 4.0) == b""
    assert x.receive_eof(5.0) == ANSWER
    assert x.response_head is not None
    assert (x.order, x.response_head.status, x.response_head.headers) == (Close(), 200, [*JSON_HEAD, BY_ONE])
    record = x.record(6.0)
    assert (record.ending, record.status, record.duration, record.time_to_first_byte) == (
        "complete",
        200,
        6.0,
        5.0,
    )
    assert (record.usage, record.usage_source) == ({"input_tokens": 3, "output_tokens": 4}, "upstream")
    assert (record.request_id, record.upstream_request_id, record.response_model) == (
        "req_ours",
        "req_up",
        "claude-x",
    )
    assert [(a.upstream, a.model, a.status, a.reason, a.duration) for a in record.attempts] == [
        ("one", "claude-x", 200, "", 4.0)
    ]


def test_a_stream_passes_chunk_by_chunk() -> None:
    """The head goes out with the first event; each chunk comes back as the object that it was."""
    x = exchange_of()
    x.start(0.0)
    x.receive_head(200, SSE_HEAD, 1.0)
    assert x.receive_data(START[:30], 2.0) == b""
    assert x.response_head is None
    assert x.receive_data(START[30:], 3.0) == START
    assert x.response_head is not None
    assert x.receive_data(DELTA, 4.0) is DELTA
    assert x.order == Read(9.0)
    x.receive_data(DONE, 5.0)
    x.receive_data(STOP, 6.0)
    assert x.order == Read(8.0), "after message_stop only the grace is left"
    assert x.receive_eof(7.0) == b""
    record = x.record(8.0)
    assert (record.ending, record.time_to_first_byte) == ("complete", 3.0)
    assert record.usage == {"input_tokens": 3, "output_tokens": 4}


@pytest.mark.parametrize(("tail", "gap"), [(b"", b""), (b"event: content_blo", b"\n\n")])
@pytest.mark.parametrize("how", ["eof", "broken", "silent"])
def test_a_stream_cut_short_ends_in_one_error_event(tail: bytes, gap: bytes, how: str) -> None:
    """Never a made-up end: one `event: error`, after a blank line where the cut was inside an event."""
    x = exchange_of()
    x.start(0.0)
    x.receive_head(200, SSE_HEAD, 0.0)
    x.receive_data(START + tail, 0.0)
    if how == "eof":
        out = x.receive_eof(1.0)
    elif how == "broken":
        out = x.transport_failed(UpstreamProtocolError("broke"), 1.0)
    else:
        out = x.on_timer(5.0)
    assert out.startswith(gap + b"event: error\ndata: ")
    assert out.endswith(b"\n\n")
    (error,) = events(out)
    assert (error["type"], error["request_id"]) == ("error", "req_ours")
    assert error["error"]["type"] == ("timeout_error" if how == "silent" else "api_error")
    assert x.order == Close()
    record = x.record(6.0)
    assert (record.ending, record.status, record.usage_source) == ("error", 200, "partial")
    assert record.error_type == error["error"]["type"]


@pytest.mark.parametrize("how", ["eof", "broken", "silent", "gone"])
def test_after_message_stop_nothing_is_added(how: str) -> None:
    """The answer has reached its end: what its connection does then changes neither it nor its record."""
    x = exchange_of()
    x.start(0.0)
    x.receive_head(200, SSE_HEAD, 0.0)
    x.receive_data(START + DONE + STOP, 0.0)
    if how == "gone":
        x.client_gone(1.0)
    else:
        verbs = {
            "eof": lambda: x.receive_eof(1.0),
            "broken": lambda: x.transport_failed(UpstreamProtocolError("broke"), 1.0),
            "silent": lambda: x.on_timer(2.0),
        }
        assert verbs[how]() == b""
    assert x.order == Close()
    assert x.record(3.0).ending == "complete"


@pytest.mark.parametrize("how", ["eof", "broken", "silent"])
def test_after_the_upstreams_own_error_event_nothing_is_added(how: str) -> None:
    """It has said what went wrong; only the grace is left for its connection to end."""
    x = exchange_of()
    x.start(0.0)
    x.receive_head(200, SSE_HEAD, 0.0)
    error = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n'
    x.receive_data(START + error, 1.0)
    assert x.order == Read(3.0)
    verbs = {
        "eof": lambda: x.receive_eof(2.0),
        "broken": lambda: x.transport_failed(UpstreamProtocolError("broke"), 2.0),
        "silent": lambda: x.on_timer(3.0),
    }
    assert verbs[how]() == b""
    assert x.order == Close()
    record = x.record(4.0)
    assert (record.ending, record.error_type, record.usage_source) == ("error", "overloaded_error", "partial")


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (302, [(b"location", b"http://evil")], b""),
        (200, JSON_HEAD, b"<html>"),
        (200, JSON_HEAD, b""),
        (200, SSE_HEAD, b""),
        (200, SSE_HEAD, b": only a comment\n\n"),
        (200, SSE_HEAD, START[:50]),
    ],
)
def test_what_is_no_answer_becomes_a_502(status: int, headers: Headers, body: bytes) -> None:
    """Redirects, garbage and empty streams: nothing of it reaches the client."""
    x = exchange_of()
    x.start(0.0)
    out = x.receive_head(status, headers, 0.0)
    if isinstance(x.order, Read):
        out = (x.receive_data(body, 0.0) if body else b"") + x.receive_eof(0.0)
    assert x.response_head is not None
    assert x.response_head.status == 502
    assert dict(x.response_head.headers)[b"request-id"] == b"req_ours"
    assert json.loads(out)["error"]["type"] == "api_error"
    assert x.record(1.0).ending == "error"


def test_an_error_answer_of_the_upstream_passes_unchanged() -> None:
    """Status, body and headers, since clients read its exact words; the record knows its type."""
    x = exchange_of()
    x.start(0.0)
    headers: Headers = [*JSON_HEAD, (b"retry-after", b"7"), (b"x-should-retry", b"true")]
    x.receive_head(429, headers, 0.0)
    body = b'{"type":"error","error":{"type":"rate_limit_error","message":"m","details":{}}}'
    x.receive_data(body, 0.0)
    assert x.receive_eof(0.0) == body
    assert x.response_head is not None
    assert (x.response_head.status, x.response_head.headers) == (429, [*headers, BY_ONE])
    record = x.record(1.0)
    assert (record.ending, record.error_type, record.attempts[0].reason) == (
        "error",
        "rate_limit_error",
        "rate_limit_error",
    )


def test_a_failure_before_the_first_byte_goes_on_to_the_next_target() -> None:
    """Unseen by the client; each attempt is in the record."""
    x = exchange_of(upstreams=("one", "two", "three"))
    x.start(0.0)
    assert x.transport_failed(UpstreamUnreachableError("refused"), 1.0) == b""
    assert isinstance(x.order, Send)
    assert x.order.request.url == "http://two/v1/messages"
    assert x.receive_head(529, JSON_HEAD, 2.0) == b""
    assert x.order == Read(7.0), "its words are waited for, but not for long"
    assert x.receive_data(b'{"type":"error","error":{"type":"overloaded_error"}}', 2.5) == b""
    assert x.receive_eof(3.0) == b""
    assert isinstance(x.order, Send)
    x.receive_head(200, JSON_HEAD, 3.0)
    x.receive_data(ANSWER, 3.0)
    assert x.receive_eof(4.0) == ANSWER
    attempts = x.record(5.0).attempts
    assert [(a.upstream, a.status, a.reason) for a in attempts] == [
        ("one", None, "api_error"),
        ("two", 529, "overloaded_error"),
        ("three", 200, ""),
    ]


def test_the_callers_own_mistake_is_not_tried_elsewhere() -> None:
    """A 400 from the first target is the answer."""
    x = exchange_of(upstreams=("one", "two"))
    x.start(0.0)
    x.receive_head(400, JSON_HEAD, 1.0)
    x.receive_data(b"{}", 1.0)
    assert x.receive_eof(1.0) == b"{}"


def test_after_the_first_event_no_other_target_is_tried() -> None:
    """The client has read the beginning already, and would read it twice."""
    x = exchange_of(upstreams=("one", "two"))
    x.start(0.0)
    x.receive_head(200, SSE_HEAD, 0.0)
    x.receive_data(START, 0.0)
    assert b"event: error" in x.transport_failed(UpstreamProtocolError("broke"), 1.0)
    assert x.order == Close()


def test_a_request_is_kept_as_long_as_it_may_be_sent_again() -> None:
    """And no longer: an open stream holds nothing of it."""
    x = exchange_of(upstreams=("one", "two"))
    x.start(0.0)
    for name in ("one", "two"):
        assert isinstance(x.order, Send)
        request = x.order.request
        assert (request.upstream.name, request.body) == (name, b'{"model":"claude-x"}')
        if name == "one":
            x.transport_failed(UpstreamProtocolError("broke"), 0.0)
    x.receive_head(200, SSE_HEAD, 0.0)
    assert request.body
    x.receive_data(START, 0.0)
    assert (request.headers, request.body) == ((), b"")
    assert x.client_gone(1.0) is None
    assert x.record(2.0).model == "claude-x"


@pytest.mark.parametrize("phase", ["sending", "head", "held"])
def test_silence_before_the_first_byte_is_a_504(phase: str) -> None:
    """Whether the upstream never answers, or answers and then says nothing."""
    x = exchange_of()
    x.start(0.0)
    if phase != "sending":
        x.receive_head(200, JSON_HEAD, 1.0)
    if phase == "held":
        x.receive_data(ANSWER[:5], 6.0)
    assert x.on_timer(9.9) == b""
    assert json.loads(x.on_timer(11.0))["error"]["type"] == "timeout_error"
    assert x.response_head is not None
    assert x.response_head.status == 504


def test_the_total_time_ends_a_stream_that_never_rests() -> None:
    """Data at every second does not help beyond `total`; nor does a slow client."""
    x = exchange_of()
    x.start(0.0)
    x.receive_head(200, SSE_HEAD, 0.0)
    x.receive_data(START, 0.0)
    for second in range(100):
        x.receive_data(DELTA, float(second))
        assert x.on_timer(float(second)) == b""
    assert not x.client_slow(100.0)
    assert b"timeout_error" in x.on_timer(100.0)


def test_a_slow_client_is_not_the_upstreams_silence() -> None:
    """While bytes wait for the client the idle time starts anew."""
    x = exchange_of()
    x.start(0.0)
    x.receive_head(200, SSE_HEAD, 0.0)
    x.receive_data(START, 0.0)
    assert x.client_slow(5.0)
    assert x.on_timer(9.0) == b""
    assert b"timeout_error" in x.on_timer(10.0)


@pytest.mark.parametrize("phase", ["unstarted", "sending", "reading", "streaming"])
def test_a_client_that_leaves(phase: str) -> None:
    """Close at once, one record, what is known of the usage kept."""
    x = exchange_of()
    if phase != "unstarted":
        x.start(0.0)
    if phase in ("reading", "streaming"):
        x.receive_head(200, SSE_HEAD, 0.0)
    if phase == "streaming":
        x.receive_data(START, 0.0)
    x.client_gone(1.0)
    assert x.order == Close()
    record = x.record(2.0)
    assert (record.ending, record.error_type) == ("client_gone", None)
    assert len(record.attempts) == (0 if phase == "unstarted" else 1)


def test_a_sync_body_that_breaks_off_beyond_the_bound_cuts_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its head is out and the format has no error event: the only honest end is a broken one."""
    monkeypatch.setattr("nexusflow_core.dialects.anthropic.relay.HELD_BYTES", 10)
    x = exchange_of()
    x.start(0.0)
    x.receive_head(200, JSON_HEAD, 0.0)
    assert x.receive_data(ANSWER[:40], 0.0) == ANSWER[:40]
    assert x.transport_failed(UpstreamProtocolError("broke"), 1.0) == b""
    assert x.order == Close(whole=False)
    assert x.record(2.0).ending == "error"


def test_a_refused_call_answers_with_its_error_and_is_recorded() -> None:
    """An unknown model, or whatever the host says."""
    x = exchange_of(body=b'{"model":"gpt-x"}')
    assert json.loads(x.start(0.5))["error"] == {"type": "not_found_error", "message": "model: gpt-x"}
    record = x.record(1.0)
    assert (record.ending, record.status, record.route, record.attempts) == ("refused", 404, None, ())


@pytest.mark.parametrize("error", [OverloadedError("closing"), InternalError("internal error")])
def test_failing_from_outside_ends_it_wherever_it_stands(error: OverloadedError) -> None:
    """A waiting call gets the status, a stream the event; twice changes nothing."""
    waiting, streaming = exchange_of(upstreams=("one", "two")), exchange_of()
    waiting.start(0.0)
    assert json.loads(waiting.fail(error, 1.0))["error"]["type"] == error.type
    streaming.start(0.0)
    streaming.receive_head(200, SSE_HEAD, 0.0)
    streaming.receive_data(START, 0.0)
    assert events(streaming.fail(error, 1.0))[0]["error"]["type"] == error.type
    assert streaming.fail(error, 2.0) == b""
    assert (waiting.record(2.0).ending, streaming.record(2.0).ending) == ("error", "error")


def test_a_second_record_is_a_defect() -> None:
    """A call is counted once."""
    x = exchange_of()
    x.start(0.0)
    x.client_gone(1.0)
    x.record(1.0)
    with pytest.raises(InternalError):
        x.record(1.0)


VERBS = st.lists(
    st.one_of(
        st.tuples(
            st.just("head"), st.sampled_from([200, 302, 400, 429, 529]), st.sampled_from([JSON_HEAD, SSE_HEAD])
        ),
        st.tuples(st.just("data"), st.sampled_from([START, DELTA, DONE, STOP, ANSWER, b"x", START[:9]])),
        st.tuples(st.sampled_from(["eof", "broken", "timer", "gone", "fail", "slow"])),
    ),
    max_size=12,
)


@given(VERBS)
def test_any_course_of_events_obeys_the_rules(verbs: list[tuple[Any, ...]]) -> None:
    """Bytes only after a head; nothing after Close; at most one error event, and it is last; one record."""
    x = exchange_of(upstreams=("one", "two"))
    out = x.start(0.0)
    for now, verb in enumerate(verbs, 1):
        order = x.order
        if isinstance(order, Close):
            break
        match verb:
            case ("head", status, headers) if isinstance(order, Send):
                out += x.receive_head(status, headers, now)
            case ("data", data) if isinstance(order, Read):
                out += x.receive_data(data, now)
            case ("eof",) if isinstance(order, Read):
                out += x.receive_eof(now)
            case ("broken",):
                out += x.transport_failed(UpstreamProtocolError("broke"), now)
            case ("timer",):
                out += x.on_timer(order.until)
            case ("gone",):
                x.client_gone(now)
            case ("slow",):
                x.client_slow(now)
            case ("fail",):
                out += x.fail(NotFoundError("no"), now)
            case _:
                continue
        assert x.response_head is not None or not out
    before = out.count(b"event: error")
    assert before <= 1
    assert not before or b"event: error" in out[out.rindex(b"event: ") :]
    if not isinstance(x.order, Close):
        x.client_gone(99.0)
    out += x.fail(OverloadedError("late"), 100.0) + x.on_timer(1e9)
    assert out.count(b"event: error") == before
    record = x.record(100.0)
    assert len(record.attempts) <= 2
    failed = before or (x.response_head is not None and x.response_head.status >= 400)
    assert failed == (record.ending in ("error", "refused"))
