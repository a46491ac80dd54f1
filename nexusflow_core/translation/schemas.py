"""JSON schemas of tools and answers: whether they are strict, and without keywords that a vendor rejects."""

from typing import Any

from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.messages import MessagesRequest
from nexusflow_core.translation.losses import Losses, dotted
from nexusflow_core.untyped import is_blank, is_list, is_object, is_zero, object_of

__all__ = ["closed", "wanted_schema", "without"]

_DATA = frozenset({"enum", "const", "default", "examples"})
"""Keywords whose values are data, never schemas."""

_NAMED = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})
"""Keywords that hold schemas by name. These names are not keywords."""

_MAX_PATH = 200

_ANNOTATIONS = frozenset({"$id", "$schema"})


def closed(schema: Any) -> bool:
    """True if every object in a schema is closed and has no optional member: only such a schema can be strict.

    The schema is not changed: that would make its optional members mandatory.
    """
    if is_list(schema):
        return all(closed(item) for item in schema)
    members = object_of(schema)
    if "properties" in members or members.get("type") == "object":
        if members.get("additionalProperties") is not False:
            return False
        if not object_of(members.get("properties")).keys() <= _required(members):
            return False
    return all(
        closed([*value.values()] if name in _NAMED and is_object(value) else value)
        for name, value in members.items()
        if name not in _DATA
    )


def _required(schema: dict[str, Any]) -> set[str]:
    """Returns an object's required members. An old draft wrote `required: true` into each member instead."""
    names = schema.get("required")
    return {name for name in names if isinstance(name, str)} if is_list(names) else set()


def without(refused: frozenset[str], schema: Any, path: str, losses: Losses) -> Any:
    """Returns a schema without the keywords that a vendor rejects. Lists those that had a meaning."""
    if is_list(schema):
        return [without(refused, item, f"{path}[{index}]", losses) for index, item in enumerate(schema)]
    if not is_object(schema):
        return schema
    kept: dict[str, Any] = {}
    for name, value in schema.items():
        # Bounded: each path repeats its parent's, so long names would add up.
        at = f"{path}.{name}"[:_MAX_PATH]
        if name in refused:
            if name not in _ANNOTATIONS and value is not True:
                losses.drop(at, "not taken by this upstream in a tool's schema")
        elif name in _DATA:
            kept[name] = value
        elif name in _NAMED and is_object(value):
            kept[name] = {key: without(refused, inner, f"{at}.{key}", losses) for key, inner in value.items()}
        else:
            kept[name] = without(refused, value, at, losses)
    return kept


def wanted_schema(request: MessagesRequest, losses: Losses) -> tuple[str, dict[str, Any] | None]:
    """Returns the path of the answer's format, and its schema; None without a format.

    Raises InvalidRequestError.
    """
    path, given = "output_config.format", object_of(request.extra.get("output_config")).get("format")
    if "output_format" in request.extra:
        if not is_zero(given):
            raise InvalidRequestError("output_format: not together with output_config.format, its new name")
        path, given = "output_format", request.extra["output_format"]
    if is_zero(given):
        return path, None
    if not is_object(given):
        raise InvalidRequestError(f"{path}: Input should be a valid dictionary")
    if given.get("type") != "json_schema":
        raise InvalidRequestError(f"{path}.type: Input should be 'json_schema'")
    schema = given.get("schema")
    if not is_object(schema):
        raise InvalidRequestError(f"{dotted(path)}.schema: Input should be a valid dictionary")
    for name, value in given.items():
        if name not in ("type", "schema") and not is_blank(value):
            losses.unknown(f"{path}.{name}")
    return path, schema
