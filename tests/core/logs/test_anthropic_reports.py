"""Anthropic's usage and cost reports, in the form in which its Admin API gives them."""

from decimal import Decimal
from typing import Any

from nexusflow_core.logs import Entry, Pricer, Skipped
from nexusflow_core.logs.summary import Summary
from tests.core.logs.independent import dollars, read, total

ROW = {
    "uncached_input_tokens": 1200,
    "cache_creation": {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 100},
    "cache_read_input_tokens": 90_000,
    "output_tokens": 3000,
    "server_tool_use": {"web_search_requests": 2},
    "api_key_id": "apikey_01",
    "workspace_id": "wrkspc_01",
    "model": "claude-opus-4-7",
    "service_tier": "standard",
    "context_window": "0-200k",
    "inference_geo": "global",
    "account_id": None,
    "service_account_id": None,
}


def usage_page(*rows: dict[str, Any]) -> dict[str, Any]:
    bucket = {
        "starting_at": "2026-11-20T00:00:00Z",
        "ending_at": "2026-11-21T00:00:00Z",
        "results": [{**ROW, **row} for row in rows],
    }
    return {"data": [bucket], "has_more": False, "next_page": None}


def cost_row(amount: str, **changes: Any) -> dict[str, Any]:
    return {
        "amount": amount,
        "currency": "USD",
        "cost_type": "tokens",
        "model": "claude-opus-4-7",
        "description": "Claude Opus 4.7 Usage - Input Tokens",
        "token_type": "uncached_input_tokens",
        "context_window": "0-200k",
        "service_tier": "standard",
        "inference_geo": None,
        "workspace_id": None,
        **changes,
    }


def test_a_usage_report_is_priced() -> None:
    """Each row at its own terms: a batch costs half, and a search has its fee."""
    entries = read(usage_page({}, {"service_tier": "batch", "server_tool_use": {"web_search_requests": 0}}))
    counts = (1200, 90_000, 400, 100, 3000)
    plain = dollars("anthropic", "claude-opus-4-7", *counts, searches=2)
    batch = dollars("anthropic", "claude-opus-4-7", *counts, times="0.5")
    assert total(entries) == plain + batch
    assert [(it.key, it.metadata["workspace"], it.many_requests) for it in entries] == [
        ("apikey_01", "wrkspc_01", True)
    ] * 2
    summary = Summary(("day",))
    for it in entries:
        summary.add(it, Pricer().price(it))
    (group,) = summary.groups()
    assert (group.values, group.totals.flags["many_requests"]) == (("2026-11-20",), 2)


def test_the_context_window_selects_the_tier() -> None:
    """Prompts above 200,000 tokens cost twice the input of Sonnet 4.5: 3 and 6 dollars per million."""
    counts = {"cache_creation": {}, "cache_read_input_tokens": 0, "output_tokens": 0, "server_tool_use": {}}
    rows = [
        {**counts, "model": "claude-sonnet-4-5", "uncached_input_tokens": 10**6, "context_window": window}
        for window in ("0-200k", "200k-1M")
    ]
    below, above = read(usage_page(*rows))
    assert (total([below]), total([above])) == (3, 6)


def test_rows_without_a_model() -> None:
    """They cannot be priced: the reason says how to download the report."""
    (skipped,) = read(usage_page({"model": None}))
    assert isinstance(skipped, Skipped)
    assert "group_by[]=model" in skipped.reason


def test_a_row_that_is_impossible() -> None:
    """It is skipped, and the others count."""
    found = read(usage_page({"output_tokens": -1}, {}))
    assert [type(it) for it in found] == [Skipped, Entry]


def test_a_cost_report_is_added_up() -> None:
    """Amounts are cents as text; a credit is negative; a search has no model."""
    rows = [
        cost_row("123.45"),
        cost_row("0.0001"),
        cost_row("-23.45"),
        cost_row("4", model=None, token_type=None, cost_type="web_search"),
    ]
    page = {
        "data": [{"starting_at": "2026-11-20T00:00:00Z", "ending_at": "2026-11-21T00:00:00Z", "results": rows}]
    }
    entries = read({**page, "has_more": False, "next_page": None})
    assert total(entries) == Decimal("1.040001")
    assert [it.models[0] for it in entries] == ["claude-opus-4-7"] * 3 + ["web_search"]
    assert Pricer().logged(entries[0]).cost is not None


def test_the_analytics_api() -> None:
    """Its items have the same counts and amounts, the dimensions in `group`, and the number of requests."""
    group = {"model": "claude-opus-4-7", "workspace_id": "w", "service_tier": "standard", "api_key_id": "k"}
    times = {"starting_at": "2026-11-20T00:00:00Z", "ending_at": "2026-11-21T00:00:00Z"}
    counts = {name: ROW[name] for name in ("uncached_input_tokens", "cache_creation", "output_tokens")}
    usage = {**counts, "cache_read_input_tokens": 0, "total_tokens": 4700, "requests": 7, "server_tool_use": {}}
    cost = {"amount": "250", "list_amount": "300", "currency": "USD", "requests": None}
    (used,) = read({"data": [{**times, "group": group, "usage": usage}]})
    (cost_of,) = read({"data": [{**times, "group": group, "cost": cost}]})
    assert total([used]) == dollars("anthropic", "claude-opus-4-7", 1200, 0, 400, 100, 3000)
    assert (used.calls, used.key) == (7, "k")
    assert total([cost_of]) == Decimal("2.5")
    (neither,) = read({"data": [{**times, "group": group}]})
    assert isinstance(neither, Skipped)
