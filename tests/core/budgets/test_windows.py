"""Windows: calendar units in UTC, edges and ends of months; the start is part of the key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusflow_core.budgets import Meter
from nexusflow_core.budgets.windows import CALENDAR


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def span(period: str, moment: datetime) -> tuple[datetime, datetime]:
    window = Meter("user:u1", "usd", period).window(moment)  # type: ignore[arg-type]
    assert window.ends_at is not None
    return datetime.fromtimestamp(window.starts_at, UTC), datetime.fromtimestamp(window.ends_at, UTC)


@pytest.mark.parametrize(
    ("period", "moment", "start", "end"),
    [
        ("hour", "2026-11-29T23:59:59.999999", "2026-11-29T23:00", "2026-11-30T00:00"),
        ("hour", "2026-11-29T23:00:00", "2026-11-29T23:00", "2026-11-30T00:00"),
        ("day", "2026-12-31T23:59:59.999999", "2026-12-31", "2027-01-01"),
        ("day", "2027-01-01T00:00:00", "2027-01-01", "2027-01-02"),
        ("week", "2026-11-29T12:00", "2026-11-23", "2026-11-30"),
        ("week", "2026-11-30T00:00", "2026-11-30", "2026-12-07"),
        ("month", "2026-12-31T23:59:59.999999", "2026-12-01", "2027-01-01"),
        ("month", "2028-02-29T12:00", "2028-02-01", "2028-03-01"),
        ("month", "2026-01-31T12:00", "2026-01-01", "2026-02-01"),
    ],
)
def test_edges(period: str, moment: str, start: str, end: str) -> None:
    """The first moment belongs to a window, its end to the next one."""
    assert span(period, at(moment)) == (at(start), at(end))


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)), st.sampled_from(CALENDAR))
def test_windows_follow_each_other(moment: datetime, period: str) -> None:
    """Every moment is in exactly one window, and a window's end is the start of the next."""
    moment = moment.replace(tzinfo=UTC)
    start, end = span(period, moment)
    assert start <= moment < end
    assert span(period, start) == (start, end) == span(period, end - timedelta(microseconds=1))
    assert span(period, end)[0] == end


def test_other_time_zones_make_no_difference() -> None:
    """A window is in UTC, whatever the clock shows."""
    moment = datetime(2026, 12, 1, 1, 30, tzinfo=timezone(timedelta(hours=5)))
    assert span("month", moment) == (at("2026-11-01"), at("2026-12-01"))


def test_a_key_has_scope_unit_period_and_start() -> None:
    """So a new window is a new row, and caps with the same meter share it."""
    meter = Meter("team:red", "tokens", "day", ("input", "output"))
    window = meter.window(at("2026-11-29T12:00"))
    assert window.key == f"team:red|tokens:input+output|day|{int(at('2026-11-29').timestamp())}"
    assert meter.window(at("2026-11-30T12:00")).key != window.key


def test_a_window_of_seconds_begins_when_the_store_says() -> None:
    """At its first call."""
    window = Meter("u", "usd", 18000).window(at("2026-11-29"), started=1_790_000_123)
    assert (window.starts_at, window.ends_at) == (1_790_000_123, 1_790_018_123)


def test_a_session_has_one_window_without_an_end() -> None:
    """Its key holds a hash of the id, which is as long as the client likes."""
    meter = Meter("u", "usd", "session")
    first, second = (meter.window(at("2026-11-29"), session=id * 128) for id in "ab")
    assert first.ends_at is None
    assert first.key != second.key
    assert len(first.key) < 60
