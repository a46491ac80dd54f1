"""Makes a value that conforms to a JSON schema, always the same one for the same schema.

It tries the schema's own values first (const, default, examples, enum), then values built from types and
bounds. The first that conforms is used. `pattern` is not read. Work and size are bounded: for a huge or
contradictory schema the value may not conform.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, TypeAlias

import msgspec

from nexusflow_core.untyped import is_list, is_object, list_of, object_of, whole

__all__ = ["conforming_value"]

MAX_DEPTH = 24
MAX_LENGTH = 10_000
MAX_ITEMS = 100
MAX_NAMES = 1_000
MAX_READINGS = 32
MAX_PARTS = 64
MAX_REFERENCE = 1_000

# The work on one schema, and the size of its value, are limited.
MAX_STEPS = 100_000

# Larger or finer bounds are ignored: arithmetic with them would overflow.
MAX_NUMBER = 10**15
MIN_STEP = 1e-9

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

TYPES: Mapping[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}

# One of these keywords identifies the type of a schema without `type`.
_HINTS = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}

Schema: TypeAlias = dict[str, Any]

Reading: TypeAlias = tuple[Schema, ...]
"""Schemas that a value must all fit: one choice for each $ref, allOf, anyOf and oneOf."""


def conforming_value(schema: Any) -> Any:
    """Returns a value of the schema. Never raises."""
    return _Maker(schema).value([schema], depth=0)


class _Maker:
    """Makes the values of one root schema, within its number of steps."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.steps = MAX_STEPS

    def value(self, schemas: Sequence[Any], depth: int, nth: int = 0) -> Any:
        """Returns a value made for all these schemas. Each `nth` gives another, for arrays of unique items."""
        if depth >= MAX_DEPTH or not self._spend(1):
            return None
        readings = list(islice(self._readings(schemas), MAX_READINGS))
        if depth >= GENEROUS_DEPTH:  # a recursive schema must end: prefer readings without further members
            readings.sort(key=lambda reading: _likely_types(reading)[0] in ("object", "array"))
        made: Any = None
        for reading in readings:
            for made in chain(self._offered(reading, nth), self._built(reading, depth, nth)):
                if self._conforms(made, reading):
                    self._spend(_size(made))
                    return made
        return made

    def _spend(self, steps: int) -> bool:
        """Counts these steps. Returns False after the limit."""
        self.steps -= steps
        return self.steps > 0

    def _readings(self, schemas: Sequence[Any], parts: Reading = ()) -> Iterator[Reading]:
        """Yields each reading of the schemas, after the known `parts`."""
        waiting = list(schemas)
        while waiting and len(parts) < MAX_PARTS and self._spend(1):
            part = object_of(waiting.pop(0))
            parts = (*parts, part)
            if "$ref" in part:
                waiting.append(_target(self.root, part["$ref"]))
            waiting += list_of(part.get("allOf"))[:MAX_PARTS]
            if options := [*list_of(part.get("anyOf")), *list_of(part.get("oneOf"))][:MAX_READINGS]:
                for option in options:
                    yield from self._readings([option, *waiting], parts)
                return
        yield parts

    def _conforms(self, made: Any, reading: Reading) -> bool:
        """Returns True if a value fits each part, one option of each oneOf, and no schema of a `not`."""
        return (
            self._satisfies(made, reading)
            and all(self._fitting(made, [part["not"]]) == 0 for part in reading if "not" in part)
            and all(self._fitting(made, each) == 1 for part in reading if (each := list_of(part.get("oneOf"))))
        )

    def _fitting(self, made: Any, options: Sequence[Any]) -> int:
        """Returns how many of these schemas a value fits."""
        readings = (islice(self._readings([option]), MAX_READINGS) for option in options[:MAX_READINGS])
        return sum(any(self._satisfies(made, reading) for reading in each) for each in readings)

    def _satisfies(self, made: Any, reading: Reading) -> bool:
        return all(
            self._spend(1 + (len(list_of(part.get("enum"))) + len(list_of(part.get("required")))) // 16)
            and _satisfies(made, part)
            for part in reading
        )

    def _offered(self, reading: Reading, nth: int) -> Iterator[Any]:
        """Yields the values written in the schemas, unless they are too large."""
        choices = [part[key] for key in ("const", "default", "example") for part in reading if key in part]
        for key in ("examples", "enum"):
            choices += [item for part in reading for item in list_of(part.get(key))[:MAX_ITEMS]]
        different: list[Any] = []
        for choice in choices[:MAX_ITEMS]:
            size = _size(choice)
            if self._spend(1 + size // 8) and size <= MAX_LENGTH and choice not in different:
                different.append(choice)
        yield from different[nth:]

    def _built(self, reading: Reading, depth: int, nth: int) -> Iterator[Any]:
        for name in _likely_types(reading):
            match name:
                case "object":
                    yield from self._objects(reading, depth, nth)
                case "array":
                    yield from self._arrays(reading, depth)
                case "string":
                    yield _string(reading, nth)
                case "integer" | "number":
                    yield from _numbers(reading, nth)
                case "boolean":
                    yield from (True, False)[nth:]
                case _:
                    yield None

    def _objects(self, reading: Reading, depth: int, nth: int) -> Iterator[Any]:
        """Yields an object with all properties, as models tend to answer, then one with required ones."""
        required = dict.fromkeys(chain(*map(_required, reading)))
        known = [object_of(part.get("properties")) for part in reading]
        others = [part.get("additionalProperties") for part in reading]
        every = dict.fromkeys(chain(*known, required))
        generous = depth < GENEROUS_DEPTH and len(every) <= MAX_ITEMS + len(required)
        for names in (every, required) if generous else (required,):
            made: dict[str, Any] = {}
            for name in names:
                if not self._spend(len(reading) + len(name)):
                    break
                schemas = [properties[name] for properties in known if name in properties]
                made[name] = self.value(schemas or others, depth + 1, nth)
            yield made

    def _arrays(self, reading: Reading, depth: int) -> Iterator[Any]:
        """Yields arrays of minimal length, but with at least one item at a low depth."""
        first = next(filter(None, (list_of(part.get("prefixItems")) for part in reading)), list[Any]())
        items = [part.get("items") for part in reading]
        least = min(int(max(_bounds(reading, "minItems"), default=0)), MAX_ITEMS)
        wanted = max(least, len(first[:MAX_ITEMS]), 1) if depth < GENEROUS_DEPTH else least
        unique = any(part.get("uniqueItems") is True for part in reading)
        for count in dict.fromkeys((wanted, least)):
            made: list[Any] = []
            while len(made) < count and self._spend(len(reading)):
                at = len(made)
                made.append(self.value(first[at : at + 1] or items, depth + 1, at if unique else 0))
            yield made


def _likely_types(reading: Reading) -> list[str]:
    """Returns the types to try. Null is last: it often conforms, but shows little."""
    hinted = [name for name, keys in _HINTS.items() if any(key in part for part in reading for key in keys)]
    named = dict.fromkeys(chain(*map(_types, reading)))
    return sorted(named or hinted or ("string",), key=lambda name: name == "null")


def _string(reading: Reading, nth: int) -> str:
    formats = [FORMATS.get(str(part.get("format")), "") for part in reading]
    text = next(filter(None, formats), "example")
    if nth and text == "example":
        text = f"{nth}-{text}"  # at the front, so that a cut to maxLength keeps the difference
    least = max(_bounds(reading, "minLength"), default=0)
    most = min(_bounds(reading, "maxLength"), default=MAX_LENGTH)
    if least > len(text):
        wanted = min(int(-(-least // 1)), MAX_LENGTH)
        text = (text + " example" * (wanted // 8 + 1))[:wanted]
    return text[: max(0, int(most))]


def _numbers(reading: Reading, nth: int) -> Iterator[Any]:
    """Yields numbers near 1 or near a bound, and the middle between the bounds."""
    low = max(_bounds(reading, "minimum", "exclusiveMinimum"), default=None)
    high = min(_bounds(reading, "maximum", "exclusiveMaximum"), default=None)
    step = max(_bounds(reading, "multipleOf"), default=0) or 1
    base = low if low is not None else 1 if high is None else min(1, high)
    start = -(-base // step) * step
    for guess in (start + step * nth, start + step * (nth + 1), start - step * nth, start - step * (nth + 1)):
        yield whole(guess)
    if low is not None and high is not None:
        yield (low + high) / 2


def _satisfies(value: Any, part: Schema) -> bool:
    """Returns True if a value has the type, bounds and required members of a schema.

    Does not check the values of members, `pattern` or `format`.
    """
    types, choices = _types(part), list_of(part.get("enum"))[:MAX_NAMES]
    return (
        (not types or any(_is(value, name) for name in types))
        and ("const" not in part or value == part["const"])
        and (not choices or value in choices)
        and (not is_object(value) or all(name in value for name in _required(part)))
        and (value is None or isinstance(value, bool) or _within(value, part))
    )


def _within(value: Any, part: Schema) -> bool:
    if isinstance(value, int | float):
        return (
            _between(value, part, "minimum", "maximum")
            and all(value > low for low in _bounds((part,), "exclusiveMinimum"))
            and all(value < high for high in _bounds((part,), "exclusiveMaximum"))
            and all(_is_multiple(value, step) for step in _bounds((part,), "multipleOf"))
        )
    what = "Length" if isinstance(value, str) else "Items" if is_list(value) else "Properties"
    return _between(len(value), part, f"min{what}", f"max{what}")


def _between(size: float, part: Schema, lowest: str, highest: str) -> bool:
    lows, highs = _bounds((part,), lowest), _bounds((part,), highest)
    return all(size >= low for low in lows) and all(size <= high for high in highs)


def _is_multiple(value: float, step: float) -> bool:
    return step == 0 or abs(value) > MAX_NUMBER or abs(value / step - round(value / step)) < 1e-6


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(whole(value) if name == "integer" else value, TYPES[name])


def _bounds(reading: Reading, *keys: str) -> list[Any]:
    """Returns the values of these keywords in all parts that are numbers of reasonable size."""
    found = [part.get(key) for part in reading for key in keys]
    numbers = [bound for bound in found if isinstance(bound, int | float) and not isinstance(bound, bool)]
    return [bound for bound in numbers if bound == 0 or MIN_STEP <= abs(bound) <= MAX_NUMBER]


def _types(schema: Schema) -> list[str]:
    """Returns the types that the schema allows; empty if it has none."""
    named = schema.get("type")
    names = named[: 2 * len(TYPES)] if is_list(named) else [named]
    return [name for name in names if isinstance(name, str) and name in TYPES]


def _required(schema: Schema) -> list[str]:
    """Returns the names of the properties that the schema demands."""
    return [name for name in list_of(schema.get("required"))[:MAX_NAMES] if isinstance(name, str)]


def _target(root: Any, reference: Any) -> Any:
    """Returns the target of a local reference such as `#/$defs/city`; None (anything) for any other."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    found = root
    for step in reference[:MAX_REFERENCE].split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if is_list(found) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        else:
            found = object_of(found).get(key)
    return found


def _size(value: Any) -> int:
    """Returns the size of a value as JSON, in bytes."""
    return len(msgspec.json.encode(value))
