"""Fixed bytes to measure with: a stream, an answer, requests, and the headers that travel with them.

Shapes and sizes follow recorded traffic. Like the bare proxy they are pinned: other bytes, other figures.
"""

import json
from typing import Any

__all__ = [
    "AGENT_REQUEST",
    "ANSWER",
    "ANSWER_HEAD",
    "DELTAS",
    "END",
    "EVENTS",
    "GATEWAY_KEY",
    "LARGE_REQUEST",
    "MODEL",
    "RELAY_CONFIG",
    "SMALL_REQUEST",
    "START",
    "STREAM_HEAD",
    "UPSTREAM_KEY",
    "WORDS",
    "event_data",
    "head",
    "in_pieces",
]

MODEL = "claude-sonnet-4-5"
GATEWAY_KEY = "nxf-benchmark-key"
UPSTREAM_KEY = "sk-ant-benchmark-key"

_EVENTS_A_STREAM = 200

_TEXT = "the upstream sends tokens as it makes them, some short, some a little longer than the rest \u2013 ok\n"
_WORDS = _TEXT.split(" ")

WORDS = "the upstream sends tokens as it makes them , some short , some a little longer \u2013 ok \n".split(" ")

_USAGE = {
    "input_tokens": 412,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 18_233,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 1,
    "service_tier": "standard",
    "inference_geo": "not_available",
}


def event_data(event: bytes) -> bytes:
    """The data of one event of `EVENTS`."""
    return event.partition(b"data: ")[2].rstrip(b"\n")


def in_pieces(stream: bytes, size: int) -> list[bytes]:
    """A stream cut every `size` bytes, wherever that falls."""
    return [stream[at : at + size] for at in range(0, len(stream), size)]


def _event(data: dict[str, Any]) -> bytes:
    return f"event: {data['type']}\ndata: {_compact(data)}\n\n".encode()


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _delta(number: int) -> bytes:
    text = " ".join(_WORDS[(number + step) % len(_WORDS)] for step in range(1 + number % 4))
    delta = {"type": "text_delta", "text": " " + text}
    return _event({"type": "content_block_delta", "index": 0, "delta": delta})


def _message(content: list[dict[str, Any]], stop_reason: str | None) -> dict[str, Any]:
    return {
        "model": MODEL + "-20250929",
        "id": "msg_01BenchmarkBenchmarkBench",
        "type": "message",
        "role": "assistant",
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": _USAGE,
    }


START = [
    _event({"type": "message_start", "message": _message([], None)}),
    _event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    _event({"type": "ping"}),
]
END = [
    _event({"type": "content_block_stop", "index": 0}),
    _event(
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"input_tokens": 412, "cache_read_input_tokens": 18_233, "output_tokens": 517},
        }
    ),
    _event({"type": "message_stop"}),
]

DELTAS = [_delta(number) for number in range(_EVENTS_A_STREAM - len(START) - len(END))]
"""The text deltas of one stream: events in which nothing is to be metered."""

EVENTS = [*START, *DELTAS, *END]
"""One whole stream, event by event."""

ANSWER = _compact(_message([{"type": "text", "text": " ".join(_WORDS * 7)}], "end_turn")).encode()
"""A sync answer of about one KB."""


def _request(marker: str, *, stream: bool, messages: int) -> bytes:
    """As the Python SDK writes it, `model` behind the messages."""
    text = " ".join(_WORDS * 4) + '"quoted"\t\\ and a path C:\\temp\n'
    roles = ("user", "assistant")
    turns = [
        {"role": roles[number % 2], "content": [{"type": "text", "text": text}]} for number in range(messages)
    ]
    body = {
        "max_tokens": 1024,
        "messages": turns,
        "metadata": {"user_id": marker},
        "model": MODEL,
        "stream": stream,
        "system": "You answer shortly.",
        "temperature": 0.2,
    }
    return _compact(body).encode()


SMALL_REQUEST = _request("benchmark-sync", stream=False, messages=1)
LARGE_REQUEST = _request("benchmark-large", stream=True, messages=423)
"""About 200 KB: a coding agent deep in its session."""


def _agent_request() -> bytes:
    """A coding agent deep in its session: a long system prompt, tools, and calls with their results."""
    text = " ".join(WORDS * 2)
    schema = {
        "type": "object",
        "properties": {name: {"type": "string", "description": text} for name in ("path", "old", "new")},
        "required": ["path"],
    }
    tools = [{"name": f"tool_{n}", "description": text * 3, "input_schema": schema} for n in range(60)]
    mark = {"cache_control": {"type": "ephemeral"}}
    turns: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": text}]}]
    for number in range(58):
        call = {"type": "tool_use", "id": f"toolu_{number:024}", "name": f"tool_{number % 60}"}
        turns.append(
            {
                "role": "assistant",
                "content": [{"type": "text", "text": text}, {**call, "input": {"path": f"src/{number}.py"}}],
            }
        )
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": (text + "\n") * 10}
        turns.append({"role": "user", "content": [result]})
    turns[-1]["content"].append({"type": "text", "text": text, **mark})
    body = {
        "model": "gpt-4.1",
        "max_tokens": 32_000,
        "stream": True,
        "system": [{"type": "text", "text": text * 60, **mark}],
        "tools": tools,
        "metadata": {"user_id": "user_1"},
        "messages": turns,
    }
    return _compact(body).encode()


AGENT_REQUEST = _agent_request()
"""About 200 KB with 60 tools and 58 calls: a coding agent deep in its session."""

_RESPONSE_HEADERS = (
    "Date: Sat, 01 Nov 2025 12:00:00 GMT",
    "Connection: keep-alive",
    "anthropic-ratelimit-input-tokens-limit: 2000000",
    "anthropic-ratelimit-input-tokens-remaining: 1998000",
    "anthropic-ratelimit-input-tokens-reset: 2025-11-01T12:00:00Z",
    "anthropic-ratelimit-output-tokens-limit: 400000",
    "anthropic-ratelimit-output-tokens-remaining: 400000",
    "anthropic-ratelimit-output-tokens-reset: 2025-11-01T12:00:00Z",
    "request-id: req_011BenchmarkBenchmarkBench",
    "strict-transport-security: max-age=31536000; includeSubDomains; preload",
    "anthropic-organization-id: 00000000-0000-0000-0000-000000000000",
    "Server: cloudflare",
    "via: 1.1 google",
    "cf-cache-status: DYNAMIC",
    "X-Robots-Tag: none",
    "CF-RAY: 9975b1b1aaaaaaaa-FRA",
)


def head(*headers: str) -> bytes:
    """Returns the head of an answer, with all that Anthropic sends beside these headers."""
    return "\r\n".join(("HTTP/1.1 200 OK", *headers, *_RESPONSE_HEADERS, "", "")).encode()


ANSWER_HEAD = head("Content-Type: application/json", f"Content-Length: {len(ANSWER)}")
STREAM_HEAD = head(
    "Content-Type: text/event-stream; charset=utf-8", "Cache-Control: no-cache", "Transfer-Encoding: chunked"
)

RELAY_CONFIG = b"""
[upstreams.claude]
dialect = "anthropic"
base_url = "http://127.0.0.1:9"
auth = "none"

[[routes]]
model = "claude-*"
targets = ["claude"]

[auth]
anonymous = true
"""
"""A gateway that relays Claude to an address where nobody is asked."""
