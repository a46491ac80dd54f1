"""The prompt cache of a simulated upstream. Its entries decide the cache counts of an answer.

All protocols give their prompts as bodies of the Messages API: tools, system and messages with blocks.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from nexusflow_core.caching import ANTHROPIC, OPENAI, CacheSimulator, Prediction, Prompt, Rules, Tokens
from nexusflow_core.caching.counters import RatioCounter

__all__ = ["BEGINNING", "CacheAt", "SimulatedCache"]

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


class _Sizes(RatioCounter):
    """A counter with the known sizes of the current request."""

    ends: Sequence[int] = (0,)

    def size(self, prompt: Prompt, index: int) -> Tokens:
        return Tokens.exactly(self.ends[index])

    def known(self, prompt: Prompt, index: int) -> int | None:
        return self.ends[index]

    def total(self, prompt: Prompt) -> Tokens:
        return Tokens.exactly(self.ends[-1])
