"""Whether a value conforms to a JSON schema: the check behind every value that is made."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat

from nexusflow_core.simulator.jsonvalue import Json, pointer, weight

TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")

# Schemas come from whoever calls, so the work on one is limited: deeper than this, and past
# this many steps, a value counts as conforming.
MAX_CHECK_DEPTH = 48
MAX_STEPS = 100_000

# Bounds larger or finer than these are ignored: arithmetic on them would overflow.
MAX_NUMBER = 10**15
MIN_STEP = 1e-9


class Fuel:
    """How many steps may still be spent on one schema; shared by making and checking."""

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self.left = steps

    def spend(self, steps: int) -> bool:
        """Take that many; False once nothing is left."""
        self.left -= steps
        return self.left > 0


def conforms(value: Json, schema: Json, root: Json, fuel: Fuel, depth: int = 0) -> bool:
    """Whether `value` satisfies the supported keywords of `schema`.

    Not judged: pattern, format, if/then/else, contains, dependent*, unevaluated*.
    """
    if not isinstance(schema, dict):
        return schema is not False
    if depth > MAX_CHECK_DEPTH or not fuel.spend(1 + len(schema)):
        return True
    return (
        _listed(value, schema, fuel)
        and type_matches(value, types_of(schema))
        and _combined(value, schema, root, fuel, depth)
        and _bounded(value, schema)
        and _members_conform(value, schema, root, fuel, depth)
    )


def number(schema: dict[str, Json], key: str) -> int | float | None:
    """A bound of the schema, if it is a number of sane size."""
    bound = schema.get(key)
    if isinstance(bound, bool) or not isinstance(bound, int | float):
        return None
    return bound if bound == 0 or MIN_STEP <= abs(bound) <= MAX_NUMBER else None


def sequence(schema: dict[str, Json], key: str) -> Sequence[Json]:
    """A keyword whose value is a list; empty if it is absent or something else."""
    found = schema.get(key)
    return found if isinstance(found, list) else ()


def mapping(schema: dict[str, Json], key: str) -> dict[str, Json]:
    """A keyword whose value is an object; empty if it is absent or something else."""
    found = schema.get(key)
    return found if isinstance(found, dict) else {}


def types_of(schema: dict[str, Json]) -> tuple[str, ...]:
    """The types the schema allows; empty means that it does not say."""
    named = schema.get("type")
    names = named[: 2 * len(TYPES)] if isinstance(named, list) else [named]
    types = [name for name in names if isinstance(name, str) and name in TYPES]
    if types and schema.get("nullable") is True:  # OpenAPI 3.0's way to allow null
        types.append("null")
    return tuple(types)


def type_matches(value: Json, types: Sequence[str]) -> bool:
    """Whether the value is of one of the types (any, if none is named)."""
    return not types or any(_is(value, name) for name in types)


def equal(left: Json, right: Json) -> bool:
    """JSON equality: 1 equals 1.0, but never true."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def _is(value: Json, name: str) -> bool:
    match value:
        case None:
            return name == "null"
        case bool():
            return name == "boolean"
        case int():
            return name in ("integer", "number")
        case float():
            return name == "number" or (name == "integer" and value.is_integer())
        case str():
            return name == "string"
        case list():
            return name == "array"
        case dict():
            return name == "object"


def _listed(value: Json, schema: dict[str, Json], fuel: Fuel) -> bool:
    if "const" in schema and not equal(value, schema["const"]):
        return False
    choices = schema.get("enum")
    if not isinstance(choices, list):
        return True
    return not fuel.spend(len(choices)) or any(equal(value, choice) for choice in choices)


def _combined(value: Json, schema: dict[str, Json], root: Json, fuel: Fuel, depth: int) -> bool:
    def holds(part: Json) -> bool:
        return conforms(value, part, root, fuel, depth + 1)

    reference = schema.get("$ref")
    if isinstance(reference, str) and not holds(pointer(root, reference)):
        return False
    if not all(holds(part) for part in sequence(schema, "allOf")):
        return False
    any_of, one_of = sequence(schema, "anyOf"), sequence(schema, "oneOf")
    if any_of and not any(holds(part) for part in any_of):
        return False
    if one_of and sum(holds(part) for part in one_of) != 1 and fuel.left > 0:
        return False
    return "not" not in schema or not holds(schema["not"]) or fuel.left <= 0


def _bounded(value: Json, schema: dict[str, Json]) -> bool:
    match value:
        case bool() | None:
            return True
        case int() | float():
            return _number_in_range(value, schema)
        case str():
            return _size_in_range(len(value), schema, "minLength", "maxLength")
        case list():
            return _size_in_range(len(value), schema, "minItems", "maxItems") and _unique(value, schema)
        case dict():
            return _size_in_range(len(value), schema, "minProperties", "maxProperties")


def _number_in_range(value: int | float, schema: dict[str, Json]) -> bool:
    low, above = number(schema, "minimum"), number(schema, "exclusiveMinimum")
    high, below = number(schema, "maximum"), number(schema, "exclusiveMaximum")
    if low is not None and (value < low or (value == low and schema.get("exclusiveMinimum") is True)):
        return False
    if high is not None and (value > high or (value == high and schema.get("exclusiveMaximum") is True)):
        return False
    if (above is not None and value <= above) or (below is not None and value >= below):
        return False
    step = number(schema, "multipleOf")
    if step is None or step <= 0 or abs(value) > MAX_NUMBER:
        return True
    return abs(value / step - round(value / step)) < 1e-6


def _size_in_range(size: int, schema: dict[str, Json], least: str, most: str) -> bool:
    low, high = number(schema, least), number(schema, most)
    return (low is None or size >= low) and (high is None or size <= high)


def _unique(value: list[Json], schema: dict[str, Json]) -> bool:
    if schema.get("uniqueItems") is not True or weight(value, 1_000) > 1_000:
        return True
    return not any(equal(a, b) for i, a in enumerate(value) for b in value[:i])


def _members_conform(value: Json, schema: dict[str, Json], root: Json, fuel: Fuel, depth: int) -> bool:
    if isinstance(value, list):
        first = _prefix(schema)
        rest = schema.get("items", True)
        if isinstance(rest, list):  # the tuple form of older drafts
            rest = schema.get("additionalItems", True)
        parts = chain(first, repeat(rest))
        return all(
            conforms(item, part, root, fuel, depth + 1) for item, part in zip(value, parts, strict=False)
        )
    if isinstance(value, dict):
        if any(isinstance(name, str) and name not in value for name in sequence(schema, "required")):
            return False
        known = mapping(schema, "properties")
        # A name may be allowed by a pattern, and patterns are not judged.
        other = True if "patternProperties" in schema else schema.get("additionalProperties", True)
        return all(
            conforms(item, known.get(name, other), root, fuel, depth + 1) for name, item in value.items()
        )
    return True


def _prefix(schema: dict[str, Json]) -> Sequence[Json]:
    return sequence(schema, "prefixItems") or sequence(schema, "items")
