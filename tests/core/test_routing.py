"""Patterns of model names."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from nexusflow_core import Upstream, routing
from nexusflow_core.routing import ModelRoute, Router, Target

TARGET = Target(Upstream(name="a", dialect="anthropic", base_url="http://a"))


def serves(pattern: str, model: str) -> bool:
    return Router([ModelRoute(pattern, (TARGET,))]).serves(model)


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_a_star_stands_for_any_characters(pattern: str, model: str) -> None:
    """As many as there are, none among them, wherever the stars are."""
    meant = re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), model)
    assert serves(pattern, model) == (meant is not None)


def test_many_stars_cost_no_more_than_one() -> None:
    """A name that nearly matches in very many ways: the time is that of reading it, not its square."""
    name = "claude" * 500_000
    assert not serves("*claude*sonnet*", name)
    assert not serves("claude*claude*claude*claude*opus", name)
    assert serves("*claude*claude*", name)


def test_the_remembered_names_have_a_bound() -> None:
    """A client can name as many models as it likes. A remembered name finds what its pattern finds."""
    router = Router([ModelRoute("a", (TARGET,)), ModelRoute("a*", (TARGET,)), ModelRoute("*", (TARGET,))])
    for _ in range(2):
        for number in range(2 * routing._REMEMBERED):
            assert router.find(f"a{number}").model == "a*"
            assert router.find(f"b{number}").model == "*"
        assert router.find("a").model == "a"
    assert router.find("a" * 10_000).model == "a*"
    assert len(router._matched) <= routing._REMEMBERED
    assert max(map(len, router._matched)) <= routing._LONGEST_REMEMBERED
