"""Renders a reply in Anthropic's form: one JSON Message, or the events of a stream."""

from collections.abc import Iterator, Mapping
from itertools import islice, takewhile
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.messages.events import error_event
from nexusflow_core.simulator.anthropic.request import SimulatedRequest
from nexusflow_core.simulator.anthropic.usage import PromptTokens
from nexusflow_core.simulator.endpoint import made_id
from nexusflow_core.simulator.reply import Reply, Text, Thought, ToolCall, argument_slices, words
from nexusflow_core.sse import encode_sse

__all__ = ["Answer", "message"]

_STOP_REASONS = {
    "end": "end_turn",
    "length": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_calls": "tool_use",
}
_SAID_ONCE = ("cache_creation", "service_tier", "inference_geo")

# A stream with a requested error breaks after three deltas, or before its first block ends.
_EVENTS_BEFORE_BREAK = 6

# Members that deltas fill, with their values at the start of a block.
_AT_FIRST: Mapping[str, dict[str, Any]] = {
    "text": {"text": ""},
    "thinking": {"thinking": "", "signature": ""},
    "tool_use": {"input": {}},
}


class Answer(Struct, frozen=True):
    """A request, its reply, and the size of its prompt. `body`: the request's bytes, to make ids.

    Iterating it yields the stream, one event at a time.
    """

    request: SimulatedRequest
    reply: Reply
    prompt: PromptTokens
    body: bytes

    def __iter__(self) -> Iterator[bytes]:
        """Yields one chunk per event. Breaks off if the directives request it."""
        directives, stream = self.reply.directives, events(self)
        if directives.failure is not None or directives.truncate:
            stream = islice(takewhile(_is_open, stream), _EVENTS_BEFORE_BREAK)
        yield from map(_encoded, stream)
        if directives.failure is not None:
            yield error_event(directives.failure, made_id("req_", self.body))


def message(answer: Answer) -> dict[str, Any]:
    """Returns the whole Message, for a request without `stream`."""
    return _message(answer, _blocks(answer), _ending(answer.reply), _usage(answer))


def events(answer: Answer) -> Iterator[dict[str, Any]]:
    """Yields the same answer as the events of a complete stream."""
    usage = _usage(answer)
    start_usage = {**usage, "output_tokens": min(1, answer.reply.output_tokens)}
    start_usage.pop("output_tokens_details", None)
    unknown = dict.fromkeys(_ending(answer.reply))
    yield {"type": "message_start", "message": _message(answer, [], unknown, start_usage)}
    for index, block in enumerate(_blocks(answer)):
        empty = {**block, **_AT_FIRST[block["type"]]}
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        if index == 0:
            yield {"type": "ping"}
        for kind, member, piece in _deltas(block):
            yield {"type": "content_block_delta", "index": index, "delta": {"type": kind, member: piece}}
        yield {"type": "content_block_stop", "index": index}
    # The real service repeats only the counts here, without the cache split and the region.
    counts = {name: count for name, count in usage.items() if name not in _SAID_ONCE}
    yield {"type": "message_delta", "delta": _ending(answer.reply), "usage": counts}
    yield {"type": "message_stop"}


def _is_open(event: dict[str, Any]) -> bool:
    return event["type"] not in ("content_block_stop", "message_delta")


def _encoded(event: dict[str, Any]) -> bytes:
    if event["type"] == "ping":
        return encode_sse(b'{"type": "ping"}', "ping")  # the service writes only this event with a blank
    return encode_sse(msgspec.json.encode(event), event["type"])


def _blocks(answer: Answer) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for part in answer.reply.parts:
        match part:
            case Text(text):
                blocks.append({"type": "text", "text": text})
            case Thought(text):
                shown = text if answer.request.show_thinking else ""
                signature = made_id("simulated-", answer.body)
                blocks.append({"type": "thinking", "thinking": shown, "signature": signature})
            case ToolCall(name, arguments):
                calls = sum(block["type"] == "tool_use" for block in blocks)
                named = {"id": made_id("toolu_", answer.body, calls), "name": name}
                blocks.append({"type": "tool_use", **named, "input": arguments})
    return blocks


def _deltas(block: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yields type, member and piece of each delta of a block."""
    match block["type"]:
        case "text":
            yield from (("text_delta", "text", word) for word in words(block["text"]))
        case "thinking":
            yield from (("thinking_delta", "thinking", word) for word in words(block["thinking"]))
            yield "signature_delta", "signature", block["signature"]
        case _:
            arguments = msgspec.json.encode(block["input"]).decode()
            pieces = ("", *argument_slices(arguments))
            yield from (("input_json_delta", "partial_json", piece) for piece in pieces)


def _message(
    answer: Answer, content: list[Any], ending: dict[str, Any], usage: dict[str, Any]
) -> dict[str, Any]:
    named = {"model": answer.request.model, "id": made_id("msg_", answer.body)}
    return {**named, "type": "message", "role": "assistant", "content": content, **ending, "usage": usage}


def _ending(reply: Reply) -> dict[str, Any]:
    stop = _STOP_REASONS[reply.stop]
    return {"stop_reason": stop, "stop_sequence": reply.stop_sequence, "stop_details": None}


def _usage(answer: Answer) -> dict[str, Any]:
    prompt, reply = answer.prompt, answer.reply
    usage: dict[str, Any] = {
        "input_tokens": prompt.uncached,
        "cache_creation_input_tokens": prompt.cache_write_5m + prompt.cache_write_1h,
        "cache_read_input_tokens": prompt.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": prompt.cache_write_5m,
            "ephemeral_1h_input_tokens": prompt.cache_write_1h,
        },
        "output_tokens": reply.output_tokens,
        "service_tier": "standard",
        "inference_geo": answer.request.inference_geo,
    }
    if reply.thinking_tokens:
        usage["output_tokens_details"] = {"thinking_tokens": reply.thinking_tokens}
    return usage
