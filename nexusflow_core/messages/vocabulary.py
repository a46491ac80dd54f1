"""The Messages vocabulary: blocks, turns, tools, and the request that they make."""

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
    """Strict, so that a message of known members alone is decoded in one go (see `reading`); unknown to the
    garbage collector, since JSON has no cycles."""


class TextBlock(_Block, tag="text"):
    """Text, of whichever side."""

    text: str
    cache_control: Any = None
    citations: Any = None


class ImageBlock(_Block, tag="image"):
    """`source` is checked by whoever sends it on: base64, url or file."""

    source: dict[str, Any]
    cache_control: Any = None
    transformations: Any = None


class DocumentBlock(_Block, tag="document"):
    """`source` is checked by whoever sends it on: text, content, base64, url or file."""

    source: dict[str, Any]
    title: str | None = None
    context: str | None = None
    citations: Any = None
    cache_control: Any = None


class SearchResultBlock(_Block, tag="search_result"):
    """A finding of the client's own search."""

    source: str
    title: str
    content: "list[Block]"
    citations: Any = None
    cache_control: Any = None


class ThinkingBlock(_Block, tag="thinking"):
    """A model's thoughts, signed by whoever made them."""

    thinking: str = ""
    signature: str = ""


class RedactedThinkingBlock(_Block, tag="redacted_thinking"):
    """Thoughts that only their maker can read."""

    data: str = ""


class ToolUseBlock(_Block, tag="tool_use"):
    """A call that the model makes and the client runs."""

    id: str
    name: str
    input: dict[str, Any]
    caller: Any = None
    toolset_name: Any = None
    cache_control: Any = None


class ToolResultBlock(_Block, tag="tool_result"):
    """What a call came to; it stands before all else in the turn after."""

    tool_use_id: str
    content: "str | list[Block] | None" = None
    is_error: bool | None = None
    toolset_name: Any = None
    cache_control: Any = None


class ToolReferenceBlock(_Block, tag="tool_reference"):
    """A tool that a search of the client's found; it stands in a tool's result."""

    tool_name: str
    cache_control: Any = None


class OtherBlock(_Block, tag=""):
    """A block of a type that has no class here, whole. `data` has its `type` too."""

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
    """One turn. A string content is one text block; neighbours of one role may follow each other."""

    role: Literal["user", "assistant", "system"]
    content: list[Block]


class Tool(Struct):
    """A custom tool, or one that Anthropic defines: then `type` says which, and `rest` has its members."""

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
    """Whether a tool is called, and which."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class MessagesRequest(Struct):
    """A request of the Messages API. `extra` has the members that steer Anthropic's own machinery, by name;
    `unknown` the paths of what nobody here knows."""

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
