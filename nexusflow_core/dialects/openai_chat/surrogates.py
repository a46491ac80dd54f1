"""Halves of surrogate pairs: some servers cut UTF-16 text between the two halves of one character."""

import re
from typing import Any

from nexusflow_core.untyped import is_list, is_object

__all__ = ["Joint", "has_halves", "mended", "mended_text"]

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
