"""Reads an upstream's error in any of the vendors' forms."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.sse import unframed
from nexusflow_core.translation.json_lenient import decode_json
from nexusflow_core.untyped import is_list, is_object, is_zero, object_of

__all__ = [
    "GOOD",
    "LONGEST",
    "ReportedFailure",
    "message_of",
    "read_error",
    "read_error_body",
    "seconds_of",
    "status_in",
]

_LONGEST_MESSAGE = 64 * 1024
"""Bound on the characters of a message: a vendor may repeat a whole prompt."""
_LONGEST_WORD = 200
"""Bound on the characters of a type, a code or a status."""
_DEEPEST = 8
"""Bound on nested errors."""
_MOST_DETAILS = 20
GOOD = frozenset({"", "0", "200", "ok", "success"})
"""Codes that mean success."""

LONGEST = 10 * 365 * 86_400.0
"""Seconds. A longer wait is not plausible."""

_WORD = re.compile(r"[\w.-]{1,200}")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)s)?(?:([\d.]+)ms)?")


class ReportedFailure(Struct, frozen=True):
    """An upstream's error. `message` is for people, and may repeat the client's text.

    `words` are the vendor's type, code, status and reason. `status` is an HTTP status named in the error.
    `wait`: seconds until a retry. `raw`: the error of the provider behind a router.
    """

    message: str = ""
    words: str = ""
    status: int | None = None
    wait: float | None = None
    raw: str = ""


def read_error_body(body: bytes, deepest: int = _DEEPEST) -> ReportedFailure:
    """Returns the error in a body, JSON or not. Vendors send JSON under any content type, and as an event."""
    body = unframed(body)
    try:
        error: Any = decode_json(body)
    except msgspec.DecodeError:
        error = body.decode(errors="replace").strip()
        if error[:1] == "<":
            error = ""  # an HTML page of a proxy
    return read_error(error, deepest)


_MESSAGES = (
    "message",
    "Message",
    "msg",
    "detail",
    "details",
    "error_msg",
    "error_message",
    "errorMessage",
    "error_description",
    "err_msg",
    "errors",
    "faultstring",
    "reason",
    "title",
)
"""Members that hold an error's message, in order of preference."""


def message_of(error: dict[str, Any]) -> Any:
    """Returns the message of an error, under any of its names, or None."""
    found = next((error[name] for name in _MESSAGES if not is_zero(error.get(name))), None)
    if is_list(found) and len(found) == 1:
        found = object_of(found[0]).get("message") or found[0]
    return found


def read_error(error: Any, deepest: int = _DEEPEST) -> ReportedFailure:
    """Returns an error given as an object, nested or in a list, as text, or as nothing.

    `deepest` bounds the errors of providers behind a router.
    """
    words: list[str] = []
    status: int | None = None
    wait: float | None = None
    for _ in range(_DEEPEST):
        if is_list(error) and error:
            error = error[0]
        elif is_object(error):
            words += _words(error)
            status = status_in(error) or status
            wait = _wait(error) or wait
            if not error.get("error"):
                break
            if isinstance(error["error"], str) and isinstance(message_of(error), str):
                words += [error["error"]] if _WORD.fullmatch(error["error"]) else []
                break  # `error` is a name, and its meaning is beside it
            error = error["error"]
        else:
            break
    raw = ReportedFailure()
    if is_object(error):
        raw, error = _raw_of(error, deepest - 1) if deepest else raw, message_of(error)
    message = _text(error)
    if message.strip().rstrip(".").lower() in _HOLLOW:
        message = raw.message or message
    return ReportedFailure(
        message, " ".join([*words, *filter(None, [raw.words])]), status, wait or _stated(message), raw.message
    )


_AGAIN = re.compile(r"try again in (\d[\dhm.]{0,20}) ?(m?s)(?:econds?)?\b", re.I)
_LOOK = 2000


def _stated(message: str) -> float | None:
    """Returns the seconds in "Please try again in 1m2.5s", or None."""
    found = _AGAIN.search(message[:_LOOK])
    return seconds_of(found[1] + found[2]) if found is not None else None


_HOLLOW = frozenset({"", "provider returned error", "upstream error", "error", "bad request", "internal error"})
"""Messages without information. The error of the provider behind is shown instead."""


def _raw_of(error: dict[str, Any], deepest: int) -> ReportedFailure:
    """Returns the error of the provider behind a router: `metadata.raw`, as text or JSON."""
    raw = object_of(error.get("metadata")).get("raw")
    if isinstance(raw, str):
        return read_error_body(raw.encode(errors="replace"), deepest)
    return read_error(raw, deepest) if is_object(raw) or is_list(raw) else ReportedFailure()


def _words(error: dict[str, Any]) -> Iterator[str]:
    for name in ("type", "code", "status", "error_code"):
        if (value := error.get(name)) and isinstance(value, str | int):
            yield str(value)[:_LONGEST_WORD]
    for detail in _details(error):
        if isinstance(reason := detail.get("reason"), str):
            yield reason[:_LONGEST_WORD]
    for name in ("innererror", "inner_error"):
        if isinstance(code := object_of(error.get(name)).get("code"), str):
            yield code[:_LONGEST_WORD]


def status_in(error: dict[str, Any]) -> int | None:
    """Returns the HTTP status named in an error, or None."""
    for name in ("status_code", "code", "status"):
        value = error.get(name)
        if isinstance(value, str) and value.isdecimal() and len(value) == 3:
            value = int(value)
        if isinstance(value, int) and 400 <= value <= 599:
            return value
    return None


def _wait(error: dict[str, Any]) -> float | None:
    """Returns the seconds of a RetryInfo in the details, such as `{"retryDelay": "38.5s"}`, or None."""
    delays = [detail.get("retryDelay") for detail in _details(error)]
    seconds = [seconds_of(delay) for delay in delays if isinstance(delay, str)]
    return max((found for found in seconds if found is not None), default=None)


def _details(error: dict[str, Any]) -> list[dict[str, Any]]:
    details = error.get("details")
    return [object_of(detail) for detail in details[:_MOST_DETAILS]] if is_list(details) else []


def _text(message: Any) -> str:
    """Returns a message as text; other values as JSON, nothing as ""."""
    if isinstance(message, str):
        return message[:_LONGEST_MESSAGE]
    try:
        return msgspec.json.encode(message)[:_LONGEST_MESSAGE].decode(errors="ignore") if message else ""
    except RecursionError:
        return ""


def seconds_of(text: str) -> float | None:
    """Returns `7`, `6m0s` or `120ms` in seconds; None for other text."""
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
