"""What the simulated model answers."""

import json
from typing import Any

import pytest

from tests.core.simulator.asking import events, message, post, request, text_of, tokens

A: dict[str, Any] = {"name": "a", "input_schema": {"type": "object", "properties": {"x": {"type": "integer"}}}}
B: dict[str, Any] = {"name": "b", "input_schema": {"type": "object"}}


def called(answer: dict[str, Any]) -> list[str]:
    return [block["name"] for block in answer["content"] if block["type"] == "tool_use"]


def test_text_is_an_echo_of_the_last_user_text():
    """Whoever looks at the answer sees that the request arrived."""
    assert text_of(message("hello there")) == "You said: hello there"
    blocks = [{"type": "text", "text": "look"}, {"type": "image", "source": {"type": "url", "url": "x"}}]
    assert text_of(message(blocks)) == "You said: look"


def test_echo_is_of_the_last_user_turn_only():
    """Earlier turns are not repeated; neighbouring user messages are one turn."""
    turns = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "You said: first"},
        {"role": "user", "content": "second"},
        {"role": "user", "content": "third"},
    ]
    assert text_of(message(messages=turns)) == "You said: second\nthird"


def test_echo_is_bounded():
    """However long the user's text is, the answer stays at 4096 tokens."""
    answer = message("x" * 100_000, max_tokens=50_000)
    assert answer["usage"]["output_tokens"] == 4096
    assert answer["stop_reason"] == "end_turn"


def test_model_is_echoed_and_ids_depend_on_the_body_alone():
    """The same bytes get the same answer; other bytes get other ids."""
    first, again, other = post(request("a")), post(request("a")), post(request("b"))
    assert first == again
    assert json.loads(first.body)["model"] == "claude-opus-4-7"
    assert json.loads(first.body)["id"].startswith("msg_")
    assert json.loads(first.body)["id"] != json.loads(other.body)["id"]
    assert dict(first.headers)[b"request-id"] != dict(other.headers)[b"request-id"]


@pytest.mark.parametrize("size", [1, 7, 500, 100_000])
def test_exact_size_on_request(size: int):
    """`simulate <n> tokens` writes n words that count n tokens."""
    answer = message(f"simulate {size} tokens", max_tokens=200_000)
    assert len(text_of(answer).split()) == size
    assert answer["usage"]["output_tokens"] == size
    assert answer["stop_reason"] == "end_turn"


def test_exact_size_has_an_upper_bound():
    """A typing error must not fill the memory."""
    assert message("simulate 999999999999 tokens", max_tokens=10**9)["usage"]["output_tokens"] == 100_000


@pytest.mark.parametrize("text", ["simulate 500 tokens", "ü" * 900, "🙂" * 900, "aß🙂" * 300])
@pytest.mark.parametrize("limit", [1, 2, 3, 50, 99])
def test_max_tokens_is_kept_exactly(text: str, limit: int):
    """The text is cut so that it costs max_tokens by the stated estimate."""
    answer = message(text, max_tokens=limit)
    assert answer["stop_reason"] == "max_tokens"
    assert answer["usage"]["output_tokens"] == limit == tokens(text_of(answer))


def test_max_tokens_zero_answers_nothing():
    """The request that only warms the cache."""
    answer = message(max_tokens=0)
    assert answer["content"] == []
    assert answer["stop_reason"] == "max_tokens"
    assert answer["usage"]["output_tokens"] == 0


def test_stop_sequence_cuts_before_it_and_is_named():
    """The sequence that comes first in the text counts, not the first in the list."""
    answer = message("one two three", stop_sequences=["three", "two"])
    assert text_of(answer) == "You said: one "
    assert answer["stop_reason"] == "stop_sequence"
    assert answer["stop_sequence"] == "two"


def test_stop_sequence_after_the_token_limit_is_not_reached():
    """The limit falls first: max_tokens, and no stop_sequence value."""
    answer = message("one two three four", max_tokens=3, stop_sequences=["four"])
    assert answer["stop_reason"] == "max_tokens"
    assert answer["stop_sequence"] is None


def test_tools_are_not_called_unasked():
    """With auto, text is the answer; the name of a tool alone is no order."""
    assert called(message("what does a do?", tools=[A, B])) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("call a", ["a"]),
        ("Please call b.", ["b"]),
        ("call a and b", ["a", "b"]),
        ("call a, b and a", ["a", "b", "a"]),
        ("call a, then call b", ["a", "b"]),
        ("call ab", []),
        ("recall a", []),
    ],
)
def test_tools_are_called_by_name(text: str, expected: list[str]):
    """`call <tool>` calls one, `call a and b` several in parallel; other words are passed by."""
    answer = message(text, tools=[A, B])
    assert called(answer) == expected
    assert answer["stop_reason"] == ("tool_use" if expected else "end_turn")


def test_calls_have_different_ids():
    """Results are matched by id, also for two calls of one tool."""
    ids = [block["id"] for block in message("call a and a", tools=[A])["content"]]
    assert len(set(ids)) == 2
    assert all(made.startswith("toolu_") for made in ids)


def test_parallel_calls_can_be_switched_off():
    """disable_parallel_tool_use leaves one call."""
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    assert called(message("call a and b", tools=[A, B], tool_choice=choice)) == ["a"]


@pytest.mark.parametrize(
    ("text", "choice", "expected"),
    [
        ("hello", {"type": "any"}, ["a"]),
        ("call b", {"type": "any"}, ["b"]),
        ("call a and b", {"type": "any"}, ["a", "b"]),
        ("call a and b", {"type": "any", "disable_parallel_tool_use": True}, ["a"]),
        ("call a", {"type": "tool", "name": "b"}, ["b"]),
        ("call a", {"type": "none"}, []),
    ],
)
def test_tool_choice(text: str, choice: dict[str, Any], expected: list[str]):
    """any calls at least one, tool calls that one, none calls nothing."""
    assert called(message(text, tools=[A, B], tool_choice=choice)) == expected


def test_server_tools_are_never_called_by_tool_use():
    """Anthropic runs them; a client that got such a call could not serve it."""
    search = {"type": "web_search_20250305", "name": "web_search"}
    assert called(message("call web_search", tools=[search])) == []
    bash = {"type": "bash_20250124", "name": "bash"}
    assert called(message("call bash", tools=[bash])) == ["bash"]


def test_a_call_that_does_not_fit_is_left_out():
    """max_tokens inside a call: no half input, stop reason max_tokens."""
    answer = message("call a", tools=[A], max_tokens=1)
    assert answer["content"] == []
    assert answer["stop_reason"] == "max_tokens"


@pytest.mark.parametrize("content", ["17 degrees", [{"type": "text", "text": "17 degrees"}]])
def test_a_tool_result_is_answered_with_text_that_names_it(content: Any):
    """The loop of an agent ends: call, result, answer."""
    use = message("call a", tools=[A])["content"]
    turns = [
        {"role": "user", "content": "call a"},
        {"role": "assistant", "content": use},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use[0]["id"], "content": content}]},
    ]
    answer = message(messages=turns, tools=[A])
    assert text_of(answer) == "The tool returned: 17 degrees"
    assert answer["stop_reason"] == "end_turn"


@pytest.mark.parametrize("kind", ["enabled", "adaptive"])
def test_thinking_comes_before_the_answer_and_is_counted(kind: str):
    """A signed thinking block first; its tokens are part of the output."""
    answer = message("hello", thinking={"type": kind, "budget_tokens": 1024})
    assert [block["type"] for block in answer["content"]] == ["thinking", "text"]
    thought = answer["content"][0]
    assert thought["signature"]
    assert answer["usage"]["output_tokens_details"]["thinking_tokens"] == tokens(thought["thinking"])
    assert answer["usage"]["output_tokens"] == tokens(thought["thinking"]) + tokens(text_of(answer))


@pytest.mark.parametrize("field", ["output_config", "output_format"])
def test_structured_output_is_json_of_the_schema(field: str):
    """Also under the field's old name."""
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 5}}, "required": ["n"]}
    form = {"type": "json_schema", "schema": schema}
    answer = message("hello", **{field: {"format": form} if field == "output_config" else form})
    assert json.loads(text_of(answer)) == {"n": 5}


def test_words_of_the_stream_are_never_long():
    """A text without blanks is streamed in several deltas too."""
    deltas = [event["delta"]["text"] for event in events("x" * 500) if event["type"] == "content_block_delta"]
    assert max(map(len, deltas)) <= 48
    assert "".join(deltas) == "You said: " + "x" * 500
