"""Spans of JSON text: finds and counts values without decoding them or rebuilding a byte."""

import re
from typing import TypeAlias

import msgspec
from msgspec import Raw

from nexusflow_core.errors import InvalidRequestError, RequestTooLargeError
from nexusflow_core.untyped import MALFORMED

__all__ = ["MAX_MEMBERS", "MAX_VALUES", "Member", "check_values", "count_values", "elements", "members"]

MAX_MEMBERS = 1000
"""Bound on top-level members. The Messages API has about thirty."""

Member: TypeAlias = tuple[str, int, int]
"""A key, and the start and end of its value in bytes."""

_KEY = re.compile(rb'[ \t\n\r]*+("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\n\r]*+:[ \t\n\r]*+', re.DOTALL)
_OPENING = re.compile(rb"[ \t\n\r]*+\{")
_NEXT = re.compile(rb"[ \t\n\r]*+[,}]")
_BETWEEN = re.compile(rb"[ \t\n\r,]*+")
_TRAILING = re.compile(r"trailing characters \(byte (\d+)\)")
_BLANKS = b" \t\n\r"

_MANY_COLONS = 20_000
"""A text with more colons has its members counted before it is decoded."""

_members = msgspec.json.Decoder(dict[str, Raw])
_elements = msgspec.json.Decoder(list[Raw])
_string = msgspec.json.Decoder(str)
_value = msgspec.json.Decoder(Raw)


def members(text: bytes) -> list[Member]:
    """Returns key, start and end of each member of a JSON object, in order. Raises InvalidRequestError."""
    try:
        if text.count(b":") > _MANY_COLONS:
            _check_beforehand(text)
        values = _members.decode(text)
        return _walk(text, values)
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


def _walk(text: bytes, values: dict[str, Raw]) -> list[Member]:
    """Returns the members in order, from the lengths of the decoded values: msgspec's Raw has no offset."""
    found: list[Member] = []
    texts: dict[str, bytes] = {}  # a repeated key's last value is copied once
    position = text.index(b"{") + 1
    while key := _KEY.match(text, position):
        _check_count(len(found))
        name = _string.decode(key[1])
        if name not in texts:
            texts[name] = bytes(values[name])
        value, position = texts[name], key.end()
        end = position + len(value)
        after = _NEXT.match(text, end)
        if after is None or not text.startswith(value, position):  # a later value of this key replaced it
            end = _end_of_value(text, position)
            after = _NEXT.match(text, end)
        if after is None:
            raise InvalidRequestError("request body: a key that is given more than once cannot be read")
        found.append((name, position, end))
        position = after.end()
    return found


def _end_of_value(text: bytes, start: int) -> int:
    """Returns the end of the value at `start`: the decoder's error tells where other data follows."""
    try:
        _value.decode(memoryview(text)[start:])
    except msgspec.DecodeError as error:
        if (told := _TRAILING.search(str(error))) is None:
            raise
        behind = start + int(told[1]) - 1
        return start + len(text[start:behind].rstrip(_BLANKS))
    return len(text)


def _check_beforehand(text: bytes) -> None:
    """Raises InvalidRequestError for too many members, before the decoder builds an object of each.

    That would block the event loop. Invalid JSON is left to the decoder.
    """
    after, count = _OPENING.match(text), 0
    while after is not None and (key := _KEY.match(text, after.end())):
        _check_count(count)
        after = _NEXT.match(text, _end_of_value(text, key.end()))
        count += 1


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
