"""Errors of Chat Completions vendors: their place in an answer."""

from typing import Any

import msgspec

from nexusflow_core.dialects.openai_chat.schema import Chunk
from nexusflow_core.dialects.openai_chat.vendors import Vendor
from nexusflow_core.overflow import too_long
from nexusflow_core.translation.error_bodies import GOOD, ReportedFailure, message_of, read_error, status_in
from nexusflow_core.translation.errors import Origin
from nexusflow_core.translation.json_lenient import decode_json
from nexusflow_core.untyped import is_zero, object_of
from nexusflow_core.upstream import Credential, Upstream

__all__ = ["error_in", "origin_of"]


def origin_of(vendor: Vendor, model: str, upstream: Upstream, credential: Credential | None) -> Origin:
    """Returns the Origin of this vendor's errors. `model` is the client's name."""
    return Origin(too_long, vendor.unknown_model, model, upstream, credential)


def error_in(chunk: Chunk, data: bytes, *, whole: bool = False) -> ReportedFailure | None:
    """Returns the error in a line of a stream, or in a `whole` answer; None if there is none.

    `data`: the bytes that the chunk was decoded from.
    """
    error = chunk.failure() or _error_of_choice(chunk)
    if isinstance(error, str) and chunk.choices is None:
        error = object_of(decode_json(data)) or error  # an explanation may stand beside it
    if error is None and not chunk.choices and not chunk.usages():
        error = _lone_error(data, whole=whole)
    return read_error(error) if error is not None else None


def _error_of_choice(chunk: Chunk) -> Any:
    """Returns OpenRouter's error inside the first choice, with any finish reason."""
    for choice in chunk.choices or ():
        for place in (choice, choice.delta, choice.message) if not choice.index else ():
            if place is None or place.error is None:
                continue
            if not is_zero(place.error) and _fails(place.error):
                return place.error
    return None


def _fails(error: Any) -> bool:
    """True unless the error only states that nothing failed."""
    members = object_of(error)
    if not members:
        return str(error).lower() not in GOOD
    others = [value for name, value in members.items() if name not in ("code", "status") and not is_zero(value)]
    good = all(str(members.get(name) or "").lower() in GOOD for name in ("code", "status"))
    return not good or any(str(value).lower() not in GOOD for value in others)


def _lone_error(data: bytes, *, whole: bool) -> dict[str, Any] | None:
    """Returns an error without `error` around it, such as Z.ai's `{"code": 1302, "msg": ...}`, or None.

    A whole answer with a message and without choices also is one.
    """
    try:
        members = object_of(decode_json(data))
    except msgspec.DecodeError:
        return None
    message = message_of(members)
    if is_zero(message) or str(message).lower() in GOOD:
        return None
    failed = (
        any(_is_code(members.get(name)) for name in ("code", "error_code", "errorCode"))
        or members.get("object") == "error"
        or members.get("type") == "error"
        or members.get("success") is False
        or not is_zero(members.get("errors"))
        or ("detail" in members and "choices" not in members)  # FastAPI's
        or status_in(members) is not None
    )
    return members if failed or whole else None


def _is_code(code: Any) -> bool:
    return isinstance(code, str | int) and str(code).lower() not in GOOD
