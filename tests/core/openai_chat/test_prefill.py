"""An answer that the client began: continued where the vendor can, else refused in Anthropic's words."""

from typing import Any

import pytest

from nexusflow_core.translation.stops import StopFinder
from tests.core.translation.asking import ROWS, request_of, translated
from tests.core.translation.driving import answered, chunks, sse, streamed
from tests.core.translation.folding import by_sdk
from tests.core.translation.grammar import checked

NO_PREFILL = (
    "This model does not support assistant message prefill. The conversation must end with a user message."
)
CAN = {
    "deepseek": ({"prefix": True}, {}),
    "mistral": ({"prefix": True}, {}),
    "kimi": ({"partial": True}, {}),
    "qwen": ({"partial": True}, {}),
    "vllm": ({}, {"continue_final_message": True, "add_generation_prompt": False}),
}


def begun(content: Any) -> dict[str, Any]:
    """A request whose last turn is the assistant's."""
    return request_of("count", {"role": "assistant", "content": content})


@pytest.mark.parametrize("vendor", sorted(CAN))
def test_an_answer_is_continued(vendor: str) -> None:
    """By members of its message, or of the body."""
    message, body = CAN[vendor]
    sent = translated(begun("One, two"), vendor).json
    assert sent["messages"][-1] == {"role": "assistant", "content": "One, two", **message}
    assert {name: sent.get(name) for name in body} == body


@pytest.mark.parametrize("vendor", sorted(CAN))
def test_nothing_of_it_where_the_user_speaks_last(vendor: str) -> None:
    """Earlier turns of the assistant's are whole."""
    sent = translated(request_of("a", {"role": "assistant", "content": "b"}, "c"), vendor).json
    assert sent["messages"][-2] == {"role": "assistant", "content": "b"}
    assert not set(CAN[vendor][1]) & set(sent)


@pytest.mark.parametrize("vendor", sorted(set(ROWS) - set(CAN)))
def test_elsewhere_it_is_refused(vendor: str) -> None:
    """The upstream would begin a new turn (recorded of OpenAI)."""
    assert translated(begun("One, two"), vendor).refusal == NO_PREFILL


@pytest.mark.parametrize("end", [" ", "\n", "\t"])
def test_white_space_at_its_end_is_refused(end: str) -> None:
    """As Anthropic refuses it."""
    assert translated(begun(f"One,{end}"), "mistral").refusal == (
        "messages: final assistant content cannot end with trailing whitespace"
    )


@pytest.mark.parametrize("content", [[], "", [{"type": "text", "text": ""}], [{"type": "fallback"}]])
def test_an_empty_last_turn_begins_nothing(content: Any) -> None:
    """It is left out, and the user speaks last."""
    sent = translated(begun(content), "vllm").json
    assert sent["messages"] == [{"role": "user", "content": "count"}]
    assert "continue_final_message" not in sent


@pytest.mark.parametrize("vendor", ["mistral", "generic"])
def test_calls_without_results_are_no_prefill(vendor: str) -> None:
    """They are what they always are: an error that names them."""
    call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
    refusal = translated(begun([{"type": "text", "text": "I look."}, call]), vendor).refusal
    assert refusal is not None
    assert refusal.startswith("messages.1: `tool_use` ids were found without `tool_result` blocks")


def test_not_together_with_a_schema() -> None:
    """The answer would not be whole; Anthropic refuses it too."""
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    asked = {**begun("{"), "output_config": {"format": {"type": "json_schema", "schema": schema}}}
    assert translated(asked, "mistral").refusal == "output_config.format: not together with a prefill"


# Vendors that repeat the beginning

TURNS = begun("One, two")["messages"]


@pytest.mark.parametrize(
    ("vendor", "said", "shown"),
    [
        ("mistral", "One, two, three", ", three"),
        ("mistral", ", three", ", three"),
        ("mistral", "One, one", "One, one"),
        ("qwen", "One, two, three", "One, two, three"),
    ],
)
def test_what_is_repeated_is_left_out(vendor: str, said: str, shown: str) -> None:
    """Sync and streamed, however it is cut: clients put the answer behind their own beginning."""
    message = {"message": {"content": said}, "finish_reason": "stop"}
    sync = answered({"choices": [message]}, vendor=vendor, messages=TURNS).json
    assert [block["text"] for block in sync["content"]] == [shown]
    for size in (1, 3, 100):
        pieces = [{"content": said[at : at + size]} for at in range(0, len(said), size)]
        stream = streamed(sse(chunks(*pieces)), vendor=vendor, messages=TURNS)
        assert [block["text"] for block in by_sdk(checked(stream.body))["content"]] == [shown]


def test_a_repetition_that_breaks_off_is_text() -> None:
    """And stop strings are looked for behind the beginning only."""
    finder = StopFinder(["two"], "One, two")
    assert finder.feed("One, ") + finder.feed("two, two") == ", "
    assert finder.found == "two"
    finder = StopFinder([], "One, two")
    assert finder.feed("One") + finder.flush() == "One"
