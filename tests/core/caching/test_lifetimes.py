"""Which lifetime pays: exact fractions from the price book's own ratios."""

from __future__ import annotations

from fractions import Fraction

import pytest

from nexusflow_core import PriceBook
from nexusflow_core.caching import break_even, cost_per_request, pings
from nexusflow_core.prices import Price
from tests.core.caching.asking import START


def price(model: str) -> Price:
    return PriceBook.builtin().price(model, START, 1000)


def test_sonnet_reads_at_a_tenth() -> None:
    """5 minutes pay from 5/23 of the gaps on, an hour from 10/19 on."""
    even = break_even(price("claude-sonnet-4-6"))
    assert (even.read, even.write_5m, even.write_1h) == (Fraction(1, 10), Fraction(5, 4), Fraction(2))
    assert (even.short, even.long) == (Fraction(5, 23), Fraction(10, 19))


@pytest.mark.parametrize(
    "model", ["claude-sonnet-4-6", "claude-opus-5-5", "claude-fable-5-1", "claude-haiku-4-5"]
)
def test_at_the_break_even_share_both_cost_the_same(model: str) -> None:
    """No cache costs 1; above the share the cache costs less, below it more."""
    even = break_even(price(model))
    for share, write in [(even.short, even.write_5m), (even.long, even.write_1h)]:
        assert share is not None
        assert cost_per_request(write, even.read, share) == 1
        assert cost_per_request(write, even.read, share + Fraction(1, 1000)) < 1


def test_an_hour_against_five_minutes() -> None:
    """By the share of gaps below 5 minutes; where all of them are, an hour never pays."""
    even = break_even(price("claude-sonnet-4-6"))
    over = even.long_over_short(Fraction(1, 2))
    assert over is not None
    short = cost_per_request(even.write_5m, even.read, Fraction(1, 2))
    assert cost_per_request(even.write_1h, even.read, over) == short
    assert even.long_over_short(Fraction(1)) == 1


@pytest.mark.parametrize(("model", "count"), [("claude-sonnet-4-6", 11), ("claude-opus-5-5", 23)])
def test_pings_pay_while_they_cost_less_than_a_rewrite(model: str, count: int) -> None:
    """At a tenth eleven of them, over an hour; the next one would cost as much or more."""
    found = pings(price(model), 300)
    read, write = (Fraction(it) for it in (price(model).cache_read, price(model).cache_write_5m))
    assert (found.count, found.seconds) == (count, (count + 1) * 300)
    assert read * (found.count + 1) < write <= read * (found.count + 2)


def test_a_model_without_a_dearer_write_pays_always() -> None:
    """From the first request on, whatever the share."""
    assert break_even(price("gpt-5.5")).short == 0
