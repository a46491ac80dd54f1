"""Chat Completions requests to the simulated upstream, and its answers read back the plain way."""

from __future__ import annotations

import json
from typing import Any

from nexusflow_core.simulator import SimulatedResponse
from tests.simulator import simulate

PATH = "/v1/chat/completions"
KEY = [(b"authorization", b"Bearer sk-anything")]

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TIME: dict[str, Any] = {"type": "function", "function": {"name": "get_time"}}
TOOLS = [WEATHER, TIME]


def request(text: Any = "hello there", /, **fields: Any) -> dict[str, Any]:
    """A small request whose only user message has this content."""
    return {"model": "gpt-4.1", "messages": [{"role": "user", "content": text}], **fields}


def post(body: Any, path: str = PATH) -> SimulatedResponse:
    """Send a body with a key."""
    return simulate(path, KEY, body if isinstance(body, bytes) else json.dumps(body).encode())


def completion(text: Any = "hello there", /, **fields: Any) -> dict[str, Any]:
    """The body answered to a request without stream."""
    response = post(request(text, **fields))
    assert response.status == 200, response.body
    return json.loads(response.body)


def message(text: Any = "hello there", /, **fields: Any) -> dict[str, Any]:
    """The message of that body."""
    return completion(text, **fields)["choices"][0]["message"]


def chunks(text: Any = "hello there", /, *, usage: bool = True, **fields: Any) -> list[dict[str, Any]]:
    """The chunks answered to a request with stream, whose framing and end are checked."""
    options = {"stream_options": {"include_usage": True}} if usage else {}
    response = post(request(text, **fields, stream=True, **options))
    assert response.status == 200, response.body
    *data, done = [data_of(frame) for frame in response.chunks]
    assert done == "[DONE]"
    return [json.loads(text) for text in data]


def data_of(frame: bytes) -> str:
    """The data of one frame; its framing must be the real service's."""
    data, *rest = frame.decode().split("\n")
    assert rest == ["", ""]
    assert data.startswith("data: ")
    return data.removeprefix("data: ")


def deltas(stream: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The delta of each chunk that has a choice."""
    return [chunk["choices"][0]["delta"] for chunk in stream if chunk["choices"]]


def calls_of(said: dict[str, Any]) -> list[tuple[str, Any]]:
    """Name and arguments of each call in a message."""
    return [(call["function"]["name"], call["function"]["arguments"]) for call in said.get("tool_calls") or []]


def tokens(text: str) -> int:
    """The stated estimate: a token per 4 bytes of UTF-8, rounded up."""
    return -(-len(text.encode()) // 4)
