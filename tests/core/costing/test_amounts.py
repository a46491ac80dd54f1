"""Costs add up, become JSON, travel between processes, and convert at the caller's rate."""

import json
import pickle
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusflow_core import Cost, PriceBook, UnknownModelError, Usage, cost

USAGES = st.builds(
    Usage,
    input_tokens=st.integers(0, 2**40),
    cache_read_tokens=st.integers(0, 2**40),
    output_tokens=st.integers(0, 2**40),
    web_searches=st.integers(0, 9),
)
MODELS = st.sampled_from(["claude-opus-4-7", "claude-haiku-4-5", "gpt-6-sol"])


def priced(usage: Usage, model: str = "claude-opus-4-7") -> Cost:
    return cost(usage, model=model, at="2026-11-20")


@given(st.lists(st.tuples(USAGES, MODELS), min_size=1, max_size=6))
def test_costs_add_up(given: list[tuple[Usage, str]]) -> None:
    """Amount, tokens per rate and savings are those of all parts; a flag stands once."""
    costs = [priced(*each) for each in given]
    total = sum(costs)
    assert isinstance(total, Cost)
    assert total.femto_usd == sum(each.femto_usd for each in costs)
    assert sum(line.femto_usd for line in total.lines) == total.femto_usd
    assert total.cache_saved_femto_usd == sum(each.cache_saved_femto_usd for each in costs)
    assert len({line.by for line in total.lines}) == len(total.lines) or len(costs) == 1
    assert set(total.flags) == {flag for each in costs for flag in each.flags}
    assert len(set(total.flags)) == len(total.flags)


def test_an_unknown_cost_does_not_add_up() -> None:
    """None is no amount, and neither is a number."""
    known = priced(Usage(input_tokens=1))
    for other in (None, 1, 0.5, "0"):
        with pytest.raises(TypeError):
            known + other  # type: ignore[operator]
    with pytest.raises(TypeError):
        sum([known, None])  # type: ignore[list-item]
    assert sum([known]) == known


def test_a_cost_as_json() -> None:
    """The names are a record's, and amounts are text."""
    found = priced(Usage(input_tokens=50, cache_read_tokens=100_000, web_searches=1))
    as_json = json.loads(json.dumps(found.as_dict()))
    assert as_json == {
        "cost_usd": "0.06025",
        "price_row": "anthropic/claude-opus-4-7",
        "price_layer": "builtin",
        "cost_flags": [],
        "lines": [
            {"bucket": bucket, "tokens": tokens, "rate_usd": rate, "cost_usd": usd, **row}
            for row in [{"price_row": "anthropic/claude-opus-4-7", "price_layer": "builtin"}]
            for bucket, tokens, rate, usd in [
                ("input", 50, "0.000005", "0.00025"),
                ("cache_read", 100_000, "0.0000005", "0.05"),
                ("web_search", 1, "0.01", "0.01"),
            ]
        ],
    }


def test_costs_books_and_errors_are_pickled() -> None:
    """So they travel between the processes of an engine. A pickled book does not repeat the built-in rows."""
    found = priced(Usage(input_tokens=50, output_tokens=5))
    assert pickle.loads(pickle.dumps(found)) == found
    book = PriceBook.builtin()
    book.find("claude-opus-4-7")
    assert len(pickle.dumps(book)) < 500
    assert pickle.loads(pickle.dumps(book)).find("claude-opus-4-7") is book.find("claude-opus-4-7")
    with pytest.raises(UnknownModelError) as raised:
        priced(Usage(), "acme")
    again = pickle.loads(pickle.dumps(raised.value))
    assert (type(again), str(again)) == (UnknownModelError, str(raised.value))


@pytest.mark.parametrize(
    ("rate", "amount"), [("0.8617", "0.00021542500"), (Decimal(2), "0.0005"), (150, "0.0375")]
)
def test_another_currency(rate: Decimal | int | str, amount: str) -> None:
    """The caller gives the rate; the product is exact."""
    assert priced(Usage(input_tokens=50)).converted(rate) == Decimal(amount)


@pytest.mark.parametrize(
    ("rate", "error"),
    [
        (0.86, TypeError),
        (True, TypeError),
        ("much", ValueError),
        ("NaN", ValueError),
        (0, ValueError),
        ("-1", ValueError),
    ],
)
def test_a_rate_that_is_not_exact(rate: float | str, error: type[Exception]) -> None:
    """A float is not exact, and a rate is above 0."""
    with pytest.raises(error, match="rate: "):
        priced(Usage(input_tokens=50)).converted(rate)  # type: ignore[arg-type]
