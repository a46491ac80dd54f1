"""A Messages request, checked as Anthropic checks it and with its words where it is refused.

Checked is what an answer depends on; unknown fields, block types and values pass.
"""

from __future__ import annotations

import msgspec

from nexusflow_core.simulator.jsonvalue import BadJson, Json, Object, decode_json

MAX_STOP_SEQUENCES = 1_000

_ROLES = ("user", "assistant", "system")
_CHOICES = ("auto", "any", "tool", "none")
# These are run by Anthropic, or are a set of tools; the model never calls them by `tool_use`.
_NOT_CALLED = ("web_search_", "web_fetch_", "code_execution_", "tool_search_tool_", "mcp_toolset", "advisor_")


class InvalidRequest(Exception):
    """The request is refused with 400; the text is the error's message."""


class Message(msgspec.Struct, frozen=True):
    """One message, its content as blocks whichever way it was written."""

    role: str
    blocks: list[Object]


class ToolDefinition(msgspec.Struct, frozen=True):
    """One entry of `tools`; `callable` is False for what is never called by `tool_use`."""

    raw: Object
    name: str
    schema: Json
    callable: bool


class MessagesRequest(msgspec.Struct, frozen=True):
    """The checked request; fields that were not sent have their default."""

    model: str
    messages: list[Message]
    max_tokens: int
    stream: bool
    system: list[Object]
    tools: list[ToolDefinition]
    tool_choice: str
    only_tool: str | None
    parallel_calls: bool
    stop_sequences: tuple[str, ...]
    think: bool
    show_thinking: bool
    answer_schema: Json
    inference_geo: str
    cache_control: Json


def decode_request(body: bytes, *, counting: bool = False) -> MessagesRequest:
    """Read and check a body; raises InvalidRequest. `counting`: max_tokens may be absent."""
    try:
        value = decode_json(body)
    except BadJson as error:
        raise InvalidRequest(f"The request body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidRequest("Input should be an object")
    model = _string(_required(value, "model"), "model")
    if not model:
        raise InvalidRequest("model: String should have at least 1 character")
    messages = _messages(_required(value, "messages"))
    max_tokens = 1 if counting else _max_tokens(_required(value, "max_tokens"))
    tools = _tools(value)
    choice, only_tool, parallel = _tool_choice(value, tools)
    thinking = _object(value, "thinking")
    geo = value.get("inference_geo")
    return MessagesRequest(
        model=model,
        messages=messages,
        max_tokens=max_tokens,
        stream=_stream(value),
        system=_blocks(value["system"], "system") if value.get("system") is not None else [],
        tools=tools,
        tool_choice=choice,
        only_tool=only_tool,
        parallel_calls=parallel,
        stop_sequences=_stop_sequences(value),
        think=thinking.get("type") in ("enabled", "adaptive"),
        show_thinking=thinking.get("display") != "omitted",
        answer_schema=_answer_schema(value),
        inference_geo=geo if isinstance(geo, str) else "global",
        cache_control=value.get("cache_control"),
    )


def text_of(block: Object) -> str:
    """The text of a text block; empty for any other."""
    text = block.get("text")
    return text if block.get("type") == "text" and isinstance(text, str) else ""


def inner_blocks(block: Object) -> list[Object]:
    """The content of a tool_result or the like as blocks, whatever was written there."""
    content = block.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def _required(fields: Object, name: str, path: str = "") -> Json:
    if name not in fields:
        raise InvalidRequest(f"{path}{name}: Field required")
    return fields[name]


def _string(value: Json, path: str) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"{path}: Input should be a valid string")
    return value


def _list(value: Json, path: str) -> list[Json]:
    if not isinstance(value, list):
        raise InvalidRequest(f"{path}: Input should be a valid list")
    return value


def _object(fields: Object, name: str, path: str = "") -> Object:
    """An optional object; null is as good as absent."""
    value = fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidRequest(f"{path}{name}: Input should be an object")
    return value


def _max_tokens(value: Json) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequest("max_tokens: Input should be a valid integer")
    if value < 0:
        raise InvalidRequest("max_tokens: Input should be greater than or equal to 0")
    return value


def _stream(fields: Object) -> bool:
    stream = fields.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise InvalidRequest("stream: Input should be a valid boolean")
    return stream is True


def _messages(value: Json) -> list[Message]:
    entries = _list(value, "messages")
    if not entries:
        raise InvalidRequest("messages: at least one message is required")
    return [_message(entry, f"messages.{i}", last=i == len(entries) - 1) for i, entry in enumerate(entries)]


def _message(entry: Json, path: str, *, last: bool) -> Message:
    if not isinstance(entry, dict):
        raise InvalidRequest(f"{path}: Input should be an object")
    role = _required(entry, "role", f"{path}.")
    if not isinstance(role, str) or role not in _ROLES:
        raise InvalidRequest(f"{path}.role: Input should be 'user', 'assistant' or 'system'")
    blocks = _blocks(_required(entry, "content", f"{path}."), f"{path}.content")
    if not blocks and not (last and role == "assistant"):
        raise InvalidRequest(
            f"{path}: all messages must have non-empty content except for the optional final assistant message"
        )
    return Message(role, blocks)


def _blocks(content: Json, path: str) -> list[Object]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if not isinstance(content, list):
        raise InvalidRequest(f"{path}: Input should be a valid string or list")
    return [_block(entry, f"{path}.{i}") for i, entry in enumerate(content)]


def _block(entry: Json, path: str) -> Object:
    if not isinstance(entry, dict):
        raise InvalidRequest(f"{path}: Input should be an object")
    if _string(_required(entry, "type", f"{path}."), f"{path}.type") == "text":
        _string(_required(entry, "text", f"{path}.text."), f"{path}.text.text")
    return entry


def _tools(fields: Object) -> list[ToolDefinition]:
    value = fields.get("tools")
    entries = [] if value is None else _list(value, "tools")
    return [_tool(entry, f"tools.{i}") for i, entry in enumerate(entries)]


def _tool(entry: Json, path: str) -> ToolDefinition:
    if not isinstance(entry, dict):
        raise InvalidRequest(f"{path}: Input should be an object")
    kind = entry.get("type")
    if kind is None or kind == "custom":
        name = _string(_required(entry, "name", f"{path}.custom."), f"{path}.custom.name")
        schema = _required(entry, "input_schema", f"{path}.custom.")
        if not isinstance(schema, dict):
            raise InvalidRequest(f"{path}.custom.input_schema: Input should be an object")
        return ToolDefinition(entry, name, schema, callable=True)
    named = entry.get("name")
    name = named if isinstance(named, str) else ""
    called = bool(name) and isinstance(kind, str) and not kind.startswith(_NOT_CALLED)
    return ToolDefinition(entry, name, entry.get("input_schema"), callable=called)


def _tool_choice(fields: Object, tools: list[ToolDefinition]) -> tuple[str, str | None, bool]:
    """Kind of choice, the tool it names, and whether several calls may come at once."""
    choice = _object(fields, "tool_choice")
    if not choice:
        return "auto", None, True
    kind = _required(choice, "type", "tool_choice.")
    if not isinstance(kind, str) or kind not in _CHOICES:
        raise InvalidRequest("tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'")
    if not tools and kind in ("any", "tool"):
        raise InvalidRequest("tool_choice: may only be specified while providing tools")
    only: str | None = None
    if kind == "tool":
        only = _string(_required(choice, "name", "tool_choice.tool."), "tool_choice.tool.name")
        if all(tool.name != only for tool in tools):
            raise InvalidRequest(f"Tool '{only}' not found in provided tools")
    return kind, only, choice.get("disable_parallel_tool_use") is not True


def _stop_sequences(fields: Object) -> tuple[str, ...]:
    value = fields.get("stop_sequences")
    entries = [] if value is None else _list(value, "stop_sequences")
    found = [_string(entry, f"stop_sequences.{i}") for i, entry in enumerate(entries)]
    if any(not sequence.strip() for sequence in found):
        raise InvalidRequest("stop_sequences: each stop sequence must contain non-whitespace")
    return tuple(dict.fromkeys(found))[:MAX_STOP_SEQUENCES]


def _answer_schema(fields: Object) -> Json:
    """The schema of `output_config.format`, or of `output_format` as it was called before."""
    form = _object(_object(fields, "output_config"), "format", "output_config.")
    path = "output_config.format"
    if not form:
        form, path = _object(fields, "output_format"), "output_format"
    if form.get("type") != "json_schema":
        return None
    schema = _required(form, "schema", f"{path}.")
    if not isinstance(schema, dict):
        raise InvalidRequest(f"{path}.schema: Input should be an object")
    return schema
