"""A price file is checked whole when it is read, and each error names its place."""

import copy
import json
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusflow_core import ConfigError
from nexusflow_core.prices import read_prices, usd
from nexusflow_core.prices.price import femto_per_request, femto_per_token

GOOD: dict[str, Any] = {
    "vendor": "acme",
    "as_of": "2026-11-01",
    "sources": {"page": {"name": "their price page", "seen": "2026-11-01", "url": "https://acme.example"}},
    "models": [
        {
            "id": "acme-1",
            "aliases": ["acme-one"],
            "periods": [
                {"until": "2026-05-01", "tiers": [{"input": "2"}]},
                {
                    "from": "2026-05-01",
                    "tiers": [{"input": "1", "output": "5"}, {"above": 1000, "input": "2", "output": "9"}],
                },
            ],
            "windows": [{"utc": ["01:00", "04:00"], "weekdays": ["mon"], "tiers": [{"input": "4"}]}],
            "variants": [
                {"when": {"processing": "batch"}, "multiplier": "0.5"},
                {"when": {"service_tier": "flex"}, "tiers": [{"output": "3"}]},
            ],
            "fees": {"web_search_per_1000": "10"},
            "sources": ["page"],
        },
        {"id": "acme-2", "periods": [{"tiers": [{"input": "0"}]}]},
    ],
}


def changed(change: Callable[[Any], object]) -> dict[str, Any]:
    """The good file with one change in it."""
    prices = copy.deepcopy(GOOD)
    change(prices)
    return prices


def put(path: str, value: Any) -> Callable[[Any], None]:
    """Sets the member at a path such as `models.0.id`."""

    def change(prices: Any) -> None:
        *holders, name = path.split(".")
        at = prices
        for holder in holders:
            at = at[int(holder)] if holder.isdigit() else at[holder]
        at[int(name) if name.isdigit() else name] = value

    return change


def refused(prices: Any) -> list[str]:
    """The errors that bytes and the decoded object raise."""
    with pytest.raises(ConfigError) as from_bytes:
        read_prices(json.dumps(prices).encode())
    with pytest.raises(ConfigError) as error:
        read_prices(prices)
    return [str(from_bytes.value), str(error.value)]


def test_a_whole_file() -> None:
    """Every member arrives, from bytes and from an object."""
    vendor = read_prices(json.dumps(GOOD).encode())
    assert read_prices(GOOD) == vendor
    first = vendor.models[0]
    assert (vendor.vendor, vendor.as_of, vendor.sources["page"].seen) == (
        "acme",
        date(2026, 11, 1),
        date(2026, 11, 1),
    )
    assert (first.periods[0].until, first.periods[1].start) == (date(2026, 5, 1), date(2026, 5, 1))
    assert (first.periods[1].tiers[1].above, first.periods[1].tiers[1].output) == (1000, "9")
    assert (first.windows[0].utc, first.variants[0].multiplier) == (("01:00", "04:00"), "0.5")


ONE, FIRST = "models[0] (acme-1)", "models.0.periods.0"


@pytest.mark.parametrize(
    ("change", "place", "why"),
    [
        (put(f"{FIRST}.until", "2026-06-01"), f"{ONE}.periods[1]", "must begin when the period before it ends"),
        (put(f"{FIRST}.until", "2026-04-01"), f"{ONE}.periods[1]", "must begin when the period before it ends"),
        (put(f"{FIRST}.until", None), f"{ONE}.periods[1]", "must begin when the period before it ends"),
        (
            put("models.0.periods.1.from", None),
            f"{ONE}.periods[1]",
            "must begin when the period before it ends",
        ),
        (put(f"{FIRST}.from", "2026-05-01"), f"{ONE}.periods[0]", "ends before it begins"),
        (put("models.0.periods", []), ONE, "needs at least one period with prices"),
        (put(f"{FIRST}.tiers", []), f"{ONE}.periods[0]", "the one above 0"),
        (put(f"{FIRST}.tiers.0.above", 5), f"{ONE}.periods[0]", "the one above 0"),
        (put("models.0.periods.1.tiers.1.above", 0), f"{ONE}.periods[1]", "ascending order"),
        (
            lambda p: p["models"][0]["periods"][1]["tiers"].append({"above": 999, "input": "3"}),
            f"{ONE}.periods[1]",
            "ascending order",
        ),
        (put(f"{FIRST}.tiers.0.input", None), f"{ONE}.periods[0]", "an input price"),
        (
            put(f"{FIRST}.tiers.0.input", "0.30000000000000004"),
            f"{ONE}.periods[0].input",
            "printed from a float",
        ),
        (put(f"{FIRST}.tiers.0.output", "0.0000000001"), f"{ONE}.periods[0].output", "finer than"),
        (put("models.0.windows.0.tiers.0.cache_read", "x"), f"{ONE}.windows[0].cache_read", "not a decimal"),
        (put("models.0.windows.0.tiers.0.input", None), f"{ONE}.windows[0]", "an input price"),
        (put("models.0.windows.0.utc", ["04:00", "01:00"]), f"{ONE}.windows[0]", "a pair of times"),
        (put("models.0.windows.0.utc", ["04:00", "04:00"]), f"{ONE}.windows[0]", "a pair of times"),
        (put("models.0.windows.0.utc", ["1:00", "04:00"]), f"{ONE}.windows[0]", "a pair of times"),
        (put("models.0.windows.0.utc", ["01:00", "24:30"]), f"{ONE}.windows[0]", "a pair of times"),
        (
            lambda p: p["models"][0]["windows"].append(
                {"utc": ["03:59", "05:00"], "weekdays": ["sun", "mon"], "tiers": [{"input": "7"}]}
            ),
            f"{ONE}.windows[1]",
            "overlaps an earlier window",
        ),
        (put("models.0.variants.0.multiplier", None), f"{ONE}.variants[0]", "either a multiplier or tiers"),
        (put("models.0.variants.0.tiers", [{"input": "1"}]), f"{ONE}.variants[0]", "either a multiplier or"),
        (put("models.0.variants.0.when", {}), f"{ONE}.variants[0]", "exactly one condition"),
        (
            put("models.0.variants.0.when", {"speed": "fast", "processing": "batch"}),
            f"{ONE}.variants[0]",
            "exactly one condition",
        ),
        (put("models.0.variants.0.multiplier", "-1"), f"{ONE}.variants[0].multiplier", "not a decimal"),
        (put("models.0.variants.1.tiers.0.output", "1e3"), f"{ONE}.variants[1].output", "not a decimal"),
        (
            put("models.0.variants.1.when", {"processing": "batch"}),
            f"{ONE}.variants[1]",
            "the same condition as an earlier variant",
        ),
        (put("models.0.variants.1.when", {"service_tier": "standard"}), f"{ONE}.variants[1]", "plain price"),
        (put("models.0.variants.1.when", {"inference_geo": "global"}), f"{ONE}.variants[1]", "plain price"),
        (put("models.0.fees.web_search_per_1000", "ten"), f"{ONE}.fees.web_search_per_1000", "not a decimal"),
        (put("models.0.sources", ["memory"]), ONE, "no source is called 'memory'"),
        (put("models.1.id", "ACME-1"), "models[1] (ACME-1)", "'ACME-1' is empty or given twice"),
        (put("models.1.aliases", ["Acme-One"]), "models[1] (acme-2)", "'Acme-One' is empty or given twice"),
        (put("models.1.aliases", ["x", "x"]), "models[1] (acme-2)", "'x' is empty or given twice"),
        (put("models.1.id", " "), "models[1] ( )", "empty"),
        # What msgspec says, with its own form of the place.
        (put(f"{FIRST}.tiers.0.input", 2), "$.models[0].periods[0].tiers[0].input", "Expected `str"),
        (put(f"{FIRST}.tiers.0.input", 0.3), "$.models[0].periods[0].tiers[0].input", "Expected `str"),
        (put(f"{FIRST}.tiers.0.cached", "1"), "$.models[0].periods[0].tiers[0]", "unknown field `cached`"),
        (put("models.0.price", "1"), "$.models[0]", "unknown field `price`"),
        (put("models.0.variants.0.on", "1"), "$.models[0].variants[0]", "unknown field `on`"),
        (put("note", "x"), "prices", "unknown field `note`"),
        (put("models.0.variants.0.when", {"moon": "full"}), "$.models[0].variants[0].when", "'moon'"),
        (put("models.0.windows.0.weekdays", ["Mon"]), "$.models[0].windows[0].weekdays[0]", "'Mon'"),
        (put("models.0.windows.0.utc", ["01:00"]), "$.models[0].windows[0].utc", "length 2"),
        (put("models.0.fees", {"fetch": "1"}), "$.models[0].fees", "'fetch'"),
        (put("models.0.confidence", "sure"), "$.models[0].confidence", "'sure'"),
        (put(f"{FIRST}.until", "2026-13-01"), "$.models[0].periods[0].until", "Invalid"),
        (put("vendor", None), "$.vendor", "Expected `str`"),
    ],
)
def test_an_error_names_its_place(change: Callable[[Any], object], place: str, why: str) -> None:
    """Where it is, and what is wrong with it."""
    for message in refused(changed(change)):
        assert place in message.replace("[...]", "[0]")
        assert why in message


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b'{"vendor": "x"}'])
def test_bytes_that_are_no_price_file(data: bytes) -> None:
    """They are refused as such."""
    with pytest.raises(ConfigError, match="prices: "):
        read_prices(data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "x",
        "1e3",
        "1_0",
        " 1",
        "1 ",
        "+1",
        "-1",
        "-0",
        ".5",
        "5.",
        "1.2.3",
        "NaN",
        "Infinity",
        "\u0661",
        "0x1",
    ],
)
def test_a_price_is_plain_decimal_text(text: str) -> None:
    """Nothing that Decimal takes beside that."""
    with pytest.raises(ConfigError):
        femto_per_token(text)


@pytest.mark.parametrize(
    ("text", "femto"),
    [("5", 5 * 10**9), ("6.25", 6_250_000_000), ("0.003625", 3_625_000), ("0.30", 300_000_000), ("0", 0)],
)
def test_a_price_in_femto_dollars(text: str, femto: int) -> None:
    """Dollars per million tokens are 10^9 femto-dollars a token; per thousand requests, 10^12 each."""
    assert (femto_per_token(text), femto_per_request(text)) == (femto, femto * 1000)


@given(st.integers(-(10**60), 10**60))
def test_dollars_are_exact(femto: int) -> None:
    """Every amount comes back from its text, in which no exponent stands and no zero trails."""
    text = f"{usd(femto):f}"
    whole, _, rest = text.lstrip("-").partition(".")
    assert int(whole + rest.ljust(15, "0")) == abs(femto)
    assert text.startswith("-") == (femto < 0)
    assert not rest.endswith("0")
    assert len(rest) <= 15


def test_overlapping_windows_of_different_days() -> None:
    """The hours of a later day replace those of an earlier one, so they may be the same."""
    window = {"utc": ["01:00", "04:00"], "weekdays": ["mon"], "tiers": [{"input": "8"}], "from": "2026-12-01"}
    prices = changed(lambda p: p["models"][0]["windows"].append(window))
    assert len(read_prices(prices).models[0].windows) == 2
