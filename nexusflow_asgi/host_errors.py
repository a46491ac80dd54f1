"""Turns exceptions of a host's framework (Starlette, FastAPI, Litestar and others) into errors on the wire."""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from nexusflow_asgi.hooks import logger
from nexusflow_core.errors import CallerError, GatewayError, NexusFlowError

__all__ = ["refusal_of"]

_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_NOT_THEIRS = frozenset(
    "connection content-length content-type date request-id server transfer-encoding".split()
)
"""Headers that belong to an exception's own body or to the server. Our body has Anthropic's shape."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_LONGEST = 1000


def refusal_of(error: Exception) -> NexusFlowError | None:
    """Returns the error for an exception, from its `status_code`, `detail` and `headers`.

    None without a status of 400 to 599, or if those members raise. A status of 500 or more is logged with its
    cause.
    """
    try:
        return _refusal_of(error)
    except Exception:  # raised by a property, or by a header's __str__
        return None


def _refusal_of(error: Exception) -> NexusFlowError | None:
    status = getattr(error, "status_code", None)
    if not isinstance(status, int) or isinstance(status, bool) or not 400 <= status <= 599:
        return None
    kind = CallerError if status < 500 else GatewayError
    refusal = kind(_message(error, status), headers=_headers(getattr(error, "headers", None)))
    refusal.status = int(status)
    refusal.type = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    if status >= 500:
        logger.error("the host answered a call with status %d", status, exc_info=error)
    return refusal


def _message(error: Exception, status: int) -> str:
    """Returns `detail`, which is meant for the client, unlike the text of an exception."""
    detail = getattr(error, "detail", None)
    if isinstance(detail, str) and detail:
        return detail[:_LONGEST].encode(errors="replace").decode()
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"status {status}"


def _headers(headers: Any) -> dict[str, str]:
    pairs: Iterable[tuple[object, object]] = headers.items() if hasattr(headers, "items") else ()
    return {
        name.lower(): str(value)
        for name, value in pairs
        if isinstance(name, str)
        and name.lower() not in _NOT_THEIRS
        and not name.lower().startswith("x-nexusflow-")
        and _NAME.fullmatch(name)
        and _VALUE.fullmatch(str(value))
    }
