"""The price of an entry."""

from datetime import UTC, datetime
from typing import Any

from nexusflow_core import Cost, Usage
from nexusflow_core.logs import Entry, Priced, Pricer
from nexusflow_core.prices import PriceBook

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ONE = Usage(input_tokens=1)
OWN = {"vendor": "acme", "models": [{"id": "acme-1", "periods": [{"tiers": [{"input": "7"}]}]}]}


def priced(*models: str, book: PriceBook | None = None, **changes: Any) -> Priced:
    entry = Entry(**{"models": models, "at": NOON, "usage": ONE, **changes})
    return Pricer(book).price(entry)


def femto(priced: Priced) -> int:
    assert priced.cost is not None
    return priced.cost.femto_usd


def test_the_first_model_with_a_price() -> None:
    """The answer's, else the one that was sent; the group is named after the row."""
    assert femto(priced("claude-opus-4-7", "claude-haiku-4-5")) == 5 * 10**9
    got = priced("a-deployment", "claude-haiku-4-5-20251001")
    assert (got.model, femto(got), got.why) == ("claude-haiku-4-5", 10**9, "")


def test_no_model_with_a_price() -> None:
    """No cost, which is not a cost of 0; the reason names the model of the answer."""
    got = priced("claude-opus-4-70", "also-unknown")
    assert (got.model, got.cost) == ("claude-opus-4-70", None)
    assert "claude-opus-4-70" in got.why


def test_a_call_without_usage() -> None:
    """Neither a cost nor a complaint."""
    assert priced("claude-haiku-4-5-20251001", usage=None) == Priced("claude-haiku-4-5")
    assert priced("nobody-knows", usage=None) == Priced("nobody-knows")


def test_an_impossible_price() -> None:
    """Output of a model that has none is named, not charged."""
    got = priced("text-embedding-3-small", usage=Usage(output_tokens=1))
    assert got.cost is None
    assert "no output" in got.why


def test_an_estimate_is_no_bill() -> None:
    """An estimate of the tokens is never priced; a charge that the vendor reports is."""
    got = priced("claude-haiku-4-5", flags=("estimated_usage",))
    assert (got.cost, got.why) == (None, "its usage is an estimate")
    billed = priced("claude-haiku-4-5", usage=Usage(1, reported_femto_usd=9), flags=("estimated_usage",))
    assert femto(billed) == 9


def test_the_lines_own_cost() -> None:
    """It stands in for a price that is unknown, and a difference from one that is known is flagged."""
    assert priced("own-model", logged_femto_usd=7).cost == Cost(7, [], ("logged_cost",))
    got = priced("claude-haiku-4-5", logged_femto_usd=7)
    assert (femto(got), got.cost and got.cost.flags) == (10**9, ("logged_cost_differs",))
    got = priced("claude-haiku-4-5", logged_femto_usd=10**9)
    assert got.cost is not None
    assert got.cost.flags == ()


def test_what_the_entry_says_counts() -> None:
    """Batch, endpoint, refusal and a cut stream each reach the cost; flags of the line stay."""
    assert femto(priced("claude-haiku-4-5", batch=True)) == 5 * 10**8
    assert femto(priced("claude-haiku-4-5", endpoint="regional")) == 11 * 10**8
    assert femto(priced("claude-haiku-4-5", stop_reason="refusal")) == 0
    got = priced("claude-haiku-4-5", partial=True, flags=("of_the_log",))
    assert got.cost is not None
    assert got.cost.flags == ("partial_usage", "of_the_log")


def test_a_book_of_ones_own() -> None:
    """Its rows are found; the vendor narrows the search."""
    book = PriceBook.builtin().extended(OWN, "own")
    assert femto(priced("acme-1", book=book)) == 7 * 10**9
    assert priced("acme-1", book=book, vendor="anthropic").cost is None


def test_many_names(monkeypatch: Any) -> None:
    """A log of ever new names does not fill the memory."""
    monkeypatch.setattr("nexusflow_core.logs.pricing._MAX_REMEMBERED", 10)
    pricer = Pricer()
    for number in range(100):
        pricer.price(Entry(models=(f"m{number}",), at=NOON))
    assert len(pricer._names) <= 10
