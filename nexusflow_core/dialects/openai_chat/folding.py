"""A Messages stream of ours as one message, for an upstream that streams though it was not asked to."""

from typing import Any

import msgspec

from nexusflow_core.dialects.openai_chat.response import Translated
from nexusflow_core.dialects.openai_chat.stream import ChatStream
from nexusflow_core.errors import AnswerUnusable
from nexusflow_core.sse import SSEDecoder
from nexusflow_core.translation.json_lenient import decode_leniently
from nexusflow_core.untyped import is_object

__all__ = ["folded"]

_CUT = ("max_tokens", "model_context_window_exceeded")


def folded(events: bytes, stream: ChatStream) -> Translated:
    """Returns the answer that these events tell, which the stream has made and ended. Raises
    AnswerUnusable for a tool's arguments that are no JSON object."""
    content: list[dict[str, Any]] = []
    pieces: list[list[str]] = []
    ending: dict[str, Any] = {}
    for line in SSEDecoder().feed(events):
        event = msgspec.json.decode(line.data)
        if event["type"] == "content_block_start":
            content.append(event["content_block"])
            pieces.append([])
        elif event["type"] == "content_block_delta":
            _add(content[-1], event["delta"], pieces[-1])
        elif event["type"] == "message_delta":
            ending = event["delta"]
    noticed = list(stream.noticed)
    for block, said in zip(content, pieces, strict=True):
        if block["type"] == "tool_use":
            block["input"] = _input("".join(said), noticed, cut=ending.get("stop_reason") in _CUT)
        elif said:
            name = "text" if block["type"] == "text" else "thinking"
            block[name] += "".join(said)
    return Translated(
        content=content,
        stop_reason=ending["stop_reason"],
        stop_sequence=ending["stop_sequence"],
        stop_details=ending.get("stop_details"),
        usage=stream.usage() or {},
        estimated=stream.estimated,
        billing=stream.billing,
        noticed=noticed,
    )


def _add(block: dict[str, Any], delta: dict[str, Any], pieces: list[str]) -> None:
    if delta["type"] == "signature_delta":
        block["signature"] = delta["signature"]
    else:
        pieces.append(delta.get("partial_json") or delta.get("text") or delta.get("thinking") or "")


def _input(arguments: str, noticed: list[str], *, cut: bool) -> dict[str, Any]:
    if not arguments.strip():
        return {}
    try:
        value = decode_leniently(arguments.encode(errors="replace"))
    except msgspec.DecodeError:
        value = None
    if is_object(value):
        return value
    if not cut:
        raise AnswerUnusable("the upstream's answer has tool arguments that are no JSON object")
    noticed.append("tool_calls.arguments")
    return {}
