"""Counts as analysts have them: integers of any library are exact, all else is refused with a sentence."""

import json
import pickle
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusflow_core import InvalidUsageError, Iteration, UnknownModelError, Usage, cost
from nexusflow_core.logs import Entry, Pricer
from nexusflow_core.logs.summary import Summary

DAY = date(2026, 11, 20)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
COUNTS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
)


class Int64:
    """An integer of another library: it computes by itself, and wraps around at 64 bits, as numpy's do."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value

    def __bool__(self) -> bool:
        return bool(self.value)

    def __add__(self, other: Any) -> "Int64":
        return self._wrapped(self.value + int(other))

    def __mul__(self, other: Any) -> "Int64":
        return self._wrapped(self.value * int(other))

    def __gt__(self, other: Any) -> bool:
        return self.value > int(other)

    def __int__(self) -> int:
        return self.value

    __radd__, __rmul__ = __add__, __mul__

    def _wrapped(self, value: int) -> "Int64":
        return Int64((value + 2**63) % 2**64 - 2**63)


class Strict(Int64):
    """As numpy under `-W error`: an overflow is an exception, not a warning."""

    def __mul__(self, other: Any) -> "Int64":
        if not -(2**31) <= self.value * int(other) < 2**31:
            raise RuntimeWarning("overflow encountered in scalar multiply")
        return super().__mul__(other)

    __rmul__ = __mul__


@pytest.mark.parametrize("kind", [Int64, Strict, Decimal])
@pytest.mark.parametrize("model", ["claude-opus-4-7", "claude-haiku-5-5", "gpt-5.6-sol"])
@pytest.mark.parametrize("name", COUNTS)
def test_integers_of_other_libraries(name: str, model: str, kind: Any) -> None:
    """Their total costs what Python's would: 2.7 billion tokens of $5 are 13,500 dollars, and not negative."""
    for tokens in (3, 2_700_000_000):
        ours = cost(Usage(**{name: tokens}), model=model, at=NOON)
        theirs = cost(Usage(**{name: kind(tokens)}), model=model, at=NOON)
        assert theirs == ours
        assert [type(line.tokens) for line in theirs.lines] == [int]
    if model == "claude-opus-4-7" and name == "input_tokens":
        assert f"{theirs.usd:f}" == "13500"


@pytest.mark.parametrize("options", [{}, {"batch": True}, {"vendor": "anthropic"}, {"partial": True}])
@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize(
    "value",
    [1500.0, float("nan"), float("inf"), Decimal("1.5"), Decimal("NaN"), Decimal("1e99"), Fraction(3, 2), "12",
     b"12", -1, -10**20, Int64(-5), Decimal(-3), [1], None],
)  # fmt: skip
def test_what_is_no_count(name: str, value: Any, options: dict[str, Any]) -> None:
    """It is refused by its name and what it is, beside other counts too; it is never priced."""
    for beside in ({}, {"input_tokens": 7, "output_tokens": 9}):
        for model in ("claude-opus-4-7", "claude-haiku-5-5"):
            with pytest.raises(InvalidUsageError, match=name):
                cost(Usage(**{**beside, name: value}), model=model, at=NOON, **options)


@pytest.mark.parametrize("at", [NOON, "2026-11-20"])
@pytest.mark.parametrize("options", [{}, {"batch": True}, {"partial": True}, {"many_requests": True}])
@pytest.mark.parametrize("name", COUNTS)
def test_true_is_one(name: str, options: dict[str, Any], at: Any) -> None:
    """Python's True and False are integers, whichever way a price is found."""
    for model in ("claude-opus-4-7", "claude-haiku-5-5", "gpt-5.6-sol"):
        for value in (True, False):
            found = cost(Usage(**{name: value}), model=model, at=at, **options)
            assert found == cost(Usage(**{name: int(value)}), model=model, at=at, **options)


def test_none_is_no_count() -> None:
    """It may stand for a count that is unknown, which is not 0."""
    with pytest.raises(InvalidUsageError, match="input_tokens is None"):
        cost(Usage(input_tokens=None), model="claude-opus-4-7", at=NOON)  # type: ignore[arg-type]


def test_other_counts_of_a_usage() -> None:
    """Searches, and the counts of each iteration."""
    searched = Usage(output_tokens=1, web_searches=Int64(2))  # type: ignore[arg-type]
    found = cost(searched, model="claude-opus-5", at=NOON)
    assert found == cost(Usage(output_tokens=1, web_searches=2), model="claude-opus-5", at=NOON)
    for wrong in (1.0, -1):
        with pytest.raises(InvalidUsageError, match="web_searches"):
            cost(Usage(web_searches=wrong), model="claude-opus-5", at=NOON)  # type: ignore[arg-type]
    steps = (Iteration("message", None, Int64(2_700_000_000)),)  # type: ignore[arg-type]
    assert cost(Usage(iterations=steps), model="claude-opus-5", at=NOON).usd == 13500
    with pytest.raises(InvalidUsageError, match="input_tokens"):
        cost(Usage(iterations=(Iteration("message", None, 1.0),)), model="claude-opus-5", at=NOON)  # type: ignore[arg-type]


def test_sums_of_such_counts() -> None:
    """What a log's pricing and summing make of them is exact too."""
    usage = Usage(input_tokens=Int64(2**62), output_tokens=Int64(2**62))  # type: ignore[arg-type]
    summary = Summary()
    for _ in range(4):
        entry = Entry(models=("claude-opus-5",), at=NOON, usage=usage)
        summary.add(entry, Pricer().price(entry))
    total = summary.total()
    assert (total.input_tokens, total.output_tokens, total.femto_usd) == (2**64, 2**64, 2**64 * 30 * 10**9)


@given(st.lists(st.integers(0, 2**63 - 1), min_size=5, max_size=5), st.sets(st.sampled_from(COUNTS)))
def test_any_mixture(counts: list[int], theirs: set[str]) -> None:
    """Some of the counts from another library, some from Python: the same cost to the femto-dollar."""
    ours = dict(zip(COUNTS, counts, strict=True))
    mixed: Any = {name: Int64(count) if name in theirs else count for name, count in ours.items()}
    for model in ("claude-opus-4-7", "claude-haiku-5-5"):
        assert cost(Usage(**mixed), model=model, at=DAY) == cost(Usage(**ours), model=model, at=DAY)


class Dumped:
    """An SDK's object: what pydantic makes of an answer's usage."""

    def __init__(self, **members: Any) -> None:
        self.members = members

    def model_dump(self) -> dict[str, Any]:
        return self.members


def test_an_sdks_object_is_read() -> None:
    """It is what everybody has in hand: `message.usage`, and its parts, as they are."""
    parts = Dumped(ephemeral_5m_input_tokens=2, ephemeral_1h_input_tokens=1)
    usage = Dumped(input_tokens=5, output_tokens=7, cache_creation_input_tokens=3, cache_creation=parts)
    assert Usage.from_wire(usage, "anthropic") == Usage(5, 0, 2, 1, 7)
    assert Usage.from_wire([usage], "anthropic-stream") == Usage(5, 0, 2, 1, 7)
    details = Dumped(cached_tokens=4)
    chat = Dumped(prompt_tokens=9, completion_tokens=1, prompt_tokens_details=details)
    for wire in ("openai-chat", "deepseek-chat"):
        assert Usage.from_wire(chat, wire) == Usage(5, 4, output_tokens=1)  # type: ignore[arg-type]


def test_the_sdks_own_object() -> None:
    """The class of the anthropic SDK itself."""
    from anthropic.types import Usage as Theirs

    usage = Theirs.model_validate({"input_tokens": 5, "output_tokens": 7, "service_tier": "standard"})
    assert Usage.from_wire(usage, "anthropic") == Usage(5, output_tokens=7, service_tier="standard")
    with pytest.raises(TypeError, match=r"Usage\.from_wire"):
        cost(usage, model="claude-opus-5", at=DAY)  # type: ignore[call-overload]


@pytest.mark.parametrize("wire", ["anthropic", "openai-chat", "openai-responses", "bedrock-converse"])
def test_decoded_counts_of_other_libraries(wire: Any) -> None:
    """A row of a table has that library's integers."""
    names = {
        "anthropic": ("input_tokens", "output_tokens"),
        "openai-chat": ("prompt_tokens", "completion_tokens"),
        "openai-responses": ("input_tokens", "output_tokens"),
        "bedrock-converse": ("inputTokens", "outputTokens"),
    }[wire]
    found = Usage.from_wire({names[0]: Int64(5), names[1]: Int64(7)}, wire)
    assert found == Usage(5, output_tokens=7)
    assert type(found.input_tokens) is int
    for wrong in (5.5, float("nan"), True, "5"):
        with pytest.raises(InvalidUsageError):
            Usage.from_wire({names[0]: wrong, names[1]: 7}, wire)


@pytest.mark.parametrize("usage", [{"input_tokens": 5}, b"{}", "{}", None, 5, [5]])
def test_what_is_no_usage(usage: Any) -> None:
    """A dict where a Usage is due: the error says how to read it."""
    with pytest.raises(TypeError, match=r"usage: expected a Usage, got an? .*Usage\.from_wire"):
        cost(usage, model="claude-opus-5", at=DAY)


@pytest.mark.parametrize("usage", [None, 5, "text", Usage(5), object()])
def test_what_no_wire_reads(usage: Any) -> None:
    """It names what it was given, and what it takes."""
    with pytest.raises(InvalidUsageError, match=f"{type(usage).__name__} is not a usage object.*dict"):
        Usage.from_wire(usage, "anthropic")


@pytest.mark.parametrize(
    ("wire", "hint"), [("openai", "openai-chat"), ("Anthropic", "anthropic"), (None, ""), ([], ""), ("", "")]
)
def test_a_wire_that_there_is_not(wire: Any, hint: str) -> None:
    """Its name, the nearest one, and all that there are."""
    with pytest.raises(KeyError) as error:
        Usage.from_wire({"input_tokens": 1}, wire)
    assert "known are anthropic, anthropic-stream" in str(error.value)
    assert str(error.value).startswith("wire: ")
    assert (f"did you mean '{hint}'" in str(error.value)) is bool(hint)
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2026-10-06", date(2026, 10, 6)),
        ("2026-10-06T23:59:59Z", datetime(2026, 10, 6, 23, 59, 59, tzinfo=UTC)),
        ("2026-10-07T08:59:59+09:00", datetime(2026, 10, 6, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_a_moment_as_text(text: str, same: Any) -> None:
    """As a log has it: a day, or a time with its zone."""
    usage = Usage(0, 1000)
    found = cost(usage, model="claude-sonnet-5-5", at=text)
    assert found == cost(usage, model="claude-sonnet-5-5", at=same)
    assert found != cost(usage, model="claude-sonnet-5-5", at="2026-10-07")


@pytest.mark.parametrize(
    ("at", "error", "why"),
    [
        ("2026-10-06T23:59:59", ValueError, "at: .*no time zone"),
        ("yesterday", ValueError, "at: 'yesterday' is not an ISO 8601 time"),
        ("", ValueError, "at: "),
        (None, TypeError, "at: got a NoneType; give a datetime"),
        (1764000000, TypeError, "at: got a int; give a datetime"),
        (1764000000.0, TypeError, "at: got a float; give a datetime"),
    ],
)
def test_what_is_no_moment(at: Any, error: type[Exception], why: str) -> None:
    """A sentence that begins with the argument's name."""
    for model in ("claude-opus-5", "claude-haiku-5-5"):
        with pytest.raises(error, match=why):
            cost(Usage(1), model=model, at=at)


@pytest.mark.parametrize("model", [None, 5, float("nan"), ["claude-opus-5"], b"claude-opus-5"])
def test_no_model(model: Any) -> None:
    """A missing name in a table is a model without a price."""
    with pytest.raises(UnknownModelError, match=r"no price is known for .*`model` must be a string"):
        cost(Usage(1), model=model, at=DAY)
    assert cost(Usage(1), model=model, at=DAY, unknown="none") is None


def test_numpys_own() -> None:
    """With numpy itself, where it is installed."""
    numpy = pytest.importorskip("numpy")
    for kind in (numpy.int64, numpy.uint64, numpy.int32):
        usage: Any = Usage(input_tokens=kind(2_000_000_000), output_tokens=kind(5))
        assert f"{cost(usage, model='claude-opus-4-7', at=DAY).usd:f}" == "10000.000125"
        assert Usage.from_wire({"input_tokens": kind(5)}, "anthropic") == Usage(5)
    for wrong in (numpy.float64(5), numpy.bool_(True), numpy.array([1, 2])):
        with pytest.raises(InvalidUsageError):
            cost(Usage(input_tokens=wrong), model="claude-opus-4-7", at=DAY)


def test_json_stays_as_it_was() -> None:
    """Bytes and objects are read alike."""
    usage = {"input_tokens": 5, "output_tokens": 7}
    assert Usage.from_wire(json.dumps(usage).encode(), "anthropic") == Usage.from_wire(usage, "anthropic")
