"""Streams of the simulated upstream: grammar, framing, and the ways in which they break."""

import pytest

from nexusflow_core.simulator import FAILURES
from tests.core.simulator.asking import assert_grammar, event_of, events, message, post, request

WEATHER = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def test_text_stream_is_the_sequence_of_the_real_service():
    """One text block: start, block start, ping, deltas, block stop, message_delta, message_stop."""
    stream = events("one two three")
    assert_grammar(stream)
    kinds = [event["type"] for event in stream]
    assert kinds[:3] == ["message_start", "content_block_start", "ping"]
    assert kinds.count("ping") == 1
    assert kinds.count("content_block_delta") == 5
    assert "".join(event["delta"]["text"] for event in stream if event["type"] == "content_block_delta") == (
        "You said: one two three"
    )


def test_message_start_is_an_empty_message_that_already_counts_its_input():
    """A client can show input usage at once; content and stop reason come later."""
    start = events("one two three")[0]["message"]
    assert start["content"] == []
    assert start["stop_reason"] is None
    assert start["usage"]["input_tokens"] > 0
    assert start["usage"]["output_tokens"] == 1


def test_message_delta_carries_the_final_counts():
    """Cumulative usage with input, cache and output tokens, as the sync answer has them."""
    delta = events("one two three")[-2]
    assert delta["delta"] == {"stop_reason": "end_turn", "stop_sequence": None, "stop_details": None}
    whole = message("one two three", stream=False)["usage"]
    assert delta["usage"] == {key: whole[key] for key in delta["usage"]}
    assert {
        "input_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "output_tokens",
    } == delta["usage"].keys()


def test_tool_input_is_streamed_in_fragments_after_an_empty_one():
    """As recorded everywhere: the first partial_json is empty, the block starts with input {}."""
    stream = events("call get_weather", tools=[WEATHER])
    assert_grammar(stream)
    assert stream[1]["content_block"]["input"] == {}
    deltas = [event["delta"] for event in stream if event["type"] == "content_block_delta"]
    assert deltas[0] == {"type": "input_json_delta", "partial_json": ""}
    assert "".join(delta["partial_json"] for delta in deltas) == '{"city":"example"}'
    assert len(deltas) > 2
    assert stream[-2]["delta"]["stop_reason"] == "tool_use"


def test_thinking_comes_first_and_is_signed_once_before_its_end():
    """thinking_delta several times, one signature_delta, block stop, then the text block."""
    stream = events("hello", thinking={"type": "adaptive"})
    assert_grammar(stream)
    first = [event["delta"]["type"] for event in stream if event.get("index") == 0 and "delta" in event]
    assert first[:-1] == ["thinking_delta"] * (len(first) - 1)
    assert first[-1] == "signature_delta"
    starts = [event["content_block"]["type"] for event in stream if event["type"] == "content_block_start"]
    assert starts == ["thinking", "text"]


def test_omitted_thinking_is_only_a_signature():
    """`display: omitted` streams no thinking text, and still counts its tokens."""
    stream = events("hello", thinking={"type": "adaptive", "display": "omitted"})
    first = [event["delta"]["type"] for event in stream if event.get("index") == 0 and "delta" in event]
    assert first == ["signature_delta"]
    assert stream[-2]["usage"]["output_tokens_details"]["thinking_tokens"] > 0


@pytest.mark.parametrize("kind", FAILURES)
def test_stream_error_comes_in_the_middle_and_is_the_last_event(kind: str):
    """A stream that began with text ends in exactly one error event of the asked type."""
    stream = events(f"simulate stream error {kind}")
    kinds = [event["type"] for event in stream]
    assert kinds[0] == "message_start"
    assert "content_block_delta" in kinds
    assert kinds.count("error") == 1
    assert kinds[-1] == "error"
    assert stream[-1]["error"]["type"] == kind


def test_stream_error_without_a_stream_is_the_plain_http_error():
    """A request that asked for no stream gets the status instead."""
    assert post(request("simulate stream error overloaded_error")).status == 529


def test_truncation_ends_the_stream_inside_a_block():
    """No block stop, no message_delta, no message_stop: what a lost connection leaves."""
    kinds = [event["type"] for event in events("simulate truncation")]
    assert kinds[-1] == "content_block_delta"
    assert not {"content_block_stop", "message_delta", "message_stop", "error"} & set(kinds)


def test_chunks_can_be_read_twice():
    """A response is a value: reading its stream does not use it up."""
    response = post(request(stream=True))
    assert list(response.chunks) == list(response.chunks)
    assert [event_of(chunk)["type"] for chunk in response.chunks][-1] == "message_stop"


def test_stream_headers():
    """The content type that the service sends, with charset, and a request id."""
    headers = dict(post(request(stream=True)).headers)
    assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert headers[b"request-id"].startswith(b"req_")
    assert b"anthropic-organization-id" in headers
