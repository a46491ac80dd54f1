"""What an upstream's error says, in whatever form a vendor writes it."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.dialects.openai_chat.decoding import decode_json
from nexusflow_core.dialects.openai_chat.schema import Chunk
from nexusflow_core.untyped import is_list, is_object, object_of

__all__ = ["LONGEST", "ErrorTold", "error_in", "read_error", "read_error_body", "seconds_of"]

_LONGEST_MESSAGE = 64 * 1024
"""Characters of a message that anybody reads on; a vendor may repeat a whole prompt."""
_DEEPEST = 8
"""Wrappings of an error; nobody means more."""
_MOST_DETAILS = 20
_GOOD = frozenset({"", "0", "200", "ok", "success"})
"""Codes of no error."""

LONGEST = 10 * 365 * 86_400.0
"""Seconds; what is beyond is no time that anybody means."""

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)s)?(?:([\d.]+)ms)?")


class ErrorTold(Struct, frozen=True):
    """`message` is for people and may repeat what the client wrote; `words` are the vendor's own: type, code,
    status, reason. `status` is an HTTP status that the error itself names, `wait` the seconds after which to
    come back."""

    message: str = ""
    words: str = ""
    status: int | None = None
    wait: float | None = None


def read_error_body(body: bytes) -> ErrorTold:
    """The body of an error answer, JSON or not. Vendors send JSON under any content-type."""
    try:
        error: Any = decode_json(body)
    except msgspec.DecodeError:
        error = body.decode(errors="replace").strip()
        if error[:1] == "<":
            error = ""  # a proxy's page
    return read_error(error)


def error_in(chunk: Chunk, data: bytes) -> ErrorTold | None:
    """The error that a line or a whole answer is, or has in it. `data`: what the chunk was decoded from."""
    error = chunk.failure()
    if error is None and not chunk.choices and not chunk.usages():
        error = _lone_error(data)
    return read_error(error) if error is not None else None


def _lone_error(data: bytes) -> dict[str, Any] | None:
    """An error with no `error` around it: Z.ai's `{"code": 1302, "msg": ...}`; None where it is none."""
    try:
        told = object_of(decode_json(data))
    except msgspec.DecodeError:
        return None
    code = told.get("code")
    says = told.get("message") or told.get("msg") or told.get("detail")
    failed = isinstance(code, str | int) and str(code).lower() not in _GOOD
    return told if says and (failed or told.get("object") == "error") else None


def read_error(error: Any) -> ErrorTold:
    """An error object, wrapped in others or in a list, a text, or nothing."""
    words: list[str] = []
    status: int | None = None
    wait: float | None = None
    for _ in range(_DEEPEST):
        if is_list(error) and error:
            error = error[0]
        elif is_object(error):
            words += _words(error)
            status = _status(error) or status
            wait = _wait(error) or wait
            if not error.get("error"):
                break
            error = error["error"]
        else:
            break
    if is_object(error):
        error = error.get("message") or error.get("msg") or error.get("detail")
    return ErrorTold(_text(error), " ".join(words), status, wait)


def _words(error: dict[str, Any]) -> Iterator[str]:
    for name in ("type", "code", "status"):
        if (value := error.get(name)) and isinstance(value, str | int):
            yield str(value)
    for detail in _details(error):
        if isinstance(reason := detail.get("reason"), str):
            yield reason
    for name in ("innererror", "inner_error"):  # Azure's
        if isinstance(code := object_of(error.get(name)).get("code"), str):
            yield code
    if isinstance(
        raw := object_of(error.get("metadata")).get("raw"), str
    ):  # OpenRouter's: its provider's error
        yield read_error_body(raw.encode()).words


def _status(error: dict[str, Any]) -> int | None:
    for name in ("status_code", "code", "status"):
        value = error.get(name)
        if isinstance(value, str) and value.isdecimal() and len(value) == 3:
            value = int(value)
        if isinstance(value, int) and 400 <= value <= 599:
            return value
    return None


def _wait(error: dict[str, Any]) -> float | None:
    """Google's RetryInfo: `{"retryDelay": "38.5s"}`."""
    delays = [detail.get("retryDelay") for detail in _details(error)]
    seconds = [seconds_of(delay) for delay in delays if isinstance(delay, str)]
    return max((found for found in seconds if found is not None), default=None)


def _details(error: dict[str, Any]) -> list[dict[str, Any]]:
    details = error.get("details")
    return [object_of(detail) for detail in details[:_MOST_DETAILS]] if is_list(details) else []


def _text(message: Any) -> str:
    """A message as text; JSON where it is neither text nor nothing."""
    if isinstance(message, str):
        return message[:_LONGEST_MESSAGE]
    try:
        return msgspec.json.encode(message)[:_LONGEST_MESSAGE].decode(errors="ignore") if message else ""
    except RecursionError:
        return ""


def seconds_of(text: str) -> float | None:
    """`7`, `6m0s`, `120ms` in seconds; None for anything else."""
    text = text.strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        return float(text)
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        return None
    try:
        hours, minutes, seconds, thousandths = (float(part or 0) for part in match.groups())
    except ValueError:
        return None
    total = hours * 3600 + minutes * 60 + seconds + thousandths / 1000
    return total if total < LONGEST else None
