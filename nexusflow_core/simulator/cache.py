"""The prompt cache of a simulated upstream. Its entries decide the cache counts of an answer.

All protocols give their prompts as bodies of the Messages API: tools, system and messages with blocks.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from nexusflow_core.caching import ANTHROPIC, OPENAI, CacheSimulator, Prediction, Prompt, Rules, Tokens
from nexusflow_core.counting import MESSAGE_TOKENS, TokenSum
from nexusflow_core.untyped import list_of, object_of

__all__ = ["BEGINNING", "CacheAt", "SimulatedCache", "blocks_of", "prefix_sizes"]

MAX_ENTRIES: Final = 16_384

BEGINNING: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""The default time of a request."""

_RULES: Final = (ANTHROPIC, replace(OPENAI, wire=ANTHROPIC.wire))


class SimulatedCache:
    """The caches of one upstream: hashes and sizes of at most MAX_ENTRIES entries for each vendor's rules."""

    def __init__(self) -> None:
        self.sizes = _Sizes()
        self.caches = {rules.vendor: CacheSimulator(rules, self.sizes, limit=MAX_ENTRIES) for rules in _RULES}

    def __len__(self) -> int:
        """Returns the number of entries."""
        return sum(map(len, self.caches.values()))


class CacheAt(Struct, frozen=True):
    """A cache, and the time of one request to it."""

    cache: SimulatedCache
    at: datetime

    def step(
        self, rules: Rules, request: Mapping[str, Any], sizes: Sequence[int], scope: str = ""
    ) -> Prediction:
        """Returns the tokens that a request reads and writes by these rules, and updates the cache.

        `sizes`: tokens up to the end of each block, and of the whole prompt. Raises InvalidRequestError.
        """
        cache = self.cache.caches[rules.vendor]
        prompt = cache.read(request, scope=scope)
        self.cache.sizes.ends = sizes
        return cache.step(prompt, at=self.at)


def prefix_sizes(prompt: Mapping[str, Any], counted: TokenSum) -> list[int]:
    """Returns the tokens up to the end of each block, in cache order, and the total as the last item."""
    sizes: list[int] = []
    for tool in blocks_of(prompt.get("tools")):
        counted.tool(tool)
        sizes.append(counted.total)
    for block in blocks_of(prompt.get("system")):
        counted.block(block)
        sizes.append(counted.total)
    for message in blocks_of(prompt.get("messages")):
        counted.tokens += MESSAGE_TOKENS
        for block in blocks_of(message.get("content")):
            counted.block(block)
            sizes.append(counted.total)
    return [*sizes, counted.total]


def blocks_of(content: Any) -> list[dict[str, Any]]:
    """Returns a list's objects, or a string as one text block."""
    return (
        [{"type": "text", "text": content}] if isinstance(content, str) else [*map(object_of, list_of(content))]
    )


class _Sizes:
    """A counter with the known sizes of the current request."""

    ends: Sequence[int] = (0,)

    def size(self, prompt: Prompt, index: int) -> Tokens:
        return Tokens.exactly(self.ends[index])

    def known(self, prompt: Prompt, index: int) -> int | None:
        return self.ends[index]

    def total(self, prompt: Prompt) -> Tokens:
        return Tokens.exactly(self.ends[-1])

    def learn(self, prompt: Prompt, index: int, tokens: int) -> None:
        """Learns nothing: all sizes are known."""

    def learn_total(self, prompt: Prompt, tokens: int) -> None:
        """Learns nothing: all sizes are known."""
