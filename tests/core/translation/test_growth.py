"""Four times as much takes four times as long, or nearly: nothing is gone through again for each piece."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest

from nexusflow_core.dialects import DIALECTS
from tests.core.translation.asking import request_of, translated
from tests.core.translation.driving import asking, chunks, drive, exchange_of, sse, streamed
from tests.core.translation.toy import TOY
from tests.effort import Work, takes_time_by_size


def results_of_one_turn(size: int) -> Work:
    """Calls and their results."""
    ids = [f"toolu_{number}" for number in range(size)]
    calls = [{"type": "tool_use", "id": id, "name": "add", "input": {}} for id in ids]
    results = [{"type": "tool_result", "tool_use_id": id, "content": "x"} for id in ids]
    turns = ({"role": "assistant", "content": calls}, {"role": "user", "content": results})
    return lambda: translated(request_of("hi", *turns))


def required_members(size: int) -> Work:
    """A closed schema."""
    names = [f"member_{number}" for number in range(size)]
    schema = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": names,
        "additionalProperties": False,
    }
    tool = {"name": "add", "input_schema": schema, "strict": True}
    return lambda: translated(request_of(tools=[tool]), "openai")


def stream_of(delta: dict[str, Any], vendor: str | None, size: int) -> Work:
    data = sse(chunks(*[delta] * size, {"content": "So."}))
    return lambda: streamed(data, vendor=vendor)


def details(size: int) -> Work:
    """Reasoning that has to go back."""
    piece = {"type": "reasoning.text", "text": "a word or two, or three of them " * 8, "index": 0}
    return stream_of({"reasoning_details": [piece]}, "openrouter", size)


def blanks(size: int) -> Work:
    """Text that may be a tag's, or nobody's."""
    return stream_of({"content": " " * 200}, "together", size)


def arguments(size: int) -> Work:
    """Of a call that says its name each time."""
    piece = {"index": 0, "id": "c", "function": {"name": "add", "arguments": '{"a":1}' * 30}}
    begin = {"index": 0, "id": "c", "function": {"name": "add", "arguments": '{"a":"'}}
    data = sse(chunks({"tool_calls": [begin]}, *[{"tool_calls": [piece]}] * size))
    return lambda: streamed(data)


def toy(size: int) -> Work:
    """Text, and one call's arguments, of a dialect that is built on translation/ alone."""
    events = [{"say": "a word "}] * size + [{"calls": [{"id": "c", "name": "add", "input": '{"a":"'}]}]
    events += [{"calls": [{"id": "c", "input": "x" * 30}]}] * size
    events += [{"calls": [{"id": "c", "input": '"}'}]}, {"stop": "done"}]
    data = sse(events, done=False)

    def work() -> None:
        with patch.dict(DIALECTS, {"toy": TOY}):
            exchange = exchange_of(asking(stream=True), dialect="toy")
            kind = [(b"content-type", b"text/event-stream")]
            assert drive(exchange, [data], status=200, headers=kind).record.ending == "complete"

    return work


def toy_results(size: int) -> Work:
    """Calls and their results, asked of that dialect."""
    ids = [f"toolu_{number}" for number in range(size)]
    calls = [{"type": "tool_use", "id": id, "name": "add", "input": {}} for id in ids]
    results = [{"type": "tool_result", "tool_use_id": id, "content": "x"} for id in ids]
    turns = ({"role": "assistant", "content": calls}, {"role": "user", "content": results})
    return lambda: translated(request_of("hi", *turns), "toy")


@pytest.mark.parametrize(
    "made", [results_of_one_turn, required_members, details, blanks, arguments, toy, toy_results]
)
def test_time_grows_with_size(made: Callable[[int], Work]) -> None:
    takes_time_by_size(made(2500), made(10_000))
