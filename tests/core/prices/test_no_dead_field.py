"""Every field of a price row matters: a change in any one of them changes what some request costs."""

import copy
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from typing import Any

import msgspec
import pytest

from nexusflow_core import Cost, PriceBook, Usage, cost


def tiers(base: int) -> list[dict[str, Any]]:
    """Two tiers with every price there is, no two alike."""
    names = "input output cache_read cache_write_5m cache_write_1h cache_read_explicit output_thinking".split()
    lower = {name: str(base + number) for number, name in enumerate(names)}
    return [lower, {"above": 1000, **{name: str(int(price) + 10) for name, price in lower.items()}}]


ROW: dict[str, Any] = {
    "id": "m",
    "aliases": ["m-alias"],
    "periods": [
        {"from": "2026-01-01", "until": "2026-03-01", "tiers": tiers(100)},
        {"from": "2026-03-01", "until": "2026-12-01", "tiers": tiers(200)},
    ],
    "windows": [
        {
            "from": "2026-05-01",
            "utc": ["01:00", "04:00"],
            "weekdays": ["mon", "tue"],
            "tiers": tiers(300),
        }
    ],
    "variants": [
        {"when": {"processing": "batch"}, "multiplier": "0.5"},
        {
            "when": {"speed": "fast"},
            "multiplier": "2",
            "listed_from": "2026-02-01",
            "listed_until": "2026-07-01",
        },
        {"when": {"inference_geo": "us"}, "multiplier": "1.1"},
        {"when": {"endpoint": "regional"}, "multiplier": "1.2"},
        {"when": {"service_tier": "flex"}, "tiers": tiers(400)},
    ],
    "fees": {"web_search_per_1000": "10"},
    "confidence": "listed",
}

USAGES = [
    Usage(prompt, 3, 5, 7, 11, 13, reasoning_tokens=thought)
    for prompt, thought in product((10, 985, 986, 2000), (0, 1))
]
MOMENTS = [
    datetime(2026, month, day, hour, minute, tzinfo=UTC)
    for month, day, hour, minute in [
        (1, 1, 0, 0),
        (2, 1, 0, 0),
        (2, 28, 23, 59),
        (3, 1, 0, 0),
        (5, 4, 1, 0),
        (5, 4, 3, 59),
        (4, 27, 1, 0),
        (5, 5, 1, 0),
        (5, 6, 1, 0),
        (5, 4, 0, 59),
        (5, 4, 4, 0),
        (7, 1, 0, 0),
        (11, 30, 0, 0),
    ]
]
TERMS: list[dict[str, Any]] = [
    {},
    {"batch": True},
    {"endpoint": "regional"},
    {"explicit_cache": True},
    {"speed": "fast"},
    {"inference_geo": "us"},
    {"service_tier": "flex"},
    {"service_tier": "flex", "explicit_cache": True},
]


def costs(row: dict[str, Any]) -> list[Any]:
    """What all of those requests cost, their flags included; or that they have no price."""
    book = PriceBook.builtin().extended({"vendor": "acme", "models": [row]}, "test")
    found: list[Any] = []
    for usage, at, terms in product(USAGES, MOMENTS, TERMS):
        named = {name: terms[name] for name in ("speed", "inference_geo", "service_tier") if name in terms}
        options = {name: value for name, value in terms.items() if name not in named}
        for model in ("m", "m-alias"):
            asked = msgspec.structs.replace(usage, **named)
            result: Cost | None = cost(asked, model=model, at=at, book=book, unknown="none", **options)
            found.append(None if result is None else (result.femto_usd, result.flags))
    return found


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every single value in the row."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in items:
        yield from leaves(member, (*path, name))
    if not isinstance(value, dict | list):
        yield path


CHANGES = {
    "2026-01-01": "2026-01-02",
    "2026-12-01": "2026-11-30",
    "2026-05-01": "2026-05-06",
    "2026-02-01": "2026-02-02",
    "2026-07-01": "2026-07-02",
    "01:00": "01:01",
    "04:00": "03:59",
    "mon": "sun",
    "tue": "wed",
    "listed": "uncertain",
    "m-alias": "another",
    1000: 1001,
}
"""What a value becomes that is not simply made longer."""


def changed(path: tuple[Any, ...]) -> dict[str, Any]:
    """The row with one value changed."""
    row = copy.deepcopy(ROW)
    holder: Any = row
    for name in path[:-1]:
        holder = holder[name]
    old = holder[path[-1]]
    holder[path[-1]] = CHANGES.get(old, f"{old}1")
    return row


BASE = costs(ROW)
WITHOUT = [("id",), ("periods", 0, "until"), ("periods", 1, "from")]  # the last two only move together
PATHS = [path for path in leaves(ROW) if path not in WITHOUT]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ".".join(map(str, path)))
def test_a_changed_field_changes_a_cost(path: tuple[Any, ...]) -> None:
    """Prices, tiers, days, hours, variants, fees and names: none of them is dead."""
    assert costs(changed(path)) != BASE


def test_the_day_between_two_periods() -> None:
    """It moves for both."""
    row = copy.deepcopy(ROW)
    row["periods"][0]["until"] = row["periods"][1]["from"] = "2026-03-02"
    assert costs(row) != BASE
