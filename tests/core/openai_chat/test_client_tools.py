"""Tools that Anthropic defines: functions where the client runs them, else refused by name or dropped."""

from typing import Any

import pytest

from nexusflow_core.translation.losses import Losses
from nexusflow_core.translation.schemas import without
from nexusflow_core.translation.tools import CLIENT_TOOLS
from tests.core.translation.asking import request_of, translated
from tests.core.translation.driving import answered

CUSTOM = {"name": "look", "input_schema": {"type": "object", "properties": {}}}
EDITOR = {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"}
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}


def sent(*tools: Any, vendor: str = "generic", **members: Any) -> Any:
    """The functions that these tools become."""
    body = translated(request_of(tools=list(tools), **members), vendor).json
    return [tool["function"] for tool in body["tools"]]


@pytest.mark.parametrize(
    ("type", "name", "inputs"),
    [
        ("bash_20250124", "bash", "command restart"),
        ("bash_20241022", "bash", "command restart"),
        (
            "text_editor_20241022",
            "str_replace_editor",
            "command path view_range file_text old_str new_str insert_line",
        ),
        (
            "text_editor_20250124",
            "str_replace_editor",
            "command path view_range file_text old_str new_str insert_line",
        ),
        (
            "text_editor_20250429",
            "str_replace_based_edit_tool",
            "command path view_range file_text old_str new_str insert_line insert_text",
        ),
        (
            "text_editor_20250728",
            "str_replace_based_edit_tool",
            "command path view_range file_text old_str new_str insert_line insert_text",
        ),
        (
            "memory_20250818",
            "memory",
            "command path view_range file_text old_str new_str insert_line insert_text old_path new_path",
        ),
    ],
)
def test_what_the_client_runs_is_a_function(type: str, name: str, inputs: str) -> None:
    """With the inputs that Anthropic documents, so that the client understands the calls."""
    (function,) = sent({"type": type, "name": name})
    assert function["name"] == name
    assert list(function["parameters"]["properties"]) == inputs.split()
    assert function["description"]


def test_the_commands_of_each() -> None:
    """Memory deletes and renames; only the older editors undo."""
    commands = {
        type: tool.parameters["properties"]["command"]["enum"]
        for type, tool in CLIENT_TOOLS.items()
        if not type.startswith("bash")
    }
    basic = ["view", "create", "str_replace", "insert"]
    assert commands == {
        "text_editor_20241022": [*basic, "undo_edit"],
        "text_editor_20250124": [*basic, "undo_edit"],
        "text_editor_20250429": basic,
        "text_editor_20250728": basic,
        "memory_20250818": [*basic, "delete", "rename"],
    }


def test_max_characters_is_told_to_the_model() -> None:
    """And named for an editor that does not know it."""
    (function,) = sent({**EDITOR, "max_characters": 10000})
    assert "10000 characters" in function["description"]
    assert translated(request_of(tools=[{**EDITOR, "max_characters": 10000}])).dropped == ()
    older = {**EDITOR, "type": "text_editor_20250429", "max_characters": 10000}
    assert translated(request_of(tools=[older])).dropped == ("tools[0].max_characters",)


def test_examples_go_along_and_strict_is_named() -> None:
    """Their inputs are optional, which nobody enforces."""
    bash = {"type": "bash_20250124", "name": "bash", "strict": True, "input_examples": [{"command": "ls"}]}
    outcome = translated(request_of(tools=[bash]), "openai")
    assert outcome.json["tools"][0]["function"]["description"].endswith('{"command":"ls"}')
    assert outcome.dropped == ("tools[0].strict",)


def test_what_these_tools_do_not_have_is_named() -> None:
    """Their description and schema are Anthropic's own."""
    bash = {"type": "bash_20250124", "name": "bash", "description": "x", "input_schema": {"type": "object"}}
    assert translated(request_of(tools=[bash])).dropped == ("tools[0].description", "tools[0].input_schema")


def test_another_name_is_refused() -> None:
    """As Anthropic refuses it."""
    assert translated(request_of(tools=[{"type": "bash_20250124", "name": "shell"}])).refusal == (
        "tools.0.bash_20250124.name: Input should be 'bash'"
    )


@pytest.mark.parametrize(
    "type",
    ["computer_20250124", "computer_toolset_20260801", "browser_toolset_20260801", "of_the_future"],
)
@pytest.mark.parametrize("way", ["refuse", "drop"])
def test_what_no_other_model_knows_is_refused(type: str, way: str) -> None:
    """Whatever becomes of server tools."""
    outcome = translated(request_of(tools=[CUSTOM, {"type": type}]), server_tools=way)
    assert outcome.refusal == f"tools.1: {type!r} cannot be offered to this upstream"


SERVER_TOOLS = [
    SEARCH,
    {"type": "web_fetch_20260318", "name": "web_fetch"},
    {"type": "code_execution_20250825", "name": "code_execution"},
    {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"},
    {"type": "tool_search_tool_bm25", "name": "tool_search_tool_bm25"},
    {"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-5"},
    {"type": "mcp_toolset", "mcp_server_name": "s"},
    {"type": "mcp_toolset", "mcp_server_name": "t"},
]


@pytest.mark.parametrize("tool", SERVER_TOOLS, ids=lambda tool: tool["type"])
def test_server_tools_are_refused_by_name(tool: Any) -> None:
    """The model would only pretend to have them."""
    assert translated(request_of(tools=[CUSTOM, tool])).refusal == (
        f"tools.1: {tool['type']!r} cannot be offered to this upstream"
    )


def test_server_tools_can_be_dropped() -> None:
    """Each is named; `strict` refuses."""
    tools = [SERVER_TOOLS[0], CUSTOM, *SERVER_TOOLS[1:]]
    outcome = translated(request_of(tools=tools), server_tools="drop")
    assert [tool["function"]["name"] for tool in outcome.json["tools"]] == ["look"]
    assert outcome.dropped == tuple(f"tools[{n}]" for n in (0, *range(2, 9)))
    assert translated(request_of(tools=tools), server_tools="drop", strict=True).refusal is not None


def test_where_only_server_tools_were_there_are_none() -> None:
    """A choice that needs one is refused, any other is empty talk."""
    outcome = translated(request_of(tools=[SEARCH], tool_choice={"type": "auto"}), server_tools="drop")
    assert not {"tools", "tool_choice"} & set(outcome.json)
    for choice in ({"type": "any"}, {"type": "tool", "name": "web_search"}):
        asked = request_of(tools=[SEARCH], tool_choice=choice)
        assert translated(asked, server_tools="drop").refusal is not None


def test_a_dropped_tool_cannot_be_chosen() -> None:
    """Though others are left."""
    asked = request_of(tools=[SEARCH, CUSTOM], tool_choice={"type": "tool", "name": "web_search"})
    assert translated(asked, server_tools="drop").refusal == (
        "tool_choice.tool.name: no tool is called 'web_search'"
    )


# Names


def test_long_names_are_cut_in_histories_too() -> None:
    """The same in the tool, in its earlier calls and in the choice; the answer has the client's name."""
    long = "get_the_weather_of_" + "a_long_" * 10
    call = {"type": "tool_use", "id": "toolu_1", "name": long, "input": {}}
    turns: list[Any] = [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "sun"}]},
    ]
    tools = [{"name": long, "input_schema": {"type": "object"}}]
    choice = {"type": "tool", "name": long}
    body = translated(request_of(*turns, tools=tools, tool_choice=choice)).json
    cut = body["tools"][0]["function"]["name"]
    assert len(cut) == 64
    assert body["messages"][1]["tool_calls"][0]["function"]["name"] == cut
    assert body["tool_choice"]["function"]["name"] == cut
    asked_for = {"id": "call_1", "type": "function", "function": {"name": cut, "arguments": "{}"}}
    answer = {"choices": [{"message": {"tool_calls": [asked_for]}, "finish_reason": "tool_calls"}]}
    assert answered(answer, messages=turns, tools=tools).json["content"][0]["name"] == long


def test_calls_in_a_history_need_no_tools() -> None:
    """They are sent as they are, and no tool is made up."""
    call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
    answer = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}
    turns = ["hi", {"role": "assistant", "content": [call]}, {"role": "user", "content": [answer]}]
    assert "tools" not in translated(request_of(*turns)).json


# What some vendors will not read in a schema

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "https://example.com/tool",
    "type": "object",
    "properties": {
        "$id": {"type": "string"},
        "additionalProperties": {"type": "object", "additionalProperties": False},
        "open": {"type": "object", "additionalProperties": True},
        "list": {"type": "array", "items": {"anyOf": [{"$id": "x", "type": "string"}, True]}},
        "chosen": {"enum": [{"$id": "data"}], "default": {"$id": "data"}},
    },
    "$defs": {"$schema": {"$id": "y", "type": "number"}},
    "additionalProperties": False,
}


def test_keywords_that_a_vendor_refuses() -> None:
    """Taken out at every depth, and named where they meant something; names and data are no keywords."""
    outcome = translated(request_of(tools=[{"name": "t", "input_schema": SCHEMA}]), "mistral")
    assert outcome.json["tools"][0]["function"]["parameters"] == {
        "type": "object",
        "properties": {
            "$id": {"type": "string"},
            "additionalProperties": {"type": "object"},
            "open": {"type": "object"},
            "list": {"type": "array", "items": {"anyOf": [{"type": "string"}, True]}},
            "chosen": {"enum": [{"$id": "data"}], "default": {"$id": "data"}},
        },
        "$defs": {"$schema": {"type": "number"}},
    }
    assert outcome.dropped == (
        "tools[0].input_schema.properties.additionalProperties.additionalProperties",
        "tools[0].input_schema.additionalProperties",
    )


def test_a_name_in_a_schema_cannot_break_a_header() -> None:
    """The client's own words stand in the path of what is dropped."""
    inner = {"type": "object", "additionalProperties": False}
    schema = {"type": "object", "properties": {"a\r\nx-evil: 1": inner}}
    made = answered(
        {"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]},
        vendor="mistral",
        tools=[{"name": "t", "input_schema": schema}],
    )
    assert made.headers["x-nexusflow-warning"] == (
        "tools[0].input_schema.properties.a??x-evil: 1.additionalProperties dropped; usage estimated"
    )


def test_elsewhere_a_schema_goes_as_it_is() -> None:
    """Any keyword may be refused that a row names, and no other."""
    tools = [{"name": "t", "input_schema": SCHEMA}]
    assert translated(request_of(tools=tools)).json["tools"][0]["function"]["parameters"] == SCHEMA
    losses = Losses()
    assert "$defs" not in without(frozenset({"$defs"}), SCHEMA, "schema", losses)
    assert [loss.path for loss in losses.found] == ["schema.$defs"]
