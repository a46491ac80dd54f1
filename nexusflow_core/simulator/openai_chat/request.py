"""Reads the fields of a Chat Completions request that an answer depends on. Unknown fields are ignored."""

from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.simulator.body import decode_body
from nexusflow_core.untyped import object_of

__all__ = ["ChatRequest", "Message", "read_chat"]

_REASONS_ALOUD = ("deepseek", "qwen")
"""Models that show their reasoning unless thinking is disabled. OpenAI's only count it."""


class CalledFunction(Struct, frozen=True):
    """The name and arguments of a call in an earlier turn."""

    name: str = ""
    arguments: str = ""


class EarlierCall(Struct, frozen=True):
    """A call in an earlier turn."""

    function: CalledFunction = CalledFunction()


class Message(Struct, frozen=True):
    """One message."""

    role: str
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[EarlierCall] | None = None

    @property
    def parts(self) -> list[dict[str, Any]]:
        """The content as parts."""
        if isinstance(self.content, str):
            return [{"type": "text", "text": self.content}]
        return self.content or []

    @property
    def texts(self) -> list[str]:
        """The texts of its text parts that are not empty."""
        found = [part.get("text") for part in self.parts if part.get("type") == "text"]
        return [text for text in found if isinstance(text, str) and text]


class ChatRequest(Struct, frozen=True):
    """The fields that an answer depends on. Each vendor has its own switch for thinking."""

    model: str
    messages: list[Message]
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    thinking: dict[str, Any] | None = None
    enable_thinking: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None

    @property
    def reasons_aloud(self) -> bool:
        """True if the model shows its reasoning."""
        kind = object_of(self.thinking).get("type")
        named = self.model.lower().rpartition("/")[2].startswith(_REASONS_ALOUD)
        return True in self._switches or kind in ("enabled", "adaptive") or named

    @property
    def reasons(self) -> bool:
        """True if the model reasons before it answers."""
        off = object_of(self.thinking).get("type") == "disabled" or self.reasoning_effort == "none"
        return not off and False not in self._switches and (self.reasons_aloud or bool(self.reasoning_effort))

    @property
    def include_usage(self) -> bool:
        """True if a stream ends with its usage."""
        return object_of(self.stream_options).get("include_usage") is True

    @property
    def forced_tool(self) -> str | None:
        """The function that must be called, or None."""
        name = object_of(object_of(self.tool_choice).get("function")).get("name")
        return name if isinstance(name, str) else None

    @property
    def _switches(self) -> tuple[Any, Any]:
        return self.enable_thinking, object_of(self.chat_template_kwargs).get("enable_thinking")


def read_chat(body: bytes) -> ChatRequest:
    """Returns the request. Raises InvalidRequestError or RequestTooLargeError."""
    try:
        return msgspec.convert(decode_body(body), ChatRequest)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(str(error)) from None
