"""What if: a conversation under another lifetime, or with a prefix that never changes, by its counts alone."""

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
"""Reasons that a client can do away with: it changed what need not change, or set too few breakpoints."""


class Lifetime(Enum):
    """How long entries would have lived."""

    AS_IT_WAS = "as it was"
    NONE = "no cache"
    SHORT = "5m"
    LONG = "1h"


class WhatIf(Struct, frozen=True):
    """The counts of each turn, and what the prompts would have cost in femto-dollars; None without a price."""

    turns: tuple[Counted, ...]
    femto_usd: int | None


def what_if(
    conversation: Conversation, lifetime: Lifetime, *, stable: bool = False, book: PriceBook | None = None
) -> WhatIf:
    """Returns a conversation as it would have been counted with entries of this lifetime.

    `stable`: as if no avoidable change had happened. A turn that cached nothing caches nothing here either;
    what was lost for another reason than time stays lost.
    """
    turns = tuple(_turns(conversation, lifetime, stable))
    costs = [
        femto_usd_of(counted, price_of(turn, book))
        for counted, turn in zip(turns, conversation.turns, strict=True)
    ]
    known = [cost for cost in costs if cost is not None]
    return WhatIf(turns, sum(known) if len(known) == len(costs) else None)


def gaps(conversation: Conversation) -> list[float]:
    """Returns the seconds between each turn that cached something and the one after it."""
    turns = conversation.turns
    return [
        max(0.0, (after.at - before.at).total_seconds())
        for before, after in pairwise(turns)
        if before.counted.read + before.counted.written
    ]


def femto_usd_of(counted: Counted, price: Price | None) -> int | None:
    """Returns what a prompt with these counts costs; None without a price."""
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
    """How many tokens a turn would have read of those that the turn before it left."""
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
    """The same prompt, of which so much was read."""
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
