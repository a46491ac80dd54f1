"""The table in docs/costs.md explains every flag of a cost."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COSTS = (ROOT / "docs/costs.md").read_text()
TABLE = COSTS[COSTS.index("| flag | what it means |") :].partition("\n\n")[0]
NOT_FLAGS = set(
    """cache_read cache_write_5m cache_write_1h web_search service_tier inference_geo input_tokens prompt_tokens
    is_byok cost_in_usd_ticks""".split()
)
"""Words in such places that name buckets, terms and members of a usage."""

SOURCES = """usage/anthropic usage/billing usage/chat usage/others costing/cost costing/iterations prices/book
    prices/folding logs/pricing logs/call_log exchange/metering""".split()


def flags() -> set[str]:
    """The words that the code puts into tuples of flags."""
    found: set[str] = set()
    for name in SOURCES:
        for line in (ROOT / f"nexusflow_core/{name}.py").read_text().splitlines():
            if "flag" in line or "doubts" in line or "unpriced" in line or '",)' in line:
                found |= set(re.findall(r'"([a-z]+(?:_[a-z0-9]+)+)"', line))
    return found - NOT_FLAGS


def test_there_are_flags() -> None:
    """The search finds those that everybody knows."""
    assert {"partial_usage", "tier_unknown", "total_differs", "unpriced_audio", "stale_book"} <= flags()
    assert len(flags()) > 20


@pytest.mark.parametrize("flag", sorted(flags()))
def test_a_flag_is_documented(flag: str) -> None:
    """By its name; those of terms without a price share a line."""
    explained = f"`{flag}`" in TABLE or flag.startswith("unpriced_")
    assert explained, f"explain {flag} in nexusflow_core/costing/amounts.py, then run `uv run poe docs`"
