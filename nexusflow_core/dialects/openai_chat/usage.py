"""ChatUsage: finds the usage in an answer."""

from nexusflow_core.dialects.openai_chat.context import ChatAsked
from nexusflow_core.dialects.openai_chat.schema import Chunk
from nexusflow_core.translation.usage import UsageTap

__all__ = ["ChatUsage"]


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
