"""What if: the cost of a conversation with another lifetime or a stable prefix, computed from its counts."""

from enum import Enum
from itertools import pairwise
from typing import Final

from msgspec import Struct

from nexusflow_core.caching.conversations import Conversation, Turn
from nexusflow_core.caching.ledger import price_of
from nexusflow_core.caching.misses import Reason
from nexusflow_core.caching.rules import ANTHROPIC
from nexusflow_core.caching.tokens import Counted
from nexusflow_core.prices import Price, PriceBook

__all__ = ["AVOIDABLE", "Lifetime", "WhatIf", "femto_usd_of", "gaps", "what_if"]

AVOIDABLE: Final = frozenset(
    {Reason.TOOLS_CHANGED, Reason.SYSTEM_CHANGED, Reason.PARAMETERS_CHANGED, Reason.LOOKBACK}
)
"""Reasons that a client can avoid: it changed the prefix without need, or set too few breakpoints."""


class Lifetime(Enum):
    """The lifetime to assume for all entries."""

    AS_IT_WAS = "as it was"
    NONE = "no cache"
    SHORT = "5m"
    LONG = "1h"


class WhatIf(Struct, frozen=True):
    """The assumed counts of each turn, and the cost of the prompts in femto-dollars; None without a price."""

    turns: tuple[Counted, ...]
    femto_usd: int | None


def what_if(
    conversation: Conversation, lifetime: Lifetime, *, stable: bool = False, book: PriceBook | None = None
) -> WhatIf:
    """Returns counts and cost of a conversation, if all entries had had this lifetime.

    `stable`: assumes that no avoidable miss happened. A turn that cached nothing still caches nothing. Other
    losses stay, except those of an expired entry.
    """
    turns = tuple(_turns(conversation, lifetime, stable))
    costs = [
        femto_usd_of(counted, price_of(turn, book))
        for counted, turn in zip(turns, conversation.turns, strict=True)
    ]
    known = [cost for cost in costs if cost is not None]
    return WhatIf(turns, sum(known) if len(known) == len(costs) else None)


def gaps(conversation: Conversation) -> list[float]:
    """Returns the seconds from each turn that cached something to the next turn."""
    turns = conversation.turns
    return [
        max(0.0, (after.at - before.at).total_seconds())
        for before, after in pairwise(turns)
        if before.counted.read + before.counted.written
    ]


def femto_usd_of(counted: Counted, price: Price | None) -> int | None:
    """Returns the cost of a prompt with these counts, in femto-dollars; None without a price."""
    if price is None:
        return None
    return (
        counted.read * price.cache_read
        + counted.write_5m * price.cache_write_5m
        + counted.write_1h * price.cache_write_1h
        + counted.uncached * price.input
    )


def _turns(conversation: Conversation, lifetime: Lifetime, stable: bool) -> list[Counted]:
    found: list[Counted] = []
    before: Turn | None = None
    cached = 0
    for turn in conversation.turns:
        counted = turn.counted
        end = counted.read + counted.written
        if counted.calls > 1 or not end:
            again = Counted(0, 0, 0, counted.total) if lifetime is Lifetime.NONE else counted
        else:
            read = _read(turn, before, cached, lifetime, stable)
            again = _split(counted, read, lifetime)
        found.append(again)
        before, cached = turn, end
    return found


def _read(turn: Turn, before: Turn | None, cached: int, lifetime: Lifetime, stable: bool) -> int:
    """Returns how many of the `cached` tokens of the previous turn this turn would have read."""
    counted, end = turn.counted, turn.counted.read + turn.counted.written
    if before is None or not cached:
        return counted.read
    avoidable = turn.miss is not None and turn.miss.reason in AVOIDABLE
    if turn.lost and not (turn.miss is not None and turn.miss.reason is Reason.EXPIRED):
        return min(cached, end) if stable and avoidable else counted.read
    if lifetime is Lifetime.AS_IT_WAS:
        return counted.read
    seconds = ANTHROPIC.lifetimes.get(lifetime.value, 0)
    gap = (turn.at - before.at).total_seconds()
    return min(cached, end) if gap < seconds else 0


def _split(counted: Counted, read: int, lifetime: Lifetime) -> Counted:
    """Returns the counts of the same prompt if `read` tokens were read and the rest of the prefix written."""
    written = counted.read + counted.written - read
    match lifetime:
        case Lifetime.NONE:
            return Counted(0, 0, 0, counted.total)
        case Lifetime.SHORT:
            return Counted(read, written, 0, counted.uncached)
        case Lifetime.LONG:
            return Counted(read, 0, written, counted.uncached)
        case Lifetime.AS_IT_WAS:
            long = min(written, counted.write_1h)
            return Counted(read, written - long, long, counted.uncached)
