"""What a request says: its size in tokens, its cached prefix, and the `Ask` it amounts to."""

from __future__ import annotations

import msgspec

from nexusflow_core.simulator.jsonvalue import Object
from nexusflow_core.simulator.openai_chat.messages import Message, text_of
from nexusflow_core.simulator.openai_chat.request import ChatRequest
from nexusflow_core.simulator.reply import MAX_TEXT_TOKENS, Ask, Tool
from nexusflow_core.simulator.tokens import (
    DOCUMENT_TOKENS,
    IMAGE_TOKENS,
    MESSAGE_TOKENS,
    clip,
    json_tokens,
    text_tokens,
)

# OpenAI's cache: nothing below the first figure, and then in steps of the second.
CACHED_AT_LEAST = 1_024
CACHED_BY = 128


class PromptTokens(msgspec.Struct, frozen=True):
    """The whole prompt, and the part of it that the cache had."""

    total: int
    cached: int


def prompt_tokens(request: ChatRequest) -> PromptTokens:
    """Size of the prompt. Cached is what an earlier turn must have sent: all before the last answer.

    A pure function remembers nothing, so the conversation itself tells: one with an assistant
    turn was sent before, up to that turn.
    """
    tools = sum(json_tokens(tool.raw) for tool in request.tools)
    sizes = [_message_tokens(message) for message in request.messages]
    turns = [i for i, message in enumerate(request.messages[:-1]) if message.role == "assistant"]
    earlier = tools + sum(sizes[: turns[-1]]) if turns else 0
    cached = earlier // CACHED_BY * CACHED_BY if earlier >= CACHED_AT_LEAST else 0
    return PromptTokens(tools + sum(sizes), cached)


def last_text(request: ChatRequest) -> str:
    """The text of the last user turn: neighbouring user messages are one."""
    return "\n".join(filter(None, (message.text for message in _last_turn(request, "user"))))


def ask_of(request: ChatRequest, text: str, *, think: bool) -> Ask:
    """The request without OpenAI's words; `text` is its last user text."""
    choice = request.choice
    tools = [tool for tool in request.tools if choice.names is None or tool.name in choice.names]
    return Ask(
        text=text,
        tool_results=tuple(_result(message) for message in _last_turn(request, "tool")),
        tools=tuple(Tool(tool.name, tool.schema) for tool in tools),
        must_call=choice.must,
        only_tool=choice.forced,
        may_call=choice.may,
        parallel_calls=request.parallel_calls,
        answer_schema=request.answer_schema,
        think=think,
        max_tokens=request.max_tokens,
        stop_sequences=request.stop,
    )


def _last_turn(request: ChatRequest, role: str) -> list[Message]:
    """The user's or the tools' messages since the last assistant turn; a prefill at the end is passed by."""
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
    text = " ".join(filter(None, map(text_of, message.parts)))
    return clip(text, MAX_TEXT_TOKENS) or "(nothing to read)"


def _message_tokens(message: Message) -> int:
    """Reasoning that is sent back costs nothing."""
    calls = sum(text_tokens(call.name) + text_tokens(call.arguments) for call in message.calls)
    return MESSAGE_TOKENS + calls + sum(map(_part_tokens, message.parts))


def _part_tokens(part: Object) -> int:
    match part.get("type"):
        case "text":
            return text_tokens(text_of(part))
        case "image_url":
            return IMAGE_TOKENS
        case "input_audio" | "file" | "video_url":
            return DOCUMENT_TOKENS
        case "thinking":
            return 0
        case _:
            return json_tokens(part)
