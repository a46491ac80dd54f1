"""ChatUsage: finds the usage in an answer. And the estimate of a prompt, for servers that send none."""

from collections.abc import Iterable

from nexusflow_core.counting import IMAGE_TOKENS, PAGE_TOKENS, TOKEN_BYTES, pages
from nexusflow_core.dialects.openai_chat.context import ChatAsked
from nexusflow_core.dialects.openai_chat.schema import Chunk
from nexusflow_core.translation.documents import Part
from nexusflow_core.translation.usage import UsageTap
from nexusflow_core.untyped import is_list

__all__ = ["ChatUsage", "estimated_prompt"]


class ChatUsage(UsageTap):
    """Reads usage from chunks, or from a whole answer."""

    def __init__(self, asked: ChatAsked) -> None:
        row = asked.vendor
        super().__init__(asked.vendor_name, asked.prompt_tokens, output_by_total=row.output_by_total)

    def take(self, chunk: Chunk) -> None:
        """Takes a chunk, or a whole answer."""
        if isinstance(chunk.service_tier, str):
            self.service_tier = chunk.service_tier
        has_usage = chunk.usage or chunk.x_groq  # most chunks have text and nothing else
        for choice in chunk.choices or ():
            message = choice.delta or choice.message
            if message is not None and (message.reasoning_content or message.reasoning):
                self.thinks = True
            has_usage = has_usage or choice.usage
        for usage in chunk.usages() if has_usage else ():
            self.add(usage)


def estimated_prompt(size: int, messages: Iterable[Part]) -> int:
    """Returns the estimated tokens of a request of this many bytes, as count_tokens estimates them.

    That is four bytes per token, and a flat count for each image and each page of a PDF.
    """
    tokens = 0
    for message in messages:
        content = message.get("content")
        for part in content if is_list(content) else ():
            if part["type"] == "image_url":
                size -= len(part["image_url"]["url"])
                tokens += IMAGE_TOKENS
            elif part["type"] == "file":
                data = part["file"]["file_data"]
                size -= len(data)
                tokens += PAGE_TOKENS * max(1, pages(data.partition(",")[2]))
    return tokens + -(-size // TOKEN_BYTES)
