"""Prices of the package genai-prices below ours: what only it knows gets a price, and nothing else changes."""

import pickle
from datetime import UTC, datetime
from typing import Any

import pytest
from genai_prices.data import providers

from nexusflow_core import PriceBook, UnknownModelError, Usage, cost
from nexusflow_core.prices.genai import LAYER, vendor_files

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
FILES = list(vendor_files(providers, "0"))
BOOK = PriceBook.builtin().with_others(FILES, LAYER)
INFOS: dict[tuple[str, str], Any] = {
    ({"moonshotai": "moonshot", "x-ai": "xai"}.get(provider.id, provider.id), info.id): info
    for provider in reversed(providers)
    for info in reversed(provider.models)
}


def test_our_rows_win() -> None:
    """Every name of ours leads to the same row as before, also one that they spell in full."""
    builtin = PriceBook.builtin()
    for model in builtin.models():
        for name in (model.row.id, *model.row.aliases, f"{model.row.id}-20260101"):
            assert not _is_ours(name) or BOOK.find(name) == builtin.find(name)


def test_each_price_is_theirs() -> None:
    """All that we take over: plain input, cache and output, for a short and a long prompt."""
    checked = 0
    for file in FILES:
        for row in file["models"]:
            info = INFOS[file["vendor"], row["id"]]
            found = PriceBook([]).with_others([{**file, "models": [row]}], LAYER)
            for size in (1, 1_000_000):
                price, theirs = found.price(row["id"], AT, size, vendor=file["vendor"]), info.get_prices(AT)
                assert price.input == _femto(theirs.input_mtok, size), row["id"]
                if theirs.output_mtok is not None:
                    assert price.output == _femto(theirs.output_mtok, size), row["id"]
                if theirs.cache_read_mtok is not None:
                    assert price.cache_read == _femto(theirs.cache_read_mtok, size), row["id"]
                checked += 1
    assert checked > 3000


def _femto(price: Any, size: int) -> int:
    reached = [tier.price for tier in getattr(price, "tiers", ()) if size > tier.start]
    return int([getattr(price, "base", price), *reached][-1] * 10**9)


def test_a_cost_names_the_layer() -> None:
    """Under the id, and with the vendor before it; a pickled book has the same prices."""
    usage = Usage(input_tokens=1_000_000)
    for name in ("voyage-4", "voyageai/voyage-4", "VoyageAI/Voyage-4"):
        found = cost(usage, model=name, at=AT, book=pickle.loads(pickle.dumps(BOOK)))
        assert (found.layer, found.row) == ("genai-prices", "voyageai/voyage-4")
        assert found.usd > 0
        with pytest.raises(UnknownModelError):
            cost(usage, model=name, at=AT)


def test_a_name_of_several_sellers_is_unknown() -> None:
    """Until the vendor is given: each has prices of its own."""
    names = [row["id"].lower() for file in FILES for row in file["models"]]
    shared = next(
        row["id"]
        for file in FILES
        if file["vendor"] == "together"
        for row in file["models"]
        if names.count(row["id"].lower()) > 1 and not _is_ours(row["id"])
    )
    with pytest.raises(UnknownModelError):
        BOOK.find(shared)
    assert BOOK.find(shared, "together").vendor == "together"


def _is_ours(name: str) -> bool:
    try:
        return bool(PriceBook.builtin().find(name))
    except UnknownModelError:
        return False


def test_a_model_with_a_fee_per_request_stays_unknown() -> None:
    """Its tokens alone are not its cost."""
    fees = {
        (provider.id, info.id)
        for provider in providers
        for info in provider.models
        if "requests_kcount" in {name for name, price in vars(info.get_prices(AT)).items() if price is not None}
    }
    assert fees
    assert not fees & {(file["vendor"], row["id"]) for file in FILES for row in file["models"]}


def test_the_vendor_before_the_slash() -> None:
    """It decides, though another seller has that text as its id."""
    at_cohere, at_openrouter = BOOK.find("cohere/command-r"), BOOK.find("openrouter/cohere/command-r")
    assert (at_cohere.vendor, at_openrouter.vendor) == ("cohere", "openrouter")
