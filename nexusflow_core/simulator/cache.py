"""The prompt cache of a simulated upstream: what it holds decides what an answer counts."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct

from nexusflow_core.caching import CacheSimulator, Prediction, Prompt, Tokens

__all__ = ["BEGINNING", "CacheAt", "SimulatedCache"]

MAX_ENTRIES: Final = 16_384

BEGINNING: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""The time of a request without one."""


class SimulatedCache:
    """The cache of one upstream, by the rules. It keeps hashes and sizes, of MAX_ENTRIES entries at most."""

    def __init__(self) -> None:
        self._sizes = _Sizes()
        self._cache = CacheSimulator(counter=self._sizes, limit=MAX_ENTRIES)

    def __len__(self) -> int:
        """Returns the number of entries."""
        return len(self._cache)

    def step(self, request: Mapping[str, Any], sizes: Sequence[int], total: int, at: datetime) -> Prediction:
        """Returns what a request reads and writes, and makes it so.

        `sizes`: tokens up to the end of each block, in the order of the prefix. Raises InvalidRequestError.
        """
        prompt = self._cache.read(request)
        self._sizes.ends, self._sizes.whole = sizes, total
        return self._cache.step(prompt, at=at)


class CacheAt(Struct, frozen=True):
    """A cache, and the time of the request that is sent to it."""

    cache: SimulatedCache
    at: datetime


class _Sizes:
    """A counter that knows the sizes of the request at hand."""

    ends: Sequence[int] = ()
    whole = 0

    def size(self, prompt: Prompt, index: int) -> Tokens:
        return Tokens.exactly(self.ends[index])

    def known(self, prompt: Prompt, index: int) -> int | None:
        return self.ends[index]

    def total(self, prompt: Prompt) -> Tokens:
        return Tokens.exactly(self.whole)

    def learn(self, prompt: Prompt, index: int, tokens: int) -> None:
        """There is nothing to learn."""

    def learn_total(self, prompt: Prompt, tokens: int) -> None:
        """There is nothing to learn."""
