"""The size of a prompt in tokens, with its cached prefix counted separately."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from nexusflow_core.counting import MESSAGE_TOKENS, TokenSum
from nexusflow_core.simulator.cache import CacheAt
from nexusflow_core.untyped import is_list, object_of

__all__ = ["PromptTokens", "cached_tokens", "prompt_total"]


class PromptTokens(Struct, frozen=True):
    """Tokens of a prompt in disjoint classes."""

    uncached: int
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0


def prompt_total(body: Mapping[str, Any]) -> int:
    """Returns the size of the whole prompt, as count_tokens reports it."""
    return _sums(body)[-1]


def cached_tokens(body: Mapping[str, Any], cache: CacheAt) -> PromptTokens:
    """Returns the tokens of a prompt: uncached, read and written. Updates the cache.

    Raises InvalidRequestError for breakpoints that the API refuses.
    """
    *ends, total = _sums(body)
    found = cache.cache.step(body, ends, total, cache.at)
    return PromptTokens(found.uncached.best, found.read.best, found.write_5m.best, found.write_1h.best)


def _sums(body: Mapping[str, Any]) -> list[int]:
    """Returns the tokens up to the end of each block, in cache order, and the total as the last item."""
    counted, sums = TokenSum(), list[int]()
    for tool in _objects(body.get("tools")):
        counted.tool(tool)
        sums.append(counted.total)
    for block in _objects(body.get("system")):
        counted.block(block)
        sums.append(counted.total)
    for message in _objects(body.get("messages")):
        counted.tokens += MESSAGE_TOKENS
        for block in _objects(message.get("content")):
            counted.block(block)
            sums.append(counted.total)
    return [*sums, counted.total]


def _objects(content: Any) -> list[dict[str, Any]]:
    """Returns a list's objects, or a string as one text block."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [object_of(item) for item in content] if is_list(content) else []
