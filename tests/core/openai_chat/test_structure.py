"""`output_config.format`: the schema as it is, enforced where it can be, and said where it cannot."""

import json
from copy import deepcopy
from typing import Any

import pytest

from nexusflow_core.dialects.openai_chat import VENDORS
from nexusflow_core.translation.schemas import closed
from tests.core.translation.asking import ROWS, request_of, translated

CLOSED = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "array", "items": {"type": "integer"}}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
OPTIONAL = {**CLOSED, "required": ["city"]}
TOOLS = [{"name": "look", "input_schema": {"type": "object"}}]
JSON_ONLY = [row for row, vendor in VENDORS.items() if vendor.response_format == "json_object"]


def form(schema: Any, **members: Any) -> dict[str, Any]:
    return {"type": "json_schema", "schema": schema, **members}


def asking_for(schema: Any, **members: Any) -> dict[str, Any]:
    return request_of(output_config={"format": form(schema)}, **members)


@pytest.mark.parametrize("vendor", sorted(set(ROWS) - set(JSON_ONLY)))
def test_a_closed_schema_is_strict(vendor: str) -> None:
    """Every object closed, no member optional."""
    outcome = translated(asking_for(CLOSED), vendor)
    assert outcome.json["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "output", "schema": CLOSED, "strict": True},
    }
    assert outcome.dropped == ()


@pytest.mark.parametrize(
    "schema",
    [
        OPTIONAL,
        {**CLOSED, "additionalProperties": True},
        {"type": "array", "items": CLOSED},
        {**CLOSED, "properties": {**CLOSED["properties"], "city": {"type": "object"}}},
        {},
    ],
    ids=["optional", "open", "array", "open inside", "empty"],
)
def test_any_other_goes_as_it_is(schema: Any) -> None:
    """Without `strict`, which would change its meaning; listed, since nothing is promised then."""
    before = deepcopy(schema)
    outcome = translated(asking_for(schema), "openai")
    assert outcome.json["response_format"]["json_schema"] == {
        "name": "output",
        "schema": before,
        "strict": False,
    }
    assert outcome.dropped == ("output_config.format",)
    assert translated(asking_for(schema), "openai", strict=True).refusal is not None


def closed_with(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }


@pytest.mark.parametrize("name", ["default", "enum", "const", "examples"])
def test_a_property_that_is_called_like_a_keyword(name: str) -> None:
    """An open object is seen under any name: `strict` with it would be refused."""
    outcome = translated(asking_for(closed_with(**{name: {"type": "object"}})), "openai")
    assert outcome.json["response_format"]["json_schema"]["strict"] is False
    assert outcome.dropped == ("output_config.format",)


@pytest.mark.parametrize("name", ["properties", "type", "required", "additionalProperties"])
def test_a_closed_schema_with_a_property_that_is_called_like_a_keyword(name: str) -> None:
    """What a property is called does not open its schema; neither does data that looks like a schema."""
    schema = closed_with(**{name: {"type": "string", "examples": [{"properties": {}}]}})
    outcome = translated(asking_for(schema), "openai")
    assert outcome.json["response_format"]["json_schema"]["strict"] is True
    assert outcome.dropped == ()


@pytest.mark.parametrize("required", [True, "city", {"city": True, "days": True}, 7, [{}, ["city"]], [None]])
def test_a_list_of_required_members_that_is_none(required: Any) -> None:
    """Old drafts write `required: true`: then no member is known to be required, at any depth."""
    odd = {**CLOSED, "required": required}
    for schema in (odd, closed_with(inside=odd)):
        outcome = translated(asking_for(schema), "openai")
        assert outcome.json["response_format"]["json_schema"] == {
            "name": "output",
            "schema": schema,
            "strict": False,
        }
        assert outcome.dropped == ("output_config.format",)
        tool = {"name": "look", "input_schema": schema, "strict": True}
        outcome = translated(request_of(tools=[tool]), "openai")
        assert outcome.json["tools"][0]["function"]["parameters"] == schema
        assert outcome.dropped == ("tools[0].strict",)


def test_a_large_schema_takes_time_by_its_size() -> None:
    """Each member is looked up once, and not in a list of all others."""
    counted = 0

    class Name(str):
        def __eq__(self, other: object) -> bool:
            nonlocal counted
            counted += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    names = [f"member_{number}" for number in range(1000)]
    schema = closed_with(**{name: {"type": "string"} for name in names})
    schema["required"] = [Name(name) for name in names]
    assert closed(schema)
    assert counted <= 4 * len(names)


def test_its_old_name() -> None:
    """`output_format` is the same; both at once are refused."""
    old = translated(request_of(output_format=form(CLOSED)), "openai")
    assert old.body == translated(asking_for(CLOSED), "openai").body
    both = {**asking_for(CLOSED), "output_format": form(CLOSED)}
    assert translated(both, "openai").refusal == (
        "output_format: not together with output_config.format, its new name"
    )
    assert translated(request_of(output_format=form(OPTIONAL)), "openai").dropped == ("output_format",)


@pytest.mark.parametrize("vendor", JSON_ONLY)
def test_json_alone(vendor: str) -> None:
    """The schema is text at the end of the system prompt; named, since nobody enforces it."""
    outcome = translated(asking_for(OPTIONAL, system="Be brief."), vendor)
    assert outcome.json["response_format"] == {"type": "json_object"}
    system = outcome.json["messages"][0]
    assert system["role"] == "system"
    text = system["content"] if isinstance(system["content"], str) else system["content"][-1]["text"]
    assert "JSON" in text
    assert json.loads(text[text.index("{") :]) == OPTIONAL
    assert json.dumps(system["content"]).count("Be brief.") == 1
    assert outcome.dropped == ("output_config.format",)
    assert translated(asking_for(OPTIONAL), vendor, strict=True).refusal is not None


def test_json_alone_without_a_system_prompt() -> None:
    """Then the schema is one; the turns stay as they are."""
    outcome = translated(asking_for(CLOSED), "deepseek")
    assert [message["role"] for message in outcome.json["messages"]] == ["system", "user"]
    assert outcome.body == translated(asking_for(CLOSED), "deepseek").body


@pytest.mark.parametrize("type", ["array", "string", ["array", "null"]])
def test_json_alone_is_an_object(type: Any) -> None:
    """A list would come as an object, which is not what was asked for."""
    assert translated(asking_for({"type": type}), "deepseek").refusal == (
        "output_config.format.schema: this upstream answers with JSON objects only"
    )


@pytest.mark.parametrize(
    "schema", [{"$ref": "#/$defs/a", "$defs": {"a": CLOSED}}, {"type": ["object", "null"]}]
)
def test_json_alone_may_be_an_object(schema: Any) -> None:
    """What can be an object is asked for."""
    assert translated(asking_for(schema), "deepseek").json["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize("members", [{"stream": True}, {"tools": TOOLS}])
def test_a_schema_alone(members: Any) -> None:
    """Groq takes one with neither tools nor a stream."""
    assert translated(asking_for(CLOSED), "groq").refusal is None
    assert translated(asking_for(CLOSED, **members), "groq").refusal == (
        "output_config.format: this upstream takes a schema with neither tools nor a stream"
    )
    assert translated(asking_for(CLOSED, **members), "openai").refusal is None


@pytest.mark.parametrize(
    ("members", "refusal"),
    [
        ({"output_config": ["json"]}, "output_config: Input should be a valid dictionary"),
        ({"output_config": {"format": "json"}}, "output_config.format: Input should be a valid dictionary"),
        ({"output_format": "json"}, "output_format: Input should be a valid dictionary"),
        (
            {"output_config": {"format": {"type": "json"}}},
            "output_config.format.type: Input should be 'json_schema'",
        ),
        (
            {"output_config": {"format": {"type": "json_schema"}}},
            "output_config.format.schema: Input should be a valid dictionary",
        ),
    ],
)
def test_refused_with_the_path(members: Any, refusal: str) -> None:
    """In Anthropic's words."""
    assert translated(request_of(**members)).refusal == refusal


def test_unknown_members_are_named() -> None:
    """No format at all is none."""
    outcome = translated(request_of(output_config={"format": form(CLOSED, x=1), "y": 2}), "openai")
    assert sorted(outcome.dropped) == ["output_config.format.x", "output_config.y"]
    assert "response_format" not in translated(request_of(output_config={"format": None})).json
