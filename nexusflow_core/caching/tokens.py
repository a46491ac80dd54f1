"""Counts of tokens: exact or between two bounds; and the counts of a prompt in an answer's usage."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from nexusflow_core.untyped import object_of
from nexusflow_core.usage import Usage

__all__ = ["Counted", "Tokens"]


class Tokens(Struct, frozen=True, gc=False):
    """A count of tokens. `best` is exact if `least` equals `most`; otherwise it is an estimate between them."""

    least: int
    best: int
    most: int

    @classmethod
    def exactly(cls, tokens: int) -> "Tokens":
        """Returns an exact count."""
        return cls(tokens, tokens, tokens)

    @property
    def exact(self) -> bool:
        return self.least == self.most

    def may_be(self, tokens: int) -> bool:
        """Returns True if the count can have this value."""
        return self.least <= tokens <= self.most

    def above(self, lower: "Tokens") -> "Tokens":
        """Returns the tokens of this prefix beyond a shorter one."""
        best = max(0, self.best - lower.best)
        if self.exact and lower.exact:
            return Tokens.exactly(best)
        return Tokens(max(0, self.least - lower.most), best, max(best, self.most - lower.least))

    def __str__(self) -> str:
        return f"{self.best:,}" if self.exact else f"about {self.best:,} ({self.least:,} to {self.most:,})"


class Counted(Struct, frozen=True):
    """The usage of one answer's prompt, in tokens that do not overlap.

    `calls`: how many times the model ran. Server tools make it run again; all counts are sums then.
    `thought`: the answer began with thinking.
    """

    read: int
    write_5m: int
    write_1h: int
    uncached: int
    calls: int = 1
    thought: bool = False

    @property
    def written(self) -> int:
        return self.write_5m + self.write_1h

    @property
    def total(self) -> int:
        """The tokens of the whole prompt, summed over the runs of the model."""
        return self.read + self.written + self.uncached

    @classmethod
    def of(cls, usage: "Usage | Mapping[str, Any]", *, runs: int = 1) -> "Counted":
        """Returns the counts in a Usage, or in the `usage` object of Anthropic's answer.

        `runs`: how often the model ran, if that is known otherwise. Raises InvalidUsageError.
        """
        counts = usage if isinstance(usage, Usage) else Usage.from_wire(usage, "anthropic")
        if not isinstance(usage, Usage):
            used = object_of(usage.get("server_tool_use"))
            runs = 1 + sum(count for count in used.values() if isinstance(count, int))
        return cls(
            counts.cache_read_tokens,
            counts.cache_write_5m_tokens,
            counts.cache_write_1h_tokens,
            counts.input_tokens,
            max(runs, 1 + counts.web_searches),
            counts.reasoning_tokens > 0,
        )
