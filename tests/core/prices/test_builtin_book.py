"""The rows that come with the package: what they must keep to, and the facts they are known for."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import pytest

import nexusflow_core.prices
from nexusflow_core import ModelPrices, PriceBook
from nexusflow_core.prices import BUILTIN_VENDORS, read_prices
from nexusflow_core.prices.rows import ModelRow, Period, Tier, Window, own_prices

BOOK = PriceBook.builtin()
MODELS = BOOK.models()
CLAUDE = [model.row for model in MODELS if model.vendor == "anthropic"]

WRITE_RATIOS = {
    "claude-3-haiku-20240307": "its page listed $0.30 on $0.25, 1.2 times",
    "kimi-k3.1-pro": "Kimi's 5m write is the input price",
    "kimi-k3.1-pro-highspeed": "Kimi's 5m write is the input price",
    "kimi-k3": "Kimi's 5m write is the input price",
    "qwen3.8-flash": "listed as 0.2 on 0.15, rounded by the vendor",
}
"""Rows whose 5m write is not 1.25 times the input."""

READ_RATIOS = {
    "claude-3-haiku-20240307": ("0.12", "its page listed $0.03 on $0.25"),
    "claude-opus-5-5": ("0.05", "reads are cheaper from 5.5 on"),
    "claude-sonnet-5-5": ("0.05", "since 2026-10-07; 0.1 before"),
    "claude-fable-5-1": ("0.025", "Fable and Mythos since 5.1"),
    "claude-mythos-5-1": ("0.025", "Fable and Mythos since 5.1"),
    "claude-fable-5-2": ("0.025", "Fable and Mythos since 5.1"),
    "claude-mythos-5-2": ("0.025", "Fable and Mythos since 5.1"),
}
"""Claude rows whose read is not a tenth of the input."""

WITHOUT_CACHE = {"claude-2.1", "claude-instant-1.2"}
"""Claude rows from before prompt caching."""

FAST = {
    "claude-fable-5-2": "2",
    "claude-mythos-5-2": "2",
    "claude-opus-5-5": "2",
    "claude-opus-5": "2",
    "claude-opus-4-8": "2",
    "claude-opus-4-7": "6",
    "claude-opus-4-6": "6",
}
US = set(
    """claude-fable-5-2 claude-mythos-5-2 claude-fable-5-1 claude-mythos-5-1 claude-fable-5 claude-mythos-5
    claude-mythos-preview claude-opus-5-5 claude-opus-5 claude-opus-4-8 claude-opus-4-7 claude-opus-4-6
    claude-sonnet-5-5 claude-sonnet-5 claude-sonnet-4-6 claude-haiku-5-5""".split()
)
REGIONAL = US | {"claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5"}
SEARCHLESS = WITHOUT_CACHE | {"claude-3-opus-20240229", "claude-3-sonnet-20240229", "claude-3-haiku-20240307"}


def tiers(row: ModelRow) -> Iterator[Tier]:
    for holder in (*row.periods, *row.windows):
        yield from holder.tiers


def ratio(part: str | None, whole: str | None) -> Fraction | None:
    return None if part is None or whole is None else Fraction(part) / Fraction(whole)


def named(models: list[ModelPrices]) -> list[Any]:
    return [pytest.param(model, id=f"{model.vendor}/{model.row.id}") for model in models]


ADDED_LATER = {"litellm-1.110.2"}
"""The source of rows that were added after the last check of a whole file. All of them are uncertain."""

AFTER_THE_REFERENCE = {("deepseek", "deepseek-v3.2")}
"""Rows that are an alias in the reference: the pointer has moved on, the model has not."""

CHANGED = {"deepseek-flash", "deepseek-v4-flash", "deepseek-v4-pro", "deepseek-chat", "deepseek-reasoner"}
"""Rows whose history is known better than the reference has it: changes inside a day, a pointer that moved."""

V32 = [("0.27", "1.1", "0.07", None), ("0.28", "0.42", "0.028", "2025-09-29 00:00")]
POINTED = [("0.14", "0.28", "0.028", "2026-04-24 00:00"), ("0.14", "0.28", "0.0028", "2026-04-26 00:00")]
DEEPSEEK: dict[
    str, tuple[list[str], list[tuple[str, str, str, str | None]], list[tuple[str, str, str, str]]]
] = {
    "deepseek-flash": (
        ["deepseek-v4-flash-vision-exp"],
        [("0.15", "0.6", "0.003", None)],
        [("0.3", "1.2", "0.006", "2026-09-10 00:00")],
    ),
    "deepseek-v4-flash": (
        [],
        [
            ("0.14", "0.28", "0.0028", None),
            ("0.22", "0.66", "0.007", "2026-08-16 16:00"),
            ("0.15", "0.6", "0.003", "2026-09-10 04:00"),
        ],
        [("0.44", "1.32", "0.014", "2026-08-17 00:00"), ("0.3", "1.2", "0.006", "2026-09-10 04:00")],
    ),
    "deepseek-v4-pro": (
        [],
        [("0.435", "0.87", "0.003625", None), ("0.66", "1.98", "0.022", "2026-08-16 16:00")],
        [("1.32", "3.96", "0.044", "2026-08-17 00:00")],
    ),
    "deepseek-chat": ([], [*V32, *POINTED], []),
    "deepseek-reasoner": ([], [("0.55", "2.19", "0.14", None), V32[1], *POINTED], []),
    "deepseek-v3.2": ([], V32, []),
}
"""Aliases; input, output and read since when; the same for the hours of 01:00 to 04:00 and 06:00 to 10:00."""


def test_every_vendor_has_its_file() -> None:
    """Eleven of them, each with the day it was checked."""
    assert Counter(model.vendor for model in MODELS).keys() == set(BUILTIN_VENDORS)
    assert len(MODELS) == 301
    assert {model.layer for model in MODELS} == {"builtin"}
    assert BOOK.as_of == date(2026, 11, 22)


@pytest.mark.parametrize("vendor", BUILTIN_VENDORS)
def test_a_file_passes_every_check(vendor: str) -> None:
    """Here, and so no process checks it again."""
    data = (Path(nexusflow_core.prices.__file__).parent / f"data/{vendor}.json").read_bytes()
    assert read_prices(data) == own_prices(data)


def test_no_name_stands_twice() -> None:
    """Not within a vendor, and not in two: the order of vendors never decides a price."""
    names = [name.lower() for model in MODELS for name in (model.row.id, *model.row.aliases)]
    assert [name for name, times in Counter(names).items() if times > 1] == []


@pytest.mark.parametrize("model", named(MODELS))
def test_where_a_row_comes_from(model: ModelPrices) -> None:
    """It names its sources, each with the day it was seen; what nobody read is uncertain."""
    assert model.row.sources
    for source in model.row.sources:
        found = model.sources[source]
        assert found.name
        if source == "memory":
            assert found.seen is None
        else:
            assert found.seen is not None
            assert model.as_of is not None
            assert found.seen <= model.as_of or set(model.row.sources) == ADDED_LATER
    if set(model.row.sources) == {"memory"}:
        assert model.row.confidence == "uncertain"
    if model.row.confidence == "uncertain":  # it flags every cost, so it has to be about a price
        doubts = [note for note in model.row.notes if note.startswith("uncertain: ")]
        other = "min_cacheable_tokens", "release date", "retirement date", "shutdown date"
        assert [doubt for doubt in doubts if not any(words in doubt for words in other)]


@pytest.mark.parametrize("model", named(MODELS))
def test_the_prices_of_a_row_fit_together(model: ModelPrices) -> None:
    """A read is no dearer than input, output no cheaper, a 1h write is double, a higher tier is dearer."""
    for tier in tiers(model.row):
        read, output = ratio(tier.cache_read, tier.input), ratio(tier.output, tier.input)
        assert read is None or read <= 1
        assert output is None or output >= 1
        assert ratio(tier.cache_write_1h, tier.input) in (None, 2)
        if model.row.id not in WRITE_RATIOS:
            assert ratio(tier.cache_write_5m, tier.input) in (None, Fraction("1.25"))
        explicit, thinking = (
            ratio(tier.cache_read_explicit, tier.cache_read),
            ratio(tier.output_thinking, tier.output),
        )
        assert explicit is None or explicit < 1
        assert thinking is None or thinking > 1
    for period in model.row.periods:
        inputs = [Fraction(tier.input or "0") for tier in period.tiers]
        assert inputs == sorted(inputs)
    for variant in model.row.variants:
        if variant.when == {"processing": "batch"} and variant.multiplier:
            assert variant.multiplier == ("0.8" if model.vendor == "xai" else "0.5")


def test_the_exceptions_are_exceptions() -> None:
    """A row that came to keep the rule leaves its list."""
    rows = {model.row.id: model.row for model in MODELS}
    for id in WRITE_RATIOS:
        assert any(ratio(tier.cache_write_5m, tier.input) != Fraction("1.25") for tier in tiers(rows[id]))


GOV = """claude-fable-5-1 claude-opus-5-5 claude-opus-5 claude-opus-4-8 claude-sonnet-5-5 claude-sonnet-5
    claude-sonnet-4-5 claude-haiku-5-5 claude-3-7-sonnet-20250219""".split()
"""Models whose price in AWS GovCloud a source lists."""


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in CLAUDE])
def test_a_claude_row(row: ModelRow) -> None:
    """Reads at their known share of the input, and the factors of its generation."""
    expected = Fraction(READ_RATIOS[row.id][0] if row.id in READ_RATIOS else "0.1")
    for tier in row.periods[-1].tiers:
        if row.id in WITHOUT_CACHE:
            assert (tier.cache_read, tier.cache_write_5m, tier.cache_write_1h) == (None, None, None)
        else:
            assert ratio(tier.cache_read, tier.input) == expected
            assert tier.cache_write_5m is not None
            assert tier.cache_write_1h is not None
        assert tier.output is not None
    factors = {value: v.multiplier for v in row.variants for value in v.when.values()}
    assert factors.pop("batch", None) == (None if row.id in WITHOUT_CACHE else "0.5")
    assert factors.pop("us", None) == ("1.1" if row.id in US else None)
    assert factors.pop("regional", None) == ("1.1" if row.id in REGIONAL else None)
    assert factors.pop("us-gov", None) == ("1.2" if row.id in GOV else None)
    assert factors.pop("fast", None) == FAST.get(row.id)
    assert factors == {}
    assert row.fees == ({} if row.id in SEARCHLESS else {"web_search_per_1000": "10"})


@pytest.mark.parametrize(
    ("id", "context", "output", "prices"),
    [
        ("claude-opus-4-7", 1_000_000, 128_000, ("5", "25")),
        ("claude-sonnet-4-6", 1_000_000, 64_000, ("3", "15")),
        ("claude-haiku-4-5", 200_000, 64_000, ("1", "5")),
    ],
)
def test_the_three_models_of_the_beginning(id: str, context: int, output: int, prices: tuple[str, str]) -> None:
    """Limits and prices as announced. Later pages give Sonnet 4.6 128K of output; its note says which."""
    row = BOOK.find(id).row
    assert (row.context_window, row.max_output) == (context, output)
    assert (row.periods[-1].tiers[-1].input, row.periods[-1].tiers[-1].output) == prices
    assert row.confidence == "documented"
    if id == "claude-sonnet-4-6":
        assert any("64K" in note and "128K" in note for note in row.notes)


def reference() -> dict[str, Any]:
    beside = Path(__file__).resolve().parents[4] / "shared" / "reference"
    file = Path(os.environ.get("NEXUSFLOW_REFERENCE") or beside) / "prices.json"
    return json.loads(file.read_bytes()) if file.exists() else {"models": []}


REFERENCE = reference()["models"]


Listed: TypeAlias = tuple[str, dict[str, Fraction], tuple[int | None, int | None]]
"""An id, its prices, and its limits."""

NAMES = {
    "input": "input",
    "output": "output",
    "cache_read": "cache_read",
    "cache_write": "cache_write_5m",
    "cache_write_1h": "cache_write_1h",
    "batch_input": "batch input",
    "batch_output": "batch output",
}


def later() -> list[Listed]:
    """What the source of later rows lists, by bare id."""
    beside = Path(__file__).resolve().parents[4] / "shared" / "reference"
    file = Path(os.environ.get("NEXUSFLOW_REFERENCE") or beside) / "prices-missing.json"
    found: list[Listed] = []
    for row in json.loads(file.read_bytes())["unknown_here"] if file.exists() else ():
        prices = {ours: Fraction(str(row[name])) for name, ours in NAMES.items() if name in row}
        if (prices.get("batch input"), prices.get("batch output")) == (prices["input"], prices.get("output")):
            del prices["batch input"], prices["batch output"]  # a batch that costs no less
        for id in {row["id"].lower(), row["id"].lower().partition("/")[2]} - {""}:
            found.append((id, prices, (row["max_input"], row["max_output"])))
    return found


LATER = later()


def as_listed(row: ModelRow) -> Listed:
    """A row as its source has it."""
    tier = row.periods[0].tiers[0]
    prices = {ours: Fraction(price) for ours in NAMES.values() if (price := getattr(tier, ours, None))}
    for variant in row.variants:
        batch = variant.tiers[0]
        prices |= {
            f"batch {kind}": Fraction(getattr(batch, kind))
            for kind in ("input", "output")
            if getattr(batch, kind)
        }
    return row.id.lower(), prices, (row.context_window, row.max_output)


ELSEWHERE = {("claude-sonnet-4-6", "max_output"): "64K as announced; the reference follows later pages"}
"""Figures that are not the reference's, and why."""


def comparable(tiers: Any, above: str) -> list[dict[str, Any]]:
    """Tiers as numbers, without what they do not have."""
    return [
        {above if name == above else name: Fraction(value) for name, value in tier.items() if value is not None}
        for tier in tiers
    ]


def in_numbers(tiers: tuple[Tier, ...]) -> list[dict[str, Any]]:
    fields = [{name: getattr(tier, name) for name in Tier.__struct_fields__} for tier in tiers]
    return [
        {("prompt_tokens_above" if name == "above" else name): value for name, value in tier.items()}
        for tier in comparable(fields, "above")
    ]


@pytest.mark.skipif(not REFERENCE, reason="no ../shared/reference/prices.json (NEXUSFLOW_REFERENCE)")
def test_there_are_the_reference_rows_and_no_others() -> None:
    """By vendor and id."""
    ours = {(model.vendor, model.row.id) for model in MODELS if set(model.row.sources) != ADDED_LATER}
    assert ours - {(row["vendor"], row["id"]) for row in REFERENCE} == AFTER_THE_REFERENCE
    assert {(row["vendor"], row["id"]) for row in REFERENCE} - ours == set()


def test_rows_that_were_added_later() -> None:
    """So many of each vendor; all of them are uncertain, and have a plain price without a history."""
    added = [model for model in MODELS if set(model.row.sources) == ADDED_LATER]
    assert Counter(model.vendor for model in added) == {
        "openai": 50,
        "xai": 32,
        "mistral": 26,
        "google": 17,
        "alibaba": 10,
        "moonshot": 8,
        "zai": 6,
        "groq": 3,
        "minimax": 2,
    }
    for model in added:
        row = model.row
        assert row.confidence == "uncertain"
        assert (len(row.periods), len(row.periods[0].tiers), row.windows, row.fees) == (1, 1, (), {})
        assert row.periods[0].start is row.periods[0].until is None
        assert {"=".join(*variant.when.items()) for variant in row.variants} <= {"processing=batch"}


@pytest.mark.skipif(not LATER, reason="no ../shared/reference/prices-missing.json (NEXUSFLOW_REFERENCE)")
def test_a_row_that_was_added_later_has_its_sources_prices() -> None:
    """To the digit, and its limits, by one of the entries that its source has of that id."""
    for model in MODELS:
        if set(model.row.sources) == ADDED_LATER:
            assert as_listed(model.row) in [each for each in LATER if each[0] == model.row.id.lower()]


@pytest.mark.parametrize("id", sorted(DEEPSEEK))
def test_a_row_of_deepseek(id: str) -> None:
    """Every price it had, to the hour at which it began, and those of its dear hours."""
    aliases, periods, dear = DEEPSEEK[id]
    row = BOOK.find(id, "deepseek").row
    assert row.id == id
    assert list(row.aliases) == aliases
    assert [(*plain(it.tiers), begins(it)) for it in row.periods] == periods
    assert [f"{it.until} {it.until_time}" for it in row.periods[:-1]] == [each[-1] for each in periods[1:]]
    assert row.periods[-1].until is None
    assert [(*plain(it.tiers), begins(it), it.utc) for it in row.windows] == [
        (*each, hours) for each in dear for hours in (("01:00", "04:00"), ("06:00", "10:00"))
    ]
    assert {it.weekdays for it in row.windows} <= {("mon", "tue", "wed", "thu", "fri")}
    assert (row.variants, row.fees) == ((), {})
    assert row.confidence == ("listed" if id == "deepseek-flash" else "uncertain")


def plain(tiers: tuple[Tier, ...]) -> tuple[str | None, ...]:
    (tier,) = tiers
    assert (tier.above, tier.cache_write_5m, tier.cache_write_1h, tier.output_thinking) == (0, None, None, None)
    return tier.input, tier.output, tier.cache_read


def begins(it: Period | Window) -> str | None:
    return None if it.start is None else f"{it.start} {it.from_time}"


@pytest.mark.parametrize("expected", [row for row in REFERENCE if row["id"] in CHANGED])
def test_what_did_not_change_of_a_changed_row(expected: dict[str, Any]) -> None:
    """Limits, states and sources are the reference's."""
    row = BOOK.find(expected["id"], expected["vendor"]).row
    for limit in ("context_window", "max_output", "min_cacheable_tokens", "status"):
        assert getattr(row, limit) == expected.get(limit)
    assert (row.retired_on and row.retired_on.isoformat()) == expected.get("retired_on")
    assert list(row.sources) == list(dict.fromkeys(source.partition(":")[0] for source in expected["sources"]))


@pytest.mark.parametrize(
    "expected", [pytest.param(row, id=row["id"]) for row in REFERENCE if row["id"] not in CHANGED]
)
def test_a_row_is_the_reference_row(expected: dict[str, Any]) -> None:
    """Names, limits, dates, every period, tier, window, variant and fee."""
    row = BOOK.find(expected["id"], expected["vendor"]).row
    assert list(row.aliases) == expected["aliases"]
    for limit in ("context_window", "max_output", "min_cacheable_tokens", "status"):
        if (row.id, limit) not in ELSEWHERE:
            assert getattr(row, limit) == expected.get(limit)
    for day in ("released", "retired_on", "retires_on", "retires_not_before", "deprecated_since"):
        found = getattr(row, day)
        assert (None if found is None else found.isoformat()) == expected.get(day)
    assert dict(row.fees) == expected.get("fees", {})
    assert list(row.sources) == list(dict.fromkeys(source.partition(":")[0] for source in expected["sources"]))

    listed = [period for period in expected["price_periods"] if "utc_window" not in period]
    begins = [period.get("from") for period in listed]
    for period, their, until in zip(row.periods, listed, [*begins[1:], None], strict=True):
        assert (period.start and period.start.isoformat()) == their.get("from")
        assert (period.until and period.until.isoformat()) == until
        assert in_numbers(period.tiers) == comparable(their["tiers"], "prompt_tokens_above")
    hours = [period for period in expected["price_periods"] if "utc_window" in period]
    for window, their in zip(row.windows, hours, strict=True):
        assert list(window.utc) == their["utc_window"]
        assert list(window.weekdays) == their["weekdays"]
        assert (window.start and window.start.isoformat()) == their.get("from")
        assert in_numbers(window.tiers) == comparable(their["tiers"], "prompt_tokens_above")

    ours = {"=".join(*variant.when.items()): variant for variant in row.variants}
    ours.pop("endpoint=regional", None)  # the reference has it as a rule for all of a generation
    gov = ours.pop("endpoint=us-gov", None)  # from a source that came later
    assert (gov and gov.multiplier) == ("1.2" if row.id in GOV else None)
    assert ours.keys() == expected.get("variants", {}).keys()
    for key, their in expected.get("variants", {}).items():
        assert ours[key].multiplier == their.get("multiplier")
        assert in_numbers(ours[key].tiers) == comparable(their.get("tiers", []), "prompt_tokens_above")
        dates = (ours[key].listed_from, ours[key].listed_until)
        assert tuple(d and d.isoformat() for d in dates) == (their.get("from"), their.get("until"))
