"""Four times as much takes four times as long, or nearly: nothing is gone through again for each piece."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.core.openai_chat.asking import request_of, translated

Work = Callable[[], Any]


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


def seconds(work: Work) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


@pytest.mark.parametrize("made", [results_of_one_turn, required_members])
def test_time_grows_with_size(made: Callable[[int], Work]) -> None:
    """The best of a few rounds, since the machine has other work; what is quadratic takes sixteen times."""
    small, large = made(5000), made(20_000)
    ratios = []
    for _ in range(4):
        ratios.append(min(seconds(large) for _ in range(2)) / min(seconds(small) for _ in range(3)))
        if ratios[-1] < 8:
            break
    assert min(ratios) < 8, ratios
