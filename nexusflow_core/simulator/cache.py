"""The prompt cache of a simulated upstream. Its entries decide the cache counts of an answer."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct

from nexusflow_core.caching import CacheSimulator, Prediction, Prompt, Tokens

__all__ = ["BEGINNING", "CacheAt", "SimulatedCache"]

MAX_ENTRIES: Final = 16_384

BEGINNING: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""The default time of a request."""


class SimulatedCache:
    """The cache of one upstream, by Anthropic's rules: hashes and sizes of at most MAX_ENTRIES entries."""

    def __init__(self) -> None:
        self._sizes = _Sizes()
        self._cache = CacheSimulator(counter=self._sizes, limit=MAX_ENTRIES)

    def __len__(self) -> int:
        """Returns the number of entries."""
        return len(self._cache)

    def step(self, request: Mapping[str, Any], sizes: Sequence[int], total: int, at: datetime) -> Prediction:
        """Returns the tokens that a request reads and writes, and updates the cache.

        `sizes`: tokens up to the end of each block, in the order of the prefix. Raises InvalidRequestError.
        """
        prompt = self._cache.read(request)
        self._sizes.ends, self._sizes.whole = sizes, total
        return self._cache.step(prompt, at=at)


class CacheAt(Struct, frozen=True):
    """A cache, and the time of one request to it."""

    cache: SimulatedCache
    at: datetime


class _Sizes:
    """A counter with the known sizes of the current request."""

    ends: Sequence[int] = ()
    whole = 0

    def size(self, prompt: Prompt, index: int) -> Tokens:
        return Tokens.exactly(self.ends[index])

    def known(self, prompt: Prompt, index: int) -> int | None:
        return self.ends[index]

    def total(self, prompt: Prompt) -> Tokens:
        return Tokens.exactly(self.whole)

    def learn(self, prompt: Prompt, index: int, tokens: int) -> None:
        """Learns nothing: all sizes are known."""

    def learn_total(self, prompt: Prompt, tokens: int) -> None:
        """Learns nothing: all sizes are known."""
