"""Shares: splits the tokens that were read and written among the breakpoints of a request."""

from msgspec import Struct

from nexusflow_core.caching.counters import Counter, sizes_of
from nexusflow_core.caching.prompt import Mark, Prompt
from nexusflow_core.caching.rules import Level
from nexusflow_core.caching.tokens import Counted

__all__ = ["Share", "shares"]


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


def _label(prompt: Prompt, mark: Mark) -> str:
    """Returns a name: the block's path, or in messages a number from the end, since those move each turn."""
    if mark.automatic:
        return "automatic"
    if prompt.level(mark.index) is not Level.MESSAGES:
        return prompt.path(mark.index)
    later = sum(1 for other in prompt.marks if other.index > mark.index and not other.automatic)
    return "messages, last" if not later else f"messages, {later} before the last"
