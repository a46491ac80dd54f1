"""Advice: what to change, and how much it would have saved over the log."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import pairwise

from msgspec import Struct

from nexusflow_core.caching.conversations import Conversation, Conversations
from nexusflow_core.caching.ledger import Ledger, price_of
from nexusflow_core.caching.lifetimes import break_even, pings
from nexusflow_core.caching.misses import Reason
from nexusflow_core.caching.policies import Outcome, Policy, replay
from nexusflow_core.caching.rules import ANTHROPIC
from nexusflow_core.caching.what_if import AVOIDABLE, Lifetime, gaps, what_if
from nexusflow_core.prices import Price, PriceBook

__all__ = ["Advice", "Gaps", "advise", "gaps_of", "outcomes"]

_REPAIRS = {
    Reason.TOOLS_CHANGED: "Send the same tools in the same order with every request",
    Reason.SYSTEM_CHANGED: "Move what changes from the system prompt into the last message, and leave it there",
    Reason.PARAMETERS_CHANGED: "Keep these parameters the same within a conversation",
    Reason.LOOKBACK: "Set a breakpoint every 15 blocks at least, so that the lookback reaches the last entry",
}


class Advice(Struct, frozen=True):
    """One thing to do. `femto_usd`: the amount it would have saved over the log; None without a known price.

    `sample`: the number of requests it was computed from. Advice may overlap, so amounts cannot be added up.
    """

    what: str
    why: str
    femto_usd: int | None
    sample: int


class Gaps(Struct, frozen=True):
    """Pauses between requests: `short` is the share of gaps below 5 minutes, `long` that below an hour."""

    count: int
    short: Fraction
    long: Fraction


def gaps_of(conversations: Iterable[Conversation]) -> Gaps:
    """Returns the shares of the gaps after turns that cached something. All are 0 without such a gap.

    Calls without a session have no gaps.
    """
    connected = (conversation for conversation in conversations if conversation.connected)
    seconds = [gap for conversation in connected for gap in gaps(conversation)]
    if not seconds:
        return Gaps(0, Fraction(0), Fraction(0))
    limits = ANTHROPIC.lifetimes[ANTHROPIC.short], ANTHROPIC.lifetimes[ANTHROPIC.long]
    short, long = (Fraction(sum(gap < limit for gap in seconds), len(seconds)) for limit in limits)
    return Gaps(len(seconds), short, long)


def outcomes(conversations: Conversations, book: PriceBook | None = None) -> list[Outcome]:
    """Returns the cost of the logged requests under each policy; [] if the log contains no requests."""
    if not conversations.sent:
        return []
    return [replay(conversations.sent, policy, counter=conversations.counter, book=book) for policy in Policy]


def advise(conversations: Conversations, ledger: Ledger, book: PriceBook | None = None) -> list[Advice]:
    """Returns what to change, the most valuable first. Advice that would save nothing is left out."""
    chosen = [conversation for conversation in conversations if _has_lifetimes(conversation, book)]
    found = [
        *_repairs(ledger),
        *_lifetime(chosen, book),
        *_pings(chosen, book),
        *_useless(ledger),
        *_policy(conversations, book),
    ]
    found = [advice for advice in found if advice.femto_usd is None or advice.femto_usd > 0]
    return sorted(found, key=lambda advice: -(advice.femto_usd or 0))


def _has_lifetimes(conversation: Conversation, book: PriceBook | None) -> bool:
    """Returns True if a lifetime can be chosen for a conversation: an hour costs more than 5 minutes.

    Without a session, nobody knows which calls follow each other.
    """
    prices = (price_of(turn, book) for turn in conversation.turns)
    return conversation.connected and all(
        price is None or price.cache_write_1h > price.cache_write_5m for price in prices
    )


def _repairs(ledger: Ledger) -> Iterator[Advice]:
    """Yields advice for each avoidable reason."""
    for reason, sums in ledger.reasons.items():
        word, _, where = reason.partition(" ")
        kind = Reason(word)
        if kind in AVOIDABLE and sums.lost:
            at = f" ({where})" if where else ""
            requests = ledger.total.requests
            why = f"{word}{at}: {sums.misses:,} of {requests:,} requests paid {sums.lost:,} tokens again"
            yield Advice(_REPAIRS[kind], why, sums.wasted, requests)


def _lifetime(conversations: list[Conversation], book: PriceBook | None) -> Iterator[Advice]:
    """Yields the lifetime that would have cost least with the gaps of this log."""
    pauses = gaps_of(conversations)
    price = _some_price(conversations, book)
    costs = {lifetime: _cost(conversations, lifetime, book) for lifetime in Lifetime}
    now = costs[Lifetime.AS_IT_WAS]
    known = {lifetime: cost for lifetime, cost in costs.items() if cost is not None}
    if not pauses.count or price is None or now is None:
        return
    best = min(known, key=lambda lifetime: known[lifetime])
    if best is Lifetime.AS_IT_WAS:
        return
    what = "Set no breakpoints" if best is Lifetime.NONE else f"Give every breakpoint the lifetime {best.value}"
    yield Advice(what, _why_lifetime(pauses, price), now - known[best], pauses.count)


def _why_lifetime(pauses: Gaps, price: Price) -> str:
    even = break_even(price)
    over = even.long_over_short(pauses.short)
    short, long = _percent(pauses.short), _percent(pauses.long)
    return (
        f"{short} of {pauses.count:,} gaps are below 5 minutes, {long} below an hour; "
        f"5m pays from {_percent(even.short)} on, an hour beats it from {_percent(over)} on"
    )


def _pings(conversations: list[Conversation], book: PriceBook | None) -> Iterator[Advice]:
    """Yields advice to keep entries alive, if that would have cost less than writing them again."""
    lifetime = ANTHROPIC.lifetimes[ANTHROPIC.short]
    saved = count = requests = longest = 0
    for conversation in conversations:
        for before, turn in pairwise(conversation.turns):
            requests += 1
            price = price_of(turn, book)
            if price is None or turn.miss is None or turn.miss.reason is not Reason.EXPIRED:
                continue
            needed = int((turn.at - before.at).total_seconds() // lifetime)
            most = pings(price, lifetime)
            if needed > most.count or turn.counted.write_1h:
                continue
            prefix = turn.lost + turn.counted.read
            gain = turn.lost * (price.cache_write_5m - price.cache_read) - needed * prefix * price.cache_read
            if gain > 0:
                saved, count, longest = saved + gain, count + 1, max(longest, most.seconds)
    if saved:
        why = (
            f"{count:,} pauses cost a rewrite; through a pause of up to {longest // 60} minutes "
            "a read every 5 minutes costs less"
        )
        yield Advice("Send keep-alive requests (max_tokens 0) through short pauses", why, saved, requests)


def _useless(ledger: Ledger) -> Iterator[Advice]:
    """Yields advice for each breakpoint that was written and never read."""
    for name, sums in ledger.breakpoints.items():
        if sums.extra and not sums.read and sums.requests > 1:
            written = sums.write_5m + sums.write_1h
            why = f"{written:,} tokens were written there in {sums.requests:,} requests, and none was ever read"
            yield Advice(f"Take away the breakpoint at {name}", why, sums.extra, sums.requests)


def _policy(conversations: Conversations, book: PriceBook | None) -> Iterator[Advice]:
    """Yields a cheaper placement of breakpoints. It needs a log with requests."""
    costs = {outcome.policy: outcome for outcome in outcomes(conversations, book)}
    now = costs.get(Policy.AS_SENT)
    if now is None or now.femto_usd is None:
        return
    best = min(costs.values(), key=lambda outcome: outcome.femto_usd or 0)
    if best.femto_usd is not None and best.femto_usd < now.femto_usd:
        why = f"replayed over {best.requests:,} requests"
        if best.estimated:
            why += f"; in {best.estimated:,} of them a size is an estimate"
        yield Advice(
            f"Set breakpoints so: {best.policy.value}", why, now.femto_usd - best.femto_usd, best.requests
        )


def _cost(conversations: list[Conversation], lifetime: Lifetime, book: PriceBook | None) -> int | None:
    total = 0
    for conversation in conversations:
        cost = what_if(conversation, lifetime, book=book).femto_usd
        if cost is None:
            return None
        total += cost
    return total


def _some_price(conversations: list[Conversation], book: PriceBook | None) -> Price | None:
    """Returns the price of the latest turn with one: all models of a log have nearly the same ratios."""
    turns = (turn for conversation in reversed(conversations) for turn in reversed(conversation.turns))
    return next((price for turn in turns if (price := price_of(turn, book)) is not None and price.input), None)


def _percent(share: Fraction | None) -> str:
    return "no share" if share is None else f"{float(share):.0%}"
