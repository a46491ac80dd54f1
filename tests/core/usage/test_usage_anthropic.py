"""Anthropic's forms: one answer, a stream, and the rows of its usage and cost reports."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from nexusflow_core import InvalidUsageError, Iteration, Usage, cost

ANSWER: dict[str, Any] = {
    "input_tokens": 11,
    "cache_creation_input_tokens": 70,
    "cache_read_input_tokens": 13,
    "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 30},
    "output_tokens": 17,
    "output_tokens_details": {"thinking_tokens": 5},
    "service_tier": "priority",
    "inference_geo": "us",
    "speed": "fast",
    "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 9},
    "a_member_of_next_year": {"deep": [1]},
}


NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def read(usage: Any, wire: Any = "anthropic") -> Usage:
    """The same from JSON and from the decoded object."""
    found = Usage.from_wire(usage, wire)
    assert Usage.from_wire(json.dumps(usage).encode(), wire) == found
    return found


def refused(usage: Any, wire: Any = "anthropic") -> str:
    """The message of the error, which both forms raise."""
    with pytest.raises(InvalidUsageError) as bytes_error:
        Usage.from_wire(json.dumps(usage).encode(), wire)
    with pytest.raises(InvalidUsageError) as error:
        Usage.from_wire(usage, wire)
    assert str(bytes_error.value) == str(error.value)
    return str(error.value)


def test_every_member_of_an_answer() -> None:
    """Each lands in its bucket, and what nobody knows is passed over."""
    assert read(ANSWER) == Usage(
        input_tokens=11,
        cache_read_tokens=13,
        cache_write_5m_tokens=40,
        cache_write_1h_tokens=30,
        output_tokens=17,
        web_searches=2,
        service_tier="priority",
        speed="fast",
        inference_geo="us",
        reasoning_tokens=5,
    )
    assert read(ANSWER).prompt_tokens == 11 + 13 + 70


def test_null_and_absent_are_none() -> None:
    """A count of null is none; but where all are, nothing is known, and nothing is not free."""
    assert read({**dict.fromkeys(ANSWER), "output_tokens": 0}) == read({"input_tokens": 0}) == Usage()
    for nothing in ({}, dict.fromkeys(ANSWER), {"tokens": 5}, {"usage": ANSWER}):
        assert "none of the counts" in refused(nothing, "anthropic")


@pytest.mark.parametrize(
    ("writes", "short", "hour", "assumed"),
    [
        ({"cache_creation_input_tokens": 9}, 9, 0, 9),
        ({"cache_creation_input_tokens": 9, "cache_creation": None}, 9, 0, 9),
        ({"cache_creation_input_tokens": 9, "cache_creation": {}}, 9, 0, 9),
        ({"cache_creation_input_tokens": 9, "cache_creation": {"ephemeral_1h_input_tokens": 4}}, 5, 4, 5),
        ({"cache_creation_input_tokens": 9, "cache_creation": {"ephemeral_5m_input_tokens": 4}}, 9, 0, 5),
        (
            {
                "cache_creation_input_tokens": 17_269,
                "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            },
            17_269,
            0,
            17_269,
        ),
        (
            {"cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 5}},
            4,
            5,
            0,
        ),
        (
            {"cache_creation_input_tokens": None, "cache_creation": {"ephemeral_1h_input_tokens": 5}},
            0,
            5,
            0,
        ),
        ({"cache_creation_input_tokens": 0, "cache_creation": {"ephemeral_5m_input_tokens": None}}, 0, 0, 0),
    ],
)
def test_writes_and_their_split(writes: dict[str, Any], short: int, hour: int, assumed: int) -> None:
    """The total is never added to its parts; what they leave is 5m, and counted as assumed."""
    found = read({"input_tokens": 1, **writes})
    assert (found.cache_write_5m_tokens, found.cache_write_1h_tokens, found.assumed_5m_tokens) == (
        short,
        hour,
        assumed,
    )


def test_a_split_over_its_total() -> None:
    """More in the parts than in the whole cannot be, in an answer and in an iteration."""
    long = {"cache_creation_input_tokens": 8, "cache_creation": {"ephemeral_1h_input_tokens": 9}}
    assert "1 more than cache_creation_input_tokens" in refused(long)
    assert "1 more than cache_creation_input_tokens" in refused({"iterations": [long]})


@pytest.mark.parametrize(
    ("count", "why"),
    [
        (-1, ">= 0"),
        (1.5, "got `float`"),
        (5.0, "got `float`"),
        ("5", "got `str`"),
        (True, "got `bool`"),
        (2**63, "<= 9223372036854775807"),
        (10**40, "<= 9223372036854775807"),
        ([1], "got `array`"),
        ({}, "got `object`"),
    ],
)
@pytest.mark.parametrize(
    "place",
    [
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "cache_creation.ephemeral_5m_input_tokens",
        "cache_creation.ephemeral_1h_input_tokens",
        "server_tool_use.web_search_requests",
        "output_tokens_details.thinking_tokens",
        "iterations[0].input_tokens",
        "iterations[0].cache_creation.ephemeral_1h_input_tokens",
    ],
)
def test_counts_that_cannot_be(place: str, count: Any, why: str) -> None:
    """A count is a whole number of 0 to 2^63 - 1; the error names the member."""
    usage: Any = count
    for name in reversed(place.replace("[0]", ".0").split(".")):
        usage = [usage] if name == "0" else {name: usage}
    message = refused(usage)
    assert f"$.{place}" in message.replace("[...]", "[0]")
    assert why in message


def test_the_largest_count() -> None:
    """2^63 - 1 is still a count."""
    assert read({"input_tokens": 2**63 - 1}).input_tokens == 2**63 - 1


def test_iterations() -> None:
    """Each is read with its kind, its model and its own writes; one without a type is a message."""
    steps = [
        {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3500},
        {"type": "advisor_message", "model": "claude-opus-5", "cache_creation_input_tokens": 7},
        {"cache_creation": {"ephemeral_1h_input_tokens": 3}, "cache_read_input_tokens": 2, "model": None},
    ]
    assert read({"input_tokens": 1, "iterations": steps}).iterations == (
        Iteration("compaction", None, 180_000, output_tokens=3500),
        Iteration("advisor_message", "claude-opus-5", cache_write_5m_tokens=7, assumed_5m_tokens=7),
        Iteration("message", None, cache_read_tokens=2, cache_write_1h_tokens=3),
    )
    for none in ([], None):
        assert read({"input_tokens": 1, "iterations": none}).iterations == ()


@pytest.mark.parametrize(
    ("credit", "flags"),
    [
        ({"status": {"type": "redeemed"}}, ("fallback_credit",)),
        ({"status": {"type": "not_applied", "reason": "expired"}}, ()),
        ({"status": None}, ()),
        (None, ()),
    ],
)
def test_a_fallback_credit(credit: Any, flags: tuple[str, ...]) -> None:
    """A redeemed one makes the cost uncertain, and says so."""
    assert read({"input_tokens": 1, "fallback_credit": credit}).flags == flags


STREAM = [
    {"input_tokens": 9, "cache_creation_input_tokens": 4, "output_tokens": 1, "service_tier": "batch"},
    {"output_tokens": 5, "input_tokens": None},
    {"output_tokens": 21, "server_tool_use": {"web_search_requests": 1}},
]


def as_events(usages: list[dict[str, Any]], newline: str = "\n") -> bytes:
    """A stream of Anthropic's in which these usages stand."""
    start = {"type": "message_start", "message": {"id": "msg_1", "usage": usages[0]}}
    deltas = [{"type": "message_delta", "delta": {}, "usage": usage} for usage in usages[1:]]
    text = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": '"usage": {'}}
    events = [start, {"type": "ping"}, text, *deltas, {"type": "message_stop"}]
    return "".join(f"event: {e['type']}{newline}data: {json.dumps(e)}{newline * 2}" for e in events).encode()


def test_a_stream_is_folded() -> None:
    """Later numbers replace earlier ones, absent and null leave them: from a list, JSON and the stream."""
    whole = Usage(
        9, cache_write_5m_tokens=4, output_tokens=21, web_searches=1, service_tier="batch", assumed_5m_tokens=4
    )
    assert read(STREAM, "anthropic-stream") == whole
    assert Usage.from_wire(tuple(STREAM), "anthropic-stream") == whole  # type: ignore[arg-type]
    for newline in ("\n", "\r\n", "\r"):
        assert Usage.from_wire(as_events(STREAM, newline), "anthropic-stream") == whole


def test_a_stream_without_its_end() -> None:
    """What was seen counts, and says so: a last event without its blank line or cut short, an error."""
    start, delta = STREAM[0], STREAM[2]
    assert Usage.from_wire(as_events([start]), "anthropic-stream").output_tokens == 1
    cut = as_events([start, delta]).partition(b"event: message_stop")[0].rstrip(b"\n")
    for rest in (b"", b"\n\nevent: error\ndata: {}\n\n", b'\n\nevent: message_delta\ndata: {"type":"mess'):
        found = Usage.from_wire(cut + rest, "anthropic-stream")
        assert (found.output_tokens, found.flags) == (21, ("partial_usage",))
        assert cost(found, model="claude-opus-5", at=NOON, partial=True).flags.count("partial_usage") == 1


def test_a_foreign_end_mark() -> None:
    """And what else may follow an end."""
    start, delta = STREAM[0], STREAM[2]
    marked = as_events([start, delta]) + b"data: [DONE]\n\n: a comment\n\nevent: x\n\n"
    found = Usage.from_wire(marked, "anthropic-stream")
    assert (found.output_tokens, found.flags) == (21, ())


@pytest.mark.parametrize("count", [12.5, "5", True, -5])
@pytest.mark.parametrize("place", [0, 1])
def test_a_stream_with_a_count_that_cannot_be(count: Any, place: int) -> None:
    """Wherever it stands, and though a later one may replace it: it is not taken for 0."""
    parts: list[dict[str, Any]] = [{"input_tokens": 100, "output_tokens": 1}, {"output_tokens": 5}]
    parts[place] |= {"input_tokens": count, "cache_read_input_tokens": 5}
    assert "input_tokens" in refused(parts, "anthropic-stream")


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        # A compaction, as recorded: the prompt shrinks.
        ([{"input_tokens": 60_385}, {"input_tokens": 612}], (612, 0, 0, 0)),
        # A third party that ends with zeros.
        ([{"input_tokens": 500, "cache_read_input_tokens": 7}, {"input_tokens": 0}], (500, 7, 0, 0)),
        # Server tools write more than the split at the start knew of.
        (
            [
                {"cache_creation_input_tokens": 5, "cache_creation": {"ephemeral_1h_input_tokens": 5}},
                {"cache_creation_input_tokens": 8},
            ],
            (0, 0, 3, 5),
        ),
        # The total is corrected downwards, without a split.
        (
            [
                {"cache_creation_input_tokens": 9, "cache_creation": {"ephemeral_1h_input_tokens": 9}},
                {"cache_creation_input_tokens": 6},
            ],
            (0, 0, 0, 6),
        ),
        (
            [
                {
                    "cache_creation_input_tokens": 9,
                    "cache_creation": {"ephemeral_5m_input_tokens": 7, "ephemeral_1h_input_tokens": 2},
                },
                {"cache_creation_input_tokens": 6},
            ],
            (0, 0, 4, 2),
        ),
    ],
)
def test_what_a_stream_corrects(parts: list[dict[str, Any]], expected: tuple[int, ...]) -> None:
    """Input, read, 5m and 1h after the fold."""
    found = read(parts, "anthropic-stream")
    prompt = (
        found.input_tokens,
        found.cache_read_tokens,
        found.cache_write_5m_tokens,
        found.cache_write_1h_tokens,
    )
    assert prompt == expected
    lower = "cache_creation" in parts[0] and sum(prompt[2:]) < parts[0]["cache_creation_input_tokens"]
    assert found.flags == (("cache_write_split_assumed",) if lower else ())


@pytest.mark.parametrize("parts", [[], [1], ["x"], [[]], [None], {"input_tokens": 1}, "x", None, 5])
def test_what_is_no_stream(parts: Any) -> None:
    """A list of objects, one at least, or it is refused."""
    with pytest.raises(InvalidUsageError):
        Usage.from_wire(parts, "anthropic-stream")


@pytest.mark.parametrize(
    "data", [b"", b"data: {\n\n", b"data: [1]\n\n", b'data: {"usage": 5}\n\n', b"\xff", as_events([{}])]
)
def test_a_stream_without_usage(data: bytes) -> None:
    """Bytes that name no usage are refused, whatever they are."""
    with pytest.raises(InvalidUsageError):
        Usage.from_wire(data, "anthropic-stream")


@pytest.mark.parametrize(
    ("window", "above", "flags"),
    [
        ("0-200k", 0, ("many_requests",)),
        ("200k-1M", 200_000, ("many_requests",)),
        (None, 0, ("many_requests", "tier_unknown")),
    ],
)
def test_a_row_of_the_usage_report(window: str | None, above: int, flags: tuple[str, ...]) -> None:
    """Its names are its own, its dimensions go with it, and its tier is the one it names."""
    row = {
        "uncached_input_tokens": 1500,
        "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500},
        "cache_read_input_tokens": 200,
        "output_tokens": 300,
        "server_tool_use": {"web_search_requests": 10},
        "service_tier": "batch",
        "inference_geo": "us",
        "speed": "fast",
        "context_window": window,
    }
    assert read(row, "anthropic-usage-report") == Usage(
        1500, 200, 500, 1000, 300, 10, "batch", "fast", "us", prompt_above=above, flags=flags
    )


def test_an_empty_row_of_the_usage_report() -> None:
    """Nulls are none; a window that nobody knows is refused."""
    assert read({"cache_creation": None}, "anthropic-usage-report").prompt_tokens == 0
    assert "context_window '2M'" in refused({"context_window": "2M"}, "anthropic-usage-report")


@pytest.mark.parametrize(
    ("amount", "femto"),
    [
        ("123.78912", 1_237_891_200_000_000),
        ("0", 0),
        ("0.0000000000001", 1),
        ("-5", -50_000_000_000_000),
        ("12345678901234567890123456789.0000000000001", 123456789012345678901234567890000000000001),
    ],
)
def test_a_row_of_the_cost_report(amount: str, femto: int) -> None:
    """Cents, to the last digit, credits too."""
    found = read({"amount": amount, "currency": "USD", "description": "x"}, "anthropic-cost-report")
    assert (found.reported_femto_usd, found.flags) == (femto, ("provider_reported",))


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"amount": "0.00000000000001"}, "not an exact amount"),
        ({"amount": "x"}, "not a number of cents"),
        ({"amount": ""}, "not a number of cents"),
        ({"amount": "NaN"}, "not a number of cents"),
        ({"amount": "Infinity"}, "not a number of cents"),
        ({"amount": "1e999999"}, "not a number of cents"),
        ({"amount": "1_000"}, "not a number of cents"),
        ({"amount": " 5 "}, "not a number of cents"),
        ({"amount": "\uff11"}, "not a number of cents"),
        ({"amount": 5}, "got `int`"),
        ({"amount": 5.5}, "got `float`"),
        ({"amount": None}, "got `null`"),
        ({}, "amount"),
        ({"amount": "5", "currency": "EUR"}, "'EUR'"),
    ],
)
def test_an_amount_that_cannot_be(row: dict[str, Any], why: str) -> None:
    """What is no exact number of cents in dollars is refused."""
    assert why in refused(row, "anthropic-cost-report")
