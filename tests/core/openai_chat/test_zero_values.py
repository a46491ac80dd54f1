"""Absent, null, "", 0, false, [], {} and a struct of those mean the same in an answer, wherever a member is
optional: the client gets the same message, stop reason, usage and losses."""

import json
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import pytest

from tests.core.translation.driving import Driven, answered, streamed
from tests.core.translation.folding import by_hand
from tests.core.translation.grammar import checked

ZEROS: list[Any] = [
    None,
    "",
    0,
    False,
    [],
    {},
    0.0,
    [None],
    [""],
    [{}],
    {"a": None, "b": "", "c": 0, "d": False, "e": [], "f": {}, "g": {"h": [{"i": ""}]}},
]
"""What writers put where nothing is meant; the last is what a Go server makes of an empty struct."""

FUNCTION = {"name": "add", "arguments": '{"a":1}'}
CALL = {"index": 0, "id": "call_1", "type": "function", "function": FUNCTION}
USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 3,
    "total_tokens": 12,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
MEMBERS: dict[str, tuple[str, ...]] = {
    "": (
        *("id", "object", "created", "model", "service_tier", "system_fingerprint", "citations", "error"),
        *(
            "x_groq",
            "base_resp",
            "provider",
            "obfuscation",
            "moderation",
            "prompt_filter_results",
            "code",
            "msg",
        ),
    ),
    "x_groq": ("id", "usage", "error"),
    "base_resp": ("status_code", "status_msg"),
    "error": ("message", "type", "param", "code", "status", "metadata", "error"),
    "choice": (
        *("index", "finish_reason", "native_finish_reason", "stop_reason", "matched_stop", "usage", "logprobs"),
        *("content_filter_results", "text"),
    ),
    "message": (
        *(
            "role",
            "refusal",
            "annotations",
            "audio",
            "images",
            "function_call",
            "reasoning",
            "thinking",
            "name",
        ),
        *("reasoning_content", "reasoning_text", "reasoning_details", "reasoning_opaque", "thinking_blocks"),
    ),
    "call": ("index", "type", "extra_content", "call_id", "tool_call_id", "name", "arguments", "custom"),
    "function": ("id", "index", "parsed_arguments"),
    "usage": (
        *("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens", "cache_read_input_tokens", "cost"),
        *("cache_creation_input_tokens", "cache_creation", "reasoning_tokens", "input_tokens", "output_tokens"),
        *("input_tokens_details", "output_tokens_details", "service_tier", "cost_details"),
    ),
    "prompt_tokens_details": (
        "cache_write_tokens",
        "cache_creation_input_tokens",
        "audio_tokens",
        "cache_type",
    ),
    "completion_tokens_details": ("audio_tokens", "text_tokens", "accepted_prediction_tokens"),
}
"""Optional members by the object that has them."""


def holders(answer: dict[str, Any], message: str) -> dict[str, dict[str, Any]]:
    """The objects of an answer that have members to set."""
    choice = answer["choices"][0]
    said = choice[message]
    found = {"": answer, "choice": choice, "message": said, "usage": answer["usage"]}
    found |= {name: answer["usage"][name] for name in ("prompt_tokens_details", "completion_tokens_details")}
    if said.get("tool_calls"):
        found |= {"call": said["tool_calls"][0], "function": said["tool_calls"][0]["function"]}
    for name in ("x_groq", "base_resp", "error"):
        found[name] = answer.setdefault(name, {})
    return found


def whole(kind: str, message: str = "message") -> dict[str, Any]:
    said: dict[str, Any] = {"content": "So."} if kind == "text" else {"tool_calls": [deepcopy(CALL)]}
    choice = {message: said, "finish_reason": "stop" if kind == "text" else "tool_calls"}
    return {"choices": [choice], "usage": deepcopy(USAGE)}


def variants(kind: str, message: str, zero: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The answer with one member after the other set to this zero value."""
    for holder, names in MEMBERS.items():
        for name in names:
            answer = whole(kind, message)
            found = holders(answer, message)
            if holder in found and not (name == "cost" and type(zero) in (int, float)):  # a bill of 0 is one
                found[holder][name] = deepcopy(zero)
                yield f"{holder}.{name}", answer
    for name in ("content", "tool_calls", "refusal"):
        answer = whole(kind, message)
        if name not in answer["choices"][0][message] and not (
            name == "content" and isinstance(zero, dict) and zero
        ):
            answer["choices"][0][message][name] = deepcopy(zero)
            yield name, answer
    for other in {"message", "delta"} - {message}:
        answer = whole(kind, message)
        answer["choices"][0][other] = deepcopy(zero)
        yield other, answer


def told(driven: Driven) -> Any:
    """All that a client and the record have of an answer."""
    assert driven.status == 200, driven.body
    if driven.headers["content-type"] == "application/json":
        folded: Any = driven.json
    else:
        events = checked(driven.body)
        assert events[-1]["type"] == "message_stop", events[-1]
        folded = by_hand(events)
    for block in folded["content"]:
        block.pop("arguments", None)
    names = ("content", "stop_reason", "stop_sequence", "usage")
    return [folded[name] for name in names], driven.dropped, driven.record.usage, driven.record.billing


@cache
def plain(kind: str, vendor: str | None, stream: bool) -> Any:
    """What is told of a body without zero values."""
    return told(answered(whole(kind), vendor=vendor, stream=stream))


@cache
def plain_chunk(kind: str, vendor: str | None) -> Any:
    """What is told of a stream without zero values."""
    return told(streamed(lines(END, whole(kind, "delta"), END), vendor=vendor))


def same(driven: Driven, expected: Any) -> bool:
    """Whether an answer is the expected one; false for any error."""
    try:
        return told(driven) == expected
    except AssertionError:
        return False


def lines(*chunks: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


END: Any = {"choices": [{"index": 0, "delta": {}, "finish_reason": None}], "usage": None}
VENDORS = [None, "openai", "openrouter", "minimax"]


@pytest.mark.parametrize("zero", ZEROS, ids=str)
@pytest.mark.parametrize("kind", ["text", "call"])
def test_a_whole_answer_with_a_zero_value(kind: str, zero: Any) -> None:
    """Each optional member, on rows of four kinds; and as the one body of an answer to a stream's request."""
    wrong = []
    for number, (name, answer) in enumerate(variants(kind, "message", zero)):
        vendor = VENDORS[number % len(VENDORS)]
        for stream in (False, True):
            driven = answered(answer, vendor=vendor, stream=stream)
            if not same(driven, plain(kind, vendor, stream)):
                wrong.append((name, vendor, stream, driven.status, driven.dropped, driven.body[-200:]))
    assert wrong == []


@pytest.mark.parametrize("zero", ZEROS, ids=str)
@pytest.mark.parametrize("kind", ["text", "call"])
def test_a_chunk_with_a_zero_value(kind: str, zero: Any) -> None:
    """Each optional member, in every chunk of a stream: what is said, the end, the usage."""
    wrong = []
    for number, (name, answer) in enumerate(variants(kind, "delta", zero)):
        vendor = VENDORS[number % len(VENDORS)]
        before = deepcopy(END)
        holder, _, member = name.rpartition(".")
        target: Any = {
            "": before,
            "choice": before["choices"][0],
            "message": before["choices"][0]["delta"],
        }.get(holder)
        if target is not None and member not in ("index", "choices"):
            target[member] = deepcopy(zero)
        driven = streamed(lines(before, answer, before), vendor=vendor)
        if not same(driven, plain_chunk(kind, vendor)):
            wrong.append((name, vendor, driven.status, driven.dropped, driven.body[-300:]))
    assert wrong == []


CALLS: list[Any] = [
    *ZEROS,
    [{"index": 0, "id": "", "type": "", "function": {"name": "", "arguments": ""}}],
    [{"index": 0, "id": None, "type": "function", "function": {"name": None, "arguments": None}}],
    [{"index": 0, "id": "call_9", "type": "function", "function": {"name": "", "arguments": ""}}],
    [{"function": None}],
    [None, {}],
]


@pytest.mark.parametrize("calls", CALLS, ids=str)
@pytest.mark.parametrize("form", ["tool_calls", "function_call"])
def test_a_call_that_says_nothing_is_none(calls: Any, form: str) -> None:
    """Beside a text, beside a good call, and alone; in each chunk of a stream."""
    empty = calls if form == "tool_calls" else {"name": "", "arguments": calls if not calls else ""}
    said = {"content": "So.", form: empty}
    nothing = told(answered(whole("text")))
    answer = whole("text")
    answer["choices"][0]["message"] = said
    chunk = whole("text", "delta")
    chunk["choices"][0]["delta"] = said
    around: Any = {"choices": [{"index": 0, "delta": {form: empty}}]}
    for driven in (
        answered(answer),
        answered(answer, stream=True),
        streamed(lines(chunk)),
        streamed(lines(around, chunk, around)),
    ):
        assert told(driven) == nothing
    if isinstance(calls, list) and form == "tool_calls":
        good = told(answered(whole("call")))
        beside = whole("call")
        beside["choices"][0]["message"]["tool_calls"] += calls
        behind = whole("call", "delta")
        behind["choices"][0]["delta"]["tool_calls"] += [
            {**call, "index": 1} if isinstance(call, dict) else call for call in calls
        ]
        for driven in (answered(beside), answered(beside, stream=True), streamed(lines(behind))):
            assert told(driven) == good


ARGUMENTS: list[Any] = ["", None, "null", "{}", {}, [], "[]", '""', 0, False, "  "]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=repr)
def test_arguments_of_nothing_are_an_empty_input(arguments: Any) -> None:
    """Whatever a server writes for a tool without parameters; a stream may give it in two pieces."""
    call = {**CALL, "function": {"name": "add", "arguments": arguments}}
    body: Any = {"choices": [{"message": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}
    chunk: Any = {"choices": [{"delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}
    driven = [answered(body), answered(body, stream=True), streamed(lines(chunk))]
    if isinstance(arguments, str) and len(arguments) > 1:
        pieces = [{**CALL, "function": {"name": "add", "arguments": arguments[:1]}}]
        pieces.append({"index": 0, "function": {"arguments": arguments[1:]}})
        parts: Any = [{"choices": [{"delta": {"tool_calls": [piece]}}]} for piece in pieces]
        driven.append(streamed(lines(*parts, {"choices": [{"delta": {}, "finish_reason": "stop"}]})))
    for one in driven:
        [[content, reason, _, _], *_] = told(one)
        assert content == [{"type": "tool_use", "id": "call_1", "name": "add", "input": {}}]
        assert reason == "tool_use"


GOOD: list[Any] = [
    *ZEROS,
    {"message": "", "type": "", "param": "", "code": ""},
    {"message": None, "type": None, "code": None},
    {"code": 0, "message": "success"},
    {"code": 200, "message": "OK"},
    {"code": "0", "message": ""},
    "null",
]


@pytest.mark.parametrize("error", GOOD, ids=str)
def test_an_error_that_says_that_all_is_well_is_none(error: Any) -> None:
    """At the top, and in Groq's corner."""
    for place in ({"error": error}, {"x_groq": {"error": error}}):
        assert told(answered({**whole("text"), **place})) == told(answered(whole("text")))
        nothing = told(streamed(lines(whole("text", "delta"))))
        assert told(streamed(lines({**whole("text", "delta"), **place}))) == nothing


@pytest.mark.parametrize("code", ["0", 0, "", None, False, 0.0])
def test_a_status_code_of_nothing_is_no_failure(code: Any) -> None:
    """MiniMax tells its errors by it."""
    for answer in ({**whole("text"), "base_resp": {"status_code": code, "status_msg": "success"}},):
        assert told(answered(answer, vendor="minimax")) == told(answered(whole("text"), vendor="minimax"))


@pytest.mark.parametrize("refusal", [" ", "\n", False, [], {}])
def test_a_refusal_of_nothing_refuses_nothing(refusal: Any) -> None:
    """One of a blank alone makes no answer a refusal, nor adds a blank to it."""
    answer = whole("text")
    answer["choices"][0]["message"]["refusal"] = refusal
    chunk = whole("text", "delta")
    chunk["choices"][0]["delta"]["refusal"] = refusal
    for driven in (answered(answer), answered(answer, stream=True), streamed(lines(chunk))):
        assert told(driven) == told(answered(whole("text")))
