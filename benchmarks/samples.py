"""Fixed bytes to measure with: a stream, an answer, requests, and the headers that travel with them.

Shapes and sizes follow recorded traffic. Like the bare proxy they are pinned: other bytes, other figures.
"""

import json
from typing import Any

__all__ = [
    "ANSWER",
    "ANSWER_HEAD",
    "DELTAS",
    "EVENTS",
    "FEW_WRITES",
    "GATEWAY_KEY",
    "LARGE_REQUEST",
    "MODEL",
    "REQUESTS",
    "SMALL_REQUEST",
    "STREAM_HEAD",
    "UPSTREAM_KEY",
    "event_data",
    "in_pieces",
]

MODEL = "claude-sonnet-4-5"
GATEWAY_KEY = "nxf-benchmark-key"
UPSTREAM_KEY = "sk-ant-benchmark-key"

_EVENTS_A_STREAM = 200
FEW_WRITES = 8
"""Writes that a whole stream takes where it does not come event by event."""

_TEXT = "the upstream sends tokens as it makes them, some short, some a little longer than the rest \u2013 ok\n"
_WORDS = _TEXT.split(" ")

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


_START = [
    _event({"type": "message_start", "message": _message([], None)}),
    _event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    _event({"type": "ping"}),
]
_END = [
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

DELTAS = [_delta(number) for number in range(_EVENTS_A_STREAM - len(_START) - len(_END))]
"""The text deltas of one stream: events in which nothing is to be metered."""

EVENTS = [*_START, *DELTAS, *_END]
"""One whole stream, event by event."""

ANSWER = _compact(_message([{"type": "text", "text": " ".join(_WORDS * 7)}], "end_turn")).encode()
"""A sync answer of about one KB."""


def _request(marker: str, *, stream: bool, messages: int) -> bytes:
    """As the Python SDK writes it, `model` behind the messages. The marker tells what to answer."""
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


REQUESTS = {
    "sync": _request("benchmark-sync", stream=False, messages=1),
    "events": _request("benchmark-events", stream=True, messages=1),
    "pieces": _request("benchmark-pieces", stream=True, messages=1),
}
"""What the load generator sends; the upstream looks for the marker."""

SMALL_REQUEST = REQUESTS["sync"]
LARGE_REQUEST = _request("benchmark-large", stream=True, messages=423)
"""About 200 KB: a coding agent deep in its session."""

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


def _head(*headers: str) -> bytes:
    return "\r\n".join(("HTTP/1.1 200 OK", *headers, *_RESPONSE_HEADERS, "", "")).encode()


ANSWER_HEAD = _head("Content-Type: application/json", f"Content-Length: {len(ANSWER)}")
STREAM_HEAD = _head(
    "Content-Type: text/event-stream; charset=utf-8", "Cache-Control: no-cache", "Transfer-Encoding: chunked"
)
