"""Order and framing of streamed Responses."""

import json
from typing import Any

import pytest

from nexusflow_core.simulator import FAILURES
from tests.core.simulator.asking_responses import TOOLS, events, post, request, response

BEFORE_OUTPUT = {"rate_limit_error", "billing_error"}
SUMMARY = ["reasoning_summary_part.added", "reasoning_summary_text", "reasoning_summary_part.done"]


def kinds(stream: list[dict[str, Any]]) -> list[str]:
    """The types of events; neighbouring deltas count once, with their `done`."""
    found = [event["type"].removeprefix("response.") for event in stream]
    return [kind.removesuffix(".done") if _ends_deltas(kind) else kind for kind in found if "delta" not in kind]


def _ends_deltas(kind: str) -> bool:
    return kind.endswith(("_text.done", "_arguments.done"))


def test_the_order_of_the_real_service():
    """Items one after the other: their parts, deltas and ends."""
    stream = events("call get_weather and get_time", tools=TOOLS)
    call = ["output_item.added", "function_call_arguments", "output_item.done"]
    assert kinds(stream) == [
        "created",
        "in_progress",
        "output_item.added",
        *SUMMARY,
        "output_item.done",
        *call,
        *call,
        "completed",
    ]
    indexes = [event["output_index"] for event in stream if "output_index" in event]
    assert indexes == sorted(indexes)
    assert set(indexes) == {0, 1, 2}


def test_a_message_has_a_part():
    """content_part around its text."""
    message = [
        "output_item.added",
        "content_part.added",
        "output_text",
        "content_part.done",
        "output_item.done",
    ]
    assert kinds(events(reasoning={"effort": "none"}))[2:-1] == message


@pytest.mark.parametrize("text", ["one two three", "call get_weather and get_time", "simulate 90 tokens"])
def test_a_stream_says_what_the_whole_answer_says(text: str):
    """Deltas joined are the done text; items and usage are those of the answer without stream, but for ids."""
    stream = events(text, tools=TOOLS, max_output_tokens=60)
    whole = response(text, tools=TOOLS, max_output_tokens=60)
    joined: dict[Any, str] = {}
    for event in stream:
        where = (event.get("output_index"), event.get("summary_index"))
        if event["type"].endswith(".delta"):
            joined[where] = joined.get(where, "") + event["delta"]
        elif _ends_deltas(event["type"]):
            assert joined[where] == event.get("text", event.get("arguments"))
    last = stream[-1]["response"]
    done = [event["item"] for event in stream if event["type"] == "response.output_item.done"]
    assert done == last["output"]
    assert _without_ids(last) == _without_ids(whole)


def _without_ids(made: dict[str, Any]) -> Any:
    named = ("id", "call_id", "encrypted_content")
    output = [{name: item[name] for name in item if name not in named} for item in made["output"]]
    return {**made, "id": "", "output": output}


def test_encrypted_content_is_final_only_at_the_end():
    """What `added` shows is another value, as with the real service."""
    stream = events()
    values = [
        event["item"]["encrypted_content"]
        for event in stream
        if event.get("output_index") == 0 and "item" in event
    ]
    assert len(values) == 2
    assert values[0] != values[1]
    assert stream[-1]["response"]["output"][0]["encrypted_content"] == values[1]


@pytest.mark.parametrize("kind", FAILURES)
def test_a_stream_error_ends_it(kind: str):
    """`error`, then `response.failed` without usage. Limits come before the first item."""
    *before, told, failed = events(f"simulate stream error {kind}", reasoning={"effort": "none"})
    deltas = [event["delta"] for event in before if event["type"] == "response.output_text.delta"]
    assert deltas == ([] if kind in BEFORE_OUTPUT else ["You", " said:", " simulate"])
    assert told["type"] == "error"
    assert told["error"]["type"] == kind
    assert failed["type"] == "response.failed"
    assert failed["response"]["error"]["code"] == told["error"]["code"]
    assert failed["response"]["usage"] is None


@pytest.mark.parametrize("text", ["simulate truncation", "call get_weather, simulate truncation"])
def test_truncation_ends_without_a_last_event(text: str):
    """What a lost connection leaves."""
    stream = events(text, tools=TOOLS)
    assert not {"response.completed", "response.failed", "error"} & {event["type"] for event in stream}


def test_a_stream_can_be_read_twice():
    """A response is a value: reading its stream does not use it up."""
    answer = post(request(stream=True))
    assert list(answer.chunks) == list(answer.chunks)
    assert json.loads(post(request()).body)["status"] == "completed"
