"""A value that conforms to a JSON schema, always the same one for the same schema.

Made by trying: what the schema itself offers (const, default, examples, enum) comes first, then
values built from its types and bounds; the first that conforms is taken. The work and the size
are limited, so where bounds ask for something huge, or the schema contradicts itself, the value
is only the nearest attempt.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain, islice, product

from nexusflow_core.simulator.jsonvalue import Json, pointer, weight
from nexusflow_core.simulator.schema_match import (
    Fuel,
    conforms,
    equal,
    mapping,
    number,
    sequence,
    types_of,
)

MAX_DEPTH = 24
MAX_LENGTH = 10_000
MAX_ITEMS = 100
MAX_NAMES = 1_000

# Below this depth optional properties and unasked-for items are left out.
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
    "url": "https://example.com/",
    "uri-reference": "/example",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}
# One keyword is enough to tell what a schema without `type` describes.
_HINTS = {
    "object": ("properties", "required", "additionalProperties", "minProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
_BLANKS: dict[str, Json] = {"object": {}, "array": [], "string": "", "integer": 0, "number": 0, "boolean": True}


def conforming_value(schema: Json) -> Json:
    """A value of the schema; never raises, whatever the schema is."""
    return _Maker(schema).value(schema, depth=0)


class _Maker:
    """Makes the values of one root schema; keeps the steps left for it."""

    def __init__(self, root: Json) -> None:
        self.root = root
        self.fuel = Fuel()

    def value(self, schema: Json, depth: int, nth: int = 0) -> Json:
        """The nth-preferred value, so that the items of a unique array can differ."""
        if not isinstance(schema, dict):
            return "example"
        made: Json = None
        for made in self._candidates(schema, depth, nth):
            if conforms(made, schema, self.root, self.fuel):
                break
        self.fuel.spend(weight(made, most=self.fuel.left))
        return made

    def _candidates(self, schema: dict[str, Json], depth: int, nth: int) -> Iterator[Json]:
        """Best first; at least one."""
        if depth >= MAX_DEPTH or not self.fuel.spend(1):
            yield _BLANKS.get(next(iter(_likely_types(schema)), "null"))
            return
        readings = self._readings(schema, depth)
        nothing: dict[str, Json] = {}
        first = next(readings, nothing)
        yield from self._offered(first, nth)
        readings = chain([first], readings)
        # Deep down a recursive schema must end: try the readings that hold no further members.
        if depth >= GENEROUS_DEPTH:
            readings = iter(sorted(islice(readings, 16), key=_has_members))
        for i, reading in enumerate(readings):
            if i:
                yield from self._offered(reading, nth)
            yield from self._built(reading, depth, nth)

    def _offered(self, schema: dict[str, Json], nth: int) -> Iterator[Json]:
        """What the schema's author wrote down, unless it is too large to repeat."""
        choices: list[Json] = [schema[key] for key in ("const", "default", "example") if key in schema]
        choices += sequence(schema, "examples")[:16]
        choices += sequence(schema, "enum")[:MAX_ITEMS]
        different: list[Json] = []
        for choice in choices:
            size = weight(choice, MAX_LENGTH)
            if self.fuel.spend(1 + size // 8) and size <= MAX_LENGTH and choice not in different:
                different.append(choice)
        yield from different[nth:]

    def _readings(self, schema: dict[str, Json], depth: int) -> Iterator[dict[str, Json]]:
        """Each way to read the schema, with no $ref, allOf, anyOf or oneOf left in it."""
        base, choices = self._flatten(schema, depth)
        if not choices or depth >= MAX_DEPTH:
            yield base
            return
        for picks in islice(product(*choices), 32):
            if not self.fuel.spend(1):
                yield base
                return
            yield from self._readings({**base, "allOf": list(picks)}, depth + 1)

    def _flatten(self, schema: dict[str, Json], depth: int) -> tuple[dict[str, Json], list[list[Json]]]:
        """Merge $ref and allOf into one schema; the anyOf and oneOf met on the way are returned."""
        base: dict[str, Json] = {}
        choices: list[list[Json]] = []
        waiting: list[Json] = [schema]
        followed: set[str] = set()
        while waiting:
            part = waiting.pop()
            if not isinstance(part, dict) or (not self.fuel.spend(_breadth(part)) and base):
                continue
            base = _merge(base, part)
            choices += [list(found[:32]) for key in ("anyOf", "oneOf") if (found := sequence(part, key))]
            waiting.extend(sequence(part, "allOf"))
            reference = part.get("$ref")
            if isinstance(reference, str) and reference not in followed:
                followed.add(reference)  # once: a schema that refers to itself says nothing new
                waiting.append(pointer(self.root, reference))
        return base, choices[:8]

    def _built(self, schema: dict[str, Json], depth: int, nth: int) -> Iterator[Json]:
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

    def _objects(self, schema: dict[str, Json], depth: int, nth: int) -> Iterator[Json]:
        """With every property first, as models tend to answer; else with the required ones."""
        properties = mapping(schema, "properties")
        required = [name for name in sequence(schema, "required")[:MAX_NAMES] if isinstance(name, str)]
        if depth < GENEROUS_DEPTH and len(properties) <= MAX_ITEMS:
            names = list(dict.fromkeys([*properties, *required]))
            if len(names) > len(required):
                yield self._object(schema, names, depth, nth)
        least = min(number(schema, "minProperties") or 0, MAX_ITEMS)
        spare = [name for name in islice(properties, MAX_ITEMS) if name not in required]
        spare += [f"property_{i}" for i in range(int(least))]
        yield self._object(schema, required + spare[: max(0, int(least) - len(required))], depth, nth)

    def _object(self, schema: dict[str, Json], names: list[str], depth: int, nth: int) -> Json:
        properties = mapping(schema, "properties")
        other = schema.get("additionalProperties", True)
        made: dict[str, Json] = {}
        for name in names:
            if not self.fuel.spend(1 + len(name)):
                break
            made[name] = self.value(properties.get(name, other), depth + 1, nth)
        return made

    def _arrays(self, schema: dict[str, Json], depth: int) -> Iterator[Json]:
        """As short as allowed, but with one item where that is not deep down."""
        items = schema.get("items", True)
        first = sequence(schema, "prefixItems") or sequence(schema, "items")
        least = min(max(int(number(schema, "minItems") or 0), 0), MAX_ITEMS)
        wanted = max(least, len(first[:MAX_ITEMS]), 1) if depth < GENEROUS_DEPTH else least
        unique = schema.get("uniqueItems") is True
        for count in dict.fromkeys((wanted, least)):
            made: list[Json] = []
            for i in range(count):
                if not self.fuel.spend(1):
                    break
                part = first[i] if i < len(first) else items
                made.append(self.value(part, depth + 1, i if unique else 0))
            yield made


def _likely_types(schema: dict[str, Json]) -> list[str]:
    """The types to try, null last: it conforms often and says little."""
    named = types_of(schema)
    if not named:
        named = tuple(name for name, keys in _HINTS.items() if not schema.keys().isdisjoint(keys))
    return sorted(named or ("string",), key=lambda name: name == "null")


def _breadth(schema: dict[str, Json]) -> int:
    """What merging this schema costs: its keywords and what they hold, one level down."""
    return 1 + len(schema) + sum(len(part) for part in schema.values() if isinstance(part, list | dict))


def _has_members(schema: dict[str, Json]) -> bool:
    return _likely_types(schema)[0] in ("object", "array")


def _string(schema: dict[str, Json], nth: int) -> str:
    name = schema.get("format")
    text = FORMATS.get(name, "example") if isinstance(name, str) else "example"
    if nth and text == "example":
        text = f"{nth}-{text}"  # in front, so that a cut to maxLength keeps the difference
    least, most = number(schema, "minLength"), number(schema, "maxLength")
    if least is not None and least > len(text):
        wanted = min(int(-(-least // 1)), MAX_LENGTH)
        text = (text + " example" * (wanted // 8 + 1))[:wanted]
    return text if most is None else text[: max(0, int(most))]


def _numbers(schema: dict[str, Json], *, whole: bool, nth: int) -> Iterator[Json]:
    """A small number, the bounds themselves, and what lies just inside or halfway."""
    low = _bound(schema, "minimum", "exclusiveMinimum")
    high = _bound(schema, "maximum", "exclusiveMaximum")
    step = number(schema, "multipleOf")
    if step is not None and step > 0:
        start = -((-low) // step) * step if low is not None else min(0, (high or 0) // step * step)
        guesses = [start + step * (i + nth) for i in (1, 0, 2)] + [start - step]
    elif low is not None and high is not None:
        guesses = [low + nth, low + nth + 1, high, low, (low + high) / 2]
    elif low is not None:
        guesses = [low + nth, low + nth + 1]
    elif high is not None:
        guesses = [min(1, high - nth), high - nth - 1]
    else:
        guesses = [1 + nth]
    for guess in guesses:
        # Rounding up keeps a fractional lower bound; the check drops what rounds out of range.
        yield int(-(-guess // 1)) if whole else guess


def _bound(schema: dict[str, Json], inclusive: str, exclusive: str) -> int | float | None:
    found = number(schema, inclusive)
    return number(schema, exclusive) if found is None else found


def _merge(left: dict[str, Json], right: dict[str, Json]) -> dict[str, Json]:
    """What satisfies both schemas, as far as single keywords can say it."""
    merged = {key: value for key, value in left.items() if key not in right}
    for key, new in right.items():
        if key in ("$ref", "allOf", "anyOf", "oneOf"):
            continue
        merged[key] = _both(key, left[key], new) if key in left else new
    return merged


def _both(key: str, old: Json, new: Json) -> Json:
    match key, old, new:
        case "properties", dict(), dict():
            same: dict[str, Json] = {name: {"allOf": [old[name], new[name]]} for name in old if name in new}
            return {**old, **new, **same}
        case "required", list(), list():
            return list(dict.fromkeys(name for name in [*old, *new] if isinstance(name, str)))
        case "enum", list(), list():
            return [
                choice for choice in old[:MAX_NAMES] if any(equal(choice, other) for other in new[:MAX_NAMES])
            ]
        case "type", _, _:
            before, now = types_of({"type": old}), types_of({"type": new})
            return [*filter(partial(_allows, now), before), *filter(partial(_allows, before), now)]
        case (("minimum" | "exclusiveMinimum" | "minLength" | "minItems"), int() | float(), int() | float()):
            return max(old, new)
        case (("maximum" | "exclusiveMaximum" | "maxLength" | "maxItems"), int() | float(), int() | float()):
            return min(old, new)
        case (("items" | "additionalProperties"), dict(), dict()):
            return {"allOf": [old, new]}
        case _:
            return new if old is True else old  # what stands nearer wins, such as a default beside a $ref


def _allows(allowed: tuple[str, ...], name: str) -> bool:
    return not allowed or name in allowed or (name == "integer" and "number" in allowed)
