"""Whole answers of both vendors, and the results of their batches."""

from datetime import UTC, datetime
from typing import Any

import pytest

from nexusflow_core.logs import Entry, Skipped
from tests.core.logs.independent import dollars, read, total

AT = datetime(2026, 11, 20, tzinfo=UTC)
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-4-7",
    "content": [{"type": "text", "text": "hello"}],
    "stop_reason": "end_turn",
    "usage": {
        "input_tokens": 1000,
        "cache_read_input_tokens": 5000,
        "output_tokens": 200,
        "service_tier": "batch",
    },
}
COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_763_640_000,
    "model": "gpt-5-2025-08-07",
    "choices": [],
    "usage": {
        "prompt_tokens": 10_000,
        "completion_tokens": 500,
        "total_tokens": 10_500,
        "prompt_tokens_details": {"cached_tokens": 6000},
    },
    "service_tier": "default",
}
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1_763_640_000,
    "model": "gpt-5-2025-08-07",
    "output": [],
    "usage": {
        "input_tokens": 10_000,
        "input_tokens_details": {"cached_tokens": 6000},
        "output_tokens": 500,
        "output_tokens_details": {"reasoning_tokens": 300},
        "total_tokens": 10_500,
    },
    "service_tier": "flex",
}


def test_openai_s_two_forms_are_told_apart() -> None:
    """By `object`; both include cached tokens in the prompt. The tier that served sets the price."""
    plain = dollars("openai", "gpt-5", 4000, 6000, 0, 0, 500)
    chat, response = read(COMPLETION, RESPONSE)
    assert total([chat]) == plain
    assert total([response]) == plain / 2
    assert (chat.id, response.id, chat.at) == (
        "chatcmpl-1",
        "resp_1",
        datetime.fromtimestamp(1_763_640_000, UTC),
    )


def test_a_message_of_anthropic_s() -> None:
    """It has no time: it gets the one that the caller gives, or is skipped."""
    (entry,) = read({**MESSAGE, "usage": {**MESSAGE["usage"], "service_tier": "standard"}}, at=AT)
    assert total([entry]) == dollars("anthropic", "claude-opus-4-7", 1000, 5000, 0, 0, 200)
    (skipped,) = read(MESSAGE)
    assert isinstance(skipped, Skipped)
    assert "--at" in skipped.reason


@pytest.mark.parametrize("tier", ["batch", "standard"])
def test_results_of_a_message_batch(tier: str) -> None:
    """They cost half, once, whatever tier the usage names. Results that failed are not billed."""
    message = {**MESSAGE, "usage": {**MESSAGE["usage"], "service_tier": tier}}
    failed = [{"custom_id": name, "result": {"type": name}} for name in ("errored", "canceled", "expired")]
    (entry,) = read({"custom_id": "a", "result": {"type": "succeeded", "message": message}}, *failed, at=AT)
    assert total([entry]) == dollars("anthropic", "claude-opus-4-7", 1000, 5000, 0, 0, 200, times="0.5")
    assert entry.id == "msg_1"


def test_output_of_an_openai_batch() -> None:
    """Half the price; failed requests are not billed."""
    body = {"status_code": 200, "request_id": "r", "body": COMPLETION}
    (entry,) = read(
        {"id": "batch_req_1", "custom_id": "a", "response": body, "error": None},
        {"id": "batch_req_2", "custom_id": "b", "response": {"status_code": 400, "body": {}}, "error": None},
        {"id": "batch_req_3", "custom_id": "c", "response": None, "error": {"code": "batch_expired"}},
    )
    assert total([entry]) == dollars("openai", "gpt-5", 4000, 6000, 0, 0, 500) / 2


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({**COMPLETION, "usage": None}, "no usage"),
        ({**COMPLETION, "model": None}, "no model"),
        ({**COMPLETION, "object": "thread.run"}, "thread.run"),
        ({**COMPLETION, "created": 1e300}, "not a Unix time"),
    ],
)
def test_answers_that_cannot_be_read(value: dict[str, Any], says: str) -> None:
    """Each with its reason."""
    (skipped,) = read(value)
    assert isinstance(skipped, Skipped)
    assert says in skipped.reason


def test_arrays_of_answers() -> None:
    """A line may hold an array, or a page with `data`."""
    second = {**COMPLETION, "id": "chatcmpl-2"}
    assert [type(it) for it in read([COMPLETION, second], {"object": "list", "data": [RESPONSE]})] == [
        Entry
    ] * 3
    assert [it.reason for it in read([], {"data": []}, [[COMPLETION]], {"data": {"data": 1}})] == [
        "it has no rows",
        "it has no rows",
        "an array inside an array",
        "`data` inside `data`",
    ]
