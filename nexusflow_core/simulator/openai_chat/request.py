"""Reads the fields of a Chat Completions request that change the answer. Ignores all others."""

from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.simulator.endpoint import decode_body
from nexusflow_core.simulator.reply import MAX_TEXT_TOKENS, Ask, clip
from nexusflow_core.untyped import is_list, object_of

__all__ = ["ChatRequest", "Message", "ask_of", "last_text", "read_chat"]

_JSON_OBJECT = {"type": "object", "properties": {"answer": {"type": "string"}}}

_REASONS_ALOUD = ("deepseek", "qwen")
"""Models that show their reasoning unless thinking is disabled. OpenAI's models only count it."""


class Message(Struct, frozen=True):
    """One message."""

    role: str
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[dict[str, Any]] | None = None

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
    """The fields that change the answer. Each vendor has its own switch for thinking."""

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
        """The name of the function that the model must call, or None."""
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


def ask_of(request: ChatRequest) -> Ask:
    """Returns the request in the form that all protocols share."""
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


def _offered(tools: list[dict[str, Any]], allowed: Any) -> dict[str, Any]:
    """Returns schemas by function name, limited to `allowed`. The model never calls other tools."""
    names = [_function(entry).get("name") for entry in allowed] if is_list(allowed) else None
    functions = [_function(tool) for tool in tools]
    return {
        name: function.get("parameters")
        for function in functions
        if isinstance(name := function.get("name"), str) and (names is None or name in names)
    }


def _function(entry: Any) -> dict[str, Any]:
    return object_of(object_of(entry).get("function"))


def _last_turn(request: ChatRequest, role: str) -> list[Message]:
    """Returns the user or tool messages after the last assistant turn. Skips a prefill at the end."""
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
