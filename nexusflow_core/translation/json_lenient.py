"""Reads damaged JSON of an upstream leniently, and text that was cut inside a character.

Some servers cut UTF-16 text between the two halves of a surrogate pair.
"""

import json
import math
import re
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.untyped import MALFORMED, is_list, is_object, is_zero, whole

__all__ = [
    "Form",
    "Joint",
    "decode_json",
    "decode_leniently",
    "has_halves",
    "loads",
    "mend_members",
    "mended",
    "mended_json",
    "mended_text",
    "open_ended",
]


def decode_json(data: bytes) -> Any:
    """Returns decoded JSON, read leniently if necessary. Raises msgspec.DecodeError if that fails too."""
    try:
        return msgspec.json.decode(data)
    except MALFORMED:
        return decode_leniently(data)


def decode_leniently(data: bytes | str) -> Any:
    """Returns decoded JSON in spite of invalid UTF-8, bare control characters and numbers out of range.

    A lone half of a surrogate pair becomes U+FFFD. Raises msgspec.DecodeError.
    """
    return mended_json(loads(data))


def mended_json(value: Any) -> Any:
    """Returns decoded JSON without lone surrogates, and with numbers that can be encoded again.

    Raises msgspec.DecodeError.
    """
    try:
        return msgspec.json.decode(json.dumps(mended(value), ensure_ascii=False).encode())
    except RecursionError:
        raise msgspec.DecodeError("JSON nested beyond every bound") from None


def loads(data: bytes | str) -> Any:
    """Returns decoded JSON, read leniently. It may contain lone surrogates. Raises msgspec.DecodeError."""
    try:
        text = data if isinstance(data, str) else data.decode(errors="replace")
        text = text.lstrip("\ufeff \t\r\n")  # a byte order mark, also after blanks or repeated
        return json.loads(text, strict=False, parse_float=_finite, parse_constant=_no_number)
    except RecursionError:
        raise msgspec.DecodeError("JSON nested beyond every bound") from None
    except ValueError:
        raise msgspec.DecodeError("not JSON") from None


def _finite(text: str) -> float | None:
    return number if math.isfinite(number := float(text)) else None


def _no_number(name: str) -> None:
    raise ValueError(name)


# Halves of surrogate pairs

_HALF = re.compile("[\ud800-\udfff]")
_LONE = "\ufffd"


def has_halves(text: str) -> bool:
    """True if a text contains surrogates, paired or not."""
    return not text.isascii() and _HALF.search(text) is not None


def mended_text(text: str) -> str:
    """Returns the text with surrogate pairs joined, and lone ones as U+FFFD."""
    if not has_halves(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def mended(value: Any) -> Any:
    """Returns decoded JSON with this done in all its texts."""
    if isinstance(value, str):
        return mended_text(value)
    if is_list(value):
        return [mended(item) for item in value]
    if is_object(value):
        return {mended_text(name): mended(item) for name, item in value.items()}
    return value


def open_ended(text: str) -> str:
    """Returns the text with this done, except half a pair at an edge: the other half is in another piece."""
    first = 1 if "\udc00" <= text[:1] <= "\udfff" else 0
    last = len(text) - 1 if "\ud800" <= text[-1:] <= "\udbff" else len(text)
    return text[:first] + mended_text(text[first:last]) + text[max(first, last) :]


class Joint:
    """Joins pieces of a text that was cut inside a character: the first half waits for the next piece."""

    __slots__ = ("_half",)

    def __init__(self) -> None:
        self._half = ""

    def __bool__(self) -> bool:
        """True if half a character waits."""
        return bool(self._half)

    def feed(self, piece: str) -> str:
        """Returns the text that is complete."""
        if not self._half and not has_halves(piece):
            return piece
        if not piece:
            return ""
        piece, self._half = self._half + piece, ""
        if "\ud800" <= piece[-1] <= "\udbff":
            piece, self._half = piece[:-1], piece[-1]
        return mended_text(piece)

    def flush(self) -> str:
        """Returns the rest at the end: U+FFFD for half a character."""
        half, self._half = self._half, ""
        return _LONE if half else ""


# Members of another type


class Form(Struct, frozen=True):
    """Names of members that hold a text, an object, or a list of objects. `deepest` bounds the levels."""

    texts: tuple[str, ...]
    objects: tuple[str, ...]
    lists: tuple[str, ...]
    deepest: int


def mend_members(value: Any, form: Form, deepest: int | None = None) -> None:
    """Converts members of another type in place: a number to text, one object to a list of one.

    Members that mean the same as their absence become None.
    """
    left = form.deepest if deepest is None else deepest
    for item in value if is_list(value) else [value]:
        if not is_object(item):
            continue
        for name in form.texts:
            _mend_text(item, name)
        _mend_arguments(item)
        if "index" in item:
            item["index"] = _index(item["index"])
        for name in form.objects:
            if not is_object(item.get(name)) and is_zero(item.get(name)):
                item[name] = None
        for name in form.lists:
            _mend_list(item, name)
        for name in (*form.objects, *form.lists) if left else ():
            mend_members(item.get(name), form, left - 1)


def _index(given: Any) -> Any:
    """Returns an index as a number; None if it means the same as its absence. 0 is an index."""
    if isinstance(given, bool) or (is_zero(given) and not isinstance(given, int | float)):
        return None
    return whole(given)


def _mend_text(item: dict[str, Any], name: str) -> None:
    given = item.get(name)
    if given is None or isinstance(given, str):
        return
    if not given or (name != "content" and is_zero(given)):
        item[name] = None
    elif type(given) in (int, float):
        item[name] = str(given)


def _mend_arguments(item: dict[str, Any]) -> None:
    given = item.get("arguments")
    if given is not None and not isinstance(given, str | dict):
        item["arguments"] = None if is_zero(given) else json.dumps(given)


def _mend_list(item: dict[str, Any], name: str) -> None:
    given = item.get(name)
    if is_object(given):
        item[name] = [given] if given else None
    elif is_list(given):
        item[name] = [one for one in given if is_object(one) or not is_zero(one)]
    elif is_zero(given):
        item[name] = None
