"""Decoded JSON of no known shape: looked into without trusting it."""

from collections.abc import Mapping
from typing import Any, TypeGuard, cast

import msgspec

__all__ = ["MALFORMED", "is_blank", "is_list", "is_mapping", "is_object", "is_zero", "object_of", "whole"]

MALFORMED = (msgspec.DecodeError, UnicodeError, RecursionError)
"""What decoding JSON that somebody else wrote may raise: bad JSON or another shape, bad UTF-8, deep nesting."""


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a value is an object."""
    return isinstance(value, dict)


def is_mapping(value: Any) -> TypeGuard[Mapping[Any, Any]]:
    """Whether a value is an object in any class of mapping."""
    return isinstance(value, Mapping)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Whether a value is an array."""
    return isinstance(value, list)


def is_blank(value: Any) -> bool:
    """Whether a value says nothing, whatever its member means: null, an empty text or an empty list. A 0, a
    false or an empty object may say something."""
    return value is None or value in ("", [])


def is_zero(value: Any, *, deepest: int = 8) -> bool:
    """Whether a value says no more than its absence: null, "", 0, false, [], {}, or a structure of those."""
    if not value:
        return True
    items = value.values() if is_object(value) else value if is_list(value) else None
    return items is not None and deepest > 0 and all(is_zero(item, deepest=deepest - 1) for item in items)


def object_of(value: Any) -> dict[str, Any]:
    """The value where it is an object, else an empty one."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def whole(value: Any) -> Any:
    """A number that is whole as an int, however it is spelled (`1e3`, `12.0`); any other value as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
