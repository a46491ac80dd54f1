"""Lines of our own call log as entries."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from nexusflow_core.logs import Entry, Pricer, Skipped, read_line
from nexusflow_core.record import SCHEMA_VERSION


def line(**changes: Any) -> bytes:
    """A line as the call log writes it."""
    record = {
        "schema": 1,
        "request_id": "req_1",
        "started_at": "2026-11-22T12:00:00.123456Z",
        "model": "fast",
        "response_model": "claude-haiku-4-5-20251001",
        "principal": "alice",
        "metadata": {"team": "red"},
        "stream": False,
        "status": 200,
        "ending": "complete",
        "attempts": [
            {"upstream": "a", "model": "claude-opus-4-7", "status": 529, "reason": "x", "duration": 0.1},
            {"upstream": "b", "model": "claude-haiku-4-5", "status": 200, "reason": "", "duration": 0.1},
        ],
        "usage": {"input_tokens": 3, "output_tokens": 5},
        "usage_source": "upstream",
    }
    return msgspec.json.encode({**record, **changes})


def entry(**changes: Any) -> Entry:
    read = read_line(line(**changes))
    assert isinstance(read, Entry), read
    return read


def reason(**changes: Any) -> str:
    read = read_line(line(**changes))
    assert isinstance(read, Skipped), read
    return read.reason


def test_what_a_line_says() -> None:
    """Model, time, usage and principal; the call is whole."""
    read = entry()
    assert read.at == datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
    assert read.usage is not None
    assert (read.usage.input_tokens, read.usage.output_tokens) == (3, 5)
    assert (read.key, read.session, read.partial, read.flags) == ("alice", None, False, ())


def test_a_line_of_the_servers_log() -> None:
    """Its `call` is the record. Lines about no call are passed over."""
    about = {
        "time": "2026-11-22T12:00:00.123+00:00",
        "level": "info",
        "logger": "nexusflow",
        "message": "req_1",
    }
    record = msgspec.json.decode(line())
    assert read_line(msgspec.json.encode({**about, "call": record})) == entry()
    for changes in ({}, {"logger": "uvicorn.error"}, {"exception": "Traceback"}):
        found = read_line(msgspec.json.encode({**about, **changes}))
        assert isinstance(found, Skipped)
        assert found.expected
    foreign = read_line(msgspec.json.encode({**about, "logger": "another"}))
    assert isinstance(foreign, Skipped)
    assert not foreign.expected
    started = read_line(msgspec.json.encode({**about, "call": {**record, "ending": "started"}}))
    assert isinstance(started, Skipped)


def test_who_served_the_call() -> None:
    """The upstream of the last attempt, the route, the host's metadata, and the id of the call."""
    read = entry(route="claude-*")
    assert (read.id, read.upstream, read.route, read.metadata) == ("req_1", "b", "claude-*", {"team": "red"})
    assert entry(attempts=[]).upstream is None


def test_the_answers_model_goes_first() -> None:
    """Then the one that the last attempt sent; the client's name may be an alias and is not looked at."""
    assert entry().models == ("claude-haiku-4-5-20251001", "claude-haiku-4-5")
    assert entry(response_model=None).models == ("claude-haiku-4-5",)
    assert entry(response_model=None, attempts=[]).models == ("fast",)


def test_the_session_is_the_principals() -> None:
    """Where the host put one into the metadata."""
    assert entry(metadata={"session": "s1"}).session == "s1"


@pytest.mark.parametrize("changes", [{"usage": None, "usage_source": "none"}, {"usage": None}])
def test_a_call_without_usage(changes: dict[str, Any]) -> None:
    """Refused, or failed before any usage: an entry without usage, not a mistake."""
    assert entry(ending="refused", status=401, attempts=[], model="", **changes).usage is None


def test_whose_numbers() -> None:
    """A partial usage is marked so, and an estimated one is flagged."""
    assert entry(usage_source="partial").partial
    assert entry(usage_source="estimated").flags == ("estimated_usage",)


def test_a_streams_usage_is_merged() -> None:
    """A total that shrank below the split of message_start is read as a stream's, not as impossible."""
    usage = {"cache_creation_input_tokens": 5, "cache_creation": {"ephemeral_5m_input_tokens": 9}}
    read = entry(stream=True, usage=usage)
    assert read.usage is not None
    assert (read.usage.cache_write_5m_tokens, read.usage.flags) == (5, ("cache_write_split_assumed",))
    assert "cache_creation" in reason(stream=False, usage=usage)


def test_what_the_line_says_of_its_cost() -> None:
    """Its amount to the femto-dollar, whose price it was, and that a refusal was free."""
    read = entry(
        cost_usd="0.000000000000001", price_row="anthropic/claude-haiku-4-5", cost_flags=["refusal_free"]
    )
    assert (read.logged_femto_usd, read.vendor, read.stop_reason) == (1, "anthropic", "refusal")
    assert entry(cost_usd="12").logged_femto_usd == 12 * 10**15
    assert entry(cost_usd=None, price_row=None).vendor is None


def test_whose_prices_hold() -> None:
    """Those of the upstream's vendor: a call that had no price there gets none of another vendor's."""
    read = entry(response_model="gpt-4o", cost_usd=None, price_vendor="vllm")
    assert read.vendor == "vllm"
    priced = Pricer().price(read)
    assert (priced.cost, priced.why) == (None, "no price is known for 'gpt-4o' of vllm")


@pytest.mark.parametrize(
    ("said", "flags", "stop_reason"),
    [
        ({"stop_reason": "max_tokens"}, ["declined_attempt_free"], "max_tokens"),
        ({"stop_reason": None}, ["refusal_free"], None),
        ({}, ["refusal_free"], "refusal"),
        ({}, ["declined_attempt_free"], None),
    ],
)
def test_why_it_stopped(said: dict[str, Any], flags: list[str], stop_reason: str | None) -> None:
    """As the line says. Lines from before it was kept say at least that a refusal was free."""
    assert entry(cost_flags=flags, **said).stop_reason == stop_reason


def test_a_bill_with_impossible_counts() -> None:
    """What the vendor charged stands, as it does in the record."""
    read = entry(usage={"input_tokens": -1}, billing={"reported_femto_usd": 5 * 10**14})
    found = Pricer().price(read).cost
    assert found is not None
    assert (found.femto_usd, found.flags) == (5 * 10**14, ("impossible_usage", "provider_reported"))


@pytest.mark.parametrize("cost", ["", "-1", "1e9", "0.0000000000000001", "NaN", "1" * 30, "1.", "\u0661"])
def test_a_cost_that_is_no_amount(cost: str) -> None:
    """Nothing is rounded and nothing is guessed."""
    assert "not an exact amount" in reason(cost_usd=cost)


@pytest.mark.parametrize("changes", [{}, {"attempts": "of another form"}, {"started_at": 5}])
def test_a_newer_schema(changes: dict[str, Any]) -> None:
    """Said to be newer, whatever else is in it."""
    told = reason(schema=SCHEMA_VERSION + 1, **changes)
    assert f"schema {SCHEMA_VERSION + 1} is newer" in told


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema": 0}, "schema 0"),
        ({"schema": "1"}, "$.schema"),
        ({"started_at": "2026-11-22T12:00:00"}, "no time zone"),
        ({"started_at": "yesterday"}, "yesterday"),
        ({"started_at": None}, "$.started_at"),
        ({"usage": {"input_tokens": -1}}, "$.input_tokens"),
        ({"usage": {"input_tokens": 2**63}}, "$.input_tokens"),
        ({"usage": {"input_tokens": 2**63}, "stream": True}, "input_tokens"),
        ({"usage": {"output_tokens": 1.5}}, "$.output_tokens"),
        ({"usage": "many"}, "impossible usage"),
    ],
)
def test_a_line_that_cannot_be(changes: dict[str, Any], says: str) -> None:
    """Skipped, with the place and the reason."""
    assert says in reason(**changes)
