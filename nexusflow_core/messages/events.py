"""Messages answers as bytes: a whole message, and the events of a stream.

A stream is message_start, then (content_block_start(i) content_block_delta(i)* content_block_stop(i)) for
i = 0, 1, 2..., then message_delta, message_stop. A `ping` may follow any event after message_start. An `error`
may replace the rest.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from nexusflow_core.errors import NexusFlowError, error_body
from nexusflow_core.sse import encode_sse

__all__ = [
    "TEXT_END",
    "block_start",
    "block_stop",
    "citations_delta",
    "error_event",
    "input_json_delta",
    "message_body",
    "message_delta",
    "message_start",
    "message_stop",
    "signature_delta",
    "text_begin",
    "text_delta",
    "thinking_delta",
]

_encode = msgspec.json.Encoder().encode


def _delta(type: str, member: str) -> bytes:
    """Returns the template of a delta. Deltas are the most frequent events, so they are not built anew."""
    data = b'{"type":"content_block_delta","index":%%d,"delta":{"type":"%b","%b":%%b}}'
    return encode_sse(data % (type.encode(), member.encode()), "content_block_delta")


_TEXT_DELTA = _delta("text_delta", "text")
_BEFORE_TEXT, _, TEXT_END = _TEXT_DELTA.partition(b"%b")
_INPUT_JSON_DELTA = _delta("input_json_delta", "partial_json")
_THINKING_DELTA = _delta("thinking_delta", "thinking")
_SIGNATURE_DELTA = _delta("signature_delta", "signature")
_BLOCK_STOP = encode_sse(b'{"type":"content_block_stop","index":%d}', "content_block_stop")
_MESSAGE_STOP = encode_sse(b'{"type":"message_stop"}', "message_stop")


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
    return encode_sse(_encode({"type": "message_start", "message": message}), "message_start")


def block_start(index: int, block: dict[str, Any]) -> bytes:
    """Returns the event that opens a block. Text and tool_use blocks begin empty."""
    event = {"type": "content_block_start", "index": index, "content_block": block}
    return encode_sse(_encode(event), "content_block_start")


def text_delta(index: int, text: str) -> bytes:
    """Returns a piece of text."""
    return _TEXT_DELTA % (index, _encode(text))


def text_begin(index: int) -> bytes:
    """Returns what a text delta of a block has before its text in JSON; `TEXT_END` stands behind it."""
    return _BEFORE_TEXT % index


def input_json_delta(index: int, fragment: str) -> bytes:
    """Returns a fragment of a tool call's input, as JSON text."""
    return _INPUT_JSON_DELTA % (index, _encode(fragment))


def thinking_delta(index: int, text: str) -> bytes:
    """Returns a piece of thinking."""
    return _THINKING_DELTA % (index, _encode(text))


def signature_delta(index: int, signature: str) -> bytes:
    """Returns the signature of a thinking block, sent just before its stop."""
    return _SIGNATURE_DELTA % (index, _encode(signature))


def citations_delta(index: int, citation: dict[str, Any]) -> bytes:
    """Returns a source of the open block's text."""
    delta = {"type": "citations_delta", "citation": citation}
    event = {"type": "content_block_delta", "index": index, "delta": delta}
    return encode_sse(_encode(event), "content_block_delta")


def block_stop(index: int) -> bytes:
    """Returns the event that closes the open block."""
    return _BLOCK_STOP % index


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
    return encode_sse(_encode(event), "message_delta")


def message_stop() -> bytes:
    """Returns the last event of a complete stream."""
    return _MESSAGE_STOP


def error_event(error: NexusFlowError, request_id: str) -> bytes:
    """Returns the error as `event: error`, the last event of a stream."""
    return encode_sse(error_body(error, request_id), "error")
