"""A content filter's error, which is told as a refusal."""

import json
from typing import Any

import pytest

from tests.core.translation.driving import answered, asking, drive, error, exchange_of, sse, streamed
from tests.core.translation.grammar import checked


@pytest.mark.parametrize(("status", "frame"), [(400, b"%b"), (200, b"%b"), (200, b"data: %b\n\n")])
def test_a_filtered_prompt_is_a_refusal_in_the_form_that_was_asked_for(status: int, frame: bytes) -> None:
    """Whoever asked for a stream reads events: one JSON body would be no answer to it. At 200 too (Azure)."""
    driven = answered(frame % json.dumps(error(code="content_filter")).encode(), status=status, stream=True)
    assert (driven.status, driven.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert "content-length" not in driven.headers
    events = checked(driven.body)
    assert [event["type"] for event in events] == ["message_start", "message_delta", "message_stop"]
    assert events[1]["delta"]["stop_reason"] == "refusal"
    assert (driven.record.ending, driven.record.error_type) == ("complete", None)


FILTERS: list[dict[str, Any]] = [
    {"code": "content_filter"},
    {"type": "content_filter_error"},
    {"code": "content_policy_violation", "type": "image_generation_user_error"},
    {"code": "ContentFilter"},
    {"code": "400", "innererror": {"code": "ResponsibleAIPolicyViolation"}},
    {"code": 400, "inner_error": {"code": "ResponsibleAIPolicyViolation"}},
    {"code": 400, "metadata": {"raw": json.dumps(error(code="content_filter"))}},
]
TALK = [
    "Invalid schema for function 'content_filter_list': schema must be an object",
    "input: 'please explain content_policy_violation and ResponsibleAIPolicyViolation'",
]
NO_FILTERS: list[Any] = [
    *(error(said, code="invalid_value", type="invalid_request_error") for said in TALK),
    *(error(said, code=400, metadata={"raw": said}) for said in TALK),
    *(error(code=400, param=said) for said in TALK),
    *({"object": "error", "message": said, "code": 400} for said in TALK),
    *({"detail": [{"msg": "no", "input": said}], "code": 400} for said in TALK),
    *({"error": said, "code": 400} for said in TALK),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("members", FILTERS, ids=str)
@pytest.mark.parametrize("status", [400, 200])
def test_a_filter_is_known_by_the_vendors_own_words(members: dict[str, Any], status: int, stream: bool) -> None:
    """Type, code and status, and the codes inside: of Azure's, and of what OpenRouter's provider said."""
    driven = answered(error(**members), status=status, stream=stream)
    assert (driven.status, driven.record.ending) == (200, "complete")
    assert b'"stop_reason":"refusal"' in driven.body


@pytest.mark.parametrize("body", NO_FILTERS, ids=str)
@pytest.mark.parametrize("stream", [False, True])
def test_talk_of_filters_is_no_refusal(body: Any, stream: bool) -> None:
    """A message may repeat a tool's name or the user's words: the error must not vanish."""
    assert answered(body, status=400, stream=stream).status == 400
    if "error" in body:
        assert answered(body, stream=stream).status >= 400
        assert streamed(sse([body])).status >= 400


def test_nothing_follows_a_refusal() -> None:
    """What the upstream goes on to send is not read; and only the error's own line tells what it is about."""
    line = b"data: %b\n\n" % json.dumps(error(code="content_filter")).encode()
    rest = b'data: {"choices": [{"delta": {"content": "x"}}]}\n\ndata: [DONE]\n\n'
    for pieces in ([line + rest], [line, rest]):
        events = checked(streamed(pieces).body)
        assert [event["type"] for event in events] == ["message_start", "message_delta", "message_stop"]
    broken = b"data: %b\n\n" % json.dumps(error()).encode()
    for pieces in ([broken + line], [broken, line]):
        assert streamed(pieces).status == 502


@pytest.mark.parametrize("stream", [False, True])
def test_a_flagged_prompt_is_the_callers_mistake(stream: bool) -> None:
    """OpenRouter's 403 speaks of the input: it goes out as it is, and no other target gets the prompt."""
    told = error('google/gemini requires moderation. Your input was flagged for "hate".', code=403)
    exchange = exchange_of(asking(stream=stream), targets=2)
    driven = drive(exchange, [json.dumps(told).encode()], status=403, headers=[])
    assert (driven.status, driven.json["error"]["type"]) == (403, "permission_error")
    assert [attempt.upstream for attempt in driven.record.attempts] == ["u0"]
