"""Values made from JSON schemas: tool inputs and structured outputs conform."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexusflow_core.simulator.schema import conforming_value
from tests.core.simulator.asking import message, text_of
from tests.core.simulator.schema_checker import problems

TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["name", "children", "next"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}
CASES: dict[str, Any] = {
    "empty": {},
    "string": {"type": "string", "minLength": 30, "maxLength": 31},
    "short string": {"type": "string", "maxLength": 3},
    "integer": {"type": "integer", "minimum": 7, "maximum": 9},
    "exclusive": {"type": "integer", "exclusiveMinimum": 7, "exclusiveMaximum": 9},
    "narrow number": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5},
    "negative": {"type": "integer", "maximum": -5},
    "multiple": {"type": "integer", "multipleOf": 7, "minimum": 20},
    "negative multiple": {"type": "integer", "multipleOf": 7, "maximum": -20},
    "null only": {"type": "null"},
    "type list": {"type": ["null", "integer"]},
    "enum": {"enum": ["red", "green"]},
    "const": {"const": {"a": [1, None]}},
    "default": {"type": "string", "default": "from the default"},
    "bad default": {"type": "string", "default": 3},
    "array": {"type": "array", "items": {"type": "boolean"}, "minItems": 4},
    "empty array": {"type": "array", "items": {"type": "string"}, "maxItems": 0},
    "unique": {"type": "array", "items": {"type": "string"}, "minItems": 3, "uniqueItems": True},
    "unique enum": {"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True},
    "nested": {
        "type": "object",
        "properties": {"a": {"type": "object", "properties": {"b": {"type": "number"}}, "required": ["b"]}},
        "required": ["a"],
    },
    "required but unknown": {"type": "object", "required": ["x"], "additionalProperties": {"type": "integer"}},
    "anyOf": {"anyOf": [{"type": "string", "format": "email"}, {"type": "null"}]},
    "oneOf overlapping": {"oneOf": [{"type": "number", "minimum": 3}, {"type": "integer"}]},
    "oneOf by required": {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
    },
    "oneOf by reference": {
        "$defs": {"n": {"type": "number"}, "i": {"type": "integer"}},
        "oneOf": [{"$ref": "#/$defs/i"}, {"$ref": "#/$defs/n"}, {"type": "string"}],
    },
    "allOf": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}}, "required": ["a"]},
            {"properties": {"a": {"maximum": 4}, "b": {"type": "string"}}, "required": ["b"]},
        ]
    },
    "allOf types": {"allOf": [{"type": "number"}, {"type": "integer", "minimum": 2.5}]},
    "ref with siblings": {"$defs": {"n": {"type": "integer"}}, "$ref": "#/$defs/n", "minimum": 40},
    "recursive": TREE,
} | {
    f"format {name}": {"type": "string", "format": name}
    for name in ("date", "date-time", "time", "uuid", "email", "uri", "ipv4")
}


@pytest.mark.parametrize("case", CASES)
def test_values_conform(case: str):
    """Checked by a checker of our own that knows nothing of how values are made."""
    value = conforming_value(CASES[case])
    assert problems(value, CASES[case]) == []
    assert value == conforming_value(CASES[case])


def test_what_the_author_wrote_is_preferred():
    """default first, then examples, then enum: closest to what a model would send."""
    assert conforming_value({"type": "string", "default": "x", "examples": ["y"]}) == "x"
    assert conforming_value({"type": "string", "examples": ["y"]}) == "y"
    assert conforming_value({"enum": [1, 2], "default": 2}) == 2


def test_optional_properties_are_filled_in_near_the_top():
    """A tool whose parameters are all optional is still called with something."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
    assert conforming_value(schema) == {"city": "example", "days": 1}


@pytest.mark.parametrize("case", [name for name in CASES if isinstance(conforming_value(CASES[name]), dict)])
def test_tool_inputs_and_structured_outputs_use_it(case: str):
    """The same value arrives as the input of a call and as JSON text."""
    tool = {"name": "a", "input_schema": CASES[case]}
    assert message("call a", tools=[tool])["content"][0]["input"] == conforming_value(CASES[case])
    form = {"type": "json_schema", "schema": CASES[case]}
    assert json.loads(text_of(message(output_config={"format": form}))) == conforming_value(CASES[case])


HOSTILE: dict[str, Any] = {
    "only itself": {"$ref": "#"},
    "itself twice": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
    "itself as any": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
    "never itself": {"not": {"$ref": "#"}},
    "itself as one": {"oneOf": [{"$ref": "#"}, {"$ref": "#"}]},
    "itself as one, never itself": {"oneOf": [{"not": {"$ref": "#"}} for _ in range(40)]},
    "endless object": {
        "type": "object",
        "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}},
        "required": ["a", "b"],
    },
    "endless array": {"type": "array", "items": {"$ref": "#"}, "minItems": 50},
    "huge string": {"type": "string", "minLength": 10**12},
    "huge array": {"type": "array", "items": {"type": "string", "minLength": 9_000}, "minItems": 10**12},
    "huge numbers": {"type": "integer", "minimum": 10**300, "multipleOf": 1e-300},
    "many ways": {"allOf": [{"anyOf": [{"const": i} for i in range(30)]} for _ in range(30)]},
    "impossible": {"allOf": [{"type": "string"}, {"type": "integer"}]},
    "wide": {"type": "object", "properties": {f"p{i}": {"$ref": "#"} for i in range(3_000)}},
    "large const often": {"type": "array", "minItems": 100, "items": {"const": "x" * 9_999}},
    "many required": {
        "required": [f"a{i}" for i in range(50_000)],
        "allOf": [{"required": [f"b{i}" for i in range(50_000)]}, {"type": "object"}],
    },
    "long reference": {"type": "array", "items": {"$ref": "#" + "/x" * 500_000}, "minItems": 100},
    "many types": {"type": "array", "items": {"type": ["bogus"] * 500_000}, "minItems": 100},
    "one of many": {"allOf": [{"oneOf": [{"const": i} for i in range(30)]} for _ in range(30)]},
    "not a list": {"not": 7, "anyOf": 7, "enum": 7, "required": 7, "properties": 7, "type": {}},
    "many choices": {
        "allOf": [{"enum": [[i] for i in range(20_000)]}, {"enum": [[-i] for i in range(20_000)]}]
    },
    "names that are none": {"type": "object", "required": [[], {}, 7, "a"]},
    "no schema": 7,
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_schemas_end_soon_and_small(case: str):
    """Recursion, contradictions and absurd bounds cost little time and give a bounded value."""
    began = time.process_time()
    value = conforming_value(HOSTILE[case])
    assert time.process_time() - began < 5
    assert len(json.dumps(value)) < 200_000


leaves = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "format": "uuid"},
        {"type": "string", "minLength": 9, "maxLength": 20},
        {"type": "integer", "minimum": -3, "maximum": 12},
        {"type": "number", "exclusiveMinimum": 2},
        {"type": "boolean"},
        {"type": "null"},
        {"enum": ["a", 1, None]},
        {"const": "k"},
        {"$ref": "#/$defs/shared"},
    ]
)


def grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.sampled_from(["a", "b", "c"])
    properties = st.dictionaries(names, inner, max_size=3)
    return st.one_of(
        st.builds(
            lambda known, closed: {
                "type": "object",
                "properties": known,
                "required": sorted(known)[:2],
                **({"additionalProperties": False} if closed else {}),
            },
            properties,
            st.booleans(),
        ),
        st.builds(
            lambda items, least: {"type": "array", "items": items, "minItems": least}, inner, st.integers(0, 3)
        ),
        st.builds(lambda parts: {"anyOf": parts}, st.lists(inner, min_size=1, max_size=3)),
    )


@settings(max_examples=200, deadline=None)
@given(st.recursive(leaves, grown, max_leaves=12))
def test_any_satisfiable_schema_is_met(schema: dict[str, Any]):
    """Objects, arrays and alternatives of simple types, nested as they come."""
    schema = {**schema, "$defs": {"shared": {"type": "object", "properties": {"id": {"type": "integer"}}}}}
    assert problems(conforming_value(schema), schema) == []
