"""What every translated dialect promises: those of the table, and a toy that is built on translation/ alone."""

import json
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest

from nexusflow_core.dialects import DIALECTS, OPTIONS
from nexusflow_core.translation import translated_dialect
from nexusflow_core.translation.translated_dialect import fits
from tests.core.translation.driving import Driven, asking, chunks, drive, exchange_of
from tests.core.translation.folding import by_sdk
from tests.core.translation.grammar import checked
from tests.core.translation.responses import responses_answer, responses_events
from tests.core.translation.toy import SAID, TOY, toy_answer, toy_events

RELAYED = {"anthropic"}


def chat_events(message: dict[str, Any]) -> list[bytes]:
    """The same answer as a stream of Chat Completions, in as many pieces."""
    calls = list(enumerate(message["tool_calls"]))
    halves = [(slice(0, 7), True), (slice(7, None), False)]
    fragments = [
        {"index": at, **({"id": call["id"]} if first else {}), "function": _part(call["function"], part, first)}
        for part, first in halves
        for at, call in calls
    ]
    words = [(name, message[name]) for name in ("reasoning_content", "content")]
    deltas = [{name: half} for name, text in words for half in (text[:4], text[4:])]
    made = chunks(*deltas, *({"tool_calls": [one]} for one in fragments), usage=USAGE)
    return [json.dumps(chunk).encode() for chunk in made] + [b"[DONE]"]


def _part(function: dict[str, Any], part: slice, first: bool) -> dict[str, Any]:
    arguments = {"arguments": function["arguments"][part]}
    return {"name": function["name"], **arguments} if first else arguments


def chat_answer(message: dict[str, Any]) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    return json.dumps({"choices": [choice], "usage": USAGE}).encode()


USAGE = {"prompt_tokens": 10, "completion_tokens": 5}
SPEAKS = {
    "openai-chat": (chat_events, chat_answer),
    "openai-responses": (responses_events, responses_answer),
    "toy": (toy_events, toy_answer),
}
"""How each translated dialect says SAID, as events and as a whole."""

SILENT = {"openai-responses": 2}
"""Events at the beginning that say nothing of the answer: an error behind them still has its own status."""


@pytest.fixture(autouse=True)
def _the_toy_is_in_the_table() -> Iterator[None]:
    with patch.dict(DIALECTS, {"toy": TOY}):
        yield


def answered(dialect: str, pieces: list[bytes], *, stream: bool, status: int = 200) -> Driven:
    kind = b"text/event-stream" if stream else b"application/json"
    exchange = exchange_of(asking(stream=stream), dialect=dialect)
    return drive(exchange, pieces, status=status, headers=[(b"content-type", kind)])


def framed(events: list[bytes]) -> bytes:
    return b"".join(b"data: " + event + b"\n\n" for event in events)


def test_the_settings_of_dialects_are_listed() -> None:
    """So that a configuration is checked without loading the dialects that it does not name."""
    assert frozenset[str]().union(*(dialect.options for dialect in DIALECTS.values())) == OPTIONS


def test_only_short_names_of_models_are_remembered() -> None:
    """Callers choose names, so a look-up of vendor rows keeps no long one in memory."""
    for name, kept in (("gpt-5.1-" + "x" * 10_000, 0), ("gpt-5.1-unknown", 1)):
        before = translated_dialect._fits.cache_info().currsize
        assert fits("gpt-5", name)
        assert not fits("gpt-6", name)
        assert translated_dialect._fits.cache_info().currsize == before + 2 * kept


def test_every_translated_dialect_is_spoken_here() -> None:
    """A new one in the table enters SPEAKS, and with it every test below."""
    assert SPEAKS.keys() == DIALECTS.keys() - RELAYED


@pytest.mark.parametrize("dialect", SPEAKS)
@pytest.mark.parametrize("size", [10**9, 1, 7])
def test_a_stream_obeys_the_grammar_and_folds_to_the_whole_answer(dialect: str, size: int) -> None:
    """However its bytes are cut: the same blocks, the same ending, the same usage as the whole answer has."""
    events, whole = SPEAKS[dialect]
    data = framed(events(SAID))
    driven = answered(dialect, [data[at : at + size] for at in range(0, len(data), size)], stream=True)
    told = checked(driven.body)
    message = answered(dialect, [whole(SAID)], stream=False).json
    assert [block["type"] for block in message["content"]] == ["thinking", "text", "tool_use", "tool_use"]
    assert [block.get("input") for block in message["content"][2:]] == [{"city": "Paris"}, {"city": "Rome"}]
    assert message["stop_reason"] == "tool_use"
    assert by_sdk(told)["content"] == message["content"]
    assert (told[-2]["delta"]["stop_reason"], told[-2]["usage"]) == ("tool_use", message["usage"])
    assert (driven.record.ending, driven.record.usage_source) == ("complete", "upstream")


@pytest.mark.parametrize("dialect", SPEAKS)
def test_a_stream_that_is_cut_off_is_an_error(dialect: str) -> None:
    """After each event but the last: one error event, or an error of its own status where nothing has begun."""
    events = SPEAKS[dialect][0](SAID)
    ends = (b'"stop"', b'"tool_calls"}', b"response.completed")
    finished = next(at for at, event in enumerate(events) if any(end in event for end in ends))
    for length in range(finished):
        driven = answered(dialect, [framed(events[:length])], stream=True)
        assert driven.record.ending == "error"
        if length > SILENT.get(dialect, 0):
            assert checked(driven.body)[-1]["type"] == "error"
        else:
            assert driven.status == 502


@pytest.mark.parametrize("dialect", SPEAKS)
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_keeps_its_status(dialect: str, stream: bool) -> None:
    """Before the first event, in an answer of 429 as in one of 200."""
    body = json.dumps({"error": {"message": "slow down", "type": "rate_limit_error"}}).encode()
    for status in (429, 200):
        driven = answered(dialect, [body], stream=stream, status=status)
        assert (driven.status, driven.json["error"]["type"]) == (429, "rate_limit_error")


@pytest.mark.parametrize("dialect", SPEAKS)
def test_an_error_inside_a_stream_is_its_last_event(dialect: str) -> None:
    """And the record says so."""
    events = [
        *SPEAKS[dialect][0](SAID)[:3],
        b'{"error": {"message": "overloaded", "type": "overloaded_error"}}',
    ]
    driven = answered(dialect, [framed(events)], stream=True)
    assert checked(driven.body)[-1]["error"]["type"] == "overloaded_error"
    assert driven.record.ending == "error"


@pytest.mark.parametrize("dialect", SPEAKS)
def test_a_stream_that_nobody_asked_for_is_told_as_a_whole(dialect: str) -> None:
    """And a whole answer to a request for a stream as a stream."""
    events, whole = SPEAKS[dialect]
    message = answered(dialect, [framed(events(SAID))], stream=False).json
    assert message["content"] == answered(dialect, [whole(SAID)], stream=False).json["content"]
    assert by_sdk(checked(answered(dialect, [whole(SAID)], stream=True).body))["content"] == message["content"]
