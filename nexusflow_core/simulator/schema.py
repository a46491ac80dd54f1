"""Makes a value that conforms to a JSON schema, always the same one for the same schema.

It tries the schema's own values first (const, default, examples, enum), then values built from types and
bounds. The first that conforms is used. Work and size are bounded: for a huge or contradictory schema the value
may not conform.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

from nexusflow_core.simulator.keywords import (
    Schema,
    equal,
    number,
    pointer,
    satisfies,
    sequence,
    types_of,
    weight,
)
from nexusflow_core.untyped import is_list, is_object, object_of

__all__ = ["conforming_value"]

MAX_DEPTH = 24
MAX_LENGTH = 10_000
MAX_ITEMS = 100
MAX_NAMES = 1_000
MAX_READINGS = 32

# The work on one schema is limited.
MAX_STEPS = 100_000

# Below this depth optional properties and items are left out.
GENEROUS_DEPTH = 3

FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "P1D",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
    "email": "user@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/",
    "uri-reference": "/example",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}

# One of these keywords identifies the type of a schema without `type`.
_HINTS = {
    "object": ("properties", "required", "additionalProperties", "minProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
_BLANKS: Mapping[str, Any] = {
    "object": {},
    "array": [],
    "string": "",
    "integer": 0,
    "number": 0,
    "boolean": True,
}

_COMBINERS = ("$ref", "allOf", "anyOf", "oneOf")
_TIGHTER: Mapping[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems"), min),
}


def conforming_value(schema: Any) -> Any:
    """Returns a value of the schema. Never raises."""
    return _Maker(schema).value(schema, depth=0)


class _Maker:
    """Makes the values of one root schema, within its number of steps."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.steps = MAX_STEPS

    def value(self, schema: Any, depth: int, nth: int = 0) -> Any:
        """Returns the nth-preferred value, so that items of a unique array differ."""
        if not is_object(schema):
            return "example"
        if depth >= MAX_DEPTH or not self._spend(1):
            return _BLANKS.get(_likely_types(schema)[0])
        readings = list(islice(self._readings(schema, depth), MAX_READINGS)) or [{}]
        if depth >= GENEROUS_DEPTH:  # a recursive schema must end: prefer readings without further members
            readings.sort(key=_has_members)
        made: Any = None
        for reading in readings:
            for made in chain(self._offered(reading, nth), self._built(reading, depth, nth)):
                if satisfies(made, reading) and not self._is_excluded(made, reading):
                    self._spend(weight(made, most=self.steps))
                    return made
        return made

    def _spend(self, steps: int) -> bool:
        """Takes that many steps; returns False once none is left."""
        self.steps -= steps
        return self.steps > 0

    def _is_excluded(self, made: Any, reading: Schema) -> bool:
        """Returns whether a value fits what the reading excludes."""
        excluded = self._readings(object_of(reading.get("not")), MAX_DEPTH // 2) if "not" in reading else ()
        return any(satisfies(made, option) for option in excluded)

    def _offered(self, schema: Schema, nth: int) -> Iterator[Any]:
        """Yields the values written in the schema, unless they are too large."""
        choices = [schema[key] for key in ("const", "default", "example") if key in schema]
        choices += [*sequence(schema, "examples")[:16], *sequence(schema, "enum")[:MAX_ITEMS]]
        different: list[Any] = []
        for choice in choices:
            size = weight(choice, MAX_LENGTH)
            if self._spend(1 + size // 8) and size <= MAX_LENGTH and choice not in different:
                different.append(choice)
        yield from different[nth:]

    def _readings(self, schema: Schema, depth: int) -> Iterator[Schema]:
        """Yields each way to read the schema, without $ref, allOf, anyOf and oneOf."""
        key = next((key for key in _COMBINERS if key in schema), None)
        rest = {name: value for name, value in schema.items() if name != key}
        if key is None or depth >= MAX_DEPTH or not self._spend(_breadth(schema)):
            yield {name: value for name, value in rest.items() if name not in _COMBINERS}
        elif key == "$ref":
            yield from self._readings(_merge(rest, object_of(pointer(self.root, schema[key]))), depth + 1)
        elif key == "allOf":
            for part in sequence(schema, key):
                if self._spend(_breadth(object_of(part))):
                    rest = _merge(rest, object_of(part))
            yield from self._readings(rest, depth + 1)
        else:
            options = [object_of(option) for option in sequence(schema, key)[:MAX_READINGS]] or [{}]
            for option in options:
                merged = _merge(rest, option)
                others = [other for other in options if other is not option]
                if key == "oneOf" and others:
                    merged["not"] = {"anyOf": [*others, *([merged["not"]] if "not" in merged else [])]}
                yield from self._readings(merged, depth + 1)

    def _built(self, schema: Schema, depth: int, nth: int) -> Iterator[Any]:
        for name in _likely_types(schema):
            match name:
                case "object":
                    yield from self._objects(schema, depth, nth)
                case "array":
                    yield from self._arrays(schema, depth)
                case "string":
                    yield _string(schema, nth)
                case "integer" | "number":
                    yield from _numbers(schema, whole=name == "integer", nth=nth)
                case "boolean":
                    yield from (True, False)[nth:]
                case _:
                    yield None

    def _objects(self, schema: Schema, depth: int, nth: int) -> Iterator[Any]:
        """Yields an object with every property, as models tend to answer; then one with the required ones."""
        properties = object_of(schema.get("properties"))
        required = [name for name in sequence(schema, "required")[:MAX_NAMES] if isinstance(name, str)]
        every = dict.fromkeys([*properties, *required])
        if depth < GENEROUS_DEPTH and len(required) < len(every) <= MAX_ITEMS + len(required):
            yield self._object(schema, list(every), depth, nth)
        least = int(min(number(schema, "minProperties") or 0, MAX_ITEMS))
        spare = [name for name in islice(properties, MAX_ITEMS) if name not in required]
        spare += [f"property_{i}" for i in range(least)]
        yield self._object(schema, required + spare[: max(0, least - len(required))], depth, nth)

    def _object(self, schema: Schema, names: list[str], depth: int, nth: int) -> Any:
        properties, other = object_of(schema.get("properties")), schema.get("additionalProperties", True)
        made: dict[str, Any] = {}
        for name in names:
            if not self._spend(1 + len(name)):
                break
            made[name] = self.value(properties.get(name, other), depth + 1, nth)
        return made

    def _arrays(self, schema: Schema, depth: int) -> Iterator[Any]:
        """Yields arrays as short as allowed, but with one item at a low depth."""
        first, items = sequence(schema, "prefixItems"), schema.get("items", True)
        least = min(max(int(number(schema, "minItems") or 0), 0), MAX_ITEMS)
        wanted = max(least, len(first[:MAX_ITEMS]), 1) if depth < GENEROUS_DEPTH else least
        unique = schema.get("uniqueItems") is True
        for count in dict.fromkeys((wanted, least)):
            parts = [first[i] if i < len(first) else items for i in range(count)]
            yield [
                self.value(part, depth + 1, i if unique else 0)
                for i, part in enumerate(parts)
                if self._spend(1)
            ]


def _likely_types(schema: Schema) -> list[str]:
    """Returns the types to try, null last: it often conforms but shows little."""
    hinted = [name for name, keys in _HINTS.items() if not schema.keys().isdisjoint(keys)]
    return sorted(types_of(schema) or hinted or ("string",), key=lambda name: name == "null")


def _breadth(schema: Schema) -> int:
    """Returns the cost of merging this schema: its keywords and their members, one level deep."""
    return 1 + len(schema) + sum(len(part) for part in schema.values() if is_list(part) or is_object(part))


def _has_members(schema: Schema) -> bool:
    return _likely_types(schema)[0] in ("object", "array")


def _string(schema: Schema, nth: int) -> str:
    text = FORMATS.get(str(schema.get("format")), "example")
    if nth and text == "example":
        text = f"{nth}-{text}"  # at the front, so that a cut to maxLength keeps the difference
    least, most = number(schema, "minLength"), number(schema, "maxLength")
    if least is not None and least > len(text):
        wanted = min(int(-(-least // 1)), MAX_LENGTH)
        text = (text + " example" * (wanted // 8 + 1))[:wanted]
    return text if most is None else text[: max(0, int(most))]


def _numbers(schema: Schema, *, whole: bool, nth: int) -> Iterator[Any]:
    """Yields a small number, the bounds, and numbers just inside or halfway between them."""
    low = _bound(schema, "minimum", "exclusiveMinimum")
    high = _bound(schema, "maximum", "exclusiveMaximum")
    step = number(schema, "multipleOf")
    if step is not None and step > 0:
        start = -((-low) // step) * step if low is not None else min(0, (high or 0) // step * step)
        guesses = [start + step * (i + nth) for i in (1, 0, 2)] + [start - step]
    elif low is not None:
        guesses = [low + nth, low + nth + 1] + ([high, (low + high) / 2] if high is not None else [])
    else:
        guesses = [1 + nth] if high is None else [min(1, high - nth), high - nth - 1]
    for guess in guesses:
        # Rounding up keeps a fractional lower bound. The check rejects numbers out of range.
        yield int(-(-guess // 1)) if whole else guess


def _bound(schema: Schema, inclusive: str, exclusive: str) -> Any:
    found = number(schema, inclusive)
    return number(schema, exclusive) if found is None else found


def _merge(left: Schema, right: Schema) -> Schema:
    """Returns a schema that requires both, as far as single keywords can express it."""
    merged = {**left, **{key: new for key, new in right.items() if key not in left}}
    for key in [key for key in left if key in right]:
        if key in _COMBINERS:
            merged["allOf"] = [*sequence(merged, "allOf"), {key: right[key]}]
        else:
            merged[key] = _both(key, left[key], right[key])
    return merged


def _both(key: str, old: Any, new: Any) -> Any:
    if key in _TIGHTER and number({key: old}, key) is not None and number({key: new}, key) is not None:
        return _TIGHTER[key](old, new)
    if key == "properties" and is_object(old) and is_object(new):
        return {**old, **new, **{name: {"allOf": [old[name], new[name]]} for name in old if name in new}}
    if key in ("items", "additionalProperties") and is_object(old) and is_object(new):
        return {"allOf": [old, new]}
    if key == "required" and is_list(old) and is_list(new):
        return list(dict.fromkeys(name for name in [*old, *new] if isinstance(name, str)))
    if key == "enum" and is_list(old) and is_list(new):
        return [choice for choice in old[:MAX_NAMES] if any(equal(choice, other) for other in new[:MAX_NAMES])]
    if key == "type":
        before, now = types_of({"type": old}), types_of({"type": new})
        return [name for name in before if _allows(now, name)] + [name for name in now if _allows(before, name)]
    return new if old is True else old  # the closer one wins, such as a default beside a $ref


def _allows(allowed: list[str], name: str) -> bool:
    return not allowed or name in allowed or (name == "integer" and "number" in allowed)
