"""Renders a reply in Anthropic's form: one JSON Message, or the events of a stream."""

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from nexusflow_core.messages.events import error_event
from nexusflow_core.simulator.anthropic.usage import PromptTokens
from nexusflow_core.simulator.reply import Reply, Text, Thought, ToolCall, argument_slices, words
from nexusflow_core.sse import encode_sse

__all__ = ["Answer", "EventStream", "message"]

_STOP_REASONS = {
    "end": "end_turn",
    "length": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_calls": "tool_use",
}
_SAID_ONCE = ("cache_creation", "service_tier", "inference_geo")

# A stream with a requested error breaks after this many deltas, or before its first block ends.
_DELTAS_BEFORE_BREAK = 3

# A content block at its start, the same block at its end, and the deltas between.
Block: TypeAlias = tuple[dict[str, Any], dict[str, Any], Iterator[dict[str, Any]]]


class Answer(Struct, frozen=True):
    """The parts of one answer. `call_ids` has one id for each tool call, in order."""

    id: str
    request_id: str
    model: str
    prompt: PromptTokens
    reply: Reply
    call_ids: tuple[str, ...]
    signature: str
    show_thinking: bool
    inference_geo: str


class EventStream(Struct, frozen=True):
    """The encoded events of an answer, made again by each iteration."""

    answer: Answer

    def __iter__(self) -> Iterator[bytes]:
        """Yields one chunk per event. Breaks off if the directives request it."""
        directives = self.answer.reply.directives
        breaks = directives.failure is not None or directives.truncate
        yield from map(_encoded, _beginning(self.answer) if breaks else events(self.answer))
        if directives.failure is not None:
            yield error_event(directives.failure, self.answer.request_id)


def _encoded(event: dict[str, Any]) -> bytes:
    if event["type"] == "ping":
        return encode_sse(b'{"type": "ping"}', "ping")  # the service writes this one with a blank
    return encode_sse(msgspec.json.encode(event), event["type"])


def message(answer: Answer) -> dict[str, Any]:
    """Returns the whole Message, for a request without `stream`."""
    content = [whole for _, whole, _ in _blocks(answer)]
    return _message(answer, content, _ending(answer.reply), _usage(answer))


def events(answer: Answer) -> Iterator[dict[str, Any]]:
    """Yields the same answer as the events of a complete stream."""
    usage = _usage(answer)
    start_usage = {**usage, "output_tokens": min(1, answer.reply.output_tokens)}
    start_usage.pop("output_tokens_details", None)
    unknown = dict.fromkeys(_ending(answer.reply))
    yield {"type": "message_start", "message": _message(answer, [], unknown, start_usage)}
    for index, (empty, _, deltas) in enumerate(_blocks(answer)):
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        if index == 0:
            yield {"type": "ping"}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    # The real service repeats only the counts here, without the cache split and the region.
    counts = {name: count for name, count in usage.items() if name not in _SAID_ONCE}
    yield {"type": "message_delta", "delta": _ending(answer.reply), "usage": counts}
    yield {"type": "message_stop"}


def _beginning(answer: Answer) -> Iterator[dict[str, Any]]:
    deltas = 0
    for event in events(answer):
        if event["type"] in ("content_block_stop", "message_delta"):
            return
        yield event
        deltas += event["type"] == "content_block_delta"
        if deltas == _DELTAS_BEFORE_BREAK:
            return


def _blocks(answer: Answer) -> Iterator[Block]:
    ids = iter(answer.call_ids)
    for part in answer.reply.parts:
        match part:
            case Text(text):
                block: dict[str, Any] = {"type": "text", "text": text}
                yield {**block, "text": ""}, block, _text_deltas(text)
            case Thought(text):
                shown = text if answer.show_thinking else ""
                signature = answer.signature
                block = {"type": "thinking", "thinking": shown, "signature": signature}
                yield {**block, "thinking": "", "signature": ""}, block, _thinking_deltas(shown, signature)
            case ToolCall(name, arguments, text):
                block = {"type": "tool_use", "id": next(ids), "name": name, "input": {**arguments}}
                yield {**block, "input": {}}, block, _input_deltas(text)


def _text_deltas(text: str) -> Iterator[dict[str, Any]]:
    return ({"type": "text_delta", "text": word} for word in words(text))


def _thinking_deltas(text: str, signature: str) -> Iterator[dict[str, Any]]:
    for word in words(text):
        yield {"type": "thinking_delta", "thinking": word}
    yield {"type": "signature_delta", "signature": signature}


def _input_deltas(arguments: str) -> Iterator[dict[str, Any]]:
    yield {"type": "input_json_delta", "partial_json": ""}
    for piece in argument_slices(arguments):
        yield {"type": "input_json_delta", "partial_json": piece}


def _message(
    answer: Answer, content: list[Any], ending: dict[str, Any], usage: dict[str, Any]
) -> dict[str, Any]:
    named = {"model": answer.model, "id": answer.id, "type": "message", "role": "assistant"}
    return {**named, "content": content, **ending, "usage": usage}


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
        "inference_geo": answer.inference_geo,
    }
    if reply.thinking_tokens:
        usage["output_tokens_details"] = {"thinking_tokens": reply.thinking_tokens}
    return usage
