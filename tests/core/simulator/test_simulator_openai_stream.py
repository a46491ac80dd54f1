"""Order and framing of streamed Chat Completions."""

import json

import pytest

from tests.core.simulator.asking_openai import TOOLS, chunks, completion, data_of, deltas, post, request
from tests.simulator.openai_chat import FAILURES


def test_text_stream_is_the_sequence_of_the_real_service():
    """Role with empty content, deltas, an empty delta with the reason, usage alone, [DONE]."""
    stream = chunks("one two")
    assert deltas(stream) == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "You"},
        {"content": " said:"},
        {"content": " one"},
        {"content": " two"},
        {},
    ]
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in stream[:-1]]
    assert reasons == [None] * 5 + ["stop"]
    assert stream[-1]["choices"] == []
    assert all(chunk["usage"] is None for chunk in stream[:-1])
    assert {chunk["object"] for chunk in stream} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in stream}) == 1


def test_usage_comes_only_when_asked_for():
    """Without include_usage no chunk has the member, and none is without a choice."""
    stream = chunks(usage=False)
    assert all("usage" not in chunk and chunk["choices"] for chunk in stream)


def test_usage_of_the_stream_is_that_of_the_sync_answer():
    """For one prompt, the same counts."""
    assert chunks("one two")[-1]["usage"] == completion("one two")["usage"]


def test_parallel_calls_are_streamed_one_after_the_other():
    """The first fragment has index, id, type, name and no arguments, later ones index and arguments."""
    first, *entries = deltas(chunks("call get_weather and get_time", tools=TOOLS))[:-1]
    assert first["content"] is None
    calls = [entry for delta in entries for entry in delta["tool_calls"]]
    assert [call["index"] for call in calls] == [0, 0, 0, 1, 1]
    assert calls[0].keys() == calls[3].keys() == {"index", "id", "type", "function"}
    assert calls[0]["function"] == {"name": "get_weather", "arguments": ""}
    assert calls[3]["function"] == {"name": "get_time", "arguments": ""}
    assert all(call.keys() == {"index", "function"} for call in (calls[1], calls[2], calls[4]))
    assert calls[1]["function"]["arguments"] + calls[2]["function"]["arguments"] == '{"city":"example"}'


def test_reasoning_comes_before_the_text():
    """reasoning_content deltas, then content deltas."""
    told = deltas(chunks(model="deepseek-v4-flash"))[1:-1]
    kinds = ["reasoning_content" in delta for delta in told]
    assert kinds == sorted(kinds, reverse=True)
    assert kinds[0]
    assert not kinds[-1]


@pytest.mark.parametrize("kind", FAILURES)
def test_stream_error_comes_in_the_middle_and_ends_it(kind: str):
    """Data with an error instead of choices, and neither reason nor [DONE]."""
    response = post(request(f"simulate stream error {kind}", stream=True))
    assert response.status == 200
    *before, last = [json.loads(data_of(frame)) for frame in response.chunks]
    assert [delta.get("content") for delta in deltas(before)] == ["", "You", " said:", " simulate"]
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in before)
    assert last.keys() == {"error"}
    assert last["error"]["type"] == FAILURES[kind].type


def test_truncation_ends_without_reason_and_done():
    """What a lost connection leaves."""
    response = post(request("simulate truncation", stream=True, stream_options={"include_usage": True}))
    data = [data_of(frame) for frame in response.chunks]
    assert "[DONE]" not in data
    last = json.loads(data[-1])
    assert last["choices"][0]["finish_reason"] is None
    assert last["usage"] is None


def test_truncation_may_fall_into_a_call():
    """Arguments then end in the middle."""
    response = post(request("call get_weather, simulate truncation", tools=TOOLS, stream=True))
    told = deltas([json.loads(data_of(frame)) for frame in response.chunks])
    assert "tool_calls" in told[-1]


def test_chunks_can_be_read_twice():
    """A response is a value: reading its stream does not use it up."""
    response = post(request(stream=True))
    assert list(response.chunks) == list(response.chunks)


def test_stream_headers():
    """What the real service sends beside the body."""
    headers = dict(post(request(stream=True)).headers)
    assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert headers[b"x-request-id"].startswith(b"req_")
    assert headers[b"x-ratelimit-remaining-requests"] == b"9999"


def test_a_long_answer_is_made_on_the_way():
    """The first chunk of a hundred thousand costs no more than that of a few."""
    response = post(request("simulate 100000 tokens", stream=True))
    assert b'"role":"assistant"' in next(iter(response.chunks))
