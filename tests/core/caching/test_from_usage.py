"""What usage proves: against a cache whose sizes nobody knows but from its own counts."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings

from nexusflow_core.caching import CacheSimulator
from tests.core.caching.asking import START, after, request, text, usage, user
from tests.core.caching.oracle import NaiveCache
from tests.core.caching.test_against_oracle import SEQUENCES, replayed


class Vendor(NaiveCache):
    """The naive cache with sizes of its own, a third above every estimate, and 3 tokens at the end."""

    def sizes(self, asked: dict[str, Any]) -> list[int]:
        return [weight * 4 // 3 for weight in super().sizes(asked)]

    def counts(self, asked: dict[str, Any], at: float) -> dict[str, Any]:
        read, short, long, uncached = self.step(asked, at)
        return usage(read, short, long, uncached + 3)


@settings(max_examples=100, deadline=None)
@given(SEQUENCES)
def test_what_is_called_exact_is_exact(sequence: list[tuple[dict[str, Any], float, bool]]) -> None:
    """A read that the simulator calls exact is the one that the vendor then counts."""
    simulator, vendor = CacheSimulator(), Vendor(1024)
    for asked, at in replayed(sequence):
        counts = vendor.counts(asked, START.timestamp() + at)
        found = simulator.step(asked, at=after(at), usage=counts)
        if found.read.exact:
            assert found.read.best == counts["cache_read_input_tokens"]


def test_a_shared_prefix_is_exact_once_a_read_has_shown_its_size() -> None:
    """Three questions under one system prompt: the first usage counts both together, the second one shows the
    system prompt alone, and the third is predicted to the token."""
    simulator = CacheSimulator()
    system = [text("s", 3000, "5m")]
    counts = [usage(short=3456), usage(read=3333, short=130), usage(read=3333, short=117)]
    found = [
        simulator.step(request(user(text(f"q{number}", 100, "5m")), system=system), at=after(number), usage=it)
        for number, it in enumerate(counts)
    ]
    assert [it.read.exact for it in found] == [True, False, True]
    assert found[1].read.least < 3333 < found[1].read.most
    assert found[2].read.best == 3333


def test_a_prefix_that_may_be_long_enough_is_not_ruled_out() -> None:
    """Its size is an estimate just below the minimum: the read is 0 or more, and what is counted decides."""
    simulator = CacheSimulator()
    system = [text("s", 950, "5m")]
    counts = [usage(short=5456), usage(read=1111, short=4444), usage(read=1111, short=4321)]
    found = [
        simulator.step(request(user(text(f"q{number}", 4000, "5m")), system=system), at=after(number), usage=it)
        for number, it in enumerate(counts)
    ]
    assert (found[1].read.least, found[1].read.exact) == (0, False)
    assert found[1].read.most >= 1111
    assert (found[2].read.best, found[2].read.exact) == (1111, True)
