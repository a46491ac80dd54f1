"""Responses requests to the simulated upstream, and its answers read back the plain way."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from nexusflow_core import simulator
from nexusflow_core.simulator import SimulatedResponse
from nexusflow_core.upstream import Headers
from tests import simulator as strict

__all__ = ["PATH", "TIME", "TOOLS", "WEATHER", "called", "error", "events", "post", "request", "response"]

PATH = "/v1/responses"
KEY = [(b"authorization", b"Bearer sk-anything")]
ENCRYPTED = ["reasoning.encrypted_content"]

WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "get_weather",
    "strict": False,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TIME: dict[str, Any] = {
    "type": "function",
    "name": "get_time",
    "strict": False,
    "parameters": {"type": "object", "properties": {}},
}
TOOLS = [WEATHER, TIME]

Simulate = Callable[[str, Headers, bytes], SimulatedResponse]


def request(input: Any = "hello there", /, **fields: Any) -> dict[str, Any]:
    """A small request with this input, from a client that keeps its reasoning itself."""
    if isinstance(input, str):
        input = [{"type": "message", "role": "user", "content": input}]
    thinks = {"reasoning": {"effort": "low", "summary": "auto"}, "include": ENCRYPTED}
    return {"model": "gpt-5.6", "input": input, "store": False, **thinks, **fields}


def post(body: Any, path: str = PATH, *, simulate: Simulate = simulator.simulate) -> SimulatedResponse:
    """Send a body with a key."""
    return simulate(path, KEY, body if isinstance(body, bytes) else json.dumps(body).encode())


def response(input: Any = "hello there", /, **fields: Any) -> dict[str, Any]:
    """The response to a request without stream."""
    answer = post(request(input, **fields))
    assert answer.status == 200, answer.body
    made: dict[str, Any] = json.loads(answer.body)
    return made


def error(input: Any = "hello there", /, **fields: Any) -> dict[str, Any]:
    """The error that a request is refused with."""
    answer = post(request(input, **fields))
    assert answer.status == 400, answer.body
    made: dict[str, Any] = json.loads(answer.body)["error"]
    return made


def events(input: Any = "hello there", /, **fields: Any) -> list[dict[str, Any]]:
    """The events of a stream. Their framing and numbers are checked."""
    answer = post(request(input, **fields, stream=True))
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = []
    for frame in answer.chunks:
        name, data, *rest = frame.decode().split("\n")
        assert rest == ["", ""]
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def called(*outputs: str, **fields: Any) -> list[dict[str, Any]]:
    """A history whose last turn called `get_weather` and `get_time`, and got these outputs, without any id."""
    asked = request("call get_weather and get_time", tools=TOOLS, **fields)
    made = json.loads(post(asked, simulate=strict.simulate).body)["output"]
    kept = [{name: item[name] for name in item if name not in ("id", "status")} for item in made]
    calls = [item["call_id"] for item in made if item["type"] == "function_call"]
    results = [
        {"type": "function_call_output", "call_id": call, "output": output}
        for call, output in zip(calls, outputs, strict=False)
    ]
    return [*asked["input"], *kept, *results]
