"""Reads a body into a typed request. Known members are checked, with Anthropic's error texts. Unknown members
are kept as data and listed."""

from collections.abc import Container, Mapping
from typing import Any, Literal, TypeVar, cast

import msgspec
from msgspec import Struct

from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.json_spans import MAX_VALUES, check_values
from nexusflow_core.messages.vocabulary import (
    Block,
    DocumentBlock,
    ImageBlock,
    InputMessage,
    MessagesRequest,
    OtherBlock,
    RedactedThinkingBlock,
    SearchResultBlock,
    TextBlock,
    ThinkingBlock,
    Tool,
    ToolChoice,
    ToolReferenceBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from nexusflow_core.untyped import MALFORMED, is_blank, is_object, is_zero, list_of, object_of, whole

__all__ = ["blocks_of", "read_blocks", "read_body", "read_request", "request_of"]

S = TypeVar("S")


class _PlainMessage(Struct, forbid_unknown_fields=True, gc=False):
    """A message with known members only: the fast path."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


_plain_messages = msgspec.json.Decoder(list[_PlainMessage])
_object = msgspec.json.Decoder(dict[str, Any])

_BLOCKS: dict[str, type[Any]] = {
    str(cls.__struct_config__.tag): cls
    for cls in (
        TextBlock,
        ImageBlock,
        DocumentBlock,
        SearchResultBlock,
        ThinkingBlock,
        RedactedThinkingBlock,
        ToolUseBlock,
        ToolResultBlock,
        ToolReferenceBlock,
    )
}
_MEMBERS = {cls: frozenset((*cls.__struct_fields__, "type")) for cls in _BLOCKS.values()}
_OPTIONAL = {
    cls: frozenset(cls.__struct_fields__[len(cls.__struct_fields__) - len(cls.__struct_defaults__) :])
    for cls in _MEMBERS
}

EXTRA = frozenset(
    """thinking output_config service_tier speed inference_geo container diagnostics cache_control mcp_servers
    context_management compaction fallbacks fallback_credit_token thread billing_policy output_format
    safeguards""".split()
)
"""Known top-level members without a counterpart at other vendors so far."""

_PLAIN_TOOL = frozenset(("name", "description", "input_schema"))

_READ = frozenset(
    """model messages max_tokens system stream stop_sequences temperature top_p top_k tools tool_choice
    metadata""".split()
)
_KNOWN = _READ | EXTRA


def read_body(text: bytes, most: int = MAX_VALUES) -> dict[str, Any]:
    """Returns a body, which must be a JSON object, as data.

    Raises InvalidRequestError with Anthropic's error text, RequestTooLargeError for more than `most` JSON
    values.
    """
    check_values(text, most)
    try:
        body = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"The request body is not valid JSON: {error}") from None
    except RecursionError:
        raise InvalidRequestError("The request body nests too deeply") from None
    if not isinstance(body, dict):
        raise InvalidRequestError("request body: Input should be a valid JSON object")
    return cast(dict[str, Any], body)


def read_request(
    text: bytes, most: int = MAX_VALUES, messages: tuple[int, int] | None = None
) -> MessagesRequest:
    """Returns a body, which must be a JSON object, as a typed request.

    `messages`: start and end of that member's value, if a walk over the members has found it exactly once.
    Plain messages are then decoded in one pass. Raises InvalidRequestError with the path in Anthropic's error
    text, RequestTooLargeError for more than `most` values.
    """
    if messages is not None:
        check_values(text, most)
        if (found := _read_plain(text, *messages)) is not None:
            return found
    return request_of(read_body(text, most))


def _read_plain(text: bytes, start: int, end: int) -> MessagesRequest | None:
    """Returns the request if all messages are plain. None: read it as data, which finds each error's place."""
    try:
        plain = _plain_messages.decode(memoryview(text)[start:end])
        rest = _object.decode(b"".join((text[:start], b"[0]", text[end:])))
    except MALFORMED:
        return None
    try:
        return _request(rest, plain)
    except RecursionError:
        return None


def request_of(body: dict[str, Any]) -> MessagesRequest:
    """Returns decoded JSON as a typed request. Raises InvalidRequestError like `read_request`."""
    try:
        return _request(body)
    except RecursionError:
        raise InvalidRequestError("The request body nests too deeply") from None


def _request(body: dict[str, Any], plain: list[_PlainMessage] | None = None) -> MessagesRequest:
    """Returns the request. `plain`: its messages, already typed."""
    unknown = _others(body, _KNOWN)
    given = _member(body, "messages", list[Any]) if plain is None else plain
    if not given:
        raise InvalidRequestError("messages: at least one message is required")
    return MessagesRequest(
        model=_member(body, "model", str),
        messages=(
            [_message(item, index, unknown) for index, item in enumerate(given)]
            if plain is None
            else [_typed(message) for message in plain]
        ),
        max_tokens=_member(body, "max_tokens", int),
        system=_system(body.get("system"), unknown),
        stream=_optional(body, "stream", bool) or False,
        stop_sequences=_optional(body, "stop_sequences", list[str]) or [],
        temperature=_optional(body, "temperature", float),
        top_p=_optional(body, "top_p", float),
        top_k=_optional(body, "top_k", int),
        tools=[_tool(item, index) for index, item in enumerate(_optional(body, "tools", list[Any]) or [])],
        tool_choice=_tool_choice(body, unknown),
        metadata=_optional(body, "metadata", dict[str, Any]) or {},
        extra={name: value for name, value in body.items() if name in EXTRA and not is_zero(value)},
        unknown=unknown,
    )


def _message(item: Any, index: int, unknown: list[str]) -> InputMessage:
    try:
        plain = msgspec.convert(item, _PlainMessage)
    except msgspec.ValidationError:
        return _message_closely(item, index, unknown)
    return _typed(plain)


def _typed(plain: _PlainMessage) -> InputMessage:
    content = plain.content
    return InputMessage(plain.role, [TextBlock(content)] if isinstance(content, str) else content, plain=True)


def _message_closely(item: Any, index: int, unknown: list[str]) -> InputMessage:
    """Returns the message. Adds unknown members to `unknown`, and raises InvalidRequestError with the path."""
    path = f"messages.{index}"
    message = _converted(item, dict[str, Any], path)
    for required in ("role", "content"):
        if message.get(required) is None:
            raise InvalidRequestError(f"{path}.{required}: Field required")
    if message["role"] not in ("user", "assistant", "system"):
        raise InvalidRequestError(f"{path}.role: Input should be 'user', 'assistant' or 'system'")
    unknown += [f"messages[{index}].{name}" for name in _others(message, ("role", "content"))]
    return InputMessage(message["role"], read_blocks(message["content"], f"{path}.content", unknown))


def blocks_of(content: Any) -> list[dict[str, Any]]:
    """Returns decoded content as blocks: the objects of a list, or a string as one text block."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [object_of(block) for block in list_of(content)]


def read_blocks(content: Any, path: str, unknown: list[str]) -> list[Block]:
    """Returns content as blocks, a string as one text block. Adds the paths of unknown members to `unknown`."""
    if isinstance(content, str):
        return [TextBlock(content)]
    return [_block(item, f"{path}.{i}", unknown) for i, item in enumerate(_converted(content, list[Any], path))]


def _block(item: Any, path: str, unknown: list[str]) -> Block:
    block = _converted(item, dict[str, Any], path)
    kind = block.get("type")
    if kind is None:
        raise InvalidRequestError(f"{path}.type: Field required")
    if not isinstance(kind, str):
        raise InvalidRequestError(f"{path}.type: Input should be a valid string")
    cls = _BLOCKS.get(kind)
    if cls is None:
        return OtherBlock(kind, block)
    members = _MEMBERS[cls]
    if not is_zero(block.get("cache_control")) and "cache_control" not in members:  # thinking
        raise InvalidRequestError(f"{path}.{kind}.cache_control: Extra inputs are not permitted")
    optional = _OPTIONAL[cls]
    known = {
        name: value
        for name, value in block.items()
        if name in members and not (name in optional and is_zero(value))
    }
    unknown += [f"{_bracketed(path)}.{name}" for name in _others(block, members)]
    inner = block.get("content")
    if "content" not in members or not isinstance(inner, list):
        made: Block = _converted(known, cls, path)
        return made
    outer: ToolResultBlock | SearchResultBlock = _converted({**known, "content": []}, cls, path)
    outer.content = read_blocks(inner, f"{path}.content", unknown)
    return outer


def _system(system: Any, unknown: list[str]) -> list[TextBlock]:
    if is_zero(system):
        return []
    blocks = read_blocks(system, "system", unknown)
    for index, block in enumerate(blocks):
        if not isinstance(block, TextBlock):
            raise InvalidRequestError(f"system.{index}.type: Input should be 'text'")
    return [block for block in blocks if isinstance(block, TextBlock)]


def _tool(item: Any, index: int) -> Tool:
    path = f"tools.{index}"
    if is_object(item) and item.keys() == _PLAIN_TOOL:  # nearly every tool
        name, description, schema = item["name"], item["description"], item["input_schema"]
        typed = isinstance(name, str) and isinstance(description, str) and is_object(schema)
        if typed and name and description and schema:
            return Tool(name, "custom", description, schema)
    given = _converted(item, dict[str, Any], path)
    members = {
        name: value
        for name, value in given.items()
        if name != "rest"
        and value is not None
        and (name in ("name", "input_schema") or value not in ("", [], {}))
    }
    tool: Tool = _converted(members, Tool, path)
    tool.rest = {name: given[name] for name in _others(given, Tool.__struct_fields__[:-1])}
    if tool.type == "custom":
        for required in ("name", "input_schema"):
            if getattr(tool, required) in ("", None):
                raise InvalidRequestError(f"{path}.custom.{required}: Field required")
    return tool


def _tool_choice(body: Mapping[str, Any], unknown: list[str]) -> ToolChoice | None:
    given = _optional(body, "tool_choice", dict[str, Any])
    if given is None:
        return None
    choice: ToolChoice = _converted(given, ToolChoice, "tool_choice")
    if choice.type == "tool" and not choice.name:
        raise InvalidRequestError("tool_choice.tool.name: Field required")
    known = ("type", "disable_parallel_tool_use", *(("name",) if choice.type == "tool" else ()))
    unknown += [f"tool_choice.{name}" for name in _others(given, known)]
    return choice


def _member(body: Mapping[str, Any], name: str, type: type[S]) -> S:
    if body.get(name) is None:
        raise InvalidRequestError(f"{name}: Field required")
    value: S = _converted(body[name], type, name)
    return value


def _optional(body: Mapping[str, Any], name: str, type: type[S]) -> S | None:
    """Returns an optional member; None if it is absent, null or empty. A number may be 0."""
    value = body.get(name)
    absent = value in (None, "", [], {}) or value is False or (not value and type not in (int, float))
    return None if absent else _converted(value, type, name)


def _others(given: Mapping[str, Any], known: Container[str]) -> list[str]:
    """Returns the names of unknown members that are not empty."""
    return [name for name, value in given.items() if name not in known and not is_blank(value)]


_WORDS = {
    "str": "string",
    "int": "integer",
    "bool": "boolean",
    "float": "number",
    "array": "list",
    "object": "dictionary",
}


def _converted(value: Any, type: Any, path: str) -> Any:
    """Returns `value` as `type`. Raises InvalidRequestError with Anthropic's error text."""
    try:
        return msgspec.convert(whole(value) if type is int else value, type)
    except msgspec.ValidationError as error:
        why, _, where = str(error).partition(" - at `$")
    inner = where.rstrip("`").replace("[", ".").replace("]", "")
    path += inner if inner.startswith(".") or not inner else f".{inner}"
    if why.startswith("Object missing required field `"):
        raise InvalidRequestError(f"{path}.{why.split('`')[1]}: Field required")
    if why.startswith("Expected `"):
        word = why.split("`")[1].partition(" ")[0]
        raise InvalidRequestError(f"{path}: Input should be a valid {_WORDS.get(word, word)}")
    raise InvalidRequestError(f"{path}: {why}")


def _bracketed(path: str) -> str:
    """Returns `messages.0.content.1` as `messages[0].content[1]`, the form of paths in lists of fields."""
    return "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in path.split(".")).lstrip(".")
