"""A second, lenient reading of JSON that an upstream sent damaged, and of text that was cut inside a character.

Some servers cut UTF-16 text between the two halves of one character, a surrogate pair.
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
]


def decode_json(data: bytes) -> Any:
    """Raises msgspec.DecodeError for what is no JSON even leniently."""
    try:
        return msgspec.json.decode(data)
    except MALFORMED:
        return decode_leniently(data)


def decode_leniently(data: bytes | str) -> Any:
    """JSON that may have bytes that are no UTF-8, bare control characters, numbers beyond every bound, and
    halves of surrogate pairs: one that stands alone becomes U+FFFD. Raises msgspec.DecodeError."""
    return mended_json(loads(data))


def mended_json(value: Any) -> Any:
    """Returns decoded JSON without halves of surrogate pairs, and with numbers of a size that can be written
    again. Raises msgspec.DecodeError."""
    try:
        return msgspec.json.decode(json.dumps(mended(value), ensure_ascii=False).encode())
    except RecursionError:
        raise msgspec.DecodeError("JSON nested beyond every bound") from None


def loads(data: bytes | str) -> Any:
    """Returns decoded JSON, read leniently, which may still hold halves of surrogate pairs."""
    try:
        text = data if isinstance(data, str) else data.decode(errors="replace")
        text = text.lstrip("\ufeff \t\r\n")  # a byte order mark, behind blanks or once more
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
    """Whether half a pair is in a text, joined with its other half or not."""
    return not text.isascii() and _HALF.search(text) is not None


def mended_text(text: str) -> str:
    """Returns the text with halves joined where both are there; one that stands alone becomes U+FFFD."""
    if not has_halves(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def mended(value: Any) -> Any:
    """Returns decoded JSON with all its texts mended."""
    if isinstance(value, str):
        return mended_text(value)
    if is_list(value):
        return [mended(item) for item in value]
    if is_object(value):
        return {mended_text(name): mended(item) for name, item in value.items()}
    return value


class Joint:
    """Joins the pieces of one text where a character was cut: half of it waits for the next piece."""

    __slots__ = ("_half",)

    def __init__(self) -> None:
        self._half = ""

    def __bool__(self) -> bool:
        """Whether half a character waits."""
        return bool(self._half)

    def feed(self, piece: str) -> str:
        """Returns the text that may go on."""
        if not self._half and not has_halves(piece):
            return piece
        if not piece:
            return ""
        piece, self._half = self._half + piece, ""
        if "\ud800" <= piece[-1] <= "\udbff":
            piece, self._half = piece[:-1], piece[-1]
        return mended_text(piece)

    def flush(self) -> str:
        """Returns what is left at the end: U+FFFD for half a character."""
        half, self._half = self._half, ""
        return _LONE if half else ""


# Members of another type


class Form(Struct, frozen=True):
    """Names of members that hold a text, an object, or a list of objects. `deepest`: levels that are read."""

    texts: tuple[str, ...]
    objects: tuple[str, ...]
    lists: tuple[str, ...]
    deepest: int


def mend_members(value: Any, form: Form, deepest: int | None = None) -> None:
    """Makes members of another type what they mean, in place: a number where a text belongs, one object where
    a list of them does, and what is as good as absent."""
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
    """A number, however it is written; 0 is one, and what is as good as absent is none."""
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
