"""Renders a reply in OpenAI's form: one JSON object, or the chunks of a stream."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.simulator.openai_chat.prompt import PromptTokens
from nexusflow_core.simulator.reply import Reply, Text, Thought, ToolCall, argument_slices, words
from nexusflow_core.sse import encode_sse

__all__ = [
    "Answer",
    "Call",
    "Chunk",
    "Turn",
    "call_chunk",
    "chunks",
    "message",
    "turn_of",
    "usage_of",
]

CREATED = 1_767_225_600  # there is no clock here: every answer is dated 2026-01-01
DONE = encode_sse(b"[DONE]")

_FINISH_REASONS = {"end": "stop", "length": "length", "stop_sequence": "stop", "tool_calls": "tool_calls"}


class Call(Struct, frozen=True):
    """A tool call; `arguments` is JSON text."""

    id: str
    name: str
    arguments: Any


class Turn(Struct, frozen=True):
    """The contents of one answer. `reasoning` is empty if it is only counted."""

    reasoning: str
    text: str
    calls: tuple[Call, ...]
    finish: str
    completion_tokens: int
    reasoning_tokens: int


class Chunk(Struct, frozen=True):
    """One chunk of a stream. `delta` None: it has no choice."""

    delta: dict[str, Any] | None
    finish: str | None = None
    usage: dict[str, Any] | None = None


class Answer(Struct, frozen=True):
    """The parts of one answer. Iterating it yields the stream, one event at a time."""

    id: str
    model: str
    turn: Turn
    prompt: PromptTokens
    include_usage: bool

    def body(self) -> dict[str, Any]:
        """Returns the whole answer, for a request without `stream`."""
        choice = {
            "index": 0,
            "message": message(self.turn),
            "logprobs": None,
            "finish_reason": self.turn.finish,
        }
        usage = usage_of(self.turn, self.prompt)
        return {**self._envelope("chat.completion"), "choices": [choice], "usage": usage}

    def __iter__(self) -> Iterator[bytes]:
        """Yields the stream."""
        for chunk in chunks(self.turn, usage_of(self.turn, self.prompt)):
            if chunk.delta is not None or self.include_usage:
                yield encode_sse(msgspec.json.encode(self.chunk_object(chunk)))
        yield DONE

    def chunk_object(self, chunk: Chunk) -> dict[str, Any]:
        """Returns the JSON of one chunk."""
        choice = {"index": 0, "delta": chunk.delta, "logprobs": None, "finish_reason": chunk.finish}
        choices = [] if chunk.delta is None else [choice]
        usage = {"usage": chunk.usage} if self.include_usage or chunk.usage is not None else {}
        return {**self._envelope("chat.completion.chunk"), "choices": choices, **usage}

    def _envelope(self, kind: str) -> dict[str, Any]:
        """Returns the members shared by body and chunks."""
        named = {"id": self.id, "object": kind, "created": CREATED, "model": self.model}
        return {**named, "service_tier": "default", "system_fingerprint": "fp_simulated"}


def turn_of(reply: Reply, call_ids: Iterator[str], *, aloud: bool, forced: bool) -> Turn:
    """Returns a reply in this protocol's form. OpenAI ends a forced call with `stop`."""
    parts = reply.parts
    calls = [part for part in parts if isinstance(part, ToolCall)]
    return Turn(
        reasoning="".join(part.text for part in parts if isinstance(part, Thought)) if aloud else "",
        text="".join(part.text for part in parts if isinstance(part, Text)),
        calls=tuple(Call(next(call_ids), call.name, call.arguments) for call in calls),
        finish="stop" if forced and reply.stop == "tool_calls" else _FINISH_REASONS[reply.stop],
        completion_tokens=reply.output_tokens,
        reasoning_tokens=reply.thinking_tokens,
    )


def usage_of(turn: Turn, prompt: PromptTokens) -> dict[str, Any]:
    """Returns the counts with all of OpenAI's details."""
    predicted = {"accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}
    return {
        "prompt_tokens": prompt.total,
        "completion_tokens": turn.completion_tokens,
        "total_tokens": prompt.total + turn.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": prompt.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": turn.reasoning_tokens,
            "audio_tokens": 0,
            **predicted,
        },
    }


def message(turn: Turn) -> dict[str, Any]:
    """Returns the whole message, for a request without `stream`."""
    content = turn.text or (None if turn.calls else "")
    made: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
    if turn.reasoning:
        made["reasoning_content"] = turn.reasoning
    if turn.calls:
        made["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in turn.calls
        ]
    return made


def chunks(turn: Turn, usage: dict[str, Any] | None) -> Iterator[Chunk]:
    """Yields the same answer as a stream: role, deltas, finish, usage."""
    content = None if turn.reasoning or (turn.calls and not turn.text) else ""
    yield Chunk({"role": "assistant", "content": content, "refusal": None})
    for word in words(turn.reasoning):
        yield Chunk({"content": None, "reasoning_content": word})
    for word in words(turn.text):
        yield Chunk({"content": word})
    for index, call in enumerate(turn.calls):
        function = {"name": call.name, "arguments": ""}
        yield call_chunk({"index": index, "id": call.id, "type": "function", "function": function})
        for piece in argument_slices(call.arguments):
            yield call_chunk({"index": index, "function": {"arguments": piece}})
    yield Chunk({}, finish=turn.finish)
    yield Chunk(None, usage=usage)


def call_chunk(*entries: dict[str, Any]) -> Chunk:
    """Returns a chunk with these entries in `tool_calls`."""
    return Chunk({"tool_calls": [*entries]})
