"""Whatever the course of events: the record says what the bytes say, and how they were cut changes no money."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexusflow_core import CallRecord, Exchange
from nexusflow_core.errors import NotFoundError, OverloadedError, UpstreamProtocolError
from nexusflow_core.exchange import Close, Read, Send, Sleep
from nexusflow_core.upstream import Headers
from tests.core.openai_responses.answering import sse as responses
from tests.core.relayed import JSON, SSE, config_of, events, sent_through
from tests.core.translation.driving import asking, chunks, sse
from tests.core.translation.driving import exchange_of as translated_exchange
from tests.cuts import cut, cuts

MODEL = "claude-opus-4-7"
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
MESSAGE = {
    "type": "message",
    "role": "assistant",
    "model": MODEL,
    "content": [],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 10, "output_tokens": 5},
}
START = {"type": "message_start", "message": {**MESSAGE, "stop_reason": None}}
DELTA = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "message_stop"}}
STOPPED = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}
STOP = {"type": "message_stop"}
ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "no"}}
PING = {"type": "ping"}
TEXT = chunks({"content": "Hi there."}, finish=None)
FINISHED = chunks(finish="stop")
FAILED = chunks(finish="error")
COUNTED = [{"choices": [], "usage": USAGE}]

WHOLE: dict[str, Any] = {
    "object": "response",
    "status": "completed",
    "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi there."}]}],
    "usage": {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100},
}
ITEM: list[dict[str, Any]] = [
    {"type": "response.created", "response": {"status": "in_progress"}},
    {"type": "response.output_text.delta", "output_index": 0, "delta": "Hi "},
    {"type": "response.output_text.delta", "output_index": 0, "delta": "there."},
]

RELAYED = [
    events([START, PING, DELTA, STOPPED, STOP]),
    events([START, DELTA, STOPPED]),
    events([START, DELTA]),
    events([START, DELTA, ERROR]),
    events([ERROR]),
    events([START, STOPPED, STOP]) + b": bye\n\n",
    json.dumps(MESSAGE).encode(),
    json.dumps(ERROR).encode(),
    b"garbage",
    b"",
]
"""What an upstream of Anthropic's protocol sends."""

TRANSLATED = [
    sse([*TEXT, *FINISHED, *COUNTED]),
    sse([*TEXT, *FINISHED, *COUNTED], done=False) + b": still here\n\n",
    sse([*TEXT, *FINISHED]),
    sse(TEXT),
    sse(TEXT, done=False),
    sse([*TEXT, *FAILED, *COUNTED]),
    sse([*TEXT, {"error": {"message": "no", "code": 429}}], done=False),
    sse([{"error": {"message": "no", "code": 529}}], done=False),
    json.dumps(
        {"choices": [{"index": 0, "message": {"content": "Hi."}, "finish_reason": "stop"}], "usage": USAGE}
    ).encode(),
    json.dumps({"error": {"message": "no"}}).encode(),
    b"garbage",
    b"",
]
"""What an upstream of Chat Completions sends."""

RESPONSES = [
    responses([*ITEM, {"type": "response.completed", "response": WHOLE}]),
    responses([*ITEM, {"type": "response.completed", "response": WHOLE}]) + b": still here\n\n",
    responses([*ITEM, {"type": "response.incomplete", "response": {**WHOLE, "status": "incomplete"}}]),
    responses(ITEM) + b"data: [DONE]\n\n",
    responses(ITEM[:1]),
    responses([*ITEM, {"type": "error", "error": {"message": "no", "code": "rate_limit_exceeded"}}]),
    responses([ITEM[0], {"type": "response.failed", "response": {"error": {"code": "server_error"}}}]),
    json.dumps(WHOLE).encode(),
    json.dumps({**WHOLE, "status": "failed", "error": {"message": "no"}}).encode(),
    json.dumps({"error": {"message": "no"}}).encode(),
    b"garbage",
    b"",
]
"""What an upstream of the Responses API sends."""

STATUSES = [200, 200, 200, 302, 400, 429, 529]
ENDS = ["eof", "broken", "timer", "gone", "fail"]


ANSWERS = {"anthropic": RELAYED, "openai-chat": TRANSLATED, "openai-responses": RESPONSES}


class Seen(NamedTuple):
    """What the client got, and what the record says."""

    exchange: Exchange
    out: bytes
    gone: bool
    record: CallRecord


def opened(dialect: str, *, stream: bool, targets: int) -> Exchange:
    """A call with one target, or two."""
    if dialect != "anthropic":
        return translated_exchange(asking(stream=stream, model="gpt-5.4"), dialect=dialect, targets=targets)
    named = 'up", "up/claude-opus-4-6' if targets == 2 else "up"
    config = config_of(target=named).replace("attempts = 1", f"attempts = {targets}")
    body = {"model": MODEL, "stream": stream, "messages": []}
    return sent_through(config, json.dumps(body).encode())


def told(out: bytes, *, whole: bool) -> list[dict[str, Any]]:
    """The events of a stream. `whole`: one that lacks its blank line counts, as at the end of a body."""
    blocks = out.replace(b"\r\n", b"\n").split(b"\n\n")
    found: list[dict[str, Any]] = []
    for block in blocks if whole else blocks[:-1]:
        data = b"".join(line[5:] for line in block.split(b"\n") if line.startswith(b"data:"))
        try:
            found.append(json.loads(data))
        except ValueError:
            continue
    return found


def is_error(out: bytes) -> bool:
    """Whether a whole answer is an error, which some upstreams send with status 200."""
    try:
        return json.loads(out)["type"] == "error"
    except (ValueError, KeyError):
        return False


def assert_agreed(seen: Seen, *, relayed: bool) -> None:
    """`error` if and only if the bytes say so; `complete` if and only if they come to their own end."""
    head, record, order = seen.exchange.response_head, seen.record, seen.exchange.order
    assert isinstance(order, Close)
    if head is None:
        assert (seen.out, record.ending) == (b"", "client_gone")
        return
    assert record.status == head.status
    failed = head.status >= 400
    streams = any(name == b"content-type" and b"event-stream" in value for name, value in head.headers)
    # Whatever the type says, the first bytes decide; JSON is never a stream.
    streams = (streams and seen.out[:1] != b"{") or seen.out.startswith((b"event:", b"data:", b":"))
    if streams and not failed:
        last = told(seen.out, whole=not seen.gone)
        kinds = [event.get("type") for event in last]
        failed = "error" in kinds
        ended = "message_stop" in kinds or (
            relayed
            and any(event["type"] == "message_delta" and event["delta"]["stop_reason"] for event in last)
        )
        if not relayed:  # a relayed stream passes as it came, whatever follows its error
            assert kinds.count("error") <= 1
            assert not failed or kinds[-1] == "error"
    else:
        failed = failed or (relayed and is_error(seen.out))
        ended = not failed and not seen.gone
    assert (record.ending in ("error", "refused")) == failed, record
    assert (record.ending == "complete") == (ended and not failed), record
    assert (record.ending == "client_gone") == (not failed and not ended), record
    assert (record.error_type is not None) == failed
    if record.usage is not None:
        assert (record.usage_source == "upstream") <= (record.ending == "complete")


def courses(pieces: list[bytes]) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    """Any order of what can happen to a call; the upstream's bytes in any cut."""
    return st.lists(
        st.one_of(
            st.tuples(
                st.just("head"),
                st.sampled_from([200, 200, 200, 302, 400, 429, 529]),
                st.sampled_from([JSON, SSE]),
            ),
            st.tuples(st.just("data"), st.sampled_from(pieces), cuts()),
            st.tuples(st.sampled_from([*ENDS, "slow"])),
        ),
        max_size=10,
    )


def ended_by(x: Exchange, verb: str, now: float) -> bytes:
    """One thing that can end a call, or its attempt."""
    order = x.order
    if verb == "broken":
        return x.transport_failed(UpstreamProtocolError("broke"), now)
    if verb == "fail":
        return x.fail(OverloadedError("closing"), now)
    if verb == "gone":
        x.client_gone(now)
    elif verb == "timer" and not isinstance(order, Close):
        return x.on_timer(order.until)
    elif verb == "eof" and isinstance(order, Read):
        return x.receive_eof(now)
    elif verb == "slow" and isinstance(order, Read):
        x.client_slow(now)
    return b""


def lived(x: Exchange, course: list[tuple[Any, ...]]) -> Seen:
    """The call through this course, and a client that leaves behind it if it is not over by then."""
    out, gone = x.start(0.0), False
    for step, (verb, *arguments) in enumerate(course):
        now = float(step) / 8
        if isinstance(x.order, Sleep):
            out += x.on_timer(x.order.until)
        if isinstance(x.order, Close):
            break
        if verb == "head" and isinstance(x.order, Send):
            out += x.receive_head(arguments[0], arguments[1], now)
        elif verb == "data":
            for piece in cut(arguments[0], arguments[1]):
                if piece and isinstance(x.order, Read):
                    out += x.receive_data(piece, now)
        elif verb not in ("head", "data"):
            out += ended_by(x, verb, now)
            gone = gone or verb == "gone"
    if not isinstance(x.order, Close):
        x.client_gone(90.0)
        gone = True
    late = x.fail(NotFoundError("late"), 100.0) + x.on_timer(1e9)
    assert late == b""
    return Seen(x, out, gone, x.record(100.0))


@pytest.mark.parametrize("stream", [False, True], ids=["sync", "stream"])
@pytest.mark.parametrize(("dialect", "pieces"), ANSWERS.items())
@settings(max_examples=60)
@given(data=st.data())
def test_the_record_says_what_the_bytes_say(
    dialect: str, pieces: list[bytes], stream: bool, data: st.DataObject
) -> None:
    """Over relayed and translated answers, sync and streaming, with a fallback, whatever happens in between."""
    course = data.draw(courses(pieces))
    assert_agreed(lived(opened(dialect, stream=stream, targets=2), course), relayed=dialect == "anthropic")


def _bill(record: CallRecord) -> tuple[Any, ...]:
    return (
        record.ending,
        record.error_type,
        record.stop_reason,
        record.cost_usd,
        record.cost_flags,
        record.billing,
        record.usage,
        record.usage_source,
        record.cache_saved_usd,
    )


@pytest.mark.parametrize("stream", [False, True], ids=["sync", "stream"])
@pytest.mark.parametrize(
    ("dialect", "answer"),
    [(dialect, answer) for dialect, answers in ANSWERS.items() for answer in answers],
)
@settings(max_examples=20)
@given(st.data())
def test_a_cut_changes_no_money(dialect: str, answer: bytes, stream: bool, data: st.DataObject) -> None:
    """The same bytes with the same end: one cost, one usage, one bill, however they arrive."""
    length = data.draw(st.integers(0, len(answer)) | st.just(len(answer)))
    headers: Headers = JSON if answer[:1] == b"{" else SSE
    end, places = data.draw(st.sampled_from(ENDS)), data.draw(cuts())
    whole, pieces = (
        lived(
            opened(dialect, stream=stream, targets=1),
            [("head", 200, headers), ("data", answer[:length], at), (end,), ("gone",)],
        )
        for at in ([], places)
    )
    assert _bill(whole.record) == _bill(pieces.record)
    assert whole.out == pieces.out or dialect == "anthropic"
    for seen in (whole, pieces):
        assert_agreed(seen, relayed=dialect == "anthropic")
