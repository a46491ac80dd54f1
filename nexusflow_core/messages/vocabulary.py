"""The vocabulary of the Messages API: blocks, turns, tools, and the request made of them."""

from typing import Any, Literal, TypeAlias

from msgspec import Struct, field

__all__ = [
    "Block",
    "DocumentBlock",
    "ImageBlock",
    "InputMessage",
    "MessagesRequest",
    "OtherBlock",
    "RedactedThinkingBlock",
    "SearchResultBlock",
    "TextBlock",
    "ThinkingBlock",
    "Tool",
    "ToolChoice",
    "ToolReferenceBlock",
    "ToolResultBlock",
    "ToolUseBlock",
]


class _Block(Struct, tag_field="type", forbid_unknown_fields=True, gc=False):
    """Strict, so that a message with known members decodes in one pass (see `reading`).

    The garbage collector does not track blocks, since JSON has no cycles.
    """


class TextBlock(_Block, tag="text"):
    """Text of the user or the model."""

    text: str
    cache_control: Any = None
    citations: Any = None


class ImageBlock(_Block, tag="image"):
    """`source` is checked when it is translated: base64, url or file."""

    source: dict[str, Any]
    cache_control: Any = None
    transformations: Any = None


class DocumentBlock(_Block, tag="document"):
    """`source` is checked when it is translated: text, content, base64, url or file."""

    source: dict[str, Any]
    title: str | None = None
    context: str | None = None
    citations: Any = None
    cache_control: Any = None


class SearchResultBlock(_Block, tag="search_result"):
    """A result of the client's own search."""

    source: str
    title: str
    content: "list[Block]"
    citations: Any = None
    cache_control: Any = None


class ThinkingBlock(_Block, tag="thinking"):
    """A model's thinking, signed by the vendor that produced it."""

    thinking: str = ""
    signature: str = ""


class RedactedThinkingBlock(_Block, tag="redacted_thinking"):
    """Thinking that only its vendor can read."""

    data: str = ""


class ToolUseBlock(_Block, tag="tool_use"):
    """A tool call by the model. The client runs it."""

    id: str
    name: str
    input: dict[str, Any]
    caller: Any = None
    toolset_name: Any = None
    cache_control: Any = None


class ToolResultBlock(_Block, tag="tool_result"):
    """The result of a tool call. Results come first in the next user turn."""

    tool_use_id: str
    content: "str | list[Block] | None" = None
    is_error: bool | None = None
    toolset_name: Any = None
    cache_control: Any = None


class ToolReferenceBlock(_Block, tag="tool_reference"):
    """A tool found by the client's tool search. It occurs inside a tool result."""

    tool_name: str
    cache_control: Any = None


class OtherBlock(_Block, tag=""):
    """A block of a type without a class here, unchanged. `data` includes its `type`."""

    kind: str
    data: dict[str, Any]


Block: TypeAlias = (
    TextBlock
    | ImageBlock
    | DocumentBlock
    | SearchResultBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | ToolUseBlock
    | ToolResultBlock
    | ToolReferenceBlock
    | OtherBlock
)


class InputMessage(Struct, gc=False):
    """One turn. A string content becomes one text block. Several turns of one role may follow each other."""

    role: Literal["user", "assistant", "system"]
    content: list[Block]
    plain: bool = False
    """It holds no OtherBlock, as reading it has shown."""


class Tool(Struct, gc=False):
    """A custom tool, or one defined by Anthropic: then `type` names it, and `rest` holds its members."""

    name: str = ""
    type: str = "custom"
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None
    input_examples: list[Any] | None = None
    allowed_callers: list[str] | None = None
    cache_control: Any = None
    defer_loading: Any = None
    eager_input_streaming: Any = None
    rest: dict[str, Any] = field(default_factory=dict[str, Any])


class ToolChoice(Struct):
    """The client's choice: whether the model calls a tool, and which."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class MessagesRequest(Struct):
    """A request of the Messages API.

    `extra` holds members that control features of Anthropic, by name. `unknown` lists paths of unknown members.
    """

    model: str
    messages: list[InputMessage]
    max_tokens: int
    system: list[TextBlock]
    stream: bool
    stop_sequences: list[str]
    temperature: float | None
    top_p: float | None
    top_k: int | None
    tools: list[Tool]
    tool_choice: ToolChoice | None
    metadata: dict[str, Any]
    extra: dict[str, Any]
    unknown: list[str]
