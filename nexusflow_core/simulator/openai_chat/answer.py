"""Renders a reply in OpenAI's form: one JSON object, or the chunks of a stream."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.simulator.endpoint import made_id
from nexusflow_core.simulator.openai_chat.request import ChatRequest
from nexusflow_core.simulator.openai_chat.usage import PromptTokens, prompt_tokens, usage_of
from nexusflow_core.simulator.reply import Reply, Text, Thought, ToolCall, argument_slices, words
from nexusflow_core.sse import encode_sse

__all__ = ["Answer", "Call", "Turn", "answer_to", "deltas", "message"]

CREATED = 1_767_225_600  # the simulator has no clock: all answers date from 2026-01-01
DONE = encode_sse(b"[DONE]")

_FINISH_REASONS = {"end": "stop", "length": "length", "stop_sequence": "stop", "tool_calls": "tool_calls"}


class Call(Struct, frozen=True):
    """A tool call; `arguments` is JSON text."""

    id: str
    name: str
    arguments: Any


class Turn(Struct, frozen=True):
    """The contents of one answer. `reasoning` is empty for models that hide it and count its tokens."""

    reasoning: str
    text: str
    calls: tuple[Call, ...]
    finish: str
    completion_tokens: int
    reasoning_tokens: int


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
        return {**self._envelope("chat.completion"), "choices": [choice], "usage": self.usage()}

    def __iter__(self) -> Iterator[bytes]:
        """Yields the stream: role and deltas, the finish reason, usage if requested."""
        for delta in deltas(self.turn):
            yield encode_sse(msgspec.json.encode(self.chunk(delta)))
        yield encode_sse(msgspec.json.encode(self.chunk({}, finish=self.turn.finish)))
        if self.include_usage:
            yield encode_sse(msgspec.json.encode(self.chunk(None, usage=self.usage())))
        yield DONE

    def usage(self) -> dict[str, Any]:
        """Returns the counts."""
        return usage_of(self.prompt, self.turn.completion_tokens, self.turn.reasoning_tokens)

    def chunk(
        self, delta: dict[str, Any] | None, *, finish: str | None = None, usage: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Returns the JSON of one chunk of a stream. Without a `delta`, `choices` is empty."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        choices = [] if delta is None else [choice]
        counts = {"usage": usage} if self.include_usage or usage is not None else {}
        return {**self._envelope("chat.completion.chunk"), "choices": choices, **counts}

    def _envelope(self, kind: str) -> dict[str, Any]:
        """Returns the common members of body and chunks."""
        named = {"id": self.id, "object": kind, "created": CREATED, "model": self.model}
        return {**named, "service_tier": "default", "system_fingerprint": "fp_simulated"}


def answer_to(request: ChatRequest, reply: Reply, body: bytes, *, aloud: bool) -> Answer:
    """Returns the reply in this protocol's form. `aloud`: the answer shows its reasoning.

    `body`: the request's, to make ids. OpenAI ends a forced call with `stop`.
    """
    parts = reply.parts
    calls = [part for part in parts if isinstance(part, ToolCall)]
    forced = request.forced_tool is not None and reply.stop == "tool_calls"
    turn = Turn(
        reasoning="".join(part.text for part in parts if isinstance(part, Thought)) if aloud else "",
        text="".join(part.text for part in parts if isinstance(part, Text)),
        calls=tuple(
            Call(made_id("call_", body, nth), call.name, call.arguments) for nth, call in enumerate(calls)
        ),
        finish="stop" if forced else _FINISH_REASONS[reply.stop],
        completion_tokens=reply.output_tokens,
        reasoning_tokens=reply.thinking_tokens,
    )
    return Answer(
        made_id("chatcmpl-", body), request.model, turn, prompt_tokens(request), request.include_usage
    )


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


def deltas(turn: Turn) -> Iterator[dict[str, Any]]:
    """Yields the same message as the deltas of a stream."""
    content = None if turn.reasoning or (turn.calls and not turn.text) else ""
    yield {"role": "assistant", "content": content, "refusal": None}
    for word in words(turn.reasoning):
        yield {"content": None, "reasoning_content": word}
    for word in words(turn.text):
        yield {"content": word}
    for index, call in enumerate(turn.calls):
        function = {"name": call.name, "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]}
        for piece in argument_slices(call.arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
