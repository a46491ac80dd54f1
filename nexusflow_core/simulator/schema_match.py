"""Checks whether a value conforms to a JSON schema. Every value that is made passes this check."""

from collections.abc import Mapping, Sequence
from typing import Any

from nexusflow_core.untyped import is_list, is_object, object_of

__all__ = ["Fuel", "Schema", "conforms", "equal", "number", "pointer", "sequence", "types_of", "weight"]

Schema = dict[str, Any]

TYPES: Mapping[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}

# Callers write the schemas, so the work is bounded: below this depth, and after this many steps, a value counts
# as conforming.
MAX_CHECK_DEPTH = 48
MAX_STEPS = 100_000

# Larger or finer bounds are ignored: arithmetic with them would overflow.
MAX_NUMBER = 10**15
MIN_STEP = 1e-9

MAX_REFERENCE = 1_000
MAX_UNIQUE = 1_000


class Fuel:
    """The remaining steps for one schema, shared by making and checking values."""

    def __init__(self) -> None:
        self.left = MAX_STEPS

    def spend(self, steps: int) -> bool:
        """Takes this many steps. Returns False once none is left."""
        self.left -= steps
        return self.left > 0


def conforms(value: Any, schema: Any, root: Any, fuel: Fuel, depth: int = 0) -> bool:
    """True if `value` satisfies the supported keywords of `schema`.

    Ignored are pattern, format, if/then/else, contains, dependent*, unevaluated*.
    """
    if not is_object(schema):
        return schema is not False
    if depth > MAX_CHECK_DEPTH or not fuel.spend(1 + len(schema)):
        return True
    types = types_of(schema)
    return (
        (not types or any(_is(value, name) for name in types))
        and _listed(value, schema, fuel)
        and _combined(value, schema, root, fuel, depth)
        and _bounded(value, schema)
        and _members_conform(value, schema, root, fuel, depth)
    )


def number(schema: Schema, key: str) -> Any:
    """Returns a bound of the schema if it is a number of reasonable size, else None."""
    bound = schema.get(key)
    if isinstance(bound, bool) or not isinstance(bound, int | float):
        return None
    return bound if bound == 0 or MIN_STEP <= abs(bound) <= MAX_NUMBER else None


def sequence(schema: Schema, key: str) -> Sequence[Any]:
    """Returns a keyword whose value is a list; empty for anything else."""
    found = schema.get(key)
    return found if is_list(found) else ()


def types_of(schema: Schema) -> list[str]:
    """Returns the types that the schema allows; empty if it has none."""
    named = schema.get("type")
    names = named[: 2 * len(TYPES)] if is_list(named) else [named]
    return [name for name in names if isinstance(name, str) and name in TYPES]


def equal(left: Any, right: Any) -> bool:
    """True if two values are equal JSON: 1 equals 1.0, but not true."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def pointer(root: Any, reference: Any) -> Any:
    """Returns the target of a local reference such as `#/$defs/city`; True (anything) for any other."""
    if not isinstance(reference, str) or not reference.startswith("#") or len(reference) > MAX_REFERENCE:
        return True
    found = root
    for step in reference[1:].split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if is_list(found) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        else:
            found = object_of(found).get(key, True)
    return found


def weight(value: Any, most: int) -> int:
    """Returns the size of a value in nodes and characters. Stops counting soon after `most`."""
    total, waiting = 0, [value]
    while waiting and total <= most:
        node = waiting.pop()
        total += 1 + (len(node) if isinstance(node, str) else 0)
        if is_list(node):
            total += len(node)
            waiting += node[: most + 1]
        elif is_object(node):
            total += sum(map(len, node))
            waiting += node.values()
    return total


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, TYPES[name]) or (
        name == "integer" and isinstance(value, float) and value.is_integer()
    )


def _listed(value: Any, schema: Schema, fuel: Fuel) -> bool:
    if "const" in schema and not equal(value, schema["const"]):
        return False
    choices = sequence(schema, "enum")
    return not choices or not fuel.spend(len(choices)) or any(equal(value, choice) for choice in choices)


def _combined(value: Any, schema: Schema, root: Any, fuel: Fuel, depth: int) -> bool:
    def holds(part: Any) -> bool:
        return conforms(value, part, root, fuel, depth + 1)

    any_of, one_of = sequence(schema, "anyOf"), sequence(schema, "oneOf")
    return (
        ("$ref" not in schema or holds(pointer(root, schema["$ref"])))
        and all(map(holds, sequence(schema, "allOf")))
        and (not any_of or any(map(holds, any_of)))
        and (not one_of or sum(map(holds, one_of)) == 1 or fuel.left <= 0)
        and ("not" not in schema or not holds(schema["not"]) or fuel.left <= 0)
    )


def _bounded(value: Any, schema: Schema) -> bool:
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, int | float):
        above, below = number(schema, "exclusiveMinimum"), number(schema, "exclusiveMaximum")
        within = _between(value, number(schema, "minimum"), number(schema, "maximum"))
        step = number(schema, "multipleOf")
        whole = (
            not step or step < 0 or abs(value) > MAX_NUMBER or abs(value / step - round(value / step)) < 1e-6
        )
        return within and whole and (above is None or value > above) and (below is None or value < below)
    what = "Length" if isinstance(value, str) else "Items" if is_list(value) else "Properties"
    sized = _between(len(value), number(schema, f"min{what}"), number(schema, f"max{what}"))
    return sized and (not is_list(value) or _unique(value, schema))


def _between(value: float, low: Any, high: Any) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


def _unique(value: list[Any], schema: Schema) -> bool:
    if schema.get("uniqueItems") is not True or weight(value, MAX_UNIQUE) > MAX_UNIQUE:
        return True
    return not any(equal(a, b) for i, a in enumerate(value) for b in value[:i])


def _members_conform(value: Any, schema: Schema, root: Any, fuel: Fuel, depth: int) -> bool:
    if is_list(value):
        first, rest = sequence(schema, "prefixItems"), schema.get("items", True)
        parts = [first[i] if i < len(first) else rest for i in range(len(value))]
        return all(conforms(item, part, root, fuel, depth + 1) for item, part in zip(value, parts, strict=True))
    if not is_object(value):
        return True
    if any(isinstance(name, str) and name not in value for name in sequence(schema, "required")):
        return False
    known = object_of(schema.get("properties"))
    # A pattern may allow the name, and patterns are ignored.
    other = True if "patternProperties" in schema else schema.get("additionalProperties", True)
    return all(conforms(item, known.get(name, other), root, fuel, depth + 1) for name, item in value.items())
