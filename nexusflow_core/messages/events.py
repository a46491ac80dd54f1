"""Messages answers as bytes: a whole message, and the events of a stream.

A stream is message_start, then (content_block_start(i) content_block_delta(i)* content_block_stop(i)) for
i = 0, 1, 2..., then message_delta, message_stop. A `ping` may follow any event after message_start. An `error`
may replace the rest.
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
    """Returns the JSON body of a whole answer."""
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
    """Returns the first event. Its usage may be a guess; message_delta has the final one."""
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
    """Returns the event that opens a block. Text and tool_use blocks begin empty."""
    event = {"type": "content_block_start", "index": index, "content_block": block}
    return b"event: content_block_start\ndata: " + _encode(event) + b"\n\n"


def text_delta(index: int, text: str) -> bytes:
    """Returns a piece of text. The most frequent event, so it uses a template."""
    return (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
        b'"delta":{"type":"text_delta","text":%b}}\n\n' % (index, _encode(text))
    )


def input_json_delta(index: int, fragment: str) -> bytes:
    """Returns a fragment of a tool call's input, as JSON text."""
    return (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
        b'"delta":{"type":"input_json_delta","partial_json":%b}}\n\n' % (index, _encode(fragment))
    )


def thinking_delta(index: int, text: str) -> bytes:
    """Returns a piece of thinking."""
    return (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
        b'"delta":{"type":"thinking_delta","thinking":%b}}\n\n' % (index, _encode(text))
    )


def signature_delta(index: int, signature: str) -> bytes:
    """Returns the signature of a thinking block, sent just before its stop."""
    return (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
        b'"delta":{"type":"signature_delta","signature":%b}}\n\n' % (index, _encode(signature))
    )


def block_stop(index: int) -> bytes:
    """Returns the event that closes the open block."""
    return b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % index


def message_delta(
    *,
    stop_reason: str,
    stop_sequence: str | None,
    stop_details: dict[str, Any] | None,
    usage: dict[str, Any],
) -> bytes:
    """Returns the event with the stop reason and the final usage."""
    delta: dict[str, Any] = {"stop_reason": stop_reason, "stop_sequence": stop_sequence}
    if stop_details is not None:
        delta["stop_details"] = stop_details
    event = {"type": "message_delta", "delta": delta, "usage": usage}
    return b"event: message_delta\ndata: " + _encode(event) + b"\n\n"


def message_stop() -> bytes:
    """Returns the last event of a complete stream."""
    return b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
