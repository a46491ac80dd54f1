"""Answers in the wrong form, errors in odd places, and lines that are none."""

import json
from typing import Any

import pytest

from tests.core.translation.driving import Driven, answered, chunks, error, sse, streamed
from tests.core.translation.folding import by_sdk
from tests.core.translation.grammar import checked

USAGE = {"prompt_tokens": 9, "completion_tokens": 3}
CALL = {"index": 0, "id": "call_1", "function": {"name": "add", "arguments": '{"n":1}'}}

# A stream for a sync request


@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json", "text/plain"])
@pytest.mark.parametrize("before", [b"", b": hi\n\n", b"\n\nevent: message\n", b"id: 1\n", b"retry: 100\n\n"])
def test_a_stream_for_a_sync_request_is_folded(before: bytes, content_type: str) -> None:
    """The message that the stream tells, with its usage, in one body."""
    deltas = [{"reasoning_content": "Hm. "}, {"content": "So "}, {"content": "be it."}, {"tool_calls": [CALL]}]
    data = before + sse(chunks(*deltas, finish="tool_calls", usage=USAGE))
    driven = answered(data, headers={"content-type": content_type}, vendor="deepseek")
    thinking, *rest = driven.json["content"]
    assert (thinking["type"], thinking["thinking"]) == ("thinking", "Hm. ")
    assert thinking["signature"].startswith("nxf1.")
    assert rest == [
        {"type": "text", "text": "So be it."},
        {"type": "tool_use", "id": "call_1", "name": "add", "input": {"n": 1}},
    ]
    assert driven.json["stop_reason"] == "tool_use"
    assert driven.json["usage"]["output_tokens"] == 3
    assert (driven.record.ending, driven.record.usage_source) == ("complete", "upstream")
    assert driven.headers["content-type"] == "application/json"


def test_a_stream_for_a_sync_request_that_fails() -> None:
    """With the error's own status, first or in the middle; one that breaks off is no answer."""
    failed = error("slow down", code=429)
    for events in ([failed], [*chunks({"content": "So"}, finish=None), failed]):
        driven = answered(sse(events), headers={"content-type": "text/event-stream"})
        assert (driven.status, driven.json["error"]["message"]) == (429, "slow down")
    assert answered(sse(chunks({"content": "So"}, finish=None), done=False)).status == 502
    filtered = answered(sse([error("no", code="content_filter")]))
    assert (filtered.status, filtered.json["stop_reason"]) == (200, "refusal")


# Errors in odd places


@pytest.mark.parametrize("finish", [None, "error", "stop"])
def test_an_error_inside_a_choice(finish: str | None) -> None:
    """Its reason and its status, whatever the finish reason says."""
    told = {"code": 429, "message": "Provider rate limited"}
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": ""},
        "finish_reason": finish,
        "error": told,
    }
    sync = answered({"choices": [choice]})
    assert (sync.status, sync.json["error"]["message"]) == (429, "Provider rate limited")
    first = {"choices": [{"index": 0, "delta": {}, "finish_reason": finish, "error": told}]}
    early = streamed(sse([first]))
    assert (early.status, early.json["error"]["message"]) == (429, "Provider rate limited")
    late = streamed(sse([*chunks({"content": "So"}, finish=None), first]))
    assert b"Provider rate limited" in late.body.rpartition(b"event: error")[2]
    assert late.record.ending == "error"


@pytest.mark.parametrize("zero", [None, "", {}, {"code": 0, "message": ""}, {"code": 200, "message": "OK"}])
def test_an_error_of_nothing_inside_a_choice(zero: Any) -> None:
    """A server that writes every member has not failed."""
    choice = {"message": {"content": "So."}, "finish_reason": "stop", "error": zero}
    assert answered({"choices": [choice], "usage": USAGE}).json["content"][0]["text"] == "So."


BARE: list[Any] = [
    {"detail": "no such thing"},
    {"detail": [{"loc": ["body"], "msg": "no such thing"}]},
    {"success": False, "errors": [{"code": 7003, "message": "no such thing"}]},
    {"success": False, "errors": ["no such thing"]},
    {"error_code": 18, "error_msg": "no such thing"},
    {"errorCode": "E18", "errorMessage": "no such thing"},
    {"code": 1302, "msg": "no such thing"},
    {"type": "error", "message": "no such thing"},
    {"status": 500, "title": "no such thing"},
    {"object": "error", "message": "no such thing"},
]


@pytest.mark.parametrize("body", BARE)
def test_an_error_that_names_no_code_keeps_its_message(body: Any) -> None:
    """At 200: whole, instead of a stream, as a stream's first line or a later one, and as an `error` event."""

    def tells(driven: Driven) -> None:
        assert driven.status >= 400
        assert "no such thing" in driven.json["error"]["message"]

    tells(answered(body))
    tells(streamed(json.dumps(body).encode()))
    tells(streamed(sse([body])))
    tells(streamed(b"event: error\n" + sse([body])))
    begun = sse(chunks({"content": "So"}, finish=None), done=False)
    for event in (b"", b"event: error\n"):
        late = streamed(begun + event + sse([body]))
        assert b"no such thing" in late.body.rpartition(b"event: error")[2]


def test_a_message_in_place_of_an_answer_is_shown() -> None:
    """Whatever it is, it has no choices. In a stream such a line may be a sign of life."""
    assert answered({"message": "come back tomorrow"}).json["error"]["message"] == "come back tomorrow"
    good = [{"message": "queued"}, *chunks({"content": "So."}, usage=USAGE)]
    assert by_sdk(checked(streamed(sse(good)).body))["content"][0]["text"] == "So."


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("model is temporarily rate-limited upstream", "model is temporarily rate-limited upstream"),
        ('{"error":{"message":"too many calls"}}', "too many calls"),
        ({"error": {"message": "too many calls"}}, "too many calls"),
        ({"detail": "too many calls"}, "too many calls"),
        ("<html>busy</html>", "Provider returned error"),
        (None, "Provider returned error"),
        (["too many calls"], "too many calls"),
    ],
)
def test_a_routers_empty_message_gives_way_to_its_providers(raw: Any, shown: str) -> None:
    """At its own status, in a whole answer and in a stream; a message that says something stays."""
    body = error("Provider returned error", code=429, metadata={"raw": raw, "provider_name": "x"})
    for driven in (answered(body, status=429), answered(body), streamed(sse([body]))):
        assert (driven.status, driven.json["error"]["message"]) == (429, shown)
    told = error("No more today", code=429, metadata={"raw": raw})
    assert answered(told, status=429).json["error"]["message"] == "No more today"


# Lines that are none

NOISE = {
    "ping with empty text": b'event: ping\ndata: ""\n\n',
    "ping with JSON": b'event: ping\ndata: {"type":"ping","cost":0}\n\n',
    "heartbeat in a word": b"event: heartbeat\ndata: heartbeat\n\n",
    "a word": b"data: ping\n\n",
    "words": b"data: keep-alive\n\n",
    "null": b"data: null\n\n",
    "true": b"data: true\n\n",
    "a number": b"data: 17\n\n",
    "a text": b'data: "processing"\n\n',
    "an empty list": b"data: []\n\n",
    "an empty object": b"data: {}\n\n",
    "blank": b"data:   \n\n",
    "retry": b"retry: 3000\n\n",
}


@pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE)
@pytest.mark.parametrize("place", range(5))
def test_a_line_that_says_nothing_is_no_end(place: int, noise: bytes) -> None:
    """Before, within and behind the answer."""
    lines = [sse([one], done=False) for one in chunks({"content": "So"}, {"content": "."}, usage=USAGE)]
    lines.insert(place, noise)
    driven = streamed(b"".join(lines) + b"data: [DONE]\n\n")
    message = by_sdk(checked(driven.body))
    assert (message["content"], message["stop_reason"]) == ([{"type": "text", "text": "So."}], "end_turn")
    assert driven.record.ending == "complete"


@pytest.mark.parametrize("end", [b"[done]", b'"[DONE]"', b"DONE", b"[DONE] "])
def test_an_end_however_it_is_written(end: bytes) -> None:
    """Behind a finish reason the stream is over with it."""
    data = sse(chunks({"content": "So."}, usage=USAGE), done=False)
    driven = streamed(data + b"data: " + end + b"\n\n")
    assert by_sdk(checked(driven.body))["content"] == [{"type": "text", "text": "So."}]


def test_garbage_behind_the_finish_reason_ends_no_good_stream() -> None:
    """All that mattered has come. Before it, a line that was cut is an error."""
    whole = sse(chunks({"content": "So."}, usage=USAGE), done=False)
    for junk in (b'{"choices": [', b"<html>bye</html>", b"\xff\xfe{", b"[1, 2"):
        driven = streamed(whole + b"data: " + junk + b"\n\n")
        assert by_sdk(checked(driven.body))["stop_reason"] == "end_turn"
        begun = sse(chunks({"content": "So"}, finish=None), done=False)
        assert b"event: error" in streamed(begun + b"data: " + junk + b"\n\n").body
