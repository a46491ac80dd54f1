"""Checks of single values, refused in OpenAI's words and with the path they stand at."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tests.simulator.openai_chat.values import Json, Object


class Refused(Exception):
    """The request is refused with 400; `param` is the field at fault, `code` OpenAI's word for why."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


def required(fields: Object, name: str, path: str = "") -> Json:
    """A field that must be there."""
    if name not in fields:
        full = path + name
        raise Refused(f"Missing required parameter: '{full}'.", full, "missing_required_parameter")
    return fields[name]


def string(value: Json, path: str) -> str:
    """A string."""
    if not isinstance(value, str):
        raise _wrong_type(value, path, "a string")
    return value


def array(value: Json, path: str) -> list[Json]:
    """An array that is not empty."""
    if not isinstance(value, list):
        raise _wrong_type(value, path, "an array of objects")
    if not value:
        raise Refused(
            f"Invalid '{path}': empty array. "
            "Expected an array with minimum length 1, but got an empty array instead.",
            path,
            "empty_array",
        )
    return value


def an_object(value: Json, path: str) -> Object:
    """An object."""
    if not isinstance(value, dict):
        raise _wrong_type(value, path, "an object")
    return value


def optional_object(fields: Object, name: str) -> Object:
    """An object; null and absent are as good as empty."""
    value = fields.get(name)
    return {} if value is None else an_object(value, name)


def optional_bool(fields: Object, name: str) -> bool | None:
    """True, False, or None where it was not sent."""
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise _wrong_type(value, name, "a boolean")


def whole_number(value: Json, path: str) -> int:
    """An integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong_type(value, path, "an integer")
    if value < 1:
        raise Refused(
            f"Invalid '{path}': integer below minimum value. Expected a value >= 1, but got {value} instead.",
            path,
            "integer_below_min_value",
        )
    return value


def in_range(fields: Object, name: str, low: int, high: int) -> None:
    """A number between two bounds, if it was sent."""
    value = fields.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(value, name, "a decimal")
    if not low <= value <= high:
        side, sign, bound = ("above maximum", "<=", high) if value > high else ("below minimum", ">=", low)
        raise Refused(
            f"Invalid '{name}': decimal {side} value. "
            f"Expected a value {sign} {bound}, but got {value} instead.",
            name,
            "decimal_above_max_value" if value > high else "decimal_below_min_value",
        )


def one_of(value: str, choices: Collection[str], path: str) -> str:
    """One of the words that are allowed there."""
    if value not in choices:
        raise Refused(
            f"Invalid value: '{value}'. Supported values are: {_listed(choices)}.", path, "invalid_value"
        )
    return value


def not_longer(value: Sequence[object], most: int, path: str) -> None:
    """A string or array that has an upper size."""
    if len(value) > most:
        a, what = ("a", "string") if isinstance(value, str) else ("an", "array")
        raise Refused(
            f"Invalid '{path}': {what} too long. Expected {a} {what} with maximum length {most}, "
            f"but got {a} {what} with length {len(value)} instead.",
            path,
            f"{what}_above_max_length",
        )


def _wrong_type(value: Json, path: str, expected: str) -> Refused:
    message = f"Invalid type for '{path}': expected {expected}, but got {_kind(value)} instead."
    return Refused(message, path, "invalid_type")


def _kind(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal"
        case str():
            return "a string"
        case list():
            return "an array"
        case dict():
            return "an object"


def _listed(choices: Collection[str]) -> str:
    *first, last = (f"'{choice}'" for choice in choices)
    return f"{', '.join(first)}, and {last}" if first else last
