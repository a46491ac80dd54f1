"""Reasoning in answers: shown as thinking blocks with a mark of ours, and given back to whoever thought it."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusflow_core.messages.marks import read_mark
from nexusflow_core.translation.think_tags import Piece, ThinkTags
from tests.core.translation.asking import request_of, translated
from tests.core.translation.driving import answered, chunks, sse, streamed
from tests.core.translation.folding import by_sdk
from tests.core.translation.grammar import checked

USAGE = {"prompt_tokens": 9, "completion_tokens": 3}
CALL = {"id": "call_1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
DETAILS = [
    {
        "type": "reasoning.text",
        "text": "Let me think.",
        "signature": "c2ln",
        "format": "anthropic-claude-v1",
        "index": 0,
    },
    {"type": "reasoning.encrypted", "data": "AAAA", "id": "rs_1", "index": 1},
]


def sync(message: dict[str, Any], vendor: str | None = None, **members: Any) -> list[dict[str, Any]]:
    """The content of a sync answer."""
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    answer = {"choices": [{"message": message, "finish_reason": finish}], "usage": USAGE}
    content: list[dict[str, Any]] = answered(answer, vendor=vendor, **members).json["content"]
    return content


def stream(*deltas: dict[str, Any], vendor: str | None = None, **members: Any) -> list[dict[str, Any]]:
    """The content that a stream of these deltas folds to in the SDK."""
    driven = streamed(sse(chunks(*deltas, usage=USAGE)), vendor=vendor, **members)
    events = checked(driven.body)
    assert events[-1]["type"] == "message_stop", events[-1]
    content: list[dict[str, Any]] = by_sdk(events)["content"]
    return content


def shapes(content: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Type and text of each block."""
    return [
        (block["type"], block.get("thinking", block.get("text", block.get("name", "")))) for block in content
    ]


FORMS: list[tuple[str | None, dict[str, Any]]] = [
    ("deepseek", {"reasoning_content": "Hm.", "content": "So."}),
    ("groq", {"reasoning": "Hm.", "content": "So."}),
    (
        "openrouter",
        {
            "reasoning": "Hm.",
            "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}],
            "content": "So.",
        },
    ),
    ("openrouter", {"reasoning_details": [{"type": "reasoning.summary", "summary": "Hm."}], "content": "So."}),
    (
        "mistral",
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
                {"type": "text", "text": "So."},
            ]
        },
    ),
    ("together", {"content": "<think>\nHm.</think>\n\nSo."}),
    (None, {"content": "<think>Hm.</think>So."}),
]


@pytest.mark.parametrize(("vendor", "message"), FORMS)
def test_every_form_of_reasoning_is_a_thinking_block(vendor: str | None, message: dict[str, Any]) -> None:
    """Sync and stream alike: once, before the text, with our mark and never Anthropic's."""
    for content in (sync(message, vendor), stream(message, vendor=vendor)):
        assert [(kind, text.strip()) for kind, text in shapes(content)] == [
            ("thinking", "Hm."),
            ("text", "So."),
        ]
        mark = read_mark(content[0]["signature"])
        assert mark is not None
        assert (mark.vendor, mark.model) == (vendor or "u0", "some-model")


def test_reasoning_again_behind_the_text() -> None:
    """A new block each time; never two open (translation.md edge case 8)."""
    told = [
        {"reasoning_content": "a"},
        {"reasoning_content": "b"},
        {"content": "c"},
        {"reasoning_content": "d"},
    ]
    assert shapes(stream(*told, {"content": "e"})) == [
        ("thinking", "ab"),
        ("text", "c"),
        ("thinking", "d"),
        ("text", "e"),
    ]


def test_reasoning_while_a_call_is_open_waits() -> None:
    """It cannot go into the call's block."""
    begun = {"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "search", "arguments": '{"q":'}}]}
    ended = {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}
    content = stream(begun, {"reasoning_content": "hm"}, ended, vendor="deepseek")
    assert shapes(content) == [("tool_use", "search"), ("thinking", "hm")]
    assert content[0]["input"] == {"q": 1}


def test_blank_reasoning_is_no_block() -> None:
    """Anthropic refuses blank blocks that come back."""
    assert shapes(stream({"reasoning_content": "\n"}, {"content": "So."})) == [("text", "So.")]
    assert shapes(sync({"content": "<think>\n\n</think>\n\nSo."})) == [("text", "So.")]


def test_hidden_thinking_stays_in_the_signature() -> None:
    """`display: omitted`: the block is there, its text is not, and it comes back to the vendor all the same."""
    wish = {"thinking": {"type": "adaptive", "display": "omitted"}}
    message = {"reasoning_content": "Secretly.", "content": "So."}
    for content in (sync(message, "deepseek", **wish), stream(message, vendor="deepseek", **wish)):
        assert shapes(content) == [("thinking", ""), ("text", "So.")]
        assert "Secretly" not in json.dumps(content)
        sent = translated(request_of("hi", {"role": "assistant", "content": content}, "and?"), "deepseek").json
        assert sent["messages"][1] == {"role": "assistant", "content": "So.", "reasoning_content": "Secretly."}


def test_stop_strings_are_found_on_the_text_alone() -> None:
    """What is thought does not end the answer."""
    stops = {"stop_sequences": ["a", "b", "c", "d", "END"]}
    content = stream({"reasoning_content": "END"}, {"content": "x END y"}, **stops)
    assert shapes(content) == [("thinking", "END"), ("text", "x ")]


# Given back


def test_details_go_back_unchanged() -> None:
    """OpenRouter: text in pieces, signature and encrypted parts as one list, as it came."""
    pieces = [
        {"reasoning_details": [{**DETAILS[0], "text": "Let me "}]},
        {"reasoning_details": [{**DETAILS[0], "text": "think.", "signature": None}]},
        {"reasoning_details": [DETAILS[1]]},
        {"content": "So."},
        {"tool_calls": [{"index": 0, **CALL}]},
    ]
    whole = {"reasoning_details": DETAILS, "content": "So.", "tool_calls": [CALL]}
    for content in (stream(*pieces, vendor="openrouter"), sync(whole, "openrouter")):
        assert shapes(content) == [("thinking", "Let me think."), ("text", "So."), ("tool_use", "search")]
        result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "x"}]}
        asked = request_of("hi", {"role": "assistant", "content": content}, result)
        assert translated(asked, "openrouter").json["messages"][1]["reasoning_details"] == DETAILS
        assert translated(asked, "openrouter").dropped == ()


def details_sent_back(content: list[dict[str, Any]]) -> Any:
    """What OpenRouter gets of its own details, in the next request."""
    asked = request_of("hi", {"role": "assistant", "content": content}, "and?")
    return translated(asked, "openrouter").json["messages"][1]["reasoning_details"]


TWO: list[list[dict[str, Any]]] = [
    [
        {"type": "reasoning.text", "text": "A", "signature": "s1"},
        {"type": "reasoning.text", "text": "B", "signature": "s2"},
    ],
    [
        {"type": "reasoning.text", "text": "A", "signature": "s1", "index": 0, "id": None},
        {"type": "reasoning.text", "text": "B", "signature": "s2", "index": 0, "id": None},
    ],
    [
        {"type": "reasoning.summary", "summary": "A", "id": "rs_1", "index": None},
        {"type": "reasoning.summary", "summary": "B", "id": "rs_2", "index": None},
    ],
    [
        {"type": "reasoning.text", "text": "A", "signature": None, "index": 0},
        {"type": "reasoning.encrypted", "data": "AAAA", "index": 0},
        {"type": "reasoning.encrypted", "data": "BBBB", "index": 0},
    ],
    [{"type": "reasoning.text", "text": "A"}, {"type": "reasoning.text", "text": "B"}],
]


@pytest.mark.parametrize("details", TWO)
def test_details_that_are_alike_stay_apart(details: list[dict[str, Any]]) -> None:
    """A signature is of one text alone: whole, in one delta, or in a delta each."""
    message = {"reasoning_details": details, "content": "So."}
    each = [{"reasoning_details": [detail]} for detail in details]
    answer = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": USAGE}
    at_once = by_sdk(checked(answered(answer, vendor="openrouter", stream=True).body))["content"]
    for content in (sync(message, "openrouter"), stream(message, vendor="openrouter"), at_once):
        assert details_sent_back(content) == details
    if details != TWO[-1]:  # there nothing tells that the second is no fragment of the first
        assert details_sent_back(stream(*each, {"content": "So."}, vendor="openrouter")) == details


def test_fragments_of_details_are_put_together() -> None:
    """As OpenRouter streams Claude's: the text in pieces, then the signature; then the next block."""
    said = [
        ("text", "Let "),
        ("text", "me"),
        ("signature", "s1"),
        ("text", "Or "),
        ("text", "not"),
        ("signature", "s2"),
    ]
    for index in (None, 0):
        fragments = [
            {"type": "reasoning.text", name: value, "index": index if index is None else number // 3}
            for number, (name, value) in enumerate(said)
        ]
        pieces = [{"reasoning_details": [fragment]} for fragment in fragments]
        details = details_sent_back(stream(*pieces, {"content": "So."}, vendor="openrouter"))
        assert [(one["text"], one["signature"]) for one in details] == [("Let me", "s1"), ("Or not", "s2")]


def test_details_that_show_nothing_are_redacted() -> None:
    """Encrypted alone, before, with or behind the call: one redacted block in front of it, or at the end."""
    call = {"tool_calls": [{"index": 0, **CALL}]}
    encrypted = {"reasoning_details": [DETAILS[1]]}
    first = stream(encrypted, call, vendor="openrouter")
    late = stream({"content": "So."}, encrypted, vendor="openrouter")
    assert [block["type"] for block in first] == ["redacted_thinking", "tool_use"]
    assert [block["type"] for block in late] == ["text", "redacted_thinking"]
    sent = translated(request_of("hi", {"role": "assistant", "content": late}, "and?"), "openrouter").json
    assert sent["messages"][1]["reasoning_details"] == [DETAILS[1]]


def test_thought_signatures_go_back_with_their_calls() -> None:
    """Gemini refuses a history without them."""
    signed = {**CALL, "extra_content": {"google": {"thought_signature": "c2ln"}}}
    other = {**CALL, "id": "call_2"}
    for content in (
        stream({"tool_calls": [{"index": 0, **signed}, {"index": 1, **other}]}, vendor="gemini"),
        sync({"content": None, "tool_calls": [signed, other]}, "gemini"),
    ):
        assert [block["type"] for block in content] == ["redacted_thinking", "tool_use", "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": id, "content": "x"} for id in ("call_1", "call_2")]
        asked = request_of(
            "hi", {"role": "assistant", "content": content}, {"role": "user", "content": results}
        )
        calls = translated(asked, "gemini").json["messages"][1]["tool_calls"]
        assert [call.get("extra_content") for call in calls] == [signed["extra_content"], None]


def test_mistral_gets_its_thoughts_as_parts() -> None:
    """In front of the text, in its own form."""
    content = sync(FORMS[4][1], "mistral")
    sent = translated(request_of("hi", {"role": "assistant", "content": content}, "and?"), "mistral").json
    assert sent["messages"][1]["content"] == FORMS[4][1]["content"]


def test_a_turn_with_calls_and_no_known_reasoning_gets_a_blank() -> None:
    """DeepSeek and Kimi answer 400 where it is missing; the blank is named."""
    turn = {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Claude's own", "signature": "EqQB"},
            {"type": "tool_use", "id": "call_1", "name": "search", "input": {}},
        ],
    }
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "x"}]}
    asked = request_of("hi", turn, result, {"role": "assistant", "content": "done"}, "more")
    outcomes = {vendor: translated(asked, vendor) for vendor in ("deepseek", "kimi", "glm")}
    reasoning = {
        vendor: [m.get("reasoning_content") for m in outcome.json["messages"] if m["role"] == "assistant"]
        for vendor, outcome in outcomes.items()
    }
    assert reasoning == {"deepseek": [" ", " "], "kimi": [" ", None], "glm": [None, None]}
    assert outcomes["kimi"].dropped == ("messages[1].content[0]", "messages[1].thinking")
    silent = translated({**asked, "thinking": {"type": "disabled"}}, "deepseek").json
    assert "reasoning_content" not in silent["messages"][1], "without thinking none is missed"


def test_calls_that_a_compaction_replaced_ask_for_no_blank() -> None:
    """What is not sent any more is missed by nobody."""
    call = {"type": "tool_use", "id": "call_1", "name": "search", "input": {}}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "x"}]}
    summary = {"role": "assistant", "content": [{"type": "compaction", "content": "so far"}]}
    asked = request_of("hi", {"role": "assistant", "content": [call]}, result, summary, "and?")
    asked["messages"] += [{"role": "assistant", "content": "well"}, {"role": "user", "content": "go on"}]
    messages = translated(asked, "deepseek").json["messages"]
    assert [message.get("reasoning_content") for message in messages] == [None, None, None]


@pytest.mark.parametrize(("vendor", "message"), [form for form in FORMS[:5] if form[0] != "groq"])
def test_a_turn_of_thinking_alone_is_named(vendor: str, message: dict[str, Any]) -> None:
    """No vendor takes it: the turn is left out, and `strict` refuses, as for any thinking that is not shown."""
    [thought, said] = sync(message, vendor)
    asked = request_of("hi", {"role": "assistant", "content": [thought]}, "go on")
    outcome = translated(asked, vendor)
    assert [sent["role"] for sent in outcome.json["messages"]] == ["user", "user"]
    refusal = translated(asked, vendor, strict=True).refusal
    assert outcome.dropped == ("messages[1].content[0]",)
    assert refusal == "messages.1.content.0: this upstream takes no turn of thinking alone"
    with_text = request_of("hi", {"role": "assistant", "content": [thought, said]}, "go on")
    assert translated(with_text, vendor, strict=True).dropped == ()


def test_another_vendors_thinking_is_not_shown_to_this_one() -> None:
    """Nor a damaged mark; each is named."""
    content = sync({"reasoning_content": "Hm.", "content": "So."}, "deepseek")
    damaged = {**content[0], "signature": content[0]["signature"][:-1] + "~"}
    asked = request_of("hi", {"role": "assistant", "content": [content[0], damaged, content[1]]}, "and?")
    assert translated(asked, "glm").dropped == ("messages[1].content[0]", "messages[1].content[1]")
    assert translated(asked, "deepseek").dropped == ("messages[1].content[1]",)


# The parts


@given(st.text(alphabet="<think>/ \nab", max_size=40), st.lists(st.integers(0, 40)))
def test_tags_part_the_same_in_any_cut(text: str, cuts: list[int]) -> None:
    """Whole or letter by letter: the same thinking, the same text."""
    text = f"<think>{text}" if len(cuts) % 2 else text
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    assert _parted(text, edges) == _parted(text, [0, len(text)])


def _parted(text: str, edges: list[int]) -> tuple[str, str]:
    tags = ThinkTags()
    pieces = [piece for start, end in itertools.pairwise(edges) for piece in tags.feed(text[start:end])]
    pieces += tags.flush()
    told = {kind: "".join(piece.text for piece in pieces if piece.thinking is kind) for kind in (True, False)}
    return told[True], told[False]


def test_tags_count_at_the_beginning_only() -> None:
    """A text that speaks of the tag later on is text; a tag that never closes is all thinking."""
    assert _parted("I write <think> here</think>", [0, 28]) == ("", "I write <think> here</think>")
    assert _parted(" <think>on and on", [0, 17]) == ("on and on", "")
    assert ThinkTags().feed("<thin") == []
    tags = ThinkTags()
    assert [*tags.feed("<thin"), *tags.flush()] == [Piece(False, "<thin")]
