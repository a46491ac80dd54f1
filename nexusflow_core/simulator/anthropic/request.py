"""Reads a Messages request, and refuses malformed requests with Anthropic's error texts."""

from typing import Any

from msgspec import Struct

from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.messages import (
    Block,
    MessagesRequest,
    TextBlock,
    Tool,
    ToolResultBlock,
    request_of,
)
from nexusflow_core.simulator.endpoint import decode_body
from nexusflow_core.simulator.reply import MAX_TEXT_TOKENS, Ask, clip
from nexusflow_core.untyped import list_of, object_of

__all__ = ["SimulatedRequest", "read_simulated"]

MAX_STOP_SEQUENCES = 1_000

_NOT_CALLED = ("web_search_", "web_fetch_", "code_execution_", "tool_search_tool_", "mcp_toolset", "advisor_")
"""Types of server tools and of sets of tools. The model never calls them by `tool_use`."""


class SimulatedRequest(Struct, frozen=True):
    """A checked request: its JSON, its `Ask`, and the form of its answer."""

    body: dict[str, Any]
    model: str
    stream: bool
    ask: Ask
    show_thinking: bool
    inference_geo: str


def read_simulated(body: bytes, *, counting: bool = False) -> SimulatedRequest:
    """Returns the request. `counting`: max_tokens may be absent.

    Raises InvalidRequestError or RequestTooLargeError.
    """
    value = decode_body(body)
    _check_content(value)
    request = request_of({"max_tokens": 1, **value} if counting else value)
    _check(request)
    thinking = object_of(value.get("thinking"))
    geo = value.get("inference_geo")
    return SimulatedRequest(
        body=value,
        model=request.model,
        stream=request.stream,
        ask=_ask(request, think=thinking.get("type") in ("enabled", "adaptive")),
        show_thinking=thinking.get("display") != "omitted",
        inference_geo=geo if isinstance(geo, str) else "global",
    )


def _check_content(body: dict[str, Any]) -> None:
    """Raises InvalidRequestError for messages without content, and for text blocks without text."""
    messages = body.get("messages")
    listed = list_of(messages)
    for i, message in enumerate(map(object_of, listed)):
        content = message.get("content")
        if content in ("", []) and not (i == len(listed) - 1 and message.get("role") == "assistant"):
            raise InvalidRequestError(
                f"messages.{i}: all messages must have non-empty content except for the optional final "
                "assistant message"
            )
        for j, block in enumerate(map(object_of, list_of(content))):
            if block.get("type") == "text" and "text" not in block:
                raise InvalidRequestError(f"messages.{i}.content.{j}.text.text: Field required")


def _check(request: MessagesRequest) -> None:
    if not request.model:
        raise InvalidRequestError("model: String should have at least 1 character")
    if request.max_tokens < 0:
        raise InvalidRequestError("max_tokens: Input should be greater than or equal to 0")
    if not all(sequence.strip() for sequence in request.stop_sequences):
        raise InvalidRequestError("stop_sequences: each stop sequence must contain non-whitespace")
    choice = request.tool_choice
    if choice is not None and choice.type in ("any", "tool"):
        if not request.tools:
            raise InvalidRequestError("tool_choice: may only be specified while providing tools")
        if choice.type == "tool" and all(tool.name != choice.name for tool in request.tools):
            raise InvalidRequestError(f"Tool '{choice.name}' not found in provided tools")


def _ask(request: MessagesRequest, *, think: bool) -> Ask:
    turn = _last_user_turn(request)
    choice = request.tool_choice
    kind = "auto" if choice is None else choice.type
    return Ask(
        text="\n".join(filter(None, map(_text, turn))),
        tool_results=tuple(_result(block) for block in turn if isinstance(block, ToolResultBlock)),
        tools={tool.name: tool.input_schema for tool in request.tools if _is_called(tool)},
        must_call=kind in ("any", "tool"),
        only_tool=choice.name if choice is not None and kind == "tool" else None,
        may_call=kind != "none",
        parallel_calls=choice is None or choice.disable_parallel_tool_use is not True,
        answer_schema=_answer_schema(request.extra),
        think=think,
        max_tokens=request.max_tokens,
        stop_sequences=tuple(dict.fromkeys(request.stop_sequences))[:MAX_STOP_SEQUENCES],
    )


def _last_user_turn(request: MessagesRequest) -> list[Block]:
    """Returns the blocks of the last user turn. Neighbouring user messages are one turn. Skips a prefill."""
    turn: list[list[Block]] = []
    for message in reversed(request.messages):
        if message.role == "user":
            turn.append(message.content)
        elif message.role == "assistant" and turn:
            break
    return [block for blocks in reversed(turn) for block in blocks]


def _text(block: Block) -> str:
    return block.text if isinstance(block, TextBlock) else ""


def _result(block: ToolResultBlock) -> str:
    content = block.content
    text = content if isinstance(content, str) else " ".join(filter(None, map(_text, content or ())))
    return clip(text, MAX_TEXT_TOKENS) or "(nothing to read)"


def _is_called(tool: Tool) -> bool:
    return tool.type == "custom" or (bool(tool.name) and not tool.type.startswith(_NOT_CALLED))


def _answer_schema(extra: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the schema of `output_config.format`, or of `output_format`, its older name."""
    form = object_of(object_of(extra.get("output_config")).get("format")) or object_of(
        extra.get("output_format")
    )
    if form.get("type") != "json_schema":
        return None
    if not isinstance(form.get("schema"), dict):
        raise InvalidRequestError("output_config.format.schema: Field required")
    return object_of(form.get("schema"))
