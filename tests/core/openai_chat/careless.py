"""Answers by hand: calls in fragments, streams of choices, and what a client reads of them."""

import json
from typing import Any

from tests.core.translation.driving import Driven, answered, streamed
from tests.core.translation.folding import by_hand
from tests.core.translation.grammar import checked

__all__ = ["LOOK", "X", "call", "fragments", "lines", "said", "whole"]

X = '{"q":"x"}'
LOOK = ("search", {"q": "x"})


def call(index: int | None = 0, id: str | None = None, name: str | None = None, arguments: Any = "") -> Any:
    """A fragment of a call."""
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return {"id": id, "function": function, **({} if index is None else {"index": index})}


def lines(*choices: Any, done: bool = True) -> bytes:
    """A stream of these choices; text stands for itself."""
    made = [b"data: " + json.dumps({"choices": [{"index": 0, **one}]}).encode() + b"\n\n" for one in choices]
    return b"".join(made) + (b"data: [DONE]\n\n" if done else b"")


def fragments(*calls: Any, finish: str | None = "tool_calls", **asked: Any) -> Driven:
    deltas = [{"delta": {"tool_calls": one if isinstance(one, list) else [one]}} for one in calls]
    return streamed(lines(*deltas, {"delta": {}, "finish_reason": finish}), **asked)


def whole(message: Any, finish: str | None = "stop", **members: Any) -> list[Driven]:
    """The answer to a sync request, the same body to a stream's request, and the same as a chunk."""
    asked = {name: members.pop(name) for name in ("vendor", "stop_sequences") if name in members}
    body = {"choices": [{"message": message, "finish_reason": finish, **members}]}
    chunk = {"delta": message, "finish_reason": finish, **members}
    return [answered(body, **asked), answered(body, stream=True, **asked), streamed(lines(chunk), **asked)]


def said(driven: Driven) -> tuple[str, str, list[Any], Any]:
    """Text, thinking, calls and the stop reason; "error" where the answer is one."""
    if driven.status != 200:
        return "", "", [], "error"
    message: Any = driven.json if driven.headers["content-type"] == "application/json" else None
    if message is None:
        events = checked(driven.body)
        message = by_hand(events)
        if events[-1]["type"] == "error":
            message["stop_reason"] = "error"
    blocks = message["content"]
    return (
        "".join(block["text"] for block in blocks if block["type"] == "text"),
        "".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
        [(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"],
        message["stop_reason"],
    )
