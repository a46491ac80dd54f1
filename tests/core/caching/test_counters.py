"""Counters: what usage proved is exact, everything else lies between two bounds."""

from __future__ import annotations

from typing import Any

from nexusflow_core.caching import (
    ANTHROPIC,
    CacheSimulator,
    Prompt,
    RatioCounter,
    RecordedCounter,
    Tokens,
    read_prompt,
)
from tests.core.caching.asking import after, request, text, usage, user


def prompt(*blocks: dict[str, Any]) -> Prompt:
    return read_prompt(request(user(*blocks)), ANTHROPIC)


THREE = prompt(text("a", 1000), text("b", 1000), text("c", 1000, "5m"))


def test_a_ratio_never_claims_to_know() -> None:
    """Half and double of the estimate; what was learned changes nothing."""
    counter = RatioCounter()
    counter.learn(THREE, 2, 3333)
    counter.learn_total(THREE, 3336)
    size = counter.size(THREE, 2)
    assert size.least < size.best < size.most
    assert size.may_be(3000)
    assert size.may_be(3333)
    assert not size.may_be(1400)
    assert RatioCounter(2.0).size(THREE, 2).best == 2 * size.best


def test_a_simulator_with_a_ratio_gives_intervals() -> None:
    """Also for what was just written; nothing read is nothing, to the token."""
    cache, asked = CacheSimulator(counter=RatioCounter()), request(user(text("a", 3000, "5m")))
    assert cache.step(asked, at=after(0), usage=usage(short=3333)).read == Tokens.exactly(0)
    found = cache.step(asked, at=after(1))
    assert not found.exact
    assert found.read.may_be(3333)


def test_between_two_known_sizes_lies_the_estimate() -> None:
    """It cannot pass either of them."""
    counter = RecordedCounter()
    counter.learn(THREE, 0, 900)
    counter.learn(THREE, 2, 3000)
    assert counter.size(THREE, 0) == Tokens.exactly(900)
    middle = counter.size(THREE, 1)
    assert 900 < middle.least <= middle.best <= middle.most <= 3000
    assert abs(middle.best - 1950) < 50


def test_a_whole_prompt_that_was_counted_helps_the_next_one() -> None:
    """What was too short for the cache is known as the beginning of the next turn."""
    counter = RecordedCounter()
    counter.learn_total(prompt(text("a", 1000), text("b", 1000)), 2700)
    found = counter.size(THREE, 2)
    assert found.least > 2700
    assert abs(found.best - 3700) < 20
    assert counter.total(prompt(text("a", 1000), text("b", 1000))) == Tokens.exactly(2700)


def test_the_oldest_sizes_are_forgotten() -> None:
    """Memory has a bound; a size that is learned again counts as new."""
    counter = RecordedCounter(limit=2)
    prompts = [prompt(text(name, 1000)) for name in "abc"]
    for it in (prompts[0], prompts[1], prompts[0], prompts[2]):
        counter.learn(it, 0, 1234)
    assert [counter.size(it, 0).exact for it in prompts] == [True, False, True]


def test_a_count_is_told_in_words() -> None:
    """As a number where it is known, else with its bounds."""
    assert str(Tokens.exactly(12_345)) == "12,345"
    assert str(Tokens(10, 1200, 2400)) == "about 1,200 (10 to 2,400)"
