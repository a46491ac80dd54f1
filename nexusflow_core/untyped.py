"""Checks of values from outside: decoded JSON of unknown shape, moments as text, patterns of text."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from functools import cache
from typing import Any, TypeGuard, cast

import msgspec

__all__ = [
    "MALFORMED",
    "compiled",
    "is_blank",
    "is_list",
    "is_mapping",
    "is_object",
    "is_zero",
    "list_of",
    "moment_of",
    "object_of",
    "whole",
]

MALFORMED = (msgspec.DecodeError, UnicodeError, RecursionError)
"""Errors of decoding foreign JSON: bad JSON or another shape, bad UTF-8, deep nesting."""


_LONGEST_DAY = len("2026-11-22")


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """Returns a pattern, compiled on first use: large ones take longer than the import of their module."""
    return re.compile(pattern)


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


def list_of(value: Any) -> list[Any]:
    """Returns the value if it is a list, else []."""
    return value if is_list(value) else []


def whole(value: Any) -> Any:
    """Returns a whole number as an int, also from `1e3` or `12.0`; any other value unchanged."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def moment_of(text: str) -> datetime:
    """Returns an ISO 8601 time with a zone, or a day, as a moment in UTC. A day means its midnight.

    Raises ValueError for a time without zone and for text that is not ISO 8601.
    """
    if len(text) <= _LONGEST_DAY:
        try:
            day = date.fromisoformat(text)
        except ValueError:  # more than a day: read as a time below
            pass
        else:
            return datetime.combine(day, time(), UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not an ISO 8601 time") from None
    if moment.tzinfo is UTC:
        return moment
    if moment.tzinfo is None:
        raise ValueError(f"the time {text[:40]!r} has no time zone: add one, such as Z or +02:00")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text[:40]!r} is not an ISO 8601 time: out of range in UTC") from None
