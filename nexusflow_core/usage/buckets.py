"""Usage: what one answer used, in buckets that do not overlap, whatever form its vendor gave it in."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

__all__ = ["READERS", "Iteration", "Usage", "Wire"]

Wire: TypeAlias = Literal[
    "anthropic",
    "anthropic-stream",
    "anthropic-usage-report",
    "anthropic-cost-report",
    "openai-chat",
    "openai-responses",
    "deepseek-chat",
    "bedrock-converse",
    "openrouter",
]
"""Whose form a usage object has. The same names mean opposite things in two of them, so it is never guessed."""


class Iteration(Struct, frozen=True, gc=False):
    """One model call inside an answer that took several: a compaction, an advisor, a fallback, a message."""

    kind: str
    model: str | None = None
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    assumed_5m_tokens: int = 0


class Usage(Struct, frozen=True, gc=False):
    """What one answer used, in disjoint buckets: the prompt is the sum of the first four. All counts are
    tokens. `from_wire` checks them; one made by hand is taken as it is."""

    input_tokens: int = 0
    """Prompt tokens that were neither read from the cache nor written to it."""
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    """All output, thinking included."""
    web_searches: int = 0
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None
    iterations: tuple[Iteration, ...] = ()
    """Where there are any, they are what is billed; the counts above describe the last of them."""
    reasoning_tokens: int = 0
    """The part of the output that was thought; information only."""
    assumed_5m_tokens: int = 0
    """Cache writes that the vendor gave no lifetime for, counted as 5-minute ones."""
    prompt_above: int | None = None
    """For sums over many requests: the tier that the vendor's report names, by where it begins."""
    reported_femto_usd: int | None = None
    """What the vendor itself says that this cost."""
    flags: tuple[str, ...] = ()
    """What makes the counts less than certain."""
    explicit_cache: bool = False
    """The cache was used by markers, where the vendor prices that apart (Qwen)."""
    thinking: bool = False
    """It thought, though `reasoning_tokens` do not count how much."""

    @staticmethod
    def from_wire(usage: bytes | Mapping[str, Any] | list[Any], wire: Wire) -> "Usage":
        """Reads a vendor's usage object: JSON bytes, or decoded already.

        `anthropic-stream` takes the usage objects of message_start and each message_delta in a list, or the
        stream's own bytes. Raises InvalidUsage for counts that cannot be, and for an object that has none of
        its form's counts.
        """
        return READERS[wire](usage)

    @property
    def prompt_tokens(self) -> int:
        """The whole prompt, cached or not."""
        return (
            self.input_tokens + self.cache_read_tokens + self.cache_write_5m_tokens + self.cache_write_1h_tokens
        )


READERS: Final[dict[Wire, Callable[[Any], Usage]]] = {}
"""What reads each form. The readers make Usages and so stand above this module: `wires` enters them here, and
the package imports it, so that the table is full before anyone can ask."""
