"""CostReport: what a page about many calls shows, added up exactly."""

from datetime import UTC, datetime, timedelta

import pytest

from nexusflow_core import Usage
from nexusflow_core.logs import Entry, Pricer
from nexusflow_core.logs.report import Class, CostReport, Unpriced

START = datetime(2026, 11, 20, 10, tzinfo=UTC)


def report(*calls: tuple[str, int, int]) -> CostReport:
    """Of calls: model, day, and prompt tokens."""
    found, pricer = CostReport(), Pricer()
    for model, day, tokens in calls:
        usage = Usage(input_tokens=tokens, cache_read_tokens=1000, output_tokens=10)
        entry = Entry(models=(model,), at=START + timedelta(day), usage=usage, session=f"s{day}")
        found.add(entry, pricer.price(entry))
    return found


OPUS, HAIKU = "claude-opus-4-7", "claude-haiku-4-5"
OF_OPUS, OF_HAIKU = 5_750_000_000_000, 1_150_000_000_000
"""The costs of 1,000 tokens each, 1,000 read and 10 of output."""


def test_days_and_models() -> None:
    """The most expensive model first; a day without calls stands between the others."""
    found = report((HAIKU, 0, 1000), (OPUS, 0, 1000), (OPUS, 2, 1000), ("acme", 2, 5))
    assert [name for name, _ in found.models()] == [OPUS, HAIKU, "acme"]
    days = found.days([OPUS], 90)
    assert [day.first for day in days] == ["2026-11-20", "2026-11-21", "2026-11-22"]
    assert [day.femto_usd for day in days] == [(OF_OPUS, OF_HAIKU), (0, 0), (OF_OPUS, 0)]
    assert found.total().femto_usd == 2 * OF_OPUS + OF_HAIKU


@pytest.mark.parametrize("most", [1, 2, 3, 7, 90])
def test_many_days_share_a_bar(most: int) -> None:
    """Nothing is lost, and the bars follow each other without a gap."""
    found = report(*((OPUS, day, 1000) for day in range(0, 40, 3)))
    days = found.days([OPUS], most)
    assert len(days) == min(most, 40)
    assert sum(day.femto_usd[0] for day in days) == found.total().femto_usd
    assert (days[0].first, days[-1].last) == ("2026-11-20", "2026-12-29")
    ends = [datetime.fromisoformat(day.last) + timedelta(1) for day in days[:-1]]
    assert ends == [datetime.fromisoformat(day.first) for day in days[1:]]


def test_token_classes() -> None:
    """Tokens and cost of priced calls, by class."""
    found = report((OPUS, 0, 1000), (OPUS, 1, 2000), ("acme", 1, 7))
    assert found.classes == {
        "input": Class(3000, 15_000_000_000_000),
        "cache_read": Class(2000, 1_000_000_000_000),
        "output": Class(20, 500_000_000_000),
    }


def test_models_without_a_price() -> None:
    """With the number of their calls and the reason."""
    found = report(("acme", 0, 5), ("acme", 1, 5))
    assert found.unpriced == {"acme": Unpriced(2, 2030, "no price is known for 'acme'")}


def test_no_calls() -> None:
    """Nothing to show is not an error."""
    found = report()
    assert (found.days([], 90), found.models(), found.total().calls) == ([], [], 0)
