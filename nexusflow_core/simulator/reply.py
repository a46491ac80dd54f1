"""Makes the simulated model's answer, for all protocols.

A protocol's module reads a request into an `Ask`, and renders the `Reply`. Only this module decides what the
model answers.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct

from nexusflow_core.counting import TOKEN_BYTES, text_tokens
from nexusflow_core.errors import UpstreamStatusError
from nexusflow_core.messages import blocks_of
from nexusflow_core.simulator.directives import FAILURES, Directives, called_tools, read_directives
from nexusflow_core.simulator.schema import conforming_value
from nexusflow_core.untyped import object_of

__all__ = ["DELTAS_BEFORE_BREAK", "Ask", "Part", "Reply", "Text", "Thought", "ToolCall"]
__all__ += ["last_turn", "pieces", "reply"]

# Maximum tokens of an answer's text. A size that the user requests may be larger.
MAX_TEXT_TOKENS = 4_096

# Four bytes with the space after it: the estimate counts one token per word.
WORD = "tok"

# A word with the white space before it, or a piece of a long word.
_PIECE = re.compile(r"\s{0,16}\S{1,16}|\s{1,16}")

DELTAS_BEFORE_BREAK = 3
"""A stream with a requested error breaks off after this many deltas, or before its first part ends."""

StopReason: TypeAlias = Literal["end", "length", "stop_sequence", "tool_calls"]


class Ask(Struct, frozen=True):
    """A request, for all protocols. `tools`: JSON schemas by name. `max_tokens` None: no limit."""

    text: str
    tool_results: tuple[str, ...] = ()
    tools: dict[str, Any] = {}
    must_call: bool = False
    only_tool: str | None = None
    may_call: bool = True
    parallel_calls: bool = True
    answer_schema: Any = None
    think: bool = False
    max_tokens: int | None = None
    stop_sequences: tuple[str, ...] = ()
    stream: bool = False


class Thought(Struct, frozen=True):
    """Thinking before the answer."""

    text: str


class Text(Struct, frozen=True):
    """Text of the answer."""

    text: str


class ToolCall(Struct, frozen=True):
    """A tool call."""

    name: str
    input: dict[str, Any]

    @property
    def arguments(self) -> str:
        """The input as JSON text."""
        return _json(self.input)


Part: TypeAlias = Thought | Text | ToolCall


class Reply(Struct, frozen=True):
    """The whole answer. Its stream breaks off if the user requested that; then `failure` is its last event."""

    parts: tuple[Part, ...]
    stop: StopReason
    stop_sequence: str | None
    output_tokens: int
    thinking_tokens: int
    failure: UpstreamStatusError | None = None
    breaks_off: bool = False


def reply(ask: Ask, failures: Mapping[str, UpstreamStatusError] = FAILURES) -> Reply:
    """Returns the answer. The same `ask` gets the same answer. `failures`: errors that the user may request.

    Raises a requested error, unless it comes inside a stream. Without a stream, it never does.
    """
    directives = read_directives(ask.text, failures)
    failure = directives.failure
    if failure is not None and not (directives.failure_in_stream and ask.stream):
        raise failure
    calls = _calls(ask)
    stopped_at: str | None = None
    answer: tuple[Part, ...] = calls
    if not calls:
        text, stopped_at = _cut_before(_text(ask, directives), ask.stop_sequences)
        answer = (Text(text),) if text else ()
    thoughts = (Thought(_thought(ask, calls)),) if ask.think else ()
    parts, used, whole = _fit((*thoughts, *answer), ask.max_tokens)
    stop: StopReason = "end"
    if not whole:
        stop, stopped_at = "length", None
    elif stopped_at is not None:
        stop = "stop_sequence"
    elif calls:
        stop = "tool_calls"
    thinking = sum(_part_tokens(part) for part in parts if isinstance(part, Thought))
    broken = failure is not None or directives.truncate
    return Reply(parts, stop, stopped_at, used, thinking, failure, broken)


def last_turn(prompt: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Returns the text and the tool results of the last user turn, in a body of the Messages API.

    Neighbouring user messages are one turn. Skips a prefill.
    """
    turn: list[dict[str, Any]] = []
    for message in reversed(blocks_of(prompt.get("messages"))):
        if message.get("role") == "user":
            turn = blocks_of(message.get("content")) + turn
        elif message.get("role") == "assistant" and turn:
            break
    results = (block.get("content") for block in turn if block.get("type") == "tool_result")
    read = (clip(" ".join(_texts(blocks_of(content))), MAX_TEXT_TOKENS) for content in results)
    return "\n".join(_texts(turn)), tuple(text or "(nothing to read)" for text in read)


def pieces(text: str) -> Iterator[str]:
    """Yields the pieces of a streamed text, or of a call's arguments. Joined, they equal the text."""
    return (match[0] for match in _PIECE.finditer(text))


def clip(text: str, tokens: int) -> str:
    """Returns the longest start of `text` that costs at most `tokens`.

    A cut inside a character drops at most 3 bytes, so a cut text costs exactly `tokens`.
    """
    most = tokens * TOKEN_BYTES
    return text[:most].encode()[:most].decode(errors="ignore")


def _texts(blocks: list[dict[str, Any]]) -> Iterator[str]:
    texts = (block.get("text") for block in blocks if block.get("type") == "text")
    return (text for text in texts if isinstance(text, str) and text)


def _calls(ask: Ask) -> tuple[ToolCall, ...]:
    if not ask.tools or not ask.may_call:
        return ()
    # After a tool result, answer with text. Else the conversation would never end.
    names = () if ask.tool_results else called_tools(ask.text, ask.tools)
    if ask.must_call:
        if ask.only_tool is not None:
            names = tuple(name for name in names if name == ask.only_tool) or (ask.only_tool,)
        names = names or (next(iter(ask.tools)),)
    if not ask.parallel_calls:
        names = names[:1]
    made = {
        name: ToolCall(name, object_of(conforming_value(ask.tools[name])))
        for name in dict.fromkeys(names)
        if name in ask.tools
    }
    return tuple(made[name] for name in names if name in made)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _text(ask: Ask, directives: Directives) -> str:
    if ask.answer_schema is not None:
        return _json(conforming_value(ask.answer_schema))
    if directives.tokens is not None:
        return " ".join([WORD] * directives.tokens)
    if ask.tool_results:
        return clip("The tool returned: " + "; ".join(ask.tool_results), MAX_TEXT_TOKENS)
    if ask.text:
        return clip("You said: " + ask.text, MAX_TEXT_TOKENS)
    return "You sent no text."


def _thought(ask: Ask, calls: tuple[ToolCall, ...]) -> str:
    if calls:
        return "I should call " + " and ".join(clip(call.name, 64) for call in calls) + "."
    if ask.tool_results:
        return "The tool has answered. I will say what it returned."
    return f'The user wrote "{clip(ask.text, 16)}". I will answer that.'


def _cut_before(text: str, stop_sequences: tuple[str, ...]) -> tuple[str, str | None]:
    """Returns the text before the first stop sequence, and that sequence or None."""
    found = [(text.find(sequence), sequence) for sequence in stop_sequences if sequence and sequence in text]
    if not found:
        return text, None
    at, sequence = min(found)
    return text[:at], sequence


def _fit(parts: tuple[Part, ...], most: int | None) -> tuple[tuple[Part, ...], int, bool]:
    """Returns the parts within `most` tokens, the tokens used, and True if the limit was not reached.

    Cuts a text at the limit. Drops a tool call over the limit.
    """
    kept: list[Part] = []
    used = 0
    for part in parts:
        cost = _part_tokens(part)
        if most is None or used + cost <= most:
            kept.append(part)
            used += cost
            continue
        if not isinstance(part, ToolCall) and most > used:
            kept.append(msgspec.structs.replace(part, text=clip(part.text, most - used)))
        return tuple(kept), most, False
    # max_tokens may be 0: then the limit is reached before any output.
    return tuple(kept), used, most != 0


def _part_tokens(part: Part) -> int:
    return text_tokens(part.name + part.arguments if isinstance(part, ToolCall) else part.text)
