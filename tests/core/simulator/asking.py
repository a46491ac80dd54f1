"""Requests to the simulated upstream, and its answers read back the plain way."""

from __future__ import annotations

import json
from typing import Any

from nexusflow_core.simulator import SimulatedResponse, simulate

KEY = [(b"x-api-key", b"sk-ant-anything")]


def request(text: Any = "hello there", /, **fields: Any) -> dict[str, Any]:
    """A small request whose only user message has this content."""
    return {
        "model": "claude-opus-4-7",
        "max_tokens": 1_000,
        "messages": [{"role": "user", "content": text}],
        **fields,
    }


def post(body: Any, path: str = "/v1/messages") -> SimulatedResponse:
    """Send a body with a key."""
    return simulate(path, KEY, body if isinstance(body, bytes) else json.dumps(body).encode())


def message(text: Any = "hello there", /, **fields: Any) -> dict[str, Any]:
    """The Message answered to a request without stream."""
    response = post(request(text, **fields))
    assert response.status == 200, response.body
    return json.loads(response.body)


def events(text: Any = "hello there", /, **fields: Any) -> list[dict[str, Any]]:
    """The events answered to a request with stream, each chunk checked to be exactly one event."""
    response = post(request(text, **fields, stream=True))
    assert response.status == 200, response.body
    return [event_of(chunk) for chunk in response.chunks]


def event_of(chunk: bytes) -> dict[str, Any]:
    """One chunk as an event; its framing must be the real service's."""
    name, data, *rest = chunk.decode().split("\n")
    assert rest == ["", ""]
    assert data.startswith("data: ")
    event = json.loads(data.removeprefix("data: "))
    assert name == f"event: {event['type']}"
    return event


def text_of(answer: dict[str, Any]) -> str:
    """All text of a Message."""
    return "".join(block["text"] for block in answer["content"] if block["type"] == "text")


def tokens(text: str) -> int:
    """The stated estimate: a token per 4 bytes of UTF-8, rounded up."""
    return -(-len(text.encode()) // 4)


def assert_grammar(stream: list[dict[str, Any]]) -> None:
    """message_start, whole blocks numbered from 0, one message_delta, message_stop; pings after the start."""
    kinds = [event["type"] for event in stream]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    opened: int | None = None
    blocks = 0
    for event in stream[1:-2]:
        match event["type"]:
            case "content_block_start":
                assert opened is None
                assert event["index"] == blocks
                opened = blocks
                blocks += 1
            case "content_block_delta":
                assert event["index"] == opened
            case "content_block_stop":
                assert event["index"] == opened
                opened = None
            case kind:
                assert kind == "ping"
    assert opened is None
