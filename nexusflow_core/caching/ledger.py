"""Ledger: what the cache saved and wasted, by conversation, breakpoint and reason, in exact integers."""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct, field

from nexusflow_core.caching.conversations import Conversation, Turn
from nexusflow_core.caching.counters import Share
from nexusflow_core.caching.misses import Miss
from nexusflow_core.errors import UnknownModelError
from nexusflow_core.prices import Price, PriceBook

__all__ = ["Costly", "Ledger", "Sums", "lost_femto_usd", "price_of"]

MAX_COSTLY = 100
"""Bound on the misses that are listed one by one, the most expensive first."""


class Sums(Struct):
    """Sums over turns, in tokens, and in femto-dollars compared with the price of input.

    `saved`: by reads. `extra`: the surcharge of writes. `lost`: tokens that could have been read, and `wasted`
    the amount paid for them. `unpriced`: turns without a price.
    """

    requests: int = 0
    read: int = 0
    write_5m: int = 0
    write_1h: int = 0
    uncached: int = 0
    lost: int = 0
    misses: int = 0
    saved: int = 0
    extra: int = 0
    wasted: int = 0
    unpriced: int = 0
    estimated: int = 0
    """Turns in which a breakpoint's share of the tokens is an estimate."""

    def add(self, other: "Sums") -> None:
        """Adds other sums to these."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Costly(Struct, frozen=True):
    """One miss and its cost."""

    conversation: str
    number: int
    """The number of the turn in its conversation, from 1."""
    at: datetime
    model: str
    miss: Miss
    lost: int
    femto_usd: int | None


class Ledger(Struct):
    """All sums of a log: in total, by conversation, by breakpoint, and by the reason of a miss."""

    total: Sums = field(default_factory=Sums)
    conversations: dict[str, Sums] = field(default_factory=dict[str, Sums])
    breakpoints: dict[str, Sums] = field(default_factory=dict[str, Sums])
    reasons: dict[str, Sums] = field(default_factory=dict[str, Sums])
    costly: list[Costly] = field(default_factory=list[Costly])

    @classmethod
    def of(cls, conversations: Iterable[Conversation], book: PriceBook | None = None) -> "Ledger":
        """Returns the sums of conversations. Turns without a price add only tokens, and count as `unpriced`."""
        ledger = cls()
        for conversation in conversations:
            for number, turn in enumerate(conversation.turns, 1):
                ledger._add(conversation.name, number, turn, price_of(turn, book))
        ledger.costly.sort(key=lambda costly: (-(costly.femto_usd or 0), -costly.lost))
        del ledger.costly[MAX_COSTLY:]
        return ledger

    def _add(self, name: str, number: int, turn: Turn, price: Price | None) -> None:
        wasted = lost_femto_usd(turn, price)
        reason = _group_of(turn.miss)
        groups = [self.total, self.conversations.setdefault(name, Sums())]
        if reason:
            groups.append(self.reasons.setdefault(reason, Sums()))
        for sums in groups:
            _add_turn(sums, turn, price, wasted or 0)
        for share in turn.shares:
            _add_share(self.breakpoints.setdefault(share.breakpoint, Sums()), share, price)
        if turn.miss is not None and turn.lost:
            miss = Costly(name, number, turn.at, turn.model, turn.miss, turn.lost, wasted)
            self.costly.append(miss)
            if len(self.costly) > 4 * MAX_COSTLY:
                self.costly.sort(key=lambda costly: (-(costly.femto_usd or 0), -costly.lost))
                del self.costly[MAX_COSTLY:]


def price_of(turn: Turn, book: PriceBook | None = None) -> Price | None:
    """Returns the price of a turn by its model, time and size; None if the book has none."""
    try:
        return (book or PriceBook.builtin()).price(turn.model, turn.at, turn.counted.total)
    except UnknownModelError:
        return None


def lost_femto_usd(turn: Turn, price: Price | None) -> int | None:
    """Returns the extra cost of a turn's lost tokens compared with a read; None without a price.

    Tokens that were written again cost a write, those of the longer lifetime first. The others cost input.
    """
    if price is None:
        return None
    long = min(turn.lost, turn.counted.write_1h)
    short = min(turn.lost - long, turn.counted.write_5m)
    plain = turn.lost - long - short
    paid = long * price.cache_write_1h + short * price.cache_write_5m + plain * price.input
    return max(0, paid - turn.lost * price.cache_read)


def _group_of(miss: Miss | None) -> str | None:
    """Returns the name of a miss's group: reason and place, without seconds and counts."""
    if miss is None:
        return None
    where = ",".join(miss.parameters) or ("" if miss.seconds is not None else miss.path or "")
    return f"{miss.reason.value} {where}".rstrip()


def _add_turn(sums: Sums, turn: Turn, price: Price | None, wasted: int) -> None:
    counted = turn.counted
    sums.requests += 1
    sums.read += counted.read
    sums.write_5m += counted.write_5m
    sums.write_1h += counted.write_1h
    sums.uncached += counted.uncached
    sums.lost += turn.lost
    sums.misses += turn.lost > 0
    sums.wasted += wasted
    sums.unpriced += price is None
    if price is not None:
        sums.saved += counted.read * (price.input - price.cache_read)
        sums.extra += _extra(counted.write_5m, counted.write_1h, price)


def _add_share(sums: Sums, share: Share, price: Price | None) -> None:
    sums.requests += 1
    sums.read += share.read
    sums.write_5m += share.write_5m
    sums.write_1h += share.write_1h
    sums.estimated += not share.exact
    sums.unpriced += price is None
    if price is not None:
        sums.saved += share.read * (price.input - price.cache_read)
        sums.extra += _extra(share.write_5m, share.write_1h, price)


def _extra(short: int, long: int, price: Price) -> int:
    return short * (price.cache_write_5m - price.input) + long * (price.cache_write_1h - price.input)
