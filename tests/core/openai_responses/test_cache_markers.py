"""Cache markers as breakpoints, from gpt-5.6 on: at most four, on parts that can carry one."""

from typing import Any

import pytest

from tests.core.openai_responses.asking import sent, translated
from tests.core.translation.asking import request_of

MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
POINT = {"mode": "explicit"}
TOOL = {"name": "look", "input_schema": {"type": "object"}}
USE = {"type": "tool_use", "id": "a", "name": "look", "input": {}}


def text(said: str, mark: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "text", "text": said, **({"cache_control": mark} if mark else {})}


def turn(role: str, *blocks: Any) -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


def points(body: dict[str, Any]) -> list[str]:
    """The texts of the marked parts."""
    contents = [item.get("content", item.get("output", "")) for item in body["input"]]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return [part["text"] for part in parts if part.get("prompt_cache_breakpoint") == POINT]


def marked(*messages: Any, **members: Any) -> Any:
    return translated(request_of(*messages, model="gpt-5.6", **members))


def test_markers_on_the_system_prompt_and_on_a_turn() -> None:
    """The prompt is then the first item, since instructions carry none; only what is marked is cached."""
    outcome = marked(turn("user", text("one"), text("two", MARK)), system=[text("be brief", MARK)])
    body = outcome.json
    assert "instructions" not in body
    assert body["input"][0] == {
        "type": "message",
        "role": "developer",
        "content": [{"type": "input_text", "text": "be brief", "prompt_cache_breakpoint": POINT}],
    }
    assert points(body) == ["be brief", "two"]
    assert body["prompt_cache_options"] == {"mode": "explicit"}
    assert outcome.dropped == ()


def test_without_markers_the_vendor_caches_by_itself() -> None:
    """And nothing is said of caching but the key."""
    body = sent(model="gpt-5.6", system="be brief")
    assert "prompt_cache_options" not in body
    assert body["instructions"] == "be brief"
    assert len(body["prompt_cache_key"]) == 32


def test_a_marker_on_a_tool_goes_to_the_system_prompt() -> None:
    """Which stands behind the tools; without a prompt, to the first part."""
    tools = [{**TOOL, "cache_control": MARK}]
    assert points(marked(tools=tools, system=[text("a"), text("b")]).json) == ["b"]
    assert points(marked(tools=tools).json) == ["hi"]


def test_markers_on_an_assistants_turn_go_to_the_next_part() -> None:
    """To the result of its call, or to the next user's text; one that has its own keeps that."""
    outcome = marked(
        "hi",
        turn("assistant", text("so", MARK), {**USE, "cache_control": MARK}),
        turn("user", {"type": "tool_result", "tool_use_id": "a", "content": "done"}),
        turn("assistant", text("well", MARK)),
        turn("user", text("go on", MARK)),
    )
    assert points(outcome.json) == ["done", "go on"]
    assert outcome.dropped == ("messages[1].content[0].cache_control", "messages[3].content[0].cache_control")


def test_a_marker_with_nothing_behind_it_is_listed() -> None:
    """An empty result carries none."""
    result = {"type": "tool_result", "tool_use_id": "a", "content": "", "cache_control": MARK}
    outcome = marked("hi", turn("assistant", USE), turn("user", result))
    assert (points(outcome.json), outcome.dropped) == ([], ("messages[2].content[0].cache_control",))
    assert "prompt_cache_options" not in outcome.json


def test_a_marker_on_a_result_and_inside_one() -> None:
    """The result has parts then; all results have, so that a moved marker leaves the rest as it was."""
    inner = {"type": "tool_result", "tool_use_id": "a", "content": [text("x", MARK), text("y")]}
    body = marked("hi", turn("assistant", USE), turn("user", inner), turn("assistant", text("k")), "z").json
    assert points(body) == ["x\ny"]


def test_the_automatic_marker_goes_to_the_last_part() -> None:
    """The whole request is marked where its last block is."""
    body = marked("one", turn("assistant", text("two")), "three", cache_control=MARK).json
    assert points(body) == ["three"]


def test_a_lifetime_of_an_hour_is_listed() -> None:
    """The vendor's default of 30 minutes holds; 12 hours would be another promise."""
    outcome = marked(turn("user", text("one", HOUR)))
    assert (points(outcome.json), outcome.dropped) == (["one"], ("messages[0].content[0].cache_control.ttl",))


def test_more_than_four_markers() -> None:
    """Refused, as Anthropic refuses them."""
    refusal = marked(turn("user", *(text(str(n), MARK) for n in range(5)))).refusal
    assert refusal == "A maximum of 4 blocks with cache_control may be provided. Found 5."


def test_four_markers_are_all_written() -> None:
    """None is set by the vendor beside them."""
    body = marked(turn("user", *(text(str(n), MARK) for n in range(4)))).json
    assert (points(body), body["prompt_cache_options"]) == (["0", "1", "2", "3"], {"mode": "explicit"})


@pytest.mark.parametrize(
    ("vendor", "model", "dropped"),
    [
        ("openai", "gpt-5.5", ()),
        ("xai", "grok-4", ()),
        ("openrouter", "m", ("messages[0].content[0].cache_control",)),
    ],
)
def test_other_models_get_no_markers(vendor: str, model: str, dropped: tuple[str, ...]) -> None:
    """Most cache by themselves, so that nothing is lost."""
    outcome = translated(request_of(turn("user", text("one", MARK)), model=model), vendor)
    assert b"breakpoint" not in outcome.body
    assert outcome.dropped == dropped
