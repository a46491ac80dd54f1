"""explain: the first difference of two requests, in a few words, and never a word of their content."""

from __future__ import annotations

from typing import Any

import pytest

from nexusflow_core.caching import explain
from tests.core.caching.asking import assistant, request, text, tool, user

SECRET = "the patient is"


def said(words: str, **members: Any) -> dict[str, Any]:
    return request(user({"type": "text", "text": words}), **members)


def system(words: str) -> dict[str, Any]:
    return request(user(text("q", 8)), system=[text("s", 8), {"type": "text", "text": words}])


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a clock in the system prompt": (
        system(f"{SECRET} ill. Now: 2026-10-01T12:00:00Z. Answer."),
        system(f"{SECRET} ill. Now: 2026-10-01T12:00:07Z. Answer."),
        "system_changed system[1]: text differs from character 44 of 54 on; it looks like a date or a time",
    ),
    "an id in the system prompt": (
        system("Session 0b7f5b1e-6f0e-4f6e-9a51-0c8a4b7d2e90."),
        system("Session 0b7f5b1e-6f0e-4f6e-9a51-1c8a4b7d2e90."),
        "system_changed system[1]: text differs from character 33 of 45 on; it looks like a UUID",
    ),
    "other words": (
        said(f"{SECRET} well"),
        said(f"{SECRET} ill"),
        "message_changed messages[0].content[0]: text differs from character 16 of 18 on",
    ),
    "tools in another order": (
        said("q", tools=[tool("a"), tool("b")]),
        said("q", tools=[tool("b"), tool("a")]),
        "tools_changed tools[0]: the same names in another order",
    ),
    "a tool more": (
        said("q", tools=[tool("a")]),
        said("q", tools=[tool("a"), tool("b")]),
        "tools_changed tools[1]: there is one block more",
    ),
    "a tool less": (
        said("q", tools=[tool("a"), tool("b")]),
        said("q", tools=[tool("a")]),
        "tools_changed tools[1]: a block is gone",
    ),
    "a schema": (
        said(
            "q",
            tools=[{"name": "a", "input_schema": {"type": "object", "properties": {"x": {"type": "string"}}}}],
        ),
        said(
            "q",
            tools=[{"name": "a", "input_schema": {"type": "object", "properties": {"x": {"type": "number"}}}}],
        ),
        "tools_changed tools[0]: input_schema.properties.x.type differs from character 1 of 6 on",
    ),
    "members in another order": (
        request(
            user(text("q")), assistant({"type": "tool_use", "id": "t", "name": "a", "input": {"x": 1, "y": 2}})
        ),
        request(
            user(text("q")), assistant({"type": "tool_use", "id": "t", "name": "a", "input": {"y": 2, "x": 1}})
        ),
        "message_changed messages[1].content[0]: the same members in another order",
    ),
    "a parameter": (
        said("q", tools=[tool("a")]),
        said("q", tools=[tool("a")], tool_choice={"type": "any"}, thinking={"type": "adaptive"}),
        'parameters_changed tool_choice,thinking: tool_choice none -> {"type":"any"}; '
        'thinking none -> {"type":"adaptive"}',
    ),
    "another model": (
        said("q"),
        {**said("q"), "model": "claude-opus-5"},
        "model_changed: claude-sonnet-5 -> claude-opus-5",
    ),
    "a shorter conversation": (
        request(user(text("q", 8)), assistant(text("a", 8)), user(text("b", 8))),
        request(user(text("q", 8))),
        "message_changed messages[0].content[0]: the same members in another order",
    ),
}


@pytest.mark.parametrize(("earlier", "later", "words"), CASES.values(), ids=CASES.keys())
def test_names_the_first_difference(earlier: dict[str, Any], later: dict[str, Any], words: str) -> None:
    """Its place as the header has it, and what differs there."""
    found = str(explain(earlier, later))
    assert found == words
    assert SECRET not in found


def test_a_conversation_that_goes_on_does_not_part() -> None:
    """Nor does one in which a breakpoint moved."""
    earlier = request(user(text("q", 8, mark="5m")))
    later = request(user(text("q", 8)), assistant(text("a", 8)), user(text("b", 8, mark="1h")))
    assert explain(earlier, later) is None


def test_a_long_text_of_control_characters_cannot_break_a_terminal() -> None:
    """A model's name is shown in one short printable line."""
    found = explain({**said("q"), "model": "a\x1b[31m" + "b" * 200}, said("q"))
    assert str(found).isprintable()
    assert len(str(found)) < 120
