"""What is said, in OpenAI's form: the message of a sync answer, and the chunks of a stream."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from nexusflow_core.simulator.jsonvalue import Json, Object
from nexusflow_core.simulator.openai_chat.prompt import PromptTokens
from nexusflow_core.simulator.reply import Reply, Text, Thought, ToolCall, argument_slices, words

_FINISH_REASONS = {"end": "stop", "length": "length", "stop_sequence": "stop", "tool_calls": "tool_calls"}


class Call(msgspec.Struct, frozen=True):
    """A tool call; `arguments` is JSON text, or a value where the vendor does not write it as text."""

    id: str
    name: str
    arguments: Json


class Turn(msgspec.Struct, frozen=True):
    """All that one answer says. `reasoning` is empty where it is only counted."""

    reasoning: str
    text: str
    refusal: str
    calls: tuple[Call, ...]
    afterthought: str
    finish: str
    completion_tokens: int
    reasoning_tokens: int


class Chunk(msgspec.Struct, frozen=True):
    """One chunk of a stream; `delta` None: it has no choice.

    `extra` and `choice_extra` are members of a vendor's making, of the chunk and of its choice.
    """

    delta: Object | None
    finish: str | None = None
    usage: Object | None = None
    extra: Object = {}
    choice_extra: Object = {}


def turn_of(reply: Reply, call_ids: Iterator[str], *, aloud: bool, forced: bool) -> Turn:
    """A reply in this protocol's terms. A forced call ends with `stop`, as recorded of OpenAI."""
    parts = reply.parts
    finish = "stop" if forced and reply.stop == "tool_calls" else _FINISH_REASONS[reply.stop]
    return Turn(
        reasoning="".join(part.text for part in parts if isinstance(part, Thought)) if aloud else "",
        text="".join(part.text for part in parts if isinstance(part, Text)),
        refusal="",
        calls=tuple(
            Call(next(call_ids), part.name, part.arguments) for part in parts if isinstance(part, ToolCall)
        ),
        afterthought="",
        finish=finish,
        completion_tokens=reply.output_tokens,
        reasoning_tokens=reply.thinking_tokens,
    )


def usage_of(turn: Turn, prompt: PromptTokens) -> Object:
    """The counts, with every detail that OpenAI tells."""
    return {
        "prompt_tokens": prompt.total,
        "completion_tokens": turn.completion_tokens,
        "total_tokens": prompt.total + turn.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": prompt.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": turn.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def message(turn: Turn) -> Object:
    """The finished message, as a request without `stream` gets it."""
    text = turn.text + turn.afterthought
    made: Object = {
        "role": "assistant",
        "content": text or (None if turn.calls or turn.refusal else ""),
        "refusal": turn.refusal or None,
        "annotations": [],
    }
    if turn.reasoning:
        made["reasoning_content"] = turn.reasoning
    if turn.calls:
        made["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in turn.calls
        ]
    return made


def chunks(turn: Turn, usage: Object | None) -> Iterator[Chunk]:
    """The same answer as a stream: role, deltas, finish, usage."""
    content = None if turn.reasoning or turn.refusal or (turn.calls and not turn.text) else ""
    yield Chunk({"role": "assistant", "content": content, "refusal": None})
    for word in words(turn.reasoning):
        yield Chunk({"content": None, "reasoning_content": word})
    for word in words(turn.text):
        yield Chunk({"content": word})
    for word in words(turn.refusal):
        yield Chunk({"refusal": word})
    for index, call in enumerate(turn.calls):
        yield from _call_chunks(index, call)
    for word in words(turn.afterthought):
        yield Chunk({"content": word})
    yield Chunk({}, finish=turn.finish)
    yield Chunk(None, usage=usage)


def _call_chunks(index: int, call: Call) -> Iterator[Chunk]:
    whole = not isinstance(call.arguments, str)
    function: Object = {"name": call.name, "arguments": call.arguments if whole else ""}
    yield call_chunk({"index": index, "id": call.id, "type": "function", "function": function})
    if isinstance(call.arguments, str):
        for piece in argument_slices(call.arguments):
            yield call_chunk({"index": index, "function": {"arguments": piece}})


def call_chunk(*entries: Object) -> Chunk:
    """A chunk with these entries in `tool_calls`."""
    return Chunk({"tool_calls": [*entries]})


def call_entries(holder: Object | None) -> list[Object]:
    """The entries of `tool_calls` in a message or a delta."""
    listed = None if holder is None else holder.get("tool_calls")
    return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []


def function_of(entry: Object) -> Object:
    """What an entry of `tool_calls` has under `function`."""
    function = entry.get("function")
    return function if isinstance(function, dict) else {}
