"""Servers that tell things twice, or change ids within a call: the client gets what was meant, once."""

from typing import Any

import pytest

from tests.core.openai_chat.careless import LOOK, X, call, fragments, lines, said, whole
from tests.core.translation.driving import streamed

# A whole message behind its deltas

MESSAGE: Any = {"role": "assistant", "content": "Hi.", "reasoning_content": "Deep."}
WITH_CALL: Any = {**MESSAGE, "tool_calls": [call(0, "c1", "search", X)]}
DELTAS: Any = [
    {"delta": {"reasoning_content": "Deep."}},
    {"delta": {"content": "Hi"}},
    {"delta": {"content": "."}},
    {"delta": {"tool_calls": [call(0, "c1", "search", '{"q":')]}},
    {"delta": {"tool_calls": [call(0, None, None, '"x"}')]}},
]


@pytest.mark.parametrize("vendor", [None, "minimax", "deepseek", "openrouter", "mistral"])
@pytest.mark.parametrize("beside", [{}, {"delta": {}}, {"delta": None}, {"delta": {"content": ""}}], ids=str)
@pytest.mark.parametrize("came", range(6))
def test_a_message_counts_for_what_it_has_beyond_its_deltas(came: int, beside: Any, vendor: Any) -> None:
    """However much of it the deltas brought; its call runs once, with an id or under another."""
    for again in (WITH_CALL, {**WITH_CALL, "tool_calls": [call(None, "other", "search", {"q": "x"})]}):
        end = {**beside, "message": again, "finish_reason": "tool_calls"}
        if came == 4 and again is not WITH_CALL:
            continue
        driven = streamed(
            lines(*DELTAS[:came], end, {"delta": {}, "finish_reason": "tool_calls"}), vendor=vendor
        )
        assert said(driven) == ("Hi.", "Deep.", [LOOK], "tool_use")


def test_a_message_told_twice_is_told_once() -> None:
    """The finish chunk comes again, or the last chunk has both forms."""
    end = {"message": MESSAGE, "finish_reason": "stop"}
    for choices in ([end, end], [DELTAS[0], DELTAS[1], DELTAS[2], end, end], [{**DELTAS[1], **end}]):
        assert said(streamed(lines(*choices)))[0] == "Hi."
    pieces = [{"message": {"content": text}} for text in ("Hi", ".", " So")]
    assert said(streamed(lines(*pieces, {"delta": {}, "finish_reason": "stop"})))[0] == "Hi. So"


def test_a_message_of_tags_repeats_a_field_of_reasoning() -> None:
    """The deltas part thinking and text, the message has both in one."""
    end = {"message": {"content": "<think>Deep.</think>\n\nHi. So."}, "finish_reason": "stop"}
    driven = streamed(lines(*DELTAS[:3], end), vendor="minimax")
    assert said(driven) == ("Hi. So.", "Deep.", [], "end_turn")


# Calls told twice


@pytest.mark.parametrize("index", [0, 1, None])
@pytest.mark.parametrize("again", [[X], ['{"q":', '"x"}'], ['{"q": "x"}'], ["", X], [{"q": "x"}]], ids=str)
def test_a_call_told_twice_is_one_call(again: list[Any], index: int | None) -> None:
    """The same id, name and arguments; at the same index or another, in one piece or in many."""
    more = [call(index, "c1" if not n else None, "search" if not n else None, it) for n, it in enumerate(again)]
    assert said(fragments(call(0, "c1", "search", X), *more))[2:] == ([LOOK], "tool_use")
    other = said(fragments(call(0, "c1", "search", X), call(index, "c1", "search", '{"q":"y"}')))
    assert other[2] == [LOOK, ("search", {"q": "y"})]


def test_a_call_told_twice_in_one_message_is_one_call() -> None:
    """Two that have other ids, or other arguments, stay two."""
    once, again = call(0, "c1", "search", X), call(1, "c1", "search", {"q": "x"})
    for driven in whole({"tool_calls": [once, again]}, "tool_calls"):
        assert said(driven)[2] == [LOOK]
    for other in (call(1, "c2", "search", X), call(1, "c1", "search", '{"q":"y"}'), call(1, "c1", "add", X)):
        for driven in whole({"tool_calls": [once, other]}, "tool_calls"):
            assert len(said(driven)[2]) == 2


def test_the_old_form_may_repeat_the_new_one() -> None:
    """`function_call` beside `tool_calls`, whole and fragment by fragment, in either order."""
    old = {"name": "search", "arguments": X}
    for driven in whole({"tool_calls": [call(0, "c1", "search", X)], "function_call": old}, "tool_calls"):
        assert said(driven)[2:] == ([LOOK], "tool_use")
    pieces = [("search", ""), (None, '{"q":'), (None, '"x"}')]
    both: Any = [
        {
            "tool_calls": [call(0, "c1" if name else None, name, it)],
            "function_call": {"name": name, "arguments": it},
        }
        for name, it in pieces
    ]
    end = {"delta": {}, "finish_reason": "tool_calls"}
    assert said(streamed(lines(*({"delta": one} for one in both), end)))[2] == [LOOK]
    turned = [{"delta": {"function_call": old}}, {"delta": {"tool_calls": [call(0, "c1", "search", X)]}}]
    assert said(streamed(lines(*turned, end)))[2] == [LOOK]
    for driven in whole({"function_call": old}, "function_call"):
        assert said(driven)[2] == [LOOK]


# Ids that change within a call

CHANGING: list[list[Any]] = [
    [call(0, "c0", "search", ""), call(0, "c1", None, '{"q":'), call(0, "c2", None, '"x"}')],
    [call(0, "c0", "search", ""), call(0, "c1", "", '{"q":'), call(0, "c2", "", '"x"}')],
    [call(0, "c0", "search", '{"q":'), call(0, "c1", "search", '"x"}')],
    [call(0, "c0", "search", ""), call(0, "c1", "search", '{"q":'), call(0, "c2", "search", '"x"}')],
    [call(None, "c0", "search", ""), call(None, "c1", None, '{"q":'), call(None, "c2", None, '"x"}')],
    [call(None, None, "search", '{"q":'), call(None, None, "search", '"x"}')],
    [call(1, "c0", "search", ""), call(0, None, None, '{"q":'), call(0, None, None, '"x"}')],
    [call(0, "c0", "search", ""), call(1, "c1", None, '{"q":'), call(2, "c2", None, '"x"}')],
    [call(0, "c0", "search", '{"q":'), call(0, "c1", None, '"x"}'), call(0, "c2", None, "")],
    [call(0, "c0", "search", '{"q":'), call(0, "c1", "search", '"x"}'), call(0, "c2", "search", "")],
]


@pytest.mark.parametrize("pieces", CHANGING)
def test_an_id_that_changes_begins_no_call(pieces: list[Any]) -> None:
    """While arguments are not whole a name begins a call, not an id; one call behind it stays its own."""
    assert said(fragments(*pieces))[2:] == ([LOOK], "tool_use")
    behind = call(0 if pieces[0].get("index") is not None else None, "z", "add", '{"a":1}')
    assert said(fragments(*pieces, behind))[2] == [LOOK, ("add", {"a": 1})]


def test_two_calls_of_two_ids_each_are_two_calls() -> None:
    """One id comes with the name, another with the arguments."""
    pieces = [call(0, "a", "search"), call(0, "b", None, X), call(1, "c", "add"), call(1, "d", None, '{"a":1}')]
    assert said(fragments(*pieces))[2] == [LOOK, ("add", {"a": 1})]


def test_an_id_in_another_place_is_the_id() -> None:
    """So are a name and arguments beside the function."""
    for odd in (
        {"call_id": "c9", "function": {"name": "search", "arguments": X}},
        {"tool_call_id": "c9", "name": "search", "arguments": X},
        {"function": {"id": "c9", "name": "search", "arguments": X}},
    ):
        for driven in whole({"tool_calls": [odd]}, "tool_calls"):
            assert said(driven)[2] == [LOOK]
            assert b'"c9"' in driven.body
