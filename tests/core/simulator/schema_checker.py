"""A small JSON schema checker that shares nothing with the code it judges."""

from __future__ import annotations

import re
from typing import Any

_FORMATS = {
    "date": r"\d{4}-\d\d-\d\d",
    "date-time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "time": r"\d\d:\d\d:\d\dZ",
    "uuid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "email": r"[^@\s]+@[^@\s]+",
    "uri": r"[a-z]+://\S+",
    "ipv4": r"\d+(\.\d+){3}",
}
_PYTHON: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def problems(value: Any, schema: Any, root: Any = None, at: str = "$") -> list[str]:
    """What is wrong with the value; empty if nothing is."""
    root = schema if root is None else root
    if isinstance(schema, bool):
        return [] if schema else [f"{at}: nothing is allowed"]
    found: list[str] = []

    def need(condition: bool, text: str) -> None:
        if not condition:
            found.append(f"{at}: {text}")

    if "$ref" in schema:
        target = root
        for step in schema["$ref"].split("/")[1:]:
            target = target[step]
        found += problems(value, target, root, at)
    for part in schema.get("allOf", []):
        found += problems(value, part, root, at)
    if "anyOf" in schema:
        need(any(not problems(value, part, root, at) for part in schema["anyOf"]), "none of anyOf")
    if "oneOf" in schema:
        need(sum(not problems(value, part, root, at) for part in schema["oneOf"]) == 1, "not one of oneOf")
    if "const" in schema:
        need(value == schema["const"], "not the const")
    if "enum" in schema:
        need(value in schema["enum"], "not in enum")
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        fits = [isinstance(value, _PYTHON[name]) for name in names]
        if isinstance(value, bool):
            fits = ["boolean" in names]
        need(any(fits), f"not of type {names}")
    found += _of_kind(value, schema, root, at)
    return found


def _of_kind(value: Any, schema: dict[str, Any], root: Any, at: str) -> list[str]:
    found: list[str] = []
    if isinstance(value, str):
        found += _sized(value, schema, "Length", at)
        pattern = _FORMATS.get(schema.get("format", ""))
        if pattern and not re.fullmatch(pattern, value):
            found.append(f"{at}: not of format {schema['format']}")
    elif isinstance(value, list):
        found += _sized(value, schema, "Items", at)
        for i, item in enumerate(value):
            found += problems(item, schema.get("items", True), root, f"{at}[{i}]")
        if schema.get("uniqueItems") and any(item in value[:i] for i, item in enumerate(value)):
            found.append(f"{at}: items repeat")
    elif isinstance(value, dict):
        found += [f"{at}: {name} is missing" for name in schema.get("required", []) if name not in value]
        known = schema.get("properties", {})
        for name, item in value.items():
            found += problems(
                item, known.get(name, schema.get("additionalProperties", True)), root, f"{at}.{name}"
            )
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if value < schema.get("minimum", value) or value > schema.get("maximum", value):
            found.append(f"{at}: {value} is out of range")
        if value <= schema.get("exclusiveMinimum", value - 1) or value >= schema.get(
            "exclusiveMaximum", value + 1
        ):
            found.append(f"{at}: {value} is on or beyond an exclusive bound")
        if value % schema.get("multipleOf", value or 1):
            found.append(f"{at}: {value} is no multiple")
    return found


def _sized(value: Any, schema: dict[str, Any], what: str, at: str) -> list[str]:
    if schema.get(f"min{what}", 0) <= len(value) <= schema.get(f"max{what}", len(value)):
        return []
    return [f"{at}: size {len(value)}"]
