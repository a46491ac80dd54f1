"""JSON as nobody writes it and everybody must read it: other bytes, the same values.

`oddly` varies white space, escapes, the spelling of numbers and the order of keys, repeats harmless keys and
adds fields that nobody knows. Duplicate keys mean what every common parser makes of them: the last counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Any

UNKNOWN = "x_odd_"
"""Begins the name of every added field."""

_WHOLE = frozenset({"model", "stream"})
"""Top-level keys that are never repeated with another value: what they say decides where a request goes."""

_DECOYS: tuple[Any, ...] = (
    None,
    True,
    -0.0,
    1e-7,
    2**63,
    "",
    '"model":"decoy"}',
    "\u2028\u2029\x85\x7f",
    [],
    {},
    {"model": "decoy", "stream": True},
    [{"model": 7, "stream": "yes"}, [[]], {"": {"/": "\\"}}],
    {"type": "message_start", "usage": {"input_tokens": 99}},
)
_SHORT = {c: "\\" + letter for c, letter in zip('"\\/\b\f\n\r\t', '"\\/bfnrt', strict=True)}


def oddly(value: Any, rng: Random, *, unknown: bool = True) -> bytes:
    """The value as odd JSON. With `unknown`, objects gain fields named `x_odd_...`: see `without_unknown`."""
    return (_space(rng) + _value(value, rng, unknown, top=True) + _space(rng)).encode()


def without_unknown(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: without_unknown(v) for k, v in value.items() if not k.startswith(UNKNOWN)}
    return [without_unknown(v) for v in value] if isinstance(value, list) else value


def _value(value: Any, rng: Random, unknown: bool, *, top: bool = False) -> str:
    match value:
        case None | True | False:
            return {None: "null", True: "true", False: "false"}[value]
        case str():
            return _string(value, rng)
        case int() | float():
            return _number(value, rng)
        case Mapping():
            return _object(value, rng, unknown, top=top)
        case _:
            items = [_space(rng) + _value(item, rng, unknown) + _space(rng) for item in value]
            return "[" + (",".join(items) or _space(rng)) + "]"


def _object(value: Mapping[str, Any], rng: Random, unknown: bool, *, top: bool) -> str:
    members = list(value.items())
    if unknown and (top or rng.random() < 0.2):
        members += [(f"{UNKNOWN}{i}", rng.choice(_DECOYS)) for i in range(rng.randrange(1, 4))]
    rng.shuffle(members)
    if top:
        members = _repeats(value, rng) + members
    written = []
    for key, item in members:
        name = _space(rng) + _string(key, rng) + _space(rng)
        written.append(name + ":" + _space(rng) + _value(item, rng, unknown) + _space(rng))
    return "{" + (",".join(written) or _space(rng)) + "}"


def _repeats(value: Mapping[str, Any], rng: Random) -> list[tuple[str, Any]]:
    """Earlier members that the later ones of the same name overrule."""
    keys = [key for key in value if rng.random() < 0.2]
    return [(key, value[key] if key in _WHOLE else rng.choice(_DECOYS)) for key in keys]


def _number(value: float, rng: Random) -> str:
    if isinstance(value, int):
        spellings = [str(value)]
        if abs(value) < 2**53:
            spellings += [f"{value}.0", f"{value}e0", f"{value}E+00", f"{value}.000e-0"]
            spellings += [f"{value // 10}e1"] if value and value % 10 == 0 else []
    else:
        assert math.isfinite(value), "JSON has no such number"
        spellings = [repr(value), f"{value:.17e}", f"{value:.17E}"]
        spellings += [f"{value!r}e0"] if "e" not in repr(value) else []
    # A whole number beyond 2**53 has no spelling with a point that means the same.
    return rng.choice([spelling for spelling in spellings if float(spelling) == value] or [str(value)])


def _string(text: str, rng: Random) -> str:
    eager = rng.choice([0.0, 0.02, 0.02, 0.5])
    return '"' + "".join(_character(c, rng.random() < eager, rng) for c in text) + '"'


def _character(c: str, escape: bool, rng: Random) -> str:
    must = c in '"\\' or c < " " or "\ud800" <= c <= "\udfff"
    if not must and not escape:
        return c
    if c in _SHORT and rng.random() < 0.7:
        return _SHORT[c]
    units = c.encode("utf-16-be", "surrogatepass").hex()
    pairs = [units[i : i + 4] for i in range(0, len(units), 4)]
    return "".join("\\u" + (pair.upper() if rng.random() < 0.5 else pair) for pair in pairs)


def _space(rng: Random) -> str:
    if rng.random() < 0.7:
        return ""
    return "".join(rng.choice(" \t\n\r") for _ in range(rng.randrange(1, 5)))
