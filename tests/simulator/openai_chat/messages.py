"""The messages of a Chat Completions request, checked one by one and in their order."""

from __future__ import annotations

import re
from collections import Counter

import msgspec

from tests.simulator.openai_chat.checks import (
    Refused,
    an_object,
    array,
    not_longer,
    one_of,
    required,
    string,
)
from tests.simulator.openai_chat.values import Json, Object

MAX_ID = 40

_ROLES = ("system", "assistant", "user", "function", "tool", "developer")

# What OpenAI takes by role. Other vendors take more, so theirs is not judged by role.
_PARTS = {
    "system": ("text",),
    "developer": ("text",),
    "tool": ("text",),
    "function": ("text",),
    "user": ("text", "image_url", "input_audio", "file"),
    "assistant": ("text", "refusal"),
}
_ALL_PARTS = ("text", "image_url", "input_audio", "file", "refusal", "video_url", "thinking", "reference")

# An assistant message without content says something else.
_INSTEAD_OF_CONTENT = ("tool_calls", "function_call", "refusal", "audio", "reasoning_content", "reasoning")

_URL = re.compile(r"https?://|data:", re.IGNORECASE)


class Call(msgspec.Struct, frozen=True):
    """A tool call of an earlier turn."""

    id: str
    name: str
    arguments: str


class Message(msgspec.Struct, frozen=True):
    """One message, its content as parts whichever way it was written."""

    role: str
    parts: list[Object]
    calls: list[Call]
    answers: str | None

    @property
    def text(self) -> str:
        """The text parts together, a line each."""
        return "\n".join(filter(None, map(text_of, self.parts)))


def decode_messages(value: Json, *, strict: bool) -> list[Message]:
    """All messages; `strict` as OpenAI judges them for its own models."""
    entries = array(value, "messages")
    found = [_message(entry, f"messages[{i}]", strict=strict) for i, entry in enumerate(entries)]
    _check_order(found)
    return found


def text_of(part: Object) -> str:
    """The text of a text part; empty for any other."""
    text = part.get("text")
    return text if part.get("type") == "text" and isinstance(text, str) else ""


def _message(entry: Json, path: str, *, strict: bool) -> Message:
    fields = an_object(entry, path)
    role = one_of(string(required(fields, "role", f"{path}."), f"{path}.role"), _ROLES, f"{path}.role")
    calls: list[Call] = []
    if role == "assistant" and fields.get("tool_calls") is not None:
        listed = array(fields["tool_calls"], f"{path}.tool_calls")
        calls = [_call(call, f"{path}.tool_calls[{i}]", strict=strict) for i, call in enumerate(listed)]
    answers: str | None = None
    if role == "tool":
        answers = string(required(fields, "tool_call_id", f"{path}."), f"{path}.tool_call_id")
    return Message(role, _content(fields, role, path, strict=strict), calls, answers)


def _content(fields: Object, role: str, path: str, *, strict: bool) -> list[Object]:
    content = fields.get("content")
    if content is None:
        if role == "assistant" and any(fields.get(name) is not None for name in _INSTEAD_OF_CONTENT):
            return []
        required(fields, "content", f"{path}.")
        raise Refused("Invalid value for 'content': expected a string, got null.", f"{path}.content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise Refused(
            f"Invalid type for '{path}.content': expected one of a string or array of objects.",
            f"{path}.content",
            "invalid_type",
        )
    kinds = _PARTS[role] if strict else _ALL_PARTS
    parts = array(content, f"{path}.content")
    return [_part(part, kinds, f"{path}.content[{i}]") for i, part in enumerate(parts)]


def _part(entry: Json, kinds: tuple[str, ...], path: str) -> Object:
    part = an_object(entry, path)
    kind = one_of(string(required(part, "type", f"{path}."), f"{path}.type"), kinds, f"{path}.type")
    if kind == "text":
        string(required(part, "text", f"{path}."), f"{path}.text")
    elif kind == "image_url":
        image = an_object(required(part, "image_url", f"{path}."), f"{path}.image_url")
        url = string(required(image, "url", f"{path}.image_url."), f"{path}.image_url.url")
        if not _URL.match(url):
            raise Refused(
                f"Invalid '{path}.image_url.url'. "
                "Expected a valid URL, but got a value with an invalid format.",
                f"{path}.image_url.url",
                "invalid_value",
            )
    return part


def _call(entry: Json, path: str, *, strict: bool) -> Call:
    call = an_object(entry, path)
    made = string(required(call, "id", f"{path}."), f"{path}.id")
    if strict:
        not_longer(made, MAX_ID, f"{path}.id")
    kind = call.get("type", "function")
    if kind == "custom":
        custom = an_object(required(call, "custom", f"{path}."), f"{path}.custom")
        return Call(made, *(string(required(custom, name), f"{path}.custom") for name in ("name", "input")))
    function = an_object(required(call, "function", f"{path}."), f"{path}.function")
    name = string(required(function, "name", f"{path}.function."), f"{path}.function.name")
    arguments = required(function, "arguments", f"{path}.function.")
    return Call(made, name, string(arguments, f"{path}.function.arguments"))


def _check_order(messages: list[Message]) -> None:
    """Each call is answered right behind its message, and nothing else is."""
    waiting: Counter[str] = Counter()
    caller = 0
    for i, message in enumerate(messages):
        if message.answers is not None:
            if not waiting[message.answers]:
                raise Refused(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message "
                    "with 'tool_calls'.",
                    f"messages.[{i}].role",
                )
            waiting[message.answers] -= 1
            continue
        _check_answered(waiting, caller)
        waiting, caller = Counter(call.id for call in message.calls), i
    _check_answered(waiting, caller)


def _check_answered(waiting: Counter[str], caller: int) -> None:
    if missing := list(+waiting):
        raise Refused(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(missing)}",
            f"messages.[{caller}].role",
        )
