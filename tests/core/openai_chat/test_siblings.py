"""Careless answers in further forms: each is a neighbour of one that another test has."""

import gzip
import json
import zlib
from typing import Any

import pytest

from tests.core.openai_chat.careless import LOOK, X, call, fragments, lines, said, whole
from tests.core.translation.driving import answered, chunks, error, sse, streamed
from tests.core.translation.grammar import checked

TWICE = json.dumps(X)

# Arguments


def cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("arguments", "input"),
    [(TWICE, {"q": "x"}), (f" {TWICE} ", {"q": "x"}), ('"{}"', {}), ('"null"', {}), (json.dumps(" "), {})],
)
def test_arguments_that_are_encoded_twice_are_decoded(arguments: str, input: Any, size: int) -> None:
    """In a whole answer and in a stream, in pieces of any size; the call behind them is another."""
    two = [call(0, "c1", "search", arguments), call(1, "c2", "search", X)]
    for driven in whole({"tool_calls": two}, "tool_calls"):
        assert said(driven)[2:] == ([("search", input), LOOK], "tool_use")
    pieces = [call(0, "c1", "search"), *(call(0, None, None, it) for it in cut(arguments, size)), two[1]]
    assert said(fragments(*pieces))[2:] == ([("search", input), LOOK], "tool_use")


@pytest.mark.parametrize("arguments", ['"hello"', json.dumps(TWICE), '"[1]"', '"{\\"q\\": '])
def test_a_string_that_holds_no_object_is_an_error(arguments: str) -> None:
    """The client would run the tool with a string."""
    for driven in whole({"tool_calls": [call(0, "c1", "search", arguments)]}, "tool_calls"):
        assert said(driven)[3] == "error"


def test_a_string_that_was_cut_says_so() -> None:
    """The answer ran into its limit before the string was whole."""
    driven = fragments(call(0, "c1", "search", TWICE[:5]), finish="length")
    assert checked(driven.body)[-2]["delta"]["stop_reason"] == "max_tokens"


@pytest.mark.parametrize("behind", ["{}", "null", {}, " {} "])
@pytest.mark.parametrize("name", [None, "", " "])
def test_an_empty_input_behind_a_whole_one_is_none(name: Any, behind: Any) -> None:
    """A server writes every member of a fragment that says nothing."""
    nothing = call(0, "", name, behind)
    assert said(fragments(call(0, "c1", "search", X), nothing))[2:] == ([LOOK], "tool_use")


def test_an_empty_input_in_pieces_is_the_same_call_once_more() -> None:
    """The first came whole."""
    first, again = call(0, "c1", "search", "{}"), call(1, "c1", "search", "")
    driven = fragments(first, again, call(1, None, None, "{"), call(1, None, None, "}"))
    assert said(driven)[2:] == ([("search", {})], "tool_use")


@pytest.mark.parametrize("arguments", ["", " ", "{}"])
def test_a_call_whose_name_is_blank_is_none(arguments: str) -> None:
    """Alone it ends no turn in a tool; beside a good call it is left out."""
    blank = call(0, "c9", " ", arguments)
    for driven in whole({"content": "Hi.", "tool_calls": [blank]}):
        assert said(driven) == ("Hi.", "", [], "end_turn")


def test_halves_of_characters_in_two_calls_at_once() -> None:
    """Each half finds the call of its index, the first one's 0 too."""
    begun = [call(0, "c1", "search", '{"q":"\ud83d'), call(1, "c2", "search", '{"q":"\ud83d')]
    done = [call(1, None, None, '\ude01"}'), call(0, None, None, '\ude00"}')]
    assert said(fragments(begun, done))[2] == [("search", {"q": "😀"}), ("search", {"q": "😁"})]


# Ends


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("endTurn", "end_turn"),
        ("stopSequence", "end_turn"),
        ("maxTokens", "max_tokens"),
        ("guardrailIntervened", "refusal"),
        ("FinishReasonSafety", "refusal"),
        ("ESCALATION", "refusal"),
        ("rate_limit", "error"),
        ("RateLimitReached", "error"),
    ],
)
def test_finish_reasons_in_other_spellings(word: str, reason: str) -> None:
    """Humps for underscores; a limit over time is no limit of the answer."""
    for driven in whole({"content": "Hi."}, word):
        assert said(driven)[3] == reason


@pytest.mark.parametrize("native", ["MALFORMED_FUNCTION_CALL", "abort", "error", "timeout"])
def test_a_provider_that_gave_up_is_no_natural_end(native: str) -> None:
    """The router says `stop`; a word of its provider's that nobody knows says nothing against it."""
    for driven in whole({"content": "Half an ans"}, native_finish_reason=native):
        assert said(driven)[3] == "error"
    for driven in whole({"content": "Hi."}, native_finish_reason="Whatever"):
        assert said(driven)[3] == "end_turn"


# Places


@pytest.mark.parametrize(
    "called", [("gzip", gzip.compress), ("deflate", zlib.compress)], ids=["gzip", "deflate"]
)
def test_a_compressed_stream_for_a_sync_request(called: Any) -> None:
    """It is inflated once, and folded."""
    data = called[1](sse(chunks({"content": "Hi"}, {"content": "."})))
    headers = {"content-encoding": called[0], "content-type": "text/event-stream"}
    for pieces in ([data], [data[at : at + 5] for at in range(0, len(data), 5)]):
        assert said(answered(b"", pieces=pieces, headers=headers))[0] == "Hi."


def test_a_refusal_whose_part_calls_it_text() -> None:
    """The type says what it is."""
    for driven in whole({"content": [{"type": "refusal", "text": "No."}]}):
        assert said(driven) == ("No.", "", [], "refusal")


@pytest.mark.parametrize("name", ["thought", "thoughts", "thinking_content", "reasoning_summary"])
def test_reasoning_under_further_names(name: str) -> None:
    """As a text, and as a list of parts."""
    for told in ("Deep.", [{"type": "text", "text": "Deep."}]):
        for driven in whole({"content": "Hi.", name: told}):
            assert said(driven)[:2] == ("Hi.", "Deep.")


@pytest.mark.parametrize("name", ["video", "attachments", "citations", "search_results"])
def test_members_without_a_place_are_named(name: str) -> None:
    """In the record, and where the head is not out yet in the header."""
    for driven in whole({"content": "Hi.", name: [{"url": "a"}]}):
        assert f"answer.{name}" in driven.dropped
    zeros: list[Any] = [[], [{}], None, ""]
    for zero in zeros:
        for driven in whole({"content": "Hi.", name: zero}):
            assert not [it for it in driven.dropped if it != "usage"]


def test_parts_without_words_are_named_by_their_type() -> None:
    """A type that is no word is not shown."""
    for kind, shown in (
        ("image_url", "answer.content.image_url"),
        ("a b\n", "answer.content"),
        (7, "answer.content"),
    ):
        for driven in whole({"content": ["Hi.", {"type": kind, "image_url": {"url": "a"}}]}):
            assert shown in driven.dropped


def test_a_member_that_nobody_knows_is_named() -> None:
    """Of a whole answer: its text would be lost without a word."""
    message = {"content": "Hi.", "plan": "Deep.", "empty": "", "line\nbreak": "x", "role": "assistant"}
    driven = answered({"choices": [{"message": message, "finish_reason": "stop"}]})
    assert "answer.plan dropped" in driven.headers["x-nexusflow-warning"]
    assert [it for it in driven.dropped if it != "usage"] == ["answer.plan"]


# Lines and marks


@pytest.mark.parametrize("before", ["\n\ufeff", "\ufeff\ufeff", "\ufeff \ufeff"])
def test_byte_order_marks_anywhere_before_json(before: str) -> None:
    """Behind blanks, twice, before a line's data and before arguments."""
    body = json.dumps({"choices": [{"message": {"content": "Hi."}, "finish_reason": "stop"}]})
    for stream in (False, True):
        assert said(answered((before + body).encode(), stream=stream))[0] == "Hi."
    line = b"data: \xef\xbb\xbf" + json.dumps({"choices": [{"delta": {"content": "Hi."}}]}).encode() + b"\n\n"
    assert said(streamed(line + lines({"delta": {}, "finish_reason": "stop"})))[0] == "Hi."


def test_lines_without_a_blank_one_between_them() -> None:
    """A careless server ends each line once; they are chunks all the same."""
    data = sse(chunks({"content": "Hi"}, {"content": "."}, finish="stop"))
    first, second, rest = data.split(b"\n\n", 2)
    assert said(streamed(first + b"\n" + second + b"\n\n" + rest))[0] == "Hi."


def test_a_word_in_brackets_is_no_end() -> None:
    """It keeps the connection alive."""
    alive = b"data: [KEEPALIVE]\n\n"
    one, two = lines({"delta": {"content": "Hi"}}, done=False), lines({"delta": {"content": "."}})
    assert said(streamed(alive + one + alive + two))[0] == "Hi."


# Errors


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"error": "Bad Request", "message": "what went wrong", "statusCode": 400}, "what went wrong"),
        ({"error": "invalid_request", "error_description": "what went wrong"}, "what went wrong"),
        ({"error": {"code": "x", "details": "what went wrong"}}, "what went wrong"),
        ({"error": {"type": "server_error"}}, "server_error"),
        ({"Message": "what went wrong"}, "what went wrong"),
        ({"status": "error", "reason": "what went wrong"}, "what went wrong"),
    ],
    ids=str,
)
def test_errors_with_their_message_in_another_place(body: Any, shown: str) -> None:
    """With a status, and in an answer of 200."""
    for status in (400, 200):
        driven = answered(body, status=status)
        assert driven.status >= 400
        assert shown in driven.json["error"]["message"]


@pytest.mark.parametrize("place", ["delta", "message"])
def test_an_error_inside_a_message(place: str) -> None:
    """It is the choice's error."""
    told = {"content": "", **error("what went wrong", code=429)}
    failed = answered({"choices": [{place: told, "finish_reason": None}]})
    assert (failed.status, failed.json["error"]["message"]) == (429, "what went wrong")


@pytest.mark.parametrize(
    "words",
    [
        "length of prompt_tokens (1200) must be less than max_seq_len (1000).",
        "Current length is 1200 while limit is 1000",
        "input token limit exceeded",
    ],
)
def test_further_words_for_a_prompt_that_is_too_long(words: str) -> None:
    """A limit over time, or of what is put out, is another matter."""
    assert "prompt is too long" in answered(error(words), status=400).json["error"]["message"]
    for other in (f"rate limit: {words}", "output token limit exceeded"):
        assert "prompt is too long" not in answered(error(other), status=400).json["error"]["message"]
