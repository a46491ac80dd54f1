"""A stream folded to a message: by the SDK's accumulator, and by a few lines of our own that scale."""

import json
from typing import Any

from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message

__all__ = ["by_hand", "by_sdk"]


def by_sdk(events: list[dict[str, Any]]) -> dict[str, Any]:
    """What the anthropic SDK makes of the events; it raises where tool arguments are no JSON at all."""
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in events:
        if event["type"] not in ("ping", "error"):
            snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)  # type: ignore[arg-type]
    assert isinstance(snapshot, Message)
    folded: dict[str, Any] = snapshot.to_dict()
    return folded


def by_hand(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The message; a tool_use has its `arguments` as text, since they may have been cut."""
    message = dict(events[0]["message"])
    message["content"] = content = []
    pieces: list[str] = []
    for event in events[1:]:
        if event["type"] == "content_block_start":
            content.append(dict(event["content_block"]))
            pieces = []
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            if delta["type"] == "signature_delta":
                content[-1]["signature"] = delta["signature"]
            else:
                pieces.append(delta.get("text") or delta.get("thinking") or delta.get("partial_json", ""))
        elif event["type"] == "content_block_stop":
            block = content[-1]
            if block["type"] in ("text", "thinking"):
                block[block["type"]] = "".join(pieces)
            elif block["type"] == "tool_use":
                block["arguments"] = "".join(pieces)
                block["input"] = _parsed(block["arguments"])
        elif event["type"] == "message_delta":
            message.update(event["delta"])
            message["usage"] = event["usage"]
    return message


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return None
