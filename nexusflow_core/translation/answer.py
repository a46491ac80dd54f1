"""Answer: the parts of a whole Message, made by a dialect or folded from a stream of events."""

from typing import Any

import msgspec
from msgspec import Struct, field

from nexusflow_core.errors import AnswerUnusableError
from nexusflow_core.sse import SSEDecoder
from nexusflow_core.translation.arguments import NO_OBJECT, readable_prefix
from nexusflow_core.translation.json_lenient import decode_leniently
from nexusflow_core.translation.stop_reason import Ending
from nexusflow_core.untyped import is_object
from nexusflow_core.usage import Billing

__all__ = ["Answer", "fold"]

_CUT = ("max_tokens", "model_context_window_exceeded")


class Answer(Struct):
    """The parts of a Message. `estimated`: the usage is our estimate. `noticed`: dropped members."""

    content: list[dict[str, Any]]
    ending: Ending
    usage: dict[str, Any]
    estimated: bool = False
    billing: Billing | None = None
    noticed: list[str] = field(default_factory=list[str])

    @property
    def stop_reason(self) -> str:
        return self.ending.stop_reason


def fold(events: bytes, noticed: list[str]) -> tuple[list[dict[str, Any]], Ending]:
    """Returns content and ending of a complete stream of ours. Adds dropped members to `noticed`.

    Raises AnswerUnusableError for tool arguments that are not a JSON object.
    """
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
    for block, texts in zip(content, pieces, strict=True):
        if block["type"] in ("tool_use", "server_tool_use"):
            block["input"] = _input("".join(texts), noticed, cut=ending.get("stop_reason") in _CUT)
        elif texts:
            name = "text" if block["type"] == "text" else "thinking"
            block[name] += "".join(texts)
    return content, Ending(ending["stop_reason"], ending["stop_sequence"], ending.get("stop_details"))


def _add(block: dict[str, Any], delta: dict[str, Any], pieces: list[str]) -> None:
    if delta["type"] == "signature_delta":
        block["signature"] = delta["signature"]
    elif delta["type"] == "citations_delta":
        block.setdefault("citations", []).append(delta["citation"])
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
        raise AnswerUnusableError(NO_OBJECT)
    noticed.append("tool_calls.arguments")
    return readable_prefix(arguments)
