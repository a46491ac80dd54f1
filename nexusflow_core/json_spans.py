"""Spans of JSON text: finds and counts values without decoding them or rebuilding a byte."""

import re
from collections.abc import Mapping
from typing import TypeAlias

import msgspec
from msgspec import Raw

from nexusflow_core.errors import InvalidRequestError, RequestTooLargeError
from nexusflow_core.untyped import MALFORMED

__all__ = [
    "MAX_MEMBERS",
    "MAX_VALUES",
    "Member",
    "check_values",
    "count_values",
    "elements",
    "members",
    "spliced",
]

MAX_MEMBERS = 1000
"""Bound on top-level members. The Messages API has about thirty."""

Member: TypeAlias = tuple[str, int, int]
"""A key, and the start and end of its value in bytes."""

_KEY = re.compile(rb'[ \t\n\r]*+("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\n\r]*+:[ \t\n\r]*+', re.DOTALL)
_OPENING = re.compile(rb"[ \t\n\r]*+\{")
_EMPTY = re.compile(rb"[ \t\n\r]*+\{[ \t\n\r]*+\}[ \t\n\r]*+")
_BLANK = re.compile(rb"[ \t\n\r]*+")
_CLOSING = ord("}")
_NEXT = re.compile(rb"[ \t\n\r]*+[,}]")
_SCALAR = re.compile(
    rb'(-?+(?:0|[1-9][0-9]{0,14}+)(?:\.[0-9]{1,15}+)?+|true|false|null|"[ !#-\[\]-~]{0,200}+")[ \t\n\r]*+[,}]'
)
"""A short plain value and what follows it. Its end is found without the decoder."""
_BEFORE = re.compile(rb"[ \t\n\r]*+,?[ \t\n\r]*+")
_COMMA = re.compile(rb"[ \t\n\r]*+,")
_BETWEEN = re.compile(rb"[ \t\n\r,]*+")
_TRAILING = re.compile(r"trailing characters \(byte (\d+)\)")
_BLANKS = b" \t\n\r"

_members = msgspec.json.Decoder(dict[str, Raw])
_elements = msgspec.json.Decoder(list[Raw])
_string = msgspec.json.Decoder(str)
_value = msgspec.json.Decoder(Raw)


def members(text: bytes) -> list[Member]:
    """Returns key, start and end of each member of a JSON object, in order. Raises InvalidRequestError.

    Reads the text once, value by value, and builds none of them.
    """
    try:
        if (found := _walk(text)) is not None:
            return found
        _members.decode(text)  # raises at the byte where the walk has stopped
        raise InvalidRequestError("request body: its members cannot be told apart")
    except msgspec.ValidationError:
        raise InvalidRequestError("request body: Input should be a valid JSON object") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"The request body is not valid JSON: {error}") from None
    except RecursionError:
        raise InvalidRequestError("The request body nests too deeply") from None


def elements(text: bytes) -> list[tuple[int, int]]:
    """Returns start and end of each element of a JSON array; [] for any other text."""
    try:
        values = _elements.decode(text)
    except MALFORMED:
        return []
    found: list[tuple[int, int]] = []
    position = text.index(b"[") + 1
    for value in values:
        between = _BETWEEN.match(text, position)
        start = between.end() if between is not None else position
        position = start + memoryview(value).nbytes
        found.append((start, position))
    return found


def spliced(text: bytes, changes: Mapping[str, bytes | None]) -> bytes:
    """Returns a JSON object in which members are replaced by text, or cut (None). All other bytes stay.

    A replacement is a whole member, `"name":value`. It replaces the first one of the name; others are cut.
    """
    kept: list[bytes] = []
    position = start = text.index(b"{") + 1
    left: dict[str, bytes | None] = dict(changes)
    for key, _, end in members(text):
        if key not in changes:
            kept.append(text[position:end])
        elif (new := left.get(key)) is not None:
            left[key] = None
            before = _BEFORE.match(text, position)
            kept.append(before[0] + new if before is not None else new)
        position = end
    inside = b"".join(kept)
    comma = _COMMA.match(inside)  # the member before the first one that stays is gone
    return text[:start] + (inside[comma.end() :] if comma is not None else inside) + text[position:]


def _walk(text: bytes) -> list[Member] | None:
    """Returns the members; None for a text that is not a JSON object. A bad key raises the decoder's errors."""
    found: list[Member] = []
    names: dict[bytes, str] = {}
    opening = _OPENING.match(text)
    if opening is None:
        return None
    view, position = memoryview(text), opening.end()
    while key := _KEY.match(text, position):
        _check_count(len(found))
        start = key.end()
        after = _SCALAR.match(text, start)
        end = after.end(1) if after is not None else _end_of_value(text, view, start)
        if end is not None and after is None:
            after = _NEXT.match(text, end)
        if end is None or after is None:
            return None
        if (name := names.get(key[1])) is None:
            name = names[key[1]] = _string.decode(key[1])
        found.append((name, start, end))
        position = after.end()
        if text[position - 1] == _CLOSING:
            return found if _BLANK.fullmatch(text, position) else None
    return [] if _EMPTY.fullmatch(text) else None


def _end_of_value(text: bytes, view: memoryview, start: int) -> int | None:
    """Returns the end of the value at `start`, or None if it is not JSON.

    The decoder reports where other data follows the value.
    """
    try:
        _value.decode(view[start:])
    except msgspec.DecodeError as error:
        if (found := _TRAILING.search(str(error))) is None:
            return None
        behind = start + int(found[1]) - 1
        if text[behind - 1] not in _BLANKS:  # without a copy of the value
            return behind
        return start + len(text[start:behind].rstrip(_BLANKS))
    return len(text)


def _check_count(members: int) -> None:
    if members >= MAX_MEMBERS:
        raise InvalidRequestError(f"request body: more than {MAX_MEMBERS} top-level members")


# How many values: a text of few bytes may become many objects

MAX_VALUES = 250_000
"""Default bound on the values of a body that must be decoded. No model's context can hold that many."""

_STRING = re.compile(rb'"[^"]*+"')
_SOME_STRINGS = re.compile(rb'(?:[^"]*+"[^"]*+"){1,10000}+')
"""A stretch of text that ends after a string, so that no string crosses its end."""


def check_values(text: bytes, most: int = MAX_VALUES) -> None:
    """Raises RequestTooLargeError if a JSON text has more than `most` values."""
    if count_values(text, most) > most:
        raise RequestTooLargeError(
            f"request body: more than {most} JSON values; send fewer messages, blocks, tools or members"
        )


def count_values(text: bytes, enough: int) -> int:
    """Returns the number of values in a JSON text; above `enough` it may stop early, at a larger number.

    Each value but the first follows a comma or an opening bracket. An empty container counts twice.
    """
    if len(text) <= enough:  # each value takes a byte
        return max(len(text), 1)
    if (most := _marks(text)) < enough:  # this counts marks inside strings too, so it is an upper bound
        return most + 1
    text = text.replace(b"\\\\", b"").replace(b'\\"', b"")  # now every quote starts or ends a string
    count, at = 1, 0
    while at < len(text) and count <= enough:
        stretch = _SOME_STRINGS.match(text, at)
        end = stretch.end() if stretch is not None else len(text)
        count += _marks(_STRING.sub(b"", text[at:end]))
        at = end
    return count


def _marks(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")
