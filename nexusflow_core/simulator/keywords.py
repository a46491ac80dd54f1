"""The keywords of a JSON schema, read with care: callers write the schemas."""

from collections.abc import Mapping, Sequence
from typing import Any

from nexusflow_core.untyped import is_list, is_object, object_of

__all__ = ["Schema", "equal", "number", "pointer", "satisfies", "sequence", "types_of", "weight"]

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

# Larger or finer bounds are ignored: arithmetic with them would overflow.
MAX_NUMBER = 10**15
MIN_STEP = 1e-9

MAX_REFERENCE = 1_000


def satisfies(value: Any, schema: Schema) -> bool:
    """Returns whether a value has the type, the bounds and the required members that a schema asks for.

    Members themselves, pattern and format are not judged.
    """
    types, choices = types_of(schema), sequence(schema, "enum")
    return (
        (not types or any(_is(value, name) for name in types))
        and ("const" not in schema or equal(value, schema["const"]))
        and (not choices or any(equal(value, choice) for choice in choices))
        and (not is_object(value) or all(name in value for name in sequence(schema, "required")))
        and _bounded(value, schema)
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
    return _between(len(value), number(schema, f"min{what}"), number(schema, f"max{what}"))


def _between(value: float, low: Any, high: Any) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)
