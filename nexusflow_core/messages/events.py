"""Messages answers as bytes: the body of a message, and the events of a stream in their grammar.

message_start, (content_block_start(i) content_block_delta(i)* content_block_stop(i)){i = 0, 1, 2...},
message_delta, message_stop; a `ping` anywhere after message_start; an `error` instead of what is left
"""

from collections.abc import Sequence
from typing import Any

import msgspec

__all__ = [
    "block_start",
    "block_stop",
    "input_json_delta",
    "message_body",
    "message_delta",
    "message_start",
    "message_stop",
    "signature_delta",
    "text_delta",
    "thinking_delta",
]

_encode = msgspec.json.Encoder().encode


def message_body(
    *,
    id: str,
    model: str,
    content: Sequence[dict[str, Any]],
    stop_reason: str,
    stop_sequence: str | None,
    stop_details: dict[str, Any] | None,
    usage: dict[str, Any],
) -> bytes:
    """A whole answer."""
    return _encode(
        {
            "id": id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": stop_sequence,
            "stop_details": stop_details,
            "usage": usage,
        }
    )


def message_start(*, id: str, model: str, usage: dict[str, Any]) -> bytes:
    """The first event. Its usage is what is known or guessed by then; message_delta has the true one."""
    message: dict[str, Any] = {
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": usage,
    }
    return b"event: message_start\ndata: " + _encode({"type": "message_start", "message": message}) + b"\n\n"


def block_start(index: int, block: dict[str, Any]) -> bytes:
    """A block opens: text and tool_use begin empty."""
    event = {"type": "content_block_start", "index": index, "content_block": block}
    return b"event: content_block_start\ndata: " + _encode(event) + b"\n\n"


def text_delta(index: int, text: str) -> bytes:
    """The hottest event, by template."""
    return (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
        b'"delta":{"type":"text_delta","text":%b}}\n\n' % (index, _encode(text))
    )


def input_json_delta(index: int, fragment: str) -> bytes:
    """A fragment of a tool call's input, as JSON text."""
    return (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
        b'"delta":{"type":"input_json_delta","partial_json":%b}}\n\n' % (index, _encode(fragment))
    )


def thinking_delta(index: int, text: str) -> bytes:
    """A piece of thinking."""
    return (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
        b'"delta":{"type":"thinking_delta","thinking":%b}}\n\n' % (index, _encode(text))
    )


def signature_delta(index: int, signature: str) -> bytes:
    """The signature of a thinking block, just before its stop."""
    return (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
        b'"delta":{"type":"signature_delta","signature":%b}}\n\n' % (index, _encode(signature))
    )


def block_stop(index: int) -> bytes:
    """The open block closes."""
    return b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % index


def message_delta(
    *,
    stop_reason: str,
    stop_sequence: str | None,
    stop_details: dict[str, Any] | None,
    usage: dict[str, Any],
) -> bytes:
    """The one event with the ending and the true usage."""
    delta: dict[str, Any] = {"stop_reason": stop_reason, "stop_sequence": stop_sequence}
    if stop_details is not None:
        delta["stop_details"] = stop_details
    event = {"type": "message_delta", "delta": delta, "usage": usage}
    return b"event: message_delta\ndata: " + _encode(event) + b"\n\n"


def message_stop() -> bytes:
    """The last event."""
    return b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
