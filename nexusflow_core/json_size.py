"""How many values a JSON text holds, counted without decoding it. A text of few bytes may become many
objects."""

import re

from nexusflow_core.errors import RequestTooLarge

__all__ = ["MAX_VALUES", "check_values", "count_values"]

MAX_VALUES = 250_000
"""Default bound on the values of a body that must be decoded. No model's context has room for as many."""

_STRING = re.compile(rb'"[^"]*+"')
_SOME_STRINGS = re.compile(rb'(?:[^"]*+"[^"]*+"){1,10000}+')
"""A stretch that ends behind a string, so that no string lies across its end."""


def check_values(text: bytes, most: int = MAX_VALUES) -> None:
    """Raises RequestTooLarge for a JSON text of more than `most` values."""
    if count_values(text, most) > most:
        raise RequestTooLarge(
            f"request body: more than {most} JSON values; send fewer messages, blocks, tools or members"
        )


def count_values(text: bytes, enough: int) -> int:
    """Returns how many values a JSON text has; where that is more than `enough`, some number above it.

    Each value but the first follows a comma or the beginning of its container. Counts an empty container twice.
    """
    if (most := _marks(text)) < enough:  # marks inside strings are counted here, so there are no more values
        return most + 1
    text = text.replace(b"\\\\", b"").replace(b'\\"', b"")  # now every quote begins or ends a string
    count, at = 1, 0
    while at < len(text) and count <= enough:
        stretch = _SOME_STRINGS.match(text, at)
        end = stretch.end() if stretch is not None else len(text)
        count += _marks(_STRING.sub(b"", text[at:end]))
        at = end
    return count


def _marks(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")
