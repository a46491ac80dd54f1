"""Counters: how many tokens a prefix has. One estimates; one solves them from usage that was recorded."""

from collections.abc import Mapping
from typing import Final, Protocol

from nexusflow_core.caching.prompt import Prompt
from nexusflow_core.caching.tokens import Tokens

__all__ = ["Counter", "RatioCounter", "RecordedCounter", "sizes_of"]

MAX_KNOWN: Final = 65_536
"""Prefixes whose size is remembered; beyond it the oldest are forgotten."""

_LOW, _HIGH = (1, 2), (2, 1)


class Counter(Protocol):
    """Sizes of prefixes, in tokens. A counter that learns is told each size that usage proved."""

    def size(self, prompt: Prompt, index: int) -> Tokens:
        """Returns the tokens of the prefix up to a block."""
        ...

    def total(self, prompt: Prompt) -> Tokens:
        """Returns the tokens of the whole prompt, never fewer than those of any prefix."""
        ...

    def learn(self, prompt: Prompt, index: int, tokens: int) -> None:
        """Takes in the exact size of a prefix."""
        ...

    def learn_total(self, prompt: Prompt, tokens: int) -> None:
        """Takes in the exact size of a whole prompt."""
        ...


class RatioCounter:
    """Estimates by size alone: `scale` times the weight of the blocks, and half and double as bounds."""

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale

    def size(self, prompt: Prompt, index: int) -> Tokens:
        """Returns an interval, always."""
        best = int(prompt.weights[index] * self._scale)
        return Tokens(best // 2, best, 2 * best + 2)

    def total(self, prompt: Prompt) -> Tokens:
        """Returns an interval, always."""
        return self.size(prompt, -1) if prompt.weights else Tokens(0, 0, 0)

    def learn(self, prompt: Prompt, index: int, tokens: int) -> None:
        """Learns nothing."""

    def learn_total(self, prompt: Prompt, tokens: int) -> None:
        """Learns nothing."""


class RecordedCounter:
    """Knows the prefixes that earlier usage proved, and estimates the others from the nearest ones known."""

    def __init__(self, limit: int = MAX_KNOWN) -> None:
        self._limit = limit
        self._prefixes: dict[bytes, int] = {}
        self._totals: dict[bytes, int] = {}

    def size(self, prompt: Prompt, index: int) -> Tokens:
        """Returns the exact size of a known prefix; else an interval between the nearest known ones."""
        prefixes, weights = prompt.prefixes, prompt.weights
        known = self._prefixes.get(prefixes[index])
        if known is not None:
            return Tokens.exactly(known)
        base, weight = self._below(prompt, index)
        ceiling, ahead = self._above(prompt, index)
        return _between(base, weights[index] - weight, ceiling, ahead - weights[index])

    def total(self, prompt: Prompt) -> Tokens:
        """Returns the exact size of a prompt that was seen before; else an interval."""
        if not prompt.prefixes:
            return Tokens.exactly(0)
        known = self._totals.get(prompt.prefixes[-1])
        return Tokens.exactly(known) if known is not None else self.size(prompt, len(prompt.prefixes) - 1)

    def learn(self, prompt: Prompt, index: int, tokens: int) -> None:
        """Remembers the size of a prefix."""
        _remember(self._prefixes, prompt.prefixes[index], tokens, self._limit)

    def learn_total(self, prompt: Prompt, tokens: int) -> None:
        """Remembers the size of a whole prompt."""
        if prompt.prefixes:
            _remember(self._totals, prompt.prefixes[-1], tokens, self._limit)

    def _below(self, prompt: Prompt, index: int) -> tuple[int, int]:
        """Tokens and weight of the longest prefix below a block that is known, be it as a whole prompt."""
        sizes, totals = self._prefixes, self._totals
        for at in range(index - 1, -1, -1):
            prefix = prompt.prefixes[at]
            if (known := sizes.get(prefix, totals.get(prefix))) is not None:
                return known, prompt.weights[at]
        return 0, 0

    def _above(self, prompt: Prompt, index: int) -> tuple[int | None, int]:
        """Tokens and weight of the shortest prefix above a block that is known; None where there is none."""
        for at in range(index + 1, len(prompt.prefixes)):
            if (known := self._prefixes.get(prompt.prefixes[at])) is not None:
                return known, prompt.weights[at]
        return self._totals.get(prompt.prefixes[-1]), prompt.weights[-1]


def _between(base: int, grown: int, ceiling: int | None, ahead: int) -> Tokens:
    """A known size, what was estimated on top of it, and a known size that it cannot pass."""
    least, most = base + grown * _LOW[0] // _LOW[1], base + grown * _HIGH[0] // _HIGH[1] + 2
    if ceiling is None:
        return Tokens(least, base + grown, most)
    room = max(0, ceiling - base)
    best = base + room * grown // max(1, grown + ahead)
    return Tokens(min(least, best), best, max(best, min(most, ceiling)))


def _remember(known: dict[bytes, int], prefix: bytes, tokens: int, limit: int) -> None:
    known.pop(prefix, None)
    if len(known) >= limit:
        del known[next(iter(known))]
    known[prefix] = tokens


def sizes_of(counter: Counter, prompt: Prompt) -> Mapping[int, Tokens]:
    """Returns the sizes at every breakpoint of a prompt, none smaller than the one before it."""
    found: dict[int, Tokens] = {}
    floor = Tokens.exactly(0)
    for mark in prompt.marks:
        size = counter.size(prompt, mark.index)
        if size.best < floor.best:
            size = Tokens(min(size.least, floor.best), floor.best, max(size.most, floor.best))
        found[mark.index] = floor = size
    return found
