"""Usage under other names than those of OpenAI, and members that are written but not filled."""

from typing import Any

import pytest

from nexusflow_core import CallRecord
from tests.core.translation.driving import answered, chunks, sse, streamed


def record_of(usage: Any, *, stream: bool, vendor: str | None = None, model: str = "gpt-5.4") -> CallRecord:
    """The record of a call whose answer `Hi.` has this usage."""
    if stream:
        return streamed(sse(chunks({"content": "Hi."}, usage=usage)), vendor=vendor, model=model).record
    choice = {"message": {"content": "Hi."}, "finish_reason": "stop"}
    return answered({"choices": [choice], "usage": usage}, vendor=vendor, model=model).record


def told(record: CallRecord) -> tuple[int, int, int, int]:
    """Input, read, written, output."""
    usage = record.usage or {}
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
    return tuple(usage[name] for name in names)  # type: ignore[return-value]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": 11, "output_tokens": 5, "total_tokens": 16}, (11, 0, 0, 5)),
        ({"input_tokens": 11, "output_tokens": 5}, (11, 0, 0, 5)),
        ({"inputTokens": 11, "outputTokens": 5, "totalTokens": 16}, (11, 0, 0, 5)),
        ({"promptTokens": 11, "completionTokens": 5}, (11, 0, 0, 5)),
        ({"promptTokenCount": 11, "candidatesTokenCount": 5, "totalTokenCount": 16}, (11, 0, 0, 5)),
        ({"prompt_eval_count": 11, "eval_count": 5}, (11, 0, 0, 5)),
        ({"prompt_tokens": "11", "completion_tokens": "5"}, (11, 0, 0, 5)),
        (
            {
                "input_tokens": 11,
                "output_tokens": 5,
                "prompt_tokens": 0,
                "completion_tokens": 0,
                "total_tokens": 0,
            },
            (11, 0, 0, 5),
        ),
        (
            {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 90}, "output_tokens": 5},
            (10, 90, 0, 5),
        ),
        (
            {
                "input_tokens": 10,
                "cache_read_input_tokens": 90,
                "cache_creation_input_tokens": 7,
                "output_tokens": 5,
            },
            (10, 90, 7, 5),
        ),
        (
            {"input_tokens": 100, "cache_read_input_tokens": 90, "output_tokens": 5, "total_tokens": 105},
            (10, 90, 0, 5),
        ),
        ({"prompt_tokens": 11, "total_tokens": 16}, (11, 0, 0, 5)),
        ({"completion_tokens": 5, "total_tokens": 16}, (11, 0, 0, 5)),
        ({"prompt_tokens": 0, "completion_tokens": 5, "total_tokens": 16}, (11, 0, 0, 5)),
    ],
)
def test_the_same_count_under_another_name(
    usage: Any, expected: tuple[int, int, int, int], stream: bool
) -> None:
    """It is the upstream's own, and no estimate."""
    record = record_of(usage, stream=stream)
    assert told(record) == expected
    assert record.usage_source == "upstream"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 0}, "prompt_cache_hit_tokens": 900}, (100, 900, 0, 9)),
        ({"prompt_tokens_details": {"cached_tokens": 0}, "cached_tokens": 900}, (100, 900, 0, 9)),
        ({"prompt_cache_hit_tokens": 0, "num_cached_tokens": 900}, (100, 900, 0, 9)),
        ({"prompt_tokens_details": {}, "cache_read_input_tokens": 900}, (100, 900, 0, 9)),
        (
            {"prompt_tokens_details": {"cache_write_tokens": 0, "cache_creation_input_tokens": 40}},
            (960, 0, 40, 9),
        ),
        (
            {"prompt_tokens_details": {"cache_write_tokens": 0}, "cache_creation_input_tokens": 40},
            (960, 0, 40, 9),
        ),
        (
            {"cache_creation_input_tokens": 0, "cache_creation": {"ephemeral_5m_input_tokens": 40}},
            (960, 0, 40, 9),
        ),
        (
            {
                "prompt_tokens_details": {"cache_creation": {"ephemeral_5m_input_tokens": 0}},
                "cache_creation": {"ephemeral_1h_input_tokens": 40},
            },
            (960, 0, 40, 9),
        ),
    ],
)
def test_a_zero_hides_no_count(usage: Any, expected: tuple[int, int, int, int], stream: bool) -> None:
    """Of members that mean the same, the first that is not 0 counts."""
    whole = {"prompt_tokens": 1000, "completion_tokens": 9, "total_tokens": 1009, **usage}
    assert told(record_of(whole, stream=stream)) == expected


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("total", [81, 0, None])
def test_reasoning_beside_a_completion_of_0_is_output(total: int | None, stream: bool) -> None:
    """It has been made, and is billed."""
    details = {"reasoning_tokens": 60}
    usage = {
        "prompt_tokens": 21,
        "completion_tokens": 0,
        "total_tokens": total,
        "completion_tokens_details": details,
    }
    record = record_of(usage, stream=stream)
    assert told(record) == (21, 0, 0, 60)
    assert record.usage is not None
    assert record.usage["output_tokens_details"] == {"thinking_tokens": 60}


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_that_the_total_counts_beside_the_completion(stream: bool) -> None:
    """As xAI counts, also where a gateway between keeps its name to itself; elsewhere it stands inside."""
    details = {"reasoning_tokens": 60}
    usage = {"prompt_tokens": 21, "completion_tokens": 70, "completion_tokens_details": details}
    assert told(record_of({**usage, "total_tokens": 151}, stream=stream)) == (21, 0, 0, 130)
    assert told(record_of({**usage, "total_tokens": 91}, stream=stream)) == (21, 0, 0, 70)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "usage",
    [
        {"total_tokens": 50},
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 50},
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        {"prompt_tokens": 11},
        {"completion_tokens": 5},
        {"queue_time": 3, "tokens": 70},
        {"input": {"tokens": 11}},
    ],
)
def test_a_count_that_is_absent_is_estimated(usage: Any, stream: bool) -> None:
    """Never 0: the record says that it is an estimate, and has no cost."""
    record = record_of(usage, stream=stream)
    assert record.usage_source == "estimated"
    assert record.cost_usd is None
    assert "usage" in [loss.path for loss in record.dropped]
    assert record.usage is not None
    assert record.usage["input_tokens"] == usage.get("prompt_tokens") or record.usage["input_tokens"] > 11
    assert record.usage["output_tokens"] == (usage.get("completion_tokens") or 1)


def test_a_later_zero_in_a_stream_hides_no_count() -> None:
    """Running usage whose last report has every member, but not every count."""
    pieces = chunks({"content": "Hi."})
    pieces[0]["usage"] = {"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 90}}
    last = {"prompt_tokens": 0, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 0}}
    assert told(streamed(sse([*pieces, {"choices": [], "usage": last}])).record) == (10, 90, 0, 5)


def test_hits_of_deepseek_cost_a_tenth_behind_a_zero() -> None:
    """The price of what was read, not of the prompt."""
    counts = {"prompt_tokens": 1000, "completion_tokens": 0, "total_tokens": 1000}
    cached = {"prompt_tokens_details": {"cached_tokens": 0}, "prompt_cache_hit_tokens": 900}
    usual = {"prompt_tokens_details": {"cached_tokens": 900}}
    costs = [
        record_of({**counts, **members}, stream=False, vendor="deepseek", model="deepseek-flash").cost_usd
        for members in (cached, usual)
    ]
    assert costs[0] is not None
    assert costs[0] == costs[1]
