"""The size of a prompt in tokens, with its cached prefix counted separately."""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from nexusflow_core.counting import MESSAGE_TOKENS, TokenSum
from nexusflow_core.untyped import is_list, object_of

__all__ = ["PromptTokens", "prompt_tokens"]


class PromptTokens(Struct, frozen=True):
    """Tokens of a prompt in disjoint classes."""

    uncached: int
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0

    @property
    def total(self) -> int:
        """The whole prompt, as count_tokens reports it."""
        return self.uncached + self.cache_read + self.cache_write_5m + self.cache_write_1h


def prompt_tokens(body: Mapping[str, Any]) -> PromptTokens:
    """Returns the size of the prompt, with the part up to the last cache marker separate.

    A pure function has no memory, so the conversation decides: with an assistant turn it was sent before, and
    its prefix is read. A first turn writes it: up to the last 1h marker for 1h, the rest for 5m.
    """
    total = until_1h = until_last = 0
    for total, ttl in _sums(body):
        if ttl is not None:
            until_last = total
        if ttl == "1h":
            until_1h = total
    messages = body.get("messages")
    earlier = messages[:-1] if is_list(messages) else []
    if any(object_of(message).get("role") == "assistant" for message in earlier):
        return PromptTokens(total - until_last, cache_read=until_last)
    return PromptTokens(total - until_last, cache_write_5m=until_last - until_1h, cache_write_1h=until_1h)


def _sums(body: Mapping[str, Any]) -> Iterator[tuple[int, str | None]]:
    """Yields the tokens up to each piece of the prompt, and the ttl of its cache marker, in cache order."""
    counted = TokenSum()
    for tool in _objects(body.get("tools")):
        counted.tool(tool)
        yield counted.total, _ttl(tool)
    for block in _objects(body.get("system")):
        counted.block(block)
        yield counted.total, _ttl(block)
    for message in _objects(body.get("messages")):
        counted.tokens += MESSAGE_TOKENS
        for block in _objects(message.get("content")):
            counted.block(block)
            inner = _objects(block.get("content")) if block.get("type") == "tool_result" else []
            yield counted.total, next(filter(None, map(_ttl, (block, *inner))), None)
    yield counted.total, _ttl(body)  # the top-level marker counts as one on the last block


def _objects(content: Any) -> list[dict[str, Any]]:
    """Returns a list's objects, or a string as one text block."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [object_of(item) for item in content] if is_list(content) else []


def _ttl(holder: Mapping[str, Any]) -> str | None:
    marker = holder.get("cache_control")
    if not isinstance(marker, dict):
        return None
    return "1h" if object_of(marker).get("ttl") == "1h" else "5m"
