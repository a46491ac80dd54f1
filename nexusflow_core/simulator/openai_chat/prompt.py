"""Reads a request's size in tokens, its cached prefix, and its `Ask`."""

from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.counting import IMAGE_TOKENS, MESSAGE_TOKENS, PAGE_TOKENS, text_tokens
from nexusflow_core.simulator.openai_chat.request import ChatRequest, Message
from nexusflow_core.simulator.reply import MAX_TEXT_TOKENS, Ask, OfferedTool, clip
from nexusflow_core.untyped import is_list, object_of

__all__ = ["PromptTokens", "ask_of", "last_text", "prompt_tokens"]

CACHED_AT_LEAST = 1_024
CACHED_BY = 128
"""OpenAI caches no prefix shorter than the first number, and extends it in steps of the second."""

_FLAT_TOKENS = {"image_url": IMAGE_TOKENS, **dict.fromkeys(("input_audio", "file", "video_url"), PAGE_TOKENS)}
_JSON_OBJECT = {"type": "object", "properties": {"answer": {"type": "string"}}}


class PromptTokens(Struct, frozen=True):
    """The tokens of a prompt, and the part of them that was cached."""

    total: int
    cached: int


def prompt_tokens(request: ChatRequest) -> PromptTokens:
    """Returns the size of the prompt. Everything before the last answer is cached, since it was sent before."""
    tools = sum(_json_tokens(tool) for tool in request.tools or ())
    sizes = [_message_tokens(message) for message in request.messages]
    turns = [i for i, message in enumerate(request.messages[:-1]) if message.role == "assistant"]
    earlier = tools + sum(sizes[: turns[-1]]) if turns else 0
    cached = earlier // CACHED_BY * CACHED_BY if earlier >= CACHED_AT_LEAST else 0
    return PromptTokens(tools + sum(sizes), cached)


def ask_of(request: ChatRequest) -> Ask:
    """Returns the request, independent of a protocol."""
    choice, allowed = request.tool_choice, object_of(object_of(request.tool_choice).get("allowed_tools"))
    forced = request.forced_tool
    stop = [request.stop] if isinstance(request.stop, str) else request.stop or []
    return Ask(
        text=last_text(request),
        tool_results=tuple(_result(message) for message in _last_turn(request, "tool")),
        tools=_offered(request.tools or [], allowed.get("tools")),
        must_call=choice in ("required", "any") or forced is not None or allowed.get("mode") == "required",
        only_tool=forced,
        may_call=choice != "none",
        parallel_calls=request.parallel_tool_calls is not False,
        answer_schema=_answer_schema(object_of(request.response_format)),
        think=request.reasons,
        max_tokens=request.max_completion_tokens if request.max_tokens is None else request.max_tokens,
        stop_sequences=tuple(dict.fromkeys(stop)),
    )


def last_text(request: ChatRequest) -> str:
    """Returns the text of the last user turn; neighbouring user messages are one turn."""
    return "\n".join(text for message in _last_turn(request, "user") for text in message.texts)


def _offered(tools: list[dict[str, Any]], allowed: Any) -> tuple[OfferedTool, ...]:
    """Returns the functions, limited to those in `allowed`. Other tools are never called."""
    names = {_function(entry).get("name") for entry in allowed} if is_list(allowed) else None
    functions = [_function(tool) for tool in tools]
    return tuple(
        OfferedTool(name, function.get("parameters"))
        for function in functions
        if isinstance(name := function.get("name"), str) and (names is None or name in names)
    )


def _function(entry: Any) -> dict[str, Any]:
    return object_of(object_of(entry).get("function"))


def _last_turn(request: ChatRequest, role: str) -> list[Message]:
    """Returns the user or tool messages since the last assistant turn. A prefill at the end is skipped."""
    turn: list[Message] = []
    begun = False
    for message in reversed(request.messages):
        if message.role in ("user", "tool"):
            begun = True
            if message.role == role:
                turn.append(message)
        elif message.role == "assistant" and begun:
            break
    return turn[::-1]


def _result(message: Message) -> str:
    return clip(" ".join(message.texts), MAX_TEXT_TOKENS) or "(nothing to read)"


def _answer_schema(form: dict[str, Any]) -> Any:
    if form.get("type") == "json_object":
        return _JSON_OBJECT
    schema = object_of(form.get("json_schema")).get("schema")
    return (schema or {"type": "object"}) if form.get("type") == "json_schema" else None


def _message_tokens(message: Message) -> int:
    calls = [call.function for call in message.tool_calls or ()]
    called = sum(text_tokens(function.name) + text_tokens(function.arguments) for function in calls)
    return MESSAGE_TOKENS + called + sum(map(_part_tokens, message.parts))


def _part_tokens(part: dict[str, Any]) -> int:
    kind, text = part.get("type"), part.get("text")
    if kind == "text" and isinstance(text, str):
        return text_tokens(text)
    return _FLAT_TOKENS.get(str(kind)) or _json_tokens(part)


def _json_tokens(value: Any) -> int:
    return text_tokens(msgspec.json.encode(value).decode())
