"""Counters: how many tokens a prefix has. One estimates it; the other learns it from recorded usage.

Shares split the counts of an answer by the breakpoints of its request.
"""

from collections import OrderedDict
from itertools import compress, count, islice
from typing import Final, Protocol

from msgspec import Struct

from nexusflow_core.caching.prompt import Breakpoint, Prompt
from nexusflow_core.caching.rules import Level
from nexusflow_core.caching.tokens import Counted, Tokens

__all__ = ["Counter", "RatioCounter", "RecordedCounter", "Share", "shares", "sizes_of"]

MAX_KNOWN: Final = 65_536
"""Bound on the remembered sizes. Beyond it the oldest are forgotten."""

_LOW, _HIGH = (1, 2), (2, 1)


class Counter(Protocol):
    """Sizes of prefixes, in tokens. `learn` and `learn_total` report the exact sizes that usage has shown."""

    def size(self, prompt: Prompt, index: int) -> Tokens:
        """Returns the tokens of the prefix up to a block."""
        ...

    def known(self, prompt: Prompt, index: int) -> int | None:
        """Returns the tokens of the prefix up to a block if they are proved, else None."""
        ...

    def total(self, prompt: Prompt) -> Tokens:
        """Returns the tokens of the whole prompt, never fewer than those of any prefix."""
        ...

    def learn(self, prompt: Prompt, index: int, tokens: int) -> None:
        """Reports the exact size of the prefix up to a block."""
        ...

    def learn_total(self, prompt: Prompt, tokens: int) -> None:
        """Reports the exact size of a whole prompt."""
        ...


class RatioCounter:
    """Estimates from the size alone: `scale` times the weight of the blocks, with half and double as bounds."""

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale

    def size(self, prompt: Prompt, index: int) -> Tokens:
        """Returns an estimate, never an exact count."""
        best = int(prompt.weights[index] * self._scale)
        return Tokens(best // 2, best, 2 * best + 2)

    def known(self, prompt: Prompt, index: int) -> int | None:
        """Knows nothing."""
        return None

    def total(self, prompt: Prompt) -> Tokens:
        """Returns an estimate, never an exact count."""
        return self.size(prompt, -1) if prompt.weights else Tokens(0, 0, 0)

    def learn(self, prompt: Prompt, index: int, tokens: int) -> None:
        """Learns nothing."""

    def learn_total(self, prompt: Prompt, tokens: int) -> None:
        """Learns nothing."""


class RecordedCounter:
    """Remembers sizes that earlier usage has shown, and estimates others between the nearest known ones."""

    def __init__(self, limit: int = MAX_KNOWN) -> None:
        self._limit = limit
        self._prefixes: OrderedDict[bytes, int] = OrderedDict()
        self._totals: OrderedDict[bytes, int] = OrderedDict()

    def size(self, prompt: Prompt, index: int) -> Tokens:
        """Returns the exact size of a known prefix, else an estimate between the nearest known ones."""
        prefixes, weights = prompt.prefixes, prompt.weights
        known = self._prefixes.get(prefixes[index])
        if known is not None:
            return Tokens.exactly(known)
        base, weight = self._below(prompt, index)
        ceiling, ahead = self._above(prompt, index)
        return _between(base, weights[index] - weight, ceiling, ahead - weights[index])

    def known(self, prompt: Prompt, index: int) -> int | None:
        """Returns the size of a prefix that usage proved, else None."""
        return self._prefixes.get(prompt.prefixes[index])

    def total(self, prompt: Prompt) -> Tokens:
        """Returns the exact size of a prompt that was seen before, else an estimate."""
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
        """Returns tokens and weight of the longest known prefix below a block. Whole prompts count too."""
        sizes, totals, below = self._prefixes, self._totals, prompt.prefixes[:index]
        below.reverse()
        size = next(compress(count(), map(sizes.__contains__, below)), index)
        total = next(compress(count(), map(totals.__contains__, below[:size])), index)
        at = min(size, total)
        if at == index:
            return 0, 0
        return (sizes if size <= total else totals)[below[at]], prompt.weights[index - 1 - at]

    def _above(self, prompt: Prompt, index: int) -> tuple[int | None, int]:
        """Returns tokens and weight of the shortest known prefix above a block; None if none is known."""
        sizes, above = self._prefixes, islice(prompt.prefixes, index + 1, None)
        at = next(compress(count(index + 1), map(sizes.__contains__, above)), None)
        if at is not None:
            return sizes[prompt.prefixes[at]], prompt.weights[at]
        return self._totals.get(prompt.prefixes[-1]), prompt.weights[-1]


def _between(base: int, grown: int, ceiling: int | None, ahead: int) -> Tokens:
    """Returns an estimate above the known size `base`: `grown` tokens more, at most `ceiling` in total."""
    least, most = base + grown * _LOW[0] // _LOW[1], base + grown * _HIGH[0] // _HIGH[1] + 2
    if ceiling is None:
        return Tokens(least, base + grown, most)
    room = max(0, ceiling - base)
    best = base + room * grown // max(1, grown + ahead)
    return Tokens(min(least, best), best, max(best, min(most, ceiling)))


def _remember(known: OrderedDict[bytes, int], prefix: bytes, tokens: int, limit: int) -> None:
    known[prefix] = tokens
    known.move_to_end(prefix)
    if len(known) > limit:
        known.popitem(last=False)


def sizes_of(counter: Counter, prompt: Prompt, *, proved: int = -1) -> dict[int, Tokens]:
    """Returns the size at each breakpoint, by its block. No size is smaller than the one before it.

    Breakpoints before the block `proved` are left out if its size is known: none of theirs is larger.
    """
    found: dict[int, Tokens] = {}
    floor = Tokens.exactly(0)
    start = proved if proved >= 0 and counter.known(prompt, proved) is not None else 0
    for mark in prompt.marks:
        if mark.index < start:
            continue
        size = counter.size(prompt, mark.index)
        if size.best < floor.best:
            size = Tokens(min(size.least, floor.best), floor.best, max(size.most, floor.best))
        found[mark.index] = floor = size
    return found


class Share(Struct, frozen=True):
    """The tokens between one breakpoint and the previous one that were read and written.

    `exact` is False if the size of the prefix is an estimate.
    """

    breakpoint: str
    read: int
    write_5m: int
    write_1h: int
    exact: bool


def shares(prompt: Prompt, counter: Counter, counted: Counted) -> tuple[Share, ...]:
    """Returns the counts of one answer, split by breakpoint. They add up to the tokens read and written.

    () if the model ran several times, since the counts are sums then.
    """
    if counted.calls > 1 or not prompt.marks or not counted.read + counted.written:
        return ()
    sizes = sizes_of(counter, prompt)
    end = counted.read + counted.written
    until_long = counted.read + counted.write_1h
    found: list[Share] = []
    start = 0
    for mark in prompt.marks:
        last = mark is prompt.marks[-1]
        stop = end if last else max(start, min(sizes[mark.index].best, end))
        read = max(0, min(stop, counted.read) - start)
        long = max(0, min(stop, until_long) - max(start, counted.read))
        short = stop - start - read - long
        found.append(Share(_label(prompt, mark), read, short, long, last or sizes[mark.index].exact))
        start = stop
    return tuple(found)


def _label(prompt: Prompt, mark: Breakpoint) -> str:
    """Returns a name: the block's path, or in messages a number from the end, since those move each turn."""
    if mark.automatic:
        return "automatic"
    if prompt.level(mark.index) is not Level.MESSAGES:
        return prompt.path(mark.index)
    later = sum(1 for other in prompt.marks if other.index > mark.index and not other.automatic)
    return "messages, last" if not later else f"messages, {later} before the last"
