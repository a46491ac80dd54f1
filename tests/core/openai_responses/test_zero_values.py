"""Absent, null, "", 0, false, [], {} and a struct of those mean the same in an answer, wherever a member is
optional: the client gets the same message, stop reason, usage and losses."""

from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import pytest

from tests.core.openai_chat.test_zero_values import ZEROS, told
from tests.core.openai_responses.answering import (
    added,
    answered,
    call,
    completed,
    created,
    done,
    event,
    streamed,
)
from tests.core.translation.driving import Driven

PART = {"type": "output_text", "text": "So."}
MESSAGE = {"type": "message", "content": [PART]}
REASONING = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
USAGE = {
    "input_tokens": 9,
    "output_tokens": 3,
    "total_tokens": 12,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens_details": {"reasoning_tokens": 2},
}
MEMBERS: dict[str, tuple[str, ...]] = {
    "": (
        *("id", "created_at", "model", "error", "incomplete_details", "service_tier", "tool_usage", "metadata"),
        *(
            "input_transformations",
            "instructions",
            "reasoning",
            "text",
            "object",
            "status",
            "cost",
            "background",
        ),
    ),
    "message": ("id", "role", "status", "phase", "name", "arguments", "encrypted_content"),
    "part": ("annotations", "logprobs", "refusal"),
    "reasoning": ("id", "status", "encrypted_content", "content", "format", "signature"),
    "call": ("id", "status", "namespace", "caller", "content", "summary"),
    "usage": ("input_tokens_details.cache_write_tokens", "cost", "service_tier", "num_sources_used"),
    "input_tokens_details": ("cache_write_tokens", "cache_write_tokens_details", "audio_tokens"),
    "output_tokens_details": ("audio_tokens", "image_tokens"),
}
"""Optional members by the object that has them."""
EVENT = (
    "sequence_number",
    "item_id",
    "content_index",
    "logprobs",
    "obfuscation",
    "error",
    "response",
    "message",
)


def whole() -> dict[str, Any]:
    items = [deepcopy(REASONING), deepcopy(MESSAGE), call(arguments='{"a":1}')]
    return {"output": items, "usage": deepcopy(USAGE)}


def holders(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    reasoning, message, made = answer["output"]
    found = {
        "": answer,
        "reasoning": reasoning,
        "message": message,
        "part": message["content"][0],
        "call": made,
    }
    found |= {name: answer["usage"][name] for name in ("input_tokens_details", "output_tokens_details")}
    return found | {"usage": answer["usage"]}


def variants(zero: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The answer with one member after the other set to this zero value."""
    for holder, names in MEMBERS.items():
        for name in names:
            if name == "cost" and type(zero) in (int, float):
                continue  # a bill of 0 is one
            answer = whole()
            holders(answer)[holder][name] = deepcopy(zero)
            yield f"{holder}.{name}", answer


def events(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The answer as a stream with one delta an item."""
    reasoning, message, made = answer["output"]
    return [
        *created(),
        added(0, {**reasoning, "summary": []}),
        event("reasoning_summary_text.delta", output_index=0, summary_index=0, delta="hm"),
        done(0, reasoning),
        event("output_text.delta", output_index=1, content_index=0, delta="So."),
        done(1, message),
        added(2, {**made, "arguments": ""}),
        event("function_call_arguments.delta", output_index=2, delta='{"a":1}'),
        done(2, made),
        {**completed(), "response": answer},
    ]


@cache
def plain(vendor: str, stream: bool) -> Any:
    """What is told of an answer without zero values."""
    return without_marks(
        streamed(events(whole()), vendor=vendor) if stream else answered(whole(), vendor=vendor)
    )


def without_marks(driven: Driven) -> Any:
    """What is told, but for what goes back to the vendor as it came."""
    found = told(driven)
    for block in found[0][0]:
        block.pop("signature", None)
    return found


def difference(driven: Driven, expected: Any) -> Any:
    """What is told, where it is not the expected; "" where it is."""
    try:
        found = without_marks(driven)
    except AssertionError as error:
        return str(error)[:300]
    return "" if found == expected else found


VENDORS = ["openai", "openrouter", "xai", "vllm"]


@pytest.mark.parametrize("zero", ZEROS, ids=str)
def test_an_answer_with_a_zero_value(zero: Any) -> None:
    """Each optional member, whole and streamed, on rows of four kinds."""
    wrong = []
    for number, (name, answer) in enumerate(variants(zero)):
        vendor = VENDORS[number % len(VENDORS)]
        for stream in (False, True):
            driven = streamed(events(answer), vendor=vendor) if stream else answered(answer, vendor=vendor)
            if found := difference(driven, plain(vendor, stream)):
                wrong.append((name, vendor, stream, found))
    assert wrong == []


@pytest.mark.parametrize("zero", ZEROS, ids=str)
def test_an_event_with_a_zero_value(zero: Any) -> None:
    """Each optional member, in every event but the last."""
    wrong = []
    for name in EVENT:
        given = [
            {**one, name: deepcopy(zero)} if name not in one or name == "content_index" else one
            for one in events(whole())
        ]
        if found := difference(streamed(given), plain("openai", True)):
            wrong.append((name, found))
    assert wrong == []
