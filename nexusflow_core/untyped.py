"""Decoded JSON of no known shape: looked into without trusting it."""

from typing import Any, TypeGuard, cast

__all__ = ["is_list", "is_object", "object_of", "whole"]


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a value is an object."""
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Whether a value is an array."""
    return isinstance(value, list)


def object_of(value: Any) -> dict[str, Any]:
    """The value where it is an object, else an empty one."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def whole(value: Any) -> Any:
    """A number that is whole as an int, however it is spelled (`1e3`, `12.0`); any other value as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
