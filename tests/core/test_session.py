"""What a record keeps of a client's session, of the payer, of an error's code and of a missed cache."""

import json
from datetime import datetime
from typing import Any

import msgspec
import pytest

from nexusflow_core import Call, CallRecord, Gateway, decode_config
from nexusflow_core.logs import Entry, Pricer, read_line
from nexusflow_core.upstream import Credential, Headers
from tests.core.relayed import JSON, SSE, config_of, events
from tests.core.translation.driving import NOW, drive

HEADERS: Headers = [
    (b"x-claude-code-session-id", b"s-1"),
    (b"x-claude-code-agent-id", b"a-2"),
    (b"x-claude-code-parent-agent-id", b"a-1"),
]
ANSWER = {
    "type": "message",
    "model": "claude-opus-4-7",
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 5, "output_tokens": 7},
}
MISS = {"diagnostics": {"cache_miss_reason": {"type": "tools_changed", "cache_missed_input_tokens": 9}}}


def record_of(answer: Any, *, status: int = 200, headers: Headers = (), **asked: Any) -> CallRecord:
    """The record of a relayed call."""
    stream = isinstance(answer, list)
    body = {"model": "claude-opus-4-7", "max_tokens": 9, "stream": stream, "messages": [], **asked}
    call = Call(
        endpoint="messages",
        request_id="req_1",
        started_at=NOW,
        headers=headers,
        body=json.dumps(body).encode(),
        credential=Credential("x-api-key", b"sk-client"),
    ).look(10**6)
    exchange = Gateway(decode_config(config_of().encode())).open(call, started=0.0)
    data = events(answer) if stream else json.dumps(answer).encode()
    return drive(exchange, [data], status=status, headers=SSE if stream else JSON).record


def streamed(**members: Any) -> list[Any]:
    return [
        {"type": "message_start", "message": {**ANSWER, **members}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]


def test_the_session_and_the_agents() -> None:
    """As the headers name them, in the record and in its line of the log."""
    record = record_of(ANSWER, headers=HEADERS)
    assert (record.session_id, record.agent_id, record.parent_agent_id) == ("s-1", "a-2", "a-1")
    entry = read_line(msgspec.json.encode(record))
    assert isinstance(entry, Entry)
    assert (entry.session, entry.agent) == ("s-1", "a-2")
    bare = record_of(ANSWER)
    assert (bare.session_id, bare.agent_id, bare.parent_agent_id) == (None, None, None)


@pytest.mark.parametrize("value", [b"", b"  ", b"x" * 129, b"\xff"])
def test_an_id_that_is_none(value: bytes) -> None:
    """Too long, or not printable: nothing of it is kept."""
    assert record_of(ANSWER, headers=[(b"x-claude-code-session-id", value)]).session_id is None


@pytest.mark.parametrize("answer", [ANSWER | MISS, streamed(**MISS)])
def test_why_the_cache_missed(answer: Any) -> None:
    """The word of the provider, from a whole answer and from a stream."""
    assert record_of(answer).upstream_cache_miss == "tools_changed"


@pytest.mark.parametrize("odd", [None, {}, [], "x", {"cache_miss_reason": None}, {"cache_miss_reason": "x"}])
def test_diagnostics_of_another_shape(odd: Any) -> None:
    """The answer is metered all the same."""
    for answer in (ANSWER | {"diagnostics": odd}, streamed(diagnostics=odd)):
        record = record_of(answer)
        assert (record.upstream_cache_miss, record.usage is not None) == (None, True)


def test_the_code_of_an_error() -> None:
    """From an error's answer, and from an error event."""
    error = {"type": "invalid_request_error", "message": "no", "details": {"error_code": "thread_not_found"}}
    assert record_of({"type": "error", "error": error}, status=404).error_code == "thread_not_found"
    broken = [*streamed()[:1], {"type": "error", "error": error}]
    assert record_of(broken).error_code == "thread_not_found"
    plain = {"type": "error", "error": {"type": "api_error", "message": "no"}}
    assert record_of(plain, status=500).error_code is None


@pytest.mark.parametrize("answer", [ANSWER, streamed()])
def test_somebody_else_pays(answer: Any) -> None:
    """`bill_to: user_profile` is flagged, online and when the log is priced anew."""
    policy = {"type": "billing_policy", "bill_to": "user_profile"}
    record = record_of(answer, billing_policy=policy)
    assert record.cost_flags == ("billed_to_user_profile",)
    entry = read_line(msgspec.json.encode(record))
    assert isinstance(entry, Entry)
    priced = Pricer().price(entry).cost
    assert priced is not None
    assert priced.flags == ("billed_to_user_profile",)
    assert record_of(answer, billing_policy={**policy, "bill_to": "self"}).cost_flags == ()
    assert record_of(answer, messages=[{"role": "user", "content": "user_profile"}]).cost_flags == ()


def test_a_record_as_a_dict() -> None:
    """Every JSON encoder takes it, and it says what the line in the log says."""
    record = record_of(ANSWER, headers=HEADERS)
    told = record.as_dict()
    assert told == json.loads(json.dumps(told)) == json.loads(msgspec.json.encode(record))
    assert [type(told[name]) for name in ("attempts", "dropped", "edits", "cost_flags")] == [list] * 4
    assert datetime.fromisoformat(told["started_at"]) == record.started_at
    assert told["attempts"][0]["upstream"] == "up"
