"""A reply in Anthropic's form: one JSON Message, or the events of a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from nexusflow_core.simulator.anthropic.prompt import PromptTokens
from nexusflow_core.simulator.failures import Failure
from nexusflow_core.simulator.jsonvalue import Json, encode_json
from nexusflow_core.simulator.reply import Reply, Text, Thought, ToolCall, argument_slices, words

_STOP_REASONS = {
    "end": "end_turn",
    "length": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_calls": "tool_use",
}

# A stream that is to break does so after this many deltas, or before its first block ends.
_DELTAS_BEFORE_BREAK = 3


# A content block as it starts in a stream, as it is in the end, and the deltas between.
Block: TypeAlias = "tuple[dict[str, Json], dict[str, Json], Iterator[dict[str, Json]]]"


class Answer(msgspec.Struct, frozen=True):
    """All that one answer is made of; `call_ids` has an id for each tool call, in order."""

    id: str
    request_id: str
    model: str
    prompt: PromptTokens
    reply: Reply
    call_ids: tuple[str, ...]
    signature: str
    show_thinking: bool
    inference_geo: str


class EventStream(msgspec.Struct, frozen=True):
    """The events of an answer, encoded; each iteration makes them anew."""

    answer: Answer

    def __iter__(self) -> Iterator[bytes]:
        """One chunk an event, broken off where the reply's directives say so."""
        directives = self.answer.reply.directives
        if directives.failure is None and not directives.truncate:
            yield from map(encode_event, events(self.answer))
            return
        yield from map(encode_event, _beginning(self.answer))
        if directives.failure is not None:
            yield encode_event(error_body(directives.failure, self.answer.request_id))


def encode_event(event: dict[str, Json]) -> bytes:
    """`event:` and `data:` lines, ended by an empty line, LF only."""
    if event["type"] == "ping":
        return b'event: ping\ndata: {"type": "ping"}\n\n'  # the service writes this one with a blank
    return b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), encode_json(event))


def error_body(failure: Failure, request_id: str) -> dict[str, Json]:
    """The body of an error response, which is also the data of an `error` event."""
    error: Json = {"type": failure.type, "message": failure.message}
    return {"type": "error", "error": error, "request_id": request_id}


def message(answer: Answer) -> dict[str, Json]:
    """The finished Message, as a request without `stream` gets it."""
    reply = answer.reply
    content: list[Json] = [whole for _, whole, _ in _blocks(answer)]
    return _message(answer, content, _STOP_REASONS[reply.stop], reply.stop_sequence, _usage(answer))


def events(answer: Answer) -> Iterator[dict[str, Json]]:
    """The same answer as a stream, to its proper end."""
    reply = answer.reply
    start_usage = {**_usage(answer), "output_tokens": min(1, reply.output_tokens)}
    start_usage.pop("output_tokens_details", None)
    yield {"type": "message_start", "message": _message(answer, [], None, None, start_usage)}
    for index, (empty, _, deltas) in enumerate(_blocks(answer)):
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        if index == 0:
            yield {"type": "ping"}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ending: Json = {
        "stop_reason": _STOP_REASONS[reply.stop],
        "stop_sequence": reply.stop_sequence,
        "stop_details": None,
    }
    # The real service repeats only the counts here, not the split nor where it ran.
    once = ("cache_creation", "service_tier", "inference_geo")
    usage: Json = {key: value for key, value in _usage(answer).items() if key not in once}
    yield {"type": "message_delta", "delta": ending, "usage": usage}
    yield {"type": "message_stop"}


def _beginning(answer: Answer) -> Iterator[dict[str, Json]]:
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
                block: dict[str, Json] = {"type": "text", "text": text}
                yield {**block, "text": ""}, block, _text_deltas(text)
            case Thought(text):
                shown = text if answer.show_thinking else ""
                signature = answer.signature
                block = {"type": "thinking", "thinking": shown, "signature": signature}
                yield {**block, "thinking": "", "signature": ""}, block, _thinking_deltas(shown, signature)
            case ToolCall(name, arguments, text):
                block = {"type": "tool_use", "id": next(ids), "name": name, "input": {**arguments}}
                yield {**block, "input": {}}, block, _input_deltas(text)


def _text_deltas(text: str) -> Iterator[dict[str, Json]]:
    return ({"type": "text_delta", "text": word} for word in words(text))


def _thinking_deltas(text: str, signature: str) -> Iterator[dict[str, Json]]:
    for word in words(text):
        yield {"type": "thinking_delta", "thinking": word}
    yield {"type": "signature_delta", "signature": signature}


def _input_deltas(arguments: str) -> Iterator[dict[str, Json]]:
    yield {"type": "input_json_delta", "partial_json": ""}
    for piece in argument_slices(arguments):
        yield {"type": "input_json_delta", "partial_json": piece}


def _message(
    answer: Answer,
    content: list[Json],
    stop_reason: str | None,
    stop_sequence: str | None,
    usage: dict[str, Json],
) -> dict[str, Json]:
    return {
        "model": answer.model,
        "id": answer.id,
        "type": "message",
        "role": "assistant",
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": stop_sequence,
        "stop_details": None,
        "usage": usage,
    }


def _usage(answer: Answer) -> dict[str, Json]:
    prompt, reply = answer.prompt, answer.reply
    usage: dict[str, Json] = {
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
