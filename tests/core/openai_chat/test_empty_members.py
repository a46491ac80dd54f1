"""Members of a request that are written without a value: null, "", 0, false, [], {}, or a structure of those.
They mean what their absence means: nothing is refused for them, and nothing is named."""

from typing import Any

import pytest

from nexusflow_core.messages.reading import EXTRA
from tests.core.translation.asking import request_of, translated

EMPTY: list[Any] = [None, "", 0, False, [], {}, [None], {"a": None, "b": [], "c": {"d": 0}}]
TEXT: dict[str, Any] = {"type": "text", "text": "hi"}
TOOL: dict[str, Any] = {"name": "look", "input_schema": {"type": "object"}}
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}}
CALL: dict[str, Any] = {"type": "tool_use", "id": "c1", "name": "look", "input": {}}
RESULT: dict[str, Any] = {"type": "tool_result", "tool_use_id": "c1", "content": "ok"}
NUMBERS = ("temperature", "top_p", "top_k")


def same(request: dict[str, Any], plain: dict[str, Any], vendor: str = "openai") -> None:
    """Under `strict` too, which refuses what could change the answer."""
    got, expected = translated(request, vendor, strict=True), translated(plain, vendor, strict=True)
    assert (got.refusal, got.dropped, got.body) == (None, expected.dropped, expected.body)


@pytest.mark.parametrize("value", EMPTY, ids=repr)
@pytest.mark.parametrize("name", sorted(EXTRA))
def test_members_that_steer_anthropics_own_machinery(name: str, value: Any) -> None:
    """Each of them would be refused or dropped if it said something."""
    same({**request_of("hi"), name: value}, request_of("hi"))


@pytest.mark.parametrize("value", EMPTY[:6], ids=repr)
@pytest.mark.parametrize("name", ["system", "stop_sequences", "tools", "tool_choice", "metadata", "stream"])
def test_optional_members(name: str, value: Any) -> None:
    """Those that every upstream knows."""
    same({**request_of("hi"), name: value}, request_of("hi"))


@pytest.mark.parametrize("value", [None, "", False, [], {}], ids=repr)
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name: str, value: Any) -> None:
    """Of a number only 0 says something."""
    same({**request_of("hi"), name: value}, request_of("hi"), "qwen")
    assert translated({**request_of("hi"), name: 0}, "qwen").json[name] == 0


@pytest.mark.parametrize("value", EMPTY[:6], ids=repr)
@pytest.mark.parametrize(
    ("outer", "name"),
    [
        ("output_config", "effort"),
        ("output_config", "format"),
        ("output_config", "task_budget"),
        ("context_management", "edits"),
        ("thinking", "display"),
        ("thinking", "budget_tokens"),
    ],
)
def test_members_of_members(outer: str, name: str, value: Any) -> None:
    """Beside others that say something."""
    known = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}
    plain: dict[str, Any] = {**request_of("hi"), "model": "gpt-5.5", "output_config": {"effort": "high"}}
    others = {k: v for k, v in known.get(outer, {}).items() if k != name}
    plain = {**plain, outer: others} if others or outer == "output_config" else plain
    same({**plain, outer: {**others, name: value}}, plain)


@pytest.mark.parametrize("value", EMPTY[:6], ids=repr)
@pytest.mark.parametrize(
    ("block", "name"),
    [
        (TEXT, "cache_control"),
        (TEXT, "citations"),
        (PNG, "cache_control"),
        (PNG, "transformations"),
        (CALL, "caller"),
        (CALL, "toolset_name"),
        (CALL, "cache_control"),
        (RESULT, "is_error"),
        (RESULT, "toolset_name"),
        (RESULT, "cache_control"),
    ],
    ids=str,
)
def test_members_of_blocks(block: dict[str, Any], name: str, value: Any) -> None:
    """On either side of the conversation."""

    def asked(block: dict[str, Any]) -> dict[str, Any]:
        if block["type"] in ("text", "image"):
            return request_of({"role": "user", "content": [block]})
        call, result = (block, RESULT) if block["type"] == "tool_use" else (CALL, block)
        return request_of(
            "hi", {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}, tools=[TOOL]
        )

    same(asked({**block, name: value}), asked(block))


@pytest.mark.parametrize("value", [None, "", [], {}], ids=repr)
@pytest.mark.parametrize(
    "name",
    ["description", "input_examples", "allowed_callers", "cache_control", "defer_loading", "strict", "type"],
)
def test_members_of_tools(name: str, value: Any) -> None:
    """A list of no callers would otherwise be one without `direct`."""
    same(request_of("hi", tools=[{**TOOL, name: value}]), request_of("hi", tools=[TOOL]))


@pytest.mark.parametrize("value", [None, "", []], ids=repr)
def test_members_that_nobody_knows(value: Any) -> None:
    """Anywhere; what says something is named, and under `strict` refused."""
    plain = request_of({"role": "user", "content": [TEXT]}, tools=[TOOL])
    odd = {
        **plain,
        "of_the_future": value,
        "metadata": {"of_the_future": value},
        "tools": [{**TOOL, "of_the_future": value}],
        "messages": [{"role": "user", "content": [{**TEXT, "of_the_future": value}], "of_the_future": value}],
    }
    same(odd, plain)
    says: list[Any] = [0, False, {}, "x"]
    for told in says:
        outcome = translated({**request_of("hi"), "of_the_future": told})
        assert outcome.dropped == ("of_the_future",)


def test_required_members_stay_required() -> None:
    """An empty one is not what was meant."""
    required: list[tuple[str, Any]] = [("messages", []), ("max_tokens", None), ("max_tokens", "")]
    for name, value in required:
        refusal = translated({**request_of("hi"), name: value}).refusal
        assert refusal is not None
        assert refusal.startswith(name)


def test_what_says_something_is_refused_as_before() -> None:
    """One member of a structure is enough."""
    for name in ("mcp_servers", "fallbacks"):
        refusal = translated({**request_of("hi"), name: [{"model": "claude-a", "url": ""}]}).refusal
        assert refusal is not None
        assert refusal.startswith(name)


@pytest.mark.parametrize("content", ["", [], [{"type": "text", "text": ""}]], ids=repr)
def test_an_empty_last_turn_of_the_assistant_begins_no_answer(content: Any) -> None:
    """Some clients always add one. It is no prefill, which this vendor would refuse."""
    outcome = translated(request_of("hi", {"role": "assistant", "content": content}), "openai")
    assert [message["role"] for message in outcome.json["messages"]] == ["user"]


def test_safeguards_are_named_and_never_refused() -> None:
    """The client then judges tool calls by itself."""
    asked = {**request_of("hi"), "safeguards": [{"type": "dangerous_tool_use"}]}
    for strict in (False, True):
        outcome = translated(asked, strict=strict)
        assert (outcome.refusal, outcome.dropped) == (None, ("safeguards",))
