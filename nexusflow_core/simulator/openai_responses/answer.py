"""Renders a reply as a response: one JSON object, or the events of a stream."""

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.errors import NexusFlowError
from nexusflow_core.simulator.endpoint import made_id
from nexusflow_core.simulator.openai_chat.answer import CREATED
from nexusflow_core.simulator.openai_responses.history import sealed
from nexusflow_core.simulator.openai_responses.request import Item, ResponsesRequest
from nexusflow_core.simulator.openai_responses.usage import usage_of
from nexusflow_core.simulator.reply import Part, Reply, Text, Thought, argument_slices, words
from nexusflow_core.sse import encode_sse

__all__ = ["Answer", "error_of"]

Event = dict[str, Any]

_PHASED = re.compile(r"gpt-5\.3-codex|gpt-5\.[4-9]|gpt-[6-9]")
_SENTENCE_END = re.compile(r"(?<=\.) ")

_CODES = {
    "rate_limit_error": "rate_limit_exceeded",
    "billing_error": "insufficient_quota",
    "authentication_error": "invalid_api_key",
    "not_found_error": "model_not_found",
}
"""The codes of errors that a user can request. Any other of the server's is a `server_error`."""

_BEFORE_OUTPUT = ("rate_limit_error", "billing_error")
"""Errors that the real service sends inside a stream, but before its first item."""

# A stream with any other requested error breaks after this many deltas, or before its first item ends.
_DELTAS_BEFORE_BREAK = 3


def error_of(error: NexusFlowError) -> dict[str, Any]:
    """Returns the `error` object of an error response, or of an event."""
    code = _CODES.get(error.type, "server_error" if error.status >= 500 else None)
    details = {"param": None, "code": code, **(error.details or {})}
    return {"type": error.type, "message": error.message, **details}


class Answer(Struct, frozen=True):
    """The parts of one answer. Iterating it yields the stream, one event at a time. `body` makes the ids."""

    request: ResponsesRequest
    reply: Reply
    body: bytes

    def response(self) -> dict[str, Any]:
        """Returns the whole response, for a request without `stream`."""
        usage = usage_of(self.request, self.reply)
        if self.reply.stop != "length":
            return self._response("completed", output=self.items(), usage=usage)
        reason = {"reason": "max_output_tokens"}
        return self._response("incomplete", output=self.items(), usage=usage, incomplete_details=reason)

    def items(self) -> list[Item]:
        """Returns the output, as the last events of its items show it."""
        items: list[Item] = []
        for nth, part in reversed([*enumerate(self.reply.parts)]):
            items.insert(0, self._item(part, nth, items[0] if items else {}))
        if items and self.reply.stop == "length":
            items[-1]["status"] = "incomplete"
        return items

    def __iter__(self) -> Iterator[bytes]:
        """Yields the stream."""
        for number, event in enumerate(self._events()):
            yield encode_sse(msgspec.json.encode({**event, "sequence_number": number}), event["type"])

    def _events(self) -> Iterator[Event]:
        for state in ("created", "in_progress"):
            yield {"type": f"response.{state}", "response": self._response("in_progress")}
        failure, truncate = self.reply.directives.failure, self.reply.directives.truncate
        if failure is None and not truncate:
            yield from self._item_events()
            whole = self.response()
            yield {"type": f"response.{whole['status']}", "response": whole}
            return
        if failure is None or failure.type not in _BEFORE_OUTPUT:
            yield from _beginning(self._item_events())
        if failure is not None:
            error = error_of(failure)
            yield {"type": "error", "error": error}
            short = {"code": error["code"], "message": error["message"]}
            yield {"type": "response.failed", "response": self._response("failed", error=short)}

    def _item_events(self) -> Iterator[Event]:
        for index, item in enumerate(self.items()):
            at = {"output_index": index}
            yield {"type": "response.output_item.added", **at, "item": _begun(item)}
            yield from ({**event, "item_id": item["id"], **at} for event in _inner_events(item))
            yield {"type": "response.output_item.done", **at, "item": item}

    def _response(self, status: str, **members: Any) -> dict[str, Any]:
        named = {"id": made_id("resp_", self.body), "object": "response", "created_at": CREATED}
        unknown = dict.fromkeys(("error", "incomplete_details", "usage"))
        more: Item = {"model": self.request.model, "output": [], "service_tier": "default", "store": False}
        return {**named, "status": status, **unknown, **more, **members}

    def _item(self, part: Part, nth: int, follower: Item) -> Item:
        if isinstance(part, Thought):
            return self._reasoning(part.text, made_id("rs_", self.body, nth), follower)
        if isinstance(part, Text):
            item = {"id": made_id("msg_", self.body, nth), "type": "message", "status": "completed"}
            said: Item = {"type": "output_text", "text": part.text, "annotations": [], "logprobs": []}
            last = part is self.reply.parts[-1]
            phase = {"phase": "final_answer" if last else "commentary"} if self._has_phases else {}
            return {**item, "role": "assistant", **phase, "content": [said]}
        item = {"id": made_id("fc_", self.body, nth), "type": "function_call", "status": "completed"}
        called = {"call_id": made_id("call_", self.body, nth), "name": part.name}
        return {**item, **called, "arguments": part.arguments}

    @property
    def _has_phases(self) -> bool:
        return _PHASED.match(self.request.base_model) is not None

    def _reasoning(self, thought: str, id: str, follower: Item) -> Item:
        """Returns a reasoning item. Its encrypted content knows its summary, and the item that it led to."""
        texts = _SENTENCE_END.split(thought) if self.request.summarizes else []
        item = {"id": id, "type": "reasoning", "summary": [{"type": "summary_text", "text": t} for t in texts]}
        if "reasoning.encrypted_content" in (self.request.include or ()):
            summary = hashlib.sha256("\n".join(texts).encode()).hexdigest()
            led_to = follower.get("call_id") or follower.get("type")
            item["encrypted_content"] = sealed(f"simulated.{id}.{summary}.{led_to}")
        return item


def _begun(item: Item) -> Item:
    """Returns an item as it is announced. Its encrypted content is not the final one."""
    empty: Item = {"content": [], "summary": [], "arguments": "", "status": "in_progress"}
    empty["encrypted_content"] = sealed("simulated")
    return {name: empty.get(name, value) for name, value in item.items()}


def _inner_events(item: Item) -> Iterator[Event]:
    """Yields the events between an item's first and its last."""
    if item["type"] == "function_call":
        kind, arguments = "response.function_call_arguments", item["arguments"]
        for piece in argument_slices(arguments):
            yield {"type": f"{kind}.delta", "delta": piece}
        yield {"type": f"{kind}.done", "arguments": arguments}
    for index, part in enumerate(item.get("summary", ())):
        at = {"summary_index": index}
        yield from _part_events("response.reasoning_summary_part", "response.reasoning_summary_text", part, at)
    for index, part in enumerate(item.get("content", ())):
        at = {"content_index": index}
        yield from _part_events("response.content_part", "response.output_text", part, at)


def _part_events(holder: str, kind: str, part: dict[str, Any], at: dict[str, int]) -> Iterator[Event]:
    yield {"type": f"{holder}.added", **at, "part": {**part, "text": ""}}
    for word in words(part["text"]):
        yield {"type": f"{kind}.delta", **at, "delta": word}
    yield {"type": f"{kind}.done", **at, "text": part["text"]}
    yield {"type": f"{holder}.done", **at, "part": part}


def _beginning(events: Iterator[Event]) -> Iterator[Event]:
    deltas = 0
    for event in events:
        if deltas == _DELTAS_BEFORE_BREAK or event["type"] == "response.output_item.done":
            return
        yield event
        deltas += event["type"].endswith(".delta")
