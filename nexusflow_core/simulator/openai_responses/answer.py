"""Renders a reply in the Responses form: one JSON object, or the events of a stream."""

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from nexusflow_core.errors import NexusFlowError
from nexusflow_core.simulator.endpoint import made_id
from nexusflow_core.simulator.openai_chat.answer import CREATED
from nexusflow_core.simulator.openai_chat.usage import CACHED_AT_LEAST, CACHED_BY, prompt_tokens
from nexusflow_core.simulator.openai_responses.request import Item, ResponsesRequest, chat_of, parts_of, sealed
from nexusflow_core.simulator.reply import Part, Reply, Text, Thought, argument_slices, words
from nexusflow_core.sse import encode_sse
from nexusflow_core.untyped import object_of

__all__ = ["Answer", "error_of"]

Event = dict[str, Any]

_PHASED = re.compile(r"gpt-5\.3-codex|gpt-5\.[4-9]|gpt-[6-9]")
_SENTENCE_END = re.compile(r"(?<=\.) ")

_LIMITS = {"rate_limit_error": "rate_limit_exceeded", "billing_error": "insufficient_quota"}
"""Codes by error type. The real service sends these errors inside a stream, before the first item."""

_BILLS_WRITES = re.compile(r"gpt-5\.[6-9]|gpt-[6-9]")
"""Models that take breakpoints and bill cache writes."""

# A stream with any other requested error breaks after this many deltas, or before its first item ends.
_DELTAS_BEFORE_BREAK = 3


def error_of(error: NexusFlowError) -> dict[str, Any]:
    """Returns the `error` object of an error response, or of an event."""
    code = _LIMITS.get(error.type, "server_error" if error.status >= 500 else None)
    details = {"param": None, "code": code, **(error.details or {})}
    return {"type": error.type, "message": error.message, **details}


class Answer(Struct, frozen=True):
    """The parts of one answer. Iterating it yields the stream, one event at a time. `body` makes the ids."""

    request: ResponsesRequest
    reply: Reply
    body: bytes

    def response(self) -> dict[str, Any]:
        """Returns the whole response, for a request without `stream`."""
        cut = self.reply.stop == "length"
        return self._response(
            "incomplete" if cut else "completed",
            output=self.items(),
            usage=_usage(self.request, self.reply),
            incomplete_details={"reason": "max_output_tokens"} if cut else None,
        )

    def items(self) -> list[Item]:
        """Returns the finished items of the output."""
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
        if failure is None or failure.type not in _LIMITS:
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
            if _PHASED.match(self.request.base_model):
                item["phase"] = "final_answer" if part is self.reply.parts[-1] else "commentary"
            return {**item, "role": "assistant", "content": [said]}
        item = {"id": made_id("fc_", self.body, nth), "type": "function_call", "status": "completed"}
        called = {"call_id": made_id("call_", self.body, nth), "name": part.name}
        return {**item, **called, "arguments": part.arguments}

    def _reasoning(self, thought: str, id: str, follower: Item) -> Item:
        """Returns a reasoning item. Its encrypted content names the summary's hash and the next item."""
        texts = _SENTENCE_END.split(thought) if self.request.summarizes else []
        item = {"id": id, "type": "reasoning", "summary": [{"type": "summary_text", "text": t} for t in texts]}
        if "reasoning.encrypted_content" in (self.request.include or ()):
            summary = hashlib.sha256("\n".join(texts).encode()).hexdigest()
            led_to = follower.get("call_id") or follower.get("type")
            item["encrypted_content"] = sealed(f"simulated.{id}.{summary}.{led_to}")
        return item


def _begun(item: Item) -> Item:
    """Returns an item in its first event: empty, with other encrypted content than the last event."""
    empty: Item = {"content": [], "summary": [], "arguments": "", "status": "in_progress"}
    empty["encrypted_content"] = sealed("simulated")
    return {name: empty.get(name, value) for name, value in item.items()}


def _inner_events(item: Item) -> Iterator[Event]:
    """Yields the events between the first and the last event of an item."""
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


def _usage(request: ResponsesRequest, reply: Reply) -> dict[str, Any]:
    """Returns the counts with all of OpenAI's details."""
    prompt = prompt_tokens(chat_of(request))
    cached: dict[str, Any] = {"cached_tokens": prompt.cached}
    if _BILLS_WRITES.match(request.base_model):
        cached = _read_and_written(request, prompt.cached)
    return {
        "input_tokens": prompt.total,
        "input_tokens_details": cached,
        "output_tokens": reply.output_tokens,
        "output_tokens_details": {"reasoning_tokens": reply.thinking_tokens},
        "total_tokens": prompt.total + reply.output_tokens,
    }


def _read_and_written(request: ResponsesRequest, sent_before: int) -> dict[str, Any]:
    """Returns the tokens read and written. In explicit mode, the cache ends at the last marked item."""
    options, items = object_of(request.prompt_cache_options), request.items
    if options.get("mode") == "explicit":
        marked = [i for i, item in enumerate(items, 1) if any(map(_has_breakpoint, parts_of(item)))]
        items = items[: marked[-1]] if marked else []
    until = prompt_tokens(chat_of(replace(request, input=items, instructions=None))).total if items else 0
    cacheable = until // CACHED_BY * CACHED_BY if until >= CACHED_AT_LEAST else 0
    written = cacheable - min(sent_before, cacheable)
    long = written if options.get("ttl") == "12h" else 0
    lifetimes = {"ttl_30m_tokens": written - long, "ttl_12h_tokens": long}
    details = {"cache_write_tokens": written, "cache_write_tokens_details": lifetimes}
    return {"cached_tokens": min(sent_before, cacheable), **details}


def _has_breakpoint(part: dict[str, Any]) -> bool:
    return part.get("prompt_cache_breakpoint") is not None
