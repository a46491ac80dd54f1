"""Requests of the Messages API as typed blocks, for code that must understand them."""

from nexusflow_core.messages.reading import blocks_of, read_blocks, read_body, read_request, request_of
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
    "blocks_of",
    "read_blocks",
    "read_body",
    "read_request",
    "request_of",
]
