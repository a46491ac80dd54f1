"""Sums of the samples by the price files alone: tokens times dollars, with no code of the product's."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[3] / "nexusflow_core" / "prices" / "data"
KINDS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


def tier(vendor: str, model: str) -> dict[str, str]:
    """The only prices of a model that has one period and one tier, in dollars per million tokens."""
    rows = {row["id"]: row for row in json.loads((DATA / f"{vendor}.json").read_text())["models"]}
    [period] = rows[model]["periods"]
    [found] = period["tiers"]
    return dict(found)


def dollars(vendor: str, model: str, *counts: int, times: str = "1", searches: int = 0) -> Decimal:
    """What these tokens cost, in the order of KINDS."""
    prices = tier(vendor, model)
    total = sum(count * Decimal(prices[kind]) for kind, count in zip(KINDS, counts, strict=True) if count)
    return Decimal(total) * Decimal(times) / 10**6 + searches * Decimal("0.01")


def total(entries: list[Any]) -> Decimal:
    """What the product says that these entries cost."""
    from nexusflow_core.logs import Entry, Pricer

    pricer = Pricer()
    costs = []
    for entry in entries:
        assert isinstance(entry, Entry), entry
        cost = pricer.price(entry).cost
        assert cost is not None, entry
        costs.append(cost.femto_usd)
    return Decimal(sum(costs)).scaleb(-15)


def read(*values: Any, at: Any = None, source: str | None = None) -> list[Any]:
    """The entries of JSON values, without what is expected to be none."""
    from nexusflow_core.logs import Skipped, read_log

    lines = [(n, json.dumps(value).encode()) for n, value in enumerate(values, 1)]
    found = [it for _, it in read_log(lines, source, at)]
    return [it for it in found if not (isinstance(it, Skipped) and it.expected)]
