"""The parts of Chat Completions answers that are read, as leniently as vendors write them."""

import re
from collections.abc import Sequence
from types import GenericAlias
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Struct

from nexusflow_core.errors import AnswerUnusableError
from nexusflow_core.translation.arguments import NO_ARGUMENTS
from nexusflow_core.translation.json_lenient import (
    Form,
    loads,
    mend_members,
    mended_json,
    mended_text,
    open_ended,
)
from nexusflow_core.untyped import MALFORMED, is_list, is_object, is_zero, object_of

__all__ = [
    "Choice",
    "Chunk",
    "Delta",
    "Function",
    "ToolCall",
    "decode_chunk",
    "message_in",
    "plain_text",
    "unknown_members",
]


def _json(value: dict[str, Any]) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:
        raise AnswerUnusableError("the upstream's answer is JSON nested beyond every bound") from None


_SAYS_NOTHING = NO_ARGUMENTS | {""}


class Function(Struct):
    """The name and arguments of a call."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None
    id: str | None = None

    def text(self) -> str:
        """Returns the arguments as JSON text. Some vendors send an object."""
        if isinstance(self.arguments, dict):
            return _json(self.arguments)
        return self.arguments or ""


class ToolCall(Struct):
    """A tool call, or a fragment of one. Name, arguments and id may be in either of two places."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None
    extra_content: Any = None
    call_id: str | None = None
    tool_call_id: str | None = None
    name: str | None = None
    arguments: str | dict[str, Any] | None = None

    def called(self) -> Function | None:
        """Returns name and arguments, or None without either."""
        if self.function is None and (self.name or self.arguments):
            return Function(self.name, self.arguments)
        return self.function

    def given_id(self) -> str | None:
        """Returns its id; None if it is absent or empty."""
        inner = self.function.id if self.function is not None else None
        return self.id or self.call_id or self.tool_call_id or inner or None

    def says_nothing(self) -> bool:
        """True if it has neither name nor arguments."""
        function = self.called()
        return function is None or (
            not (function.name or "").strip() and function.text().strip() in _SAYS_NOTHING
        )

    def thought_signature(self) -> str | None:
        """Returns Gemini's signature of the call's reasoning, which must be sent back, or None."""
        if not self.extra_content:
            return None
        signature = object_of(object_of(self.extra_content).get("google")).get("thought_signature")
        return signature if isinstance(signature, str) and signature else None


class Delta(Struct):
    """A message, or a part of one. `content` is a list of parts at Mistral, an object in some JSON modes."""

    content: str | list[Any] | dict[str, Any] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_text: Any = None
    reasoning_details: Any = None
    reasoning_opaque: Any = None
    reasoning_summary: Any = None
    thinking: Any = None
    thinking_blocks: Any = None
    thinking_content: Any = None
    thoughts: Any = None
    thought: Any = None
    annotations: Any = None
    audio: Any = None
    images: Any = None
    video: Any = None
    videos: Any = None
    files: Any = None
    attachments: Any = None
    citations: Any = None
    search_results: Any = None
    error: Any = None

    def text(self) -> str:
        """Returns the text, or the JSON of an object; "" for a list of parts."""
        if isinstance(self.content, dict):
            return _json(self.content) if self.content else ""
        return self.content if isinstance(self.content, str) else ""

    def reasons(self) -> bool:
        """True if it may have reasoning beside its content."""
        return bool(
            self.reasoning_content
            or self.reasoning
            or self.reasoning_details
            or self.reasoning_text
            or self.reasoning_summary
            or self.thinking
            or self.thinking_blocks
            or self.thinking_content
            or self.thoughts
            or self.thought
        )

    def says_nothing(self) -> bool:
        """True if every member is absent, or means the same as absent."""
        if self.reasons() or not is_zero(self.content) or (self.refusal or "").strip():
            return False
        called = self.function_call is not None and (self.function_call.name or self.function_call.text())
        return not called and all(call.says_nothing() for call in self.tool_calls or ())

    def unplaced(self) -> Sequence[str]:
        """Returns the names of members that Anthropic's form lacks: annotations, audio, images, sources."""
        return [name for name in _UNPLACED if (value := getattr(self, name)) and not is_zero(value)]


_UNPLACED = tuple(
    """
    annotations audio images video videos files attachments citations search_results reasoning_opaque
    """.split()
)

_KNOWN_MEMBERS = frozenset(
    """
    id type object role name prefix partial tool_call_id parsed weight end_turn channel phase recipient
    content_type context metadata status padding obfuscation p logprobs token_ids prompt_token_ids
    extra_content provider_specific_fields function_call tool_calls usage created model
    """.split()
)
_MEMBER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,60}")
_MOST_UNKNOWN = 10


def message_in(answer: Any) -> Any:
    """Returns the message of a whole answer, decoded without a type; None if it has another shape."""
    choices = object_of(answer).get("choices")
    return object_of(choices[0]).get("message") if is_list(choices) and choices else None


def unknown_members(message: Any) -> list[str]:
    """Returns the names of a message's unknown members that are not empty, at most ten."""
    found = [
        name
        for name, value in object_of(message).items()
        if name not in _KNOWN_MEMBERS
        and name not in Delta.__struct_fields__
        and _MEMBER.fullmatch(name)
        and not is_zero(value)
    ]
    return found[:_MOST_UNKNOWN]


class Choice(Struct):
    """The one choice of an answer, or the part of it in a chunk."""

    index: int | None = 0
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    stop_reason: Any = None
    matched_stop: Any = None
    usage: Any = None
    error: Any = None

    def whole(self) -> Delta:
        """Returns the message of a whole answer. Some vendors call it a delta."""
        if self.message is None or (self.delta is not None and self.message.says_nothing()):
            return self.delta or self.message or Delta()
        return self.message

    def stop_string(self) -> str | None:
        """Returns the stop string that ended the answer, if vLLM or SGLang reports it. A number is a token."""
        stop = self.stop_reason if self.stop_reason is not None else self.matched_stop
        return stop if isinstance(stop, str) and stop else None


class _Groq(Struct):
    usage: Any = None
    error: Any = None


class Chunk(Struct):
    """One data line of a stream, or a whole answer, with `message` instead of `delta`."""

    choices: list[Choice] | None = None
    model: str | None = None
    usage: Any = None
    citations: Any = None
    error: Any = None
    service_tier: Any = None
    object: Any = None
    x_groq: _Groq | None = None
    base_resp: dict[str, Any] | None = None

    def failure(self) -> Any:
        """Returns the error object, wherever the vendor puts it, or None."""
        if _fails(self.error):
            return self.error
        if self.x_groq is not None and _fails(self.x_groq.error):
            return self.x_groq.error
        if self.base_resp is not None and _fails(self.base_resp.get("status_code")):
            return {"message": self.base_resp.get("status_msg"), "code": self.base_resp["status_code"]}
        return None

    def usages(self) -> list[dict[str, Any]]:
        """Returns the usage objects: at the top, in the choice, or in `x_groq`."""
        found = [self.usage, *(choice.usage for choice in self.choices or ())]
        if self.x_groq is not None:
            found.append(self.x_groq.usage)
        return [usage for usage in found if usage and isinstance(usage, dict)]


_NO_ERROR = frozenset({"", "0", "200", "ok", "success", "succeeded", "successful", "none", "null", "no error"})


def _fails(error: Any, deepest: int = 8) -> bool:
    """True if an error reports a failure: its members may all be absent, or report success."""
    if not error:
        return False
    if is_object(error):
        error = list(error.values())
    if is_list(error) and deepest:
        return any(_fails(item, deepest - 1) for item in error)
    if not isinstance(error, str | int | float):
        return True
    return str(error).strip().lower() not in _NO_ERROR


def _nothing_but(cls: type[Struct], *members: tuple[str, Any] | tuple[str, Any, Any]) -> type[Struct]:
    """Returns a struct with these members, in which all others of `cls` must be null or absent.

    `object`, `model` and `service_tier` may have any value: they are in every chunk, and the last one counts.
    """
    names = {member[0] for member in members} | {"object", "model", "service_tier"}
    others = [(name, None, None) for name in cls.__struct_fields__ if name not in names]
    return msgspec.defstruct(f"Plain{cls.__name__}", [*members, *others], gc=False)


_plain_delta = _nothing_but(Delta, ("content", str))
_plain_choice = _nothing_but(Choice, ("delta", _plain_delta), ("index", Literal[0], 0))
_plain = msgspec.json.Decoder(
    _nothing_but(
        Chunk,
        ("choices", Annotated[GenericAlias(list, _plain_choice), msgspec.Meta(min_length=1, max_length=1)]),
    )
)


def plain_text(data: bytes) -> str | None:
    """Returns the text of a data line with nothing but text, which most are; else None."""
    try:
        chunk: Any = _plain.decode(data)
    except MALFORMED:
        return None
    text: str = chunk.choices[0].delta.content
    return text


# Lenient reading

_FORM = Form(
    texts=(
        "id",
        "call_id",
        "tool_call_id",
        "name",
        "model",
        "content",
        "refusal",
        "finish_reason",
        "native_finish_reason",
    ),
    objects=("delta", "message", "function", "function_call", "x_groq", "base_resp"),
    lists=("choices", "tool_calls"),
    deepest=5,  # answer, choice, message, call, function
)
_IN_PIECES = frozenset(
    """
    content refusal arguments reasoning reasoning_content reasoning_text thinking text summary
    """.split()
)
"""Members of a delta that continue in the next one."""

_chunk = msgspec.json.Decoder(Chunk)


def decode_chunk(data: bytes, *, in_pieces: bool = False) -> Chunk:
    """Returns a data line, or a whole answer. Raises msgspec.DecodeError that says what the data is instead.

    That is msgspec.ValidationError if it is JSON of another shape. `in_pieces`: keeps half a surrogate pair at
    the edge of a delta's text, since the next line may have the other half.
    """
    try:
        return _chunk.decode(data)
    except MALFORMED:
        return _second_try(data, in_pieces=in_pieces)


def _second_try(data: bytes, *, in_pieces: bool) -> Chunk:
    value = loads(data)
    value = _pieces(value) if in_pieces else mended_json(value)
    if is_list(value) and len(value) == 1:
        value = value[0]  # Gemini's errors
    mend_members(value, _FORM)
    try:
        return msgspec.convert(value, Chunk, strict=False)
    except msgspec.ValidationError as error:
        raise msgspec.ValidationError(f"JSON of another form: {error}") from None


# Surrogate pairs


def _pieces(value: Any) -> Any:
    """Returns the value with all texts repaired, except half a pair at the edge of a delta's text."""
    choices = object_of(value).get("choices")
    deltas = [object_of(choice).get("delta") for choice in choices] if is_list(choices) else []
    value = mended_json(value)
    for number, delta in enumerate(deltas):
        if is_object(delta):
            value["choices"][number]["delta"] = _open_ended(delta)
    return value


def _open_ended(value: Any, name: str = "") -> Any:
    if is_object(value) and name not in ("arguments", "content"):
        return {mended_text(key): _open_ended(item, key) for key, item in value.items()}
    if is_list(value):
        return [_open_ended(item) if is_object(item) else _open_ended(item, name) for item in value]
    if not isinstance(value, str) or name not in _IN_PIECES:
        return mended_json(value)
    return open_ended(value)
