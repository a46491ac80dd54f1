"""Text, thinking and arguments in other places, or cut in the middle of a character."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexusflow_core.translation.arguments import JSONEnd
from tests.core.openai_chat.careless import LOOK, X, call, fragments, lines, said, whole
from tests.core.translation.driving import streamed

# Words in other places

PARTS: list[tuple[Any, tuple[str, str, str]]] = [
    ([{"type": "output_text", "text": "Hi."}], ("Hi.", "", "end_turn")),
    ([{"text": "Hi."}], ("Hi.", "", "end_turn")),
    (["Hi", "."], ("Hi.", "", "end_turn")),
    ([{"type": "text", "text": {"value": "Hi."}}], ("Hi.", "", "end_turn")),
    ([[{"type": "text", "text": "Hi."}]], ("Hi.", "", "end_turn")),
    ([{"type": "message", "content": [{"type": "output_text", "text": "Hi."}]}], ("Hi.", "", "end_turn")),
    ({"type": "text", "text": "Hi."}, ("Hi.", "", "end_turn")),
    ([{"type": "refusal", "refusal": "No."}], ("No.", "", "refusal")),
    (
        [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Deep."}]},
            {"type": "text", "text": "Hi."},
        ],
        ("Hi.", "Deep.", "end_turn"),
    ),
    ([{"type": "reasoning", "text": "Deep."}, "Hi."], ("Hi.", "Deep.", "end_turn")),
    ([{"text": "Deep.", "thought": True}, {"text": "Hi."}], ("Hi.", "Deep.", "end_turn")),
]


@pytest.mark.parametrize(("content", "expected"), PARTS, ids=str)
def test_a_part_counts_by_what_it_has(content: Any, expected: tuple[str, str, str]) -> None:
    """A text is text, whatever its type is called; a refusal refuses; a summary of reasoning is thinking."""
    for driven in whole({"content": content}):
        text, thinking, _, reason = said(driven)
        assert (text, thinking, reason) == expected
        assert "answer.content" not in driven.dropped


@pytest.mark.parametrize(
    "members",
    [
        {"reasoning_text": "Deep."},
        {"reasoning": [{"type": "summary_text", "text": "Deep."}]},
        {"reasoning": {"content": "Deep."}},
        {"reasoning": {"summary": [{"text": "Deep."}]}},
        {"reasoning_content": [{"text": "De"}, "ep."]},
        {"thinking": {"thinking": "Deep."}},
        {"thinking_blocks": [{"type": "thinking", "thinking": "Deep.", "signature": "c2ln"}]},
        {"reasoning_content": "", "reasoning": "", "reasoning_text": "Deep."},
    ],
    ids=str,
)
def test_reasoning_is_found_in_other_places(members: dict[str, Any]) -> None:
    """Whole and in a stream."""
    for driven in whole({"content": "Hi.", **members}):
        assert said(driven) == ("Hi.", "Deep.", [], "end_turn")


def test_what_has_no_place_is_listed() -> None:
    """Images, and reasoning that only its vendor can read."""
    image = {"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}
    for driven in whole({"content": "", **image}):
        assert "answer.images" in driven.dropped
    for driven in whole({"content": "Hi.", "reasoning_text": "Deep.", "reasoning_opaque": "b3A="}):
        assert "answer.reasoning_opaque" in driven.dropped


@pytest.mark.parametrize("vendor", [None, "minimax", "deepseek", "vllm", "openai"])
@pytest.mark.parametrize(
    "content", ["<think>The user asks.</think>Hi.", "</think>\n\nHi.", "\n</think>Hi.", "Hi."]
)
@pytest.mark.parametrize("size", [1, 4, 100])
def test_tags_beside_a_field_repeat_it(size: int, content: str, vendor: Any) -> None:
    """What they say is told once, and what is left of them is no text; on every row, in any cut."""
    for driven in whole({"content": content, "reasoning_content": "The user asks."}, vendor=vendor)[:2]:
        assert said(driven) == ("Hi.", "The user asks.", [], "end_turn")
    deltas: Any = [{"delta": {"reasoning_content": "The user asks."}}]
    deltas += [{"delta": {"content": content[at : at + size]}} for at in range(0, len(content), size)]
    driven = streamed(lines(*deltas, {"delta": {}, "finish_reason": "stop"}), vendor=vendor)
    assert said(driven) == ("Hi.", "The user asks.", [], "end_turn")


def test_a_lone_closing_tag_ends_thinking_in_a_whole_answer() -> None:
    """On rows with tags: the template had begun the thinking itself. Elsewhere it is text."""
    content = "Deep.\n</think>\n\nHi."
    for driven in whole({"content": content}, vendor="vllm")[:2]:
        assert said(driven) == ("Hi.", "Deep.\n", [], "end_turn")
    assert said(whole({"content": content}, vendor="openai")[0])[0] == content


# Characters

HALVES = "ok \U0001f600 done"


@pytest.mark.parametrize("vendor", [None, "openai", "deepseek"])
@pytest.mark.parametrize("member", ["content", "reasoning_content", "refusal", "arguments", "part"])
def test_a_character_cut_in_halves_is_that_character(member: str, vendor: Any) -> None:
    """At any place of the text, between any two chunks."""
    units = HALVES.encode("utf-16-be")
    letters = [units[at : at + 2].decode("utf-16-be", "surrogatepass") for at in range(0, len(units), 2)]
    for cut in range(1, len(letters)):
        pieces: Any = ["".join(letters[:cut]), "".join(letters[cut:])]
        if member == "arguments":
            first, last = call(0, "c1", "search", '{"q":"' + pieces[0]), call(0, None, None, pieces[1] + '"}')
            deltas: Any = [{"tool_calls": [first]}, {"tool_calls": [last]}]
        else:
            deltas = [
                {"content": [{"type": "text", "text": it}]} if member == "part" else {member: it}
                for it in pieces
            ]
        end = {"delta": {}, "finish_reason": "stop"}
        text, thinking, calls, _ = said(
            streamed(lines(*({"delta": one} for one in deltas), end), vendor=vendor)
        )
        assert (text or thinking or calls[0][1]["q"]) == HALVES


def test_half_a_character_that_stays_alone_is_replaced() -> None:
    """In its place: before other text, before a call, at the end."""
    end = {"delta": {}, "finish_reason": "stop"}
    half = {"delta": {"content": "a\ud83d"}}
    assert said(streamed(lines(half, {"delta": {"content": "b"}}, end)))[0] == "a\ufffdb"
    assert said(streamed(lines(half, end)))[0] == "a\ufffd"
    driven = streamed(lines(half, {"delta": {"tool_calls": [call(0, "c1", "search", X)]}}, end))
    assert said(driven)[::2] == ("a\ufffd", [LOOK])
    thought = {"delta": {"reasoning_content": "a\ud83d"}}
    assert said(streamed(lines(thought, {"delta": {"content": "b"}}, end)))[:2] == ("b", "a\ufffd")


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("control", ["\n", "\t", "\r", "\x00", "\x1f"])
def test_control_characters_in_arguments_are_escaped(control: str, size: int) -> None:
    """Inside strings alone, in any cut: between tokens they are blanks. The sync way reads the same."""
    text = f'{{\n "q":\t"a{control}b\\n",\r\n"{control}":1}}'
    pieces = [call(0, None, None, text[at : at + size]) for at in range(0, len(text), size)]
    driven = fragments(call(0, "c1", "search"), *pieces)
    assert said(driven)[2] == [("search", {"q": f"a{control}b\n", control: 1})]
    sync = whole({"tool_calls": [call(0, "c1", "search", text)]}, "tool_calls")[0]
    assert said(sync)[2] == said(driven)[2]


@pytest.mark.parametrize(
    "arguments", ["{'q': 'x'}", "[1]", '"x"', "5", '{"q":', '{"q":01}', '{"q":"\\x"}', "{}}", "nul"]
)
def test_arguments_that_are_no_object_are_an_error(arguments: str) -> None:
    """Whole and streamed alike; unless the answer was cut."""
    message = {"tool_calls": [call(0, "c1", "search", arguments)]}
    for driven in whole(message, "tool_calls"):
        assert said(driven)[3] == "error"
    for driven in whole(message, "length"):
        assert said(driven)[3] == "max_tokens"


JSON_LIKE = st.text(alphabet='{}[]":,\\/ux01e-.a \n', max_size=30) | st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
).map(json.dumps)


def no_constant(name: str) -> None:
    """NaN and Infinity are not JSON, though Python reads them."""
    raise ValueError(name)


@given(JSON_LIKE, st.lists(st.integers(0, 30), max_size=5))
@settings(max_examples=200, deadline=None)
def test_a_reader_in_pieces_knows_json(text: str, places: list[int]) -> None:
    """In any cut it says of a text what a parser says of the whole."""
    text = text.lstrip() or "{}"
    edges = [0, *sorted(min(place, len(text)) for place in places), len(text)]
    end, at_once = JSONEnd(), JSONEnd()
    told = "".join(end.feed(text[a:b]) for a, b in itertools.pairwise(edges) if a < b)
    assert at_once.feed(text) == told
    assert (end.is_object, end.reached, end.digest) == (at_once.is_object, at_once.reached, at_once.digest)
    try:
        parsed: Any = json.loads(told, parse_constant=no_constant)
    except (ValueError, RecursionError):
        parsed = None
    assert end.is_object == isinstance(parsed, dict)
