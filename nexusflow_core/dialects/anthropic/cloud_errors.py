"""Errors in a cloud's own shape become Anthropic's, without the operator's accounts, ARNs and projects.

AWS names the type in a header, Google in `status` (and sends an array on streams), Azure in `code`.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from nexusflow_core.call import Call
from nexusflow_core.errors import UpstreamStatusError
from nexusflow_core.sse import unframed
from nexusflow_core.translation.error_bodies import read_error_body
from nexusflow_core.translation.errors import Origin, failure
from nexusflow_core.untyped import MALFORMED, is_object, object_of
from nexusflow_core.upstream import Headers, Upstream, header

__all__ = ["cloud_error", "origin_of"]

_STATUS: Final[Mapping[str, int]] = {
    "ServiceQuotaExceededException": 429,
    "UnrecognizedClientException": 401,
    "ExpiredTokenException": 401,
    "InvalidSignatureException": 401,
    "IncompleteSignature": 401,
    "IncompleteSignatureException": 401,
    "MissingAuthenticationToken": 401,
    "MissingAuthenticationTokenException": 401,
    "AccessDeniedException": 403,
    "ResourceNotFoundException": 404,
    "UnknownOperationException": 404,
    "ModelTimeoutException": 408,
    "ModelErrorException": 502,
    "ModelStreamErrorException": 502,
    "InternalServerException": 500,
    "ValidationException": 400,
    "ThrottlingException": 429,
    "ModelNotReadyException": 503,
    "ServiceUnavailableException": 503,
    "FAILED_PRECONDITION": 403,  # Google: the project may not use the model
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""The statuses that types mean, whatever status comes with them. Sources: AWS's service model, Google's."""

_MODEL_FAILED = frozenset({"ModelErrorException", "ModelStreamErrorException"})
"""They tell the model's own status."""

_FINAL = frozenset({"ServiceQuotaExceededException"})
"""Failures that no retry at the same target can cure."""

_TOO_LONG = re.compile(r"(?:input|prompt) is too long|too many total text bytes", re.I)

_PRIVATE = re.compile(
    r"""
    \barn:aws[\w-]*:[^\s"'`,;)\]}]+
    | \bprojects/[^\s/"'`]+
    | (?<=\bproject\s)[`'"]?[\w-]+[`'"]?(?=\s)
    | (?<![\w-])\d{12}(?![\w-])                       # an AWS account
    """,
    re.X | re.I,
)
_REMOVED = "[removed]"
_SHORTEST = 4
"""A setting of fewer characters could be an ordinary word, so it is not cut."""


def origin_of(call: Call, upstream: Upstream) -> Origin:
    """Returns how to read the errors of this upstream."""
    return Origin(
        too_long=lambda message, words: _TOO_LONG.search(message) is not None,
        unknown_model=None,
        model=call.model,
        upstream=upstream,
        credential=call.credential,
    )


def cloud_error(
    status: int, headers: Headers, body: bytes, *, origin: Origin, now: datetime
) -> UpstreamStatusError | None:
    """Returns the error in a cloud's own shape. None for an answer, and for an error in Anthropic's shape.

    The front door of AWS answers unknown paths with status 200 and an error inside.
    """
    decoded = _decoded(body)
    inside = object_of(object_of(decoded).get("Output"))
    if status < 400 and "__type" not in inside:
        return None
    if object_of(decoded).get("type") == "error" and is_object(object_of(decoded).get("error")):
        return None
    read = read_error_body(body)
    kind = _type(headers, inside or object_of(decoded))
    original = object_of(decoded).get("originalStatusCode")
    if kind in _MODEL_FAILED and isinstance(original, int) and 400 <= original <= 599:
        status = original
    else:
        named = [kind, *read.words.split()]
        status = next((_STATUS[name] for name in named if name in _STATUS), status)
    place = origin.upstream.place
    private = [value for value in (place.project, place.workspace, place.resource) if value is not None]
    private += origin.upstream.hidden()
    message, raw = _public(read.message, private), _public(read.raw, private)
    read = replace(read, message=message, raw=raw, words=f"{kind} {read.words}")
    error = failure(read, status if status >= 400 else 502, headers, origin=origin, now=now)
    if kind in _FINAL:
        error.headers = {**error.headers, "x-should-retry": "false"}
    return error


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(unframed(body))
    except MALFORMED:
        return None


def _type(headers: Headers, decoded: Mapping[str, Any]) -> str:
    """Returns the name of an AWS error: `ThrottlingException`, without its namespace and address; else ""."""
    named = header(headers, b"x-amzn-errortype")
    text = named.decode("latin-1") if named is not None else decoded.get("__type")
    return text.rpartition("#")[2].partition(":")[0][:100] if isinstance(text, str) else ""


def _public(text: str, private: list[str]) -> str:
    """Returns the text without ARNs, account numbers and projects, and without these settings."""
    text = _PRIVATE.sub(_REMOVED, text)
    for value in private:
        if len(value) >= _SHORTEST:
            text = text.replace(value, _REMOVED)
    return text
