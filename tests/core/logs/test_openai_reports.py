"""OpenAI's organization usage and costs, in the form in which its API gives them."""

from decimal import Decimal
from typing import Any

import pytest

from nexusflow_core.logs import Entry, Skipped
from tests.core.logs.independent import dollars, read, total

ROW = {
    "object": "organization.usage.completions.result",
    "input_tokens": 10_000,
    "input_cached_tokens": 6000,
    "output_tokens": 500,
    "num_model_requests": 5,
    "project_id": "proj_1",
    "user_id": None,
    "api_key_id": "key_1",
    "model": "gpt-5-2025-08-07",
    "batch": False,
    "service_tier": None,
}


def page(*rows: dict[str, Any], start: int = 1_763_596_800) -> dict[str, Any]:
    bucket = {"object": "bucket", "start_time": start, "end_time": start + 86400, "results": list(rows)}
    return {"object": "page", "data": [bucket], "has_more": False, "next_page": None}


def test_usage_is_priced() -> None:
    """The input includes cached tokens. A batch costs half. A row counts as many calls as it says."""
    entries = read(page(ROW, {**ROW, "batch": True}))
    plain = dollars("openai", "gpt-5", 4000, 6000, 0, 0, 500)
    assert total(entries) == plain + plain / 2
    assert [(it.calls, it.key, it.metadata) for it in entries] == [(5, "key_1", {"project": "proj_1"})] * 2
    assert entries[0].at.isoformat() == "2025-11-20T00:00:00+00:00"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": None}, "group_by=model"),
        ({"object": "organization.usage.images.result", "images": 3}, "images are not priced by tokens"),
        ({"input_cached_tokens": 20_000}, "impossible usage"),
        ({"input_tokens": None, "output_tokens": None}, "neither"),
        ({"num_model_requests": "five"}, "num_model_requests"),
    ],
)
def test_rows_that_cannot_be_priced(changes: dict[str, Any], says: str) -> None:
    """Each with its reason; the rows beside it count."""
    skipped, entry = read(page({**ROW, **changes}, ROW))
    assert isinstance(skipped, Skipped)
    assert says in skipped.reason
    assert isinstance(entry, Entry)


def test_costs_are_added_up() -> None:
    """By line item: the model, and what was charged. Amounts are JSON numbers; credits are negative."""
    row = {"object": "organization.costs.result", "project_id": None}
    rows = [
        {**row, "amount": {"value": 0.06, "currency": "usd"}, "line_item": "gpt-5-2025-08-07, cached input"},
        {**row, "amount": {"value": -0.01, "currency": "usd"}, "line_item": "Credits"},
        {**row, "amount": {"value": 1e-7, "currency": "usd"}, "line_item": None},
    ]
    entries = read(page(*rows))
    assert total(entries) == Decimal("0.0500001")
    assert [it.models[0] for it in entries] == ["gpt-5-2025-08-07", "Credits", "(all models)"]
    assert entries[0].metadata == {"token_type": "cached input"}
    (skipped,) = read(page({**row, "amount": {"value": 1, "currency": "eur"}}))
    assert isinstance(skipped, Skipped)
    assert "eur" in skipped.reason
