"""Checks of decoded JSON of unknown shape."""

from collections.abc import Mapping
from typing import Any, TypeGuard, cast

import msgspec

__all__ = ["MALFORMED", "is_blank", "is_list", "is_mapping", "is_object", "is_zero", "object_of", "whole"]

MALFORMED = (msgspec.DecodeError, UnicodeError, RecursionError)
"""Errors of decoding foreign JSON: bad JSON or another shape, bad UTF-8, deep nesting."""


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """True for a dict."""
    return isinstance(value, dict)


def is_mapping(value: Any) -> TypeGuard[Mapping[Any, Any]]:
    """True for any class of mapping."""
    return isinstance(value, Mapping)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """True for a list."""
    return isinstance(value, list)


def is_blank(value: Any) -> bool:
    """True for null, "" and []: they mean nothing in any member. 0, false and {} may mean something."""
    return value is None or value in ("", [])


def is_zero(value: Any, *, deepest: int = 8) -> bool:
    """True if a value means the same as its absence: null, "", 0, false, [], {}, or a structure of those."""
    if not value:
        return True
    items = value.values() if is_object(value) else value if is_list(value) else None
    return items is not None and deepest > 0 and all(is_zero(item, deepest=deepest - 1) for item in items)


def object_of(value: Any) -> dict[str, Any]:
    """Returns the value if it is an object, else {}."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def whole(value: Any) -> Any:
    """Returns a whole number as an int, also from `1e3` or `12.0`; any other value unchanged."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
