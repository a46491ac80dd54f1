"""Plain usage lines as entries."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from nexusflow_core.logs import Entry, Skipped, read_line

LINE = {"usage": {"input_tokens": 3, "output_tokens": 5}, "model": "claude-opus-4-7"}
DAY = "2026-11-22"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def read(default: datetime | None = None, **members: Any) -> Entry | Skipped:
    return read_line(msgspec.json.encode({**LINE, **members}), at=default)


def entry(**members: Any) -> Entry:
    got = read(**{"at": DAY, **members})
    assert isinstance(got, Entry), got
    return got


def test_the_least_that_a_line_says() -> None:
    """Usage in Anthropic's form, a model and a time; nothing else is made up."""
    got = entry()
    assert got.usage is not None
    assert (got.models, got.usage.prompt_tokens, got.usage.output_tokens) == (("claude-opus-4-7",), 3, 5)
    assert (got.key, got.session, got.vendor, got.stop_reason, got.batch) == (None, None, None, None, False)


def test_all_that_a_line_may_say() -> None:
    """Each optional member reaches the entry, and members of the writer's own are left alone."""
    got = entry(
        key="alice",
        session="s1",
        vendor="anthropic",
        batch=True,
        endpoint="regional",
        stop_reason="refusal",
        explicit_cache=True,
        partial=True,
        theirs={"any": "thing"},
    )
    assert (got.key, got.session, got.vendor, got.batch) == ("alice", "s1", "anthropic", True)
    assert (got.endpoint, got.stop_reason, got.explicit_cache, got.partial) == (
        "regional",
        "refusal",
        True,
        True,
    )


def test_who_served_the_call_and_what_it_cost() -> None:
    """The id, the upstream, the route, the host's metadata, how many calls a line sums up, its own cost."""
    got = entry(
        request_id="r1", upstream="east", route="fast", metadata={"team": "red"}, calls=3, cost_usd="0.25"
    )
    assert (got.id, got.upstream, got.route, got.metadata) == ("r1", "east", "fast", {"team": "red"})
    assert (got.calls, got.logged_femto_usd) == (3, 25 * 10**13)
    assert entry(id="mine", request_id="r1").id == "mine"
    assert isinstance(read(at=DAY, calls=0), Skipped)
    assert isinstance(read(at=DAY, cost_usd="0.25 EUR"), Skipped)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-22T12:00:00Z", NOON),
        ("2026-11-22T12:00:00.000+00:00", NOON),
        ("2026-11-22T21:00:00+09:00", NOON),
        ("2026-11-22 12:00Z", NOON),
        ("2026-11-22", NOON - timedelta(hours=12)),
    ],
)
def test_times(text: str, moment: datetime) -> None:
    """A time with its zone, or a UTC day; always UTC afterwards."""
    got = entry(at=text)
    assert (got.at, got.at.tzinfo) == (moment, UTC)


@pytest.mark.parametrize("name", ["at", "timestamp", "started_at"])
def test_names_of_the_time(name: str) -> None:
    """Three names; `at` goes before the others."""
    got = read(**{name: DAY})
    assert isinstance(got, Entry)
    assert got.at == NOON - timedelta(hours=12)
    assert entry(at="2026-11-22T12:00Z", timestamp="x", started_at="y").at == NOON


def test_a_line_without_a_time() -> None:
    """The one that the caller gave; without that it is no entry."""
    got = read(NOON)
    assert isinstance(got, Entry)
    assert got.at == NOON
    assert read() == Skipped("no time: it has neither `at` nor `timestamp` nor `started_at`")


def test_every_wire() -> None:
    """The form is named by `wire`; the same counts mean different things in two of them."""
    usage = {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 1}
    got = entry(usage=usage, wire="openai-responses")
    assert got.usage is not None
    assert (got.usage.input_tokens, got.usage.cache_read_tokens) == (6, 4)
    stream = [{"input_tokens": 7, "output_tokens": 1}, {"output_tokens": 9}]
    got = entry(usage=stream, wire="anthropic-stream")
    assert got.usage is not None
    assert (got.usage.input_tokens, got.usage.output_tokens) == (7, 9)


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"at": "2026-11-22T12:00:00"}, "no time zone"),
        ({"at": "2026-02-30"}, "2026-02-30"),
        ({"at": ""}, "not an ISO 8601 time"),
        ({"at": 1795348800}, "$.at"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "not an ISO 8601 time"),
        ({"model": " "}, "`model` is empty"),
        ({"model": None}, "$.model"),
        ({"wire": "openai"}, "$.wire"),
        ({"endpoint": "moon"}, "$.endpoint"),
        ({"batch": "yes"}, "$.batch"),
        ({"usage": None}, "impossible usage"),
        ({"usage": {"input_tokens": -1}}, "$.input_tokens"),
        ({"usage": {"input_tokens": 2**63}}, "$.input_tokens"),
        ({"usage": {"input_tokens": 2**80}}, "$.input_tokens"),
        ({"usage": {"input_tokens": 1.5}}, "$.input_tokens"),
        ({"usage": {"prompt_tokens": 1, "prompt_cache_hit_tokens": 2}, "wire": "deepseek-chat"}, "cached"),
    ],
)
def test_a_line_that_cannot_be(members: dict[str, Any], says: str) -> None:
    """Skipped, with the place and the reason."""
    got = read(**{"at": DAY, **members})
    assert isinstance(got, Skipped)
    assert says in got.reason


def test_a_zone_is_no_day() -> None:
    """The day of a call is the UTC one, whatever zone its log is written in."""
    late = datetime(2026, 11, 22, 23, 30, tzinfo=timezone(timedelta(hours=-5)))
    assert entry(at=late.isoformat()).at.date().isoformat() == "2026-11-23"
