"""A thousand simulated days: no call that fits is refused for good, and the window has the exact sum."""

from __future__ import annotations

import heapq
import random
from datetime import UTC, datetime

import anyio
import pytest

from nexusflow_asgi.stores import MemoryStore
from nexusflow_core.budgets import Budgets, Cap, Hold, Means, Quantities, RefusalCause, Sending
from nexusflow_core.prices import PriceBook

AT = datetime(2026, 11, 29, tzinfo=UTC)
NOW = int(AT.timestamp())
SCOPES = ("caller:u1",)


async def simulate(seed: int) -> None:
    """Callers send at random times; a call that running calls delay is sent again, as clients do."""
    dice = random.Random(seed)
    costs = [dice.randrange(10**12, 10 ** dice.choice((13, 14))) for _ in range(dice.randrange(5, 40))]
    spare = dice.choice((0, 10**9, sum(costs)))  # the real costs fit exactly, barely, or well
    limit = (sum(costs) + spare + 10**6 - 1) // 10**6
    usd = f"{limit // 10**9}.{limit % 10**9:09d}"
    [budget] = Budgets([Cap(scope="caller:*", window="day", usd=usd)]).of(SCOPES)
    window, store, means = budget.meter.window(AT), MemoryStore(), Means(PriceBook.builtin())
    sending = Sending(SCOPES[0], "claude-opus-4-7", "anthropic", dice.randrange(10, 10**6), AT)
    events: list[tuple[float, int, str]] = [(dice.random() * 50, n, "send") for n in range(len(costs))]
    heapq.heapify(events)
    expected: dict[int, Quantities] = {}
    while events:
        now, n, what = heapq.heappop(events)
        if what == "end":
            used = Quantities(costs[n], input=1)
            means.learn(SCOPES[0], "claude-opus-4-7", used)
            await store.settle(f"r{n}", [budget.charge(window.key, used, expected[n])])
            continue
        expected[n] = means.expected(sending)
        claim = budget.claim(window, expected[n])
        found = await store.hold(f"r{n}", [claim], now=NOW, expires_at=NOW + 10**6)
        if isinstance(found, Hold):
            heapq.heappush(events, (now + dice.random() * 20, n, "end"))
        else:
            assert found.cause is RefusalCause.HELD, f"seed {seed}: call {n} was refused for good, but it fits"
            assert found.balance.held > 0
            heapq.heappush(events, (now + 5, n, "send"))
    [left] = await store.windows(now=NOW)
    assert (left.balance.femto_usd, left.balance.held) == (sum(costs), 0)


@pytest.mark.parametrize("block", range(10))
def test_no_call_that_fits_is_refused_for_good(block: int) -> None:
    """A hundred seeds each. Holds may delay a call; they never refuse one whose real cost fits."""

    async def main() -> None:
        for seed in range(block * 100, block * 100 + 100):
            await simulate(seed)

    anyio.run(main)


def test_the_expected_cost_follows_the_caller() -> None:
    """First from the body's size, then a mean; at least what the body costs from a cache."""
    means = Means(PriceBook.builtin())
    sending = Sending("caller:u1", "claude-opus-4-7", "anthropic", 40_000, AT)
    first = means.expected(sending)
    assert first.femto_usd == (10_000 * 5 + 1024 * 25) * 10**9
    for _ in range(40):
        means.learn("caller:u1", "claude-opus-4-7", Quantities(6 * 10**12, cache_read=10_000, output=40))
    assert means.expected(sending).femto_usd == 6 * 10**12
    assert means.expected(Sending("caller:u2", "claude-opus-4-7", "anthropic", 40_000, AT)) == first
    large = Sending("caller:u1", "claude-opus-4-7", "anthropic", 400_000, AT)
    assert means.expected(large).femto_usd == 4 * 6 * 10**12, "bounded: a large body may be an image"
    unknown = Sending("caller:u1", "nobody-knows", None, 40_000, AT)
    assert means.expected(unknown).femto_usd is None
