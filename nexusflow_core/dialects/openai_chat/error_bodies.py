"""What an upstream's error says, in whatever form a vendor writes it."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.untyped import is_list, is_object

__all__ = ["ErrorTold", "read_error", "read_error_body"]

_DEEPEST = 8
"""Wrappings of an error; nobody means more."""


class ErrorTold(Struct, frozen=True):
    """`message` is for people and may repeat what the client wrote; `words` are the vendor's own: type, code,
    status. `status` is an HTTP status that the error itself names."""

    message: str = ""
    words: str = ""
    status: int | None = None


def read_error_body(body: bytes) -> ErrorTold:
    """The body of an error answer, JSON or not. Vendors send JSON under any content-type."""
    try:
        error: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = body.decode(errors="replace").strip()
        if error[:1] == "<":
            error = ""  # a proxy's page
    return read_error(error)


def read_error(error: Any) -> ErrorTold:
    """An error object, wrapped in others or in a list, a text, or nothing."""
    words: list[str] = []
    status: int | None = None
    for _ in range(_DEEPEST):
        if is_list(error) and error:
            error = error[0]
        elif is_object(error):
            words += _words(error)
            status = _status(error) or status
            if not error.get("error"):
                break
            error = error["error"]
        else:
            break
    if is_object(error):
        error = error.get("message") or error.get("msg") or error.get("detail")
    return ErrorTold(_text(error), " ".join(words), status)


def _words(error: dict[str, Any]) -> Iterator[str]:
    for name in ("type", "code", "status"):
        if (value := error.get(name)) and isinstance(value, str | int):
            yield str(value)


def _status(error: dict[str, Any]) -> int | None:
    for name in ("status_code", "code", "status"):
        value = error.get(name)
        if isinstance(value, str) and value.isdecimal() and len(value) == 3:
            value = int(value)
        if isinstance(value, int) and 400 <= value <= 599:
            return value
    return None


def _text(message: Any) -> str:
    """A message as text; JSON where it is neither text nor nothing."""
    if isinstance(message, str):
        return message
    try:
        return msgspec.json.encode(message).decode() if message else ""
    except RecursionError:
        return ""
