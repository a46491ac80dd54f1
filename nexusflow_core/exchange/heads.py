"""Headers of the gateway's own answers, and the error to answer with after a broken connection."""

import functools

from nexusflow_core.dialect import Leg
from nexusflow_core.errors import (
    CallerError,
    NexusFlowError,
    UpstreamError,
    UpstreamStatusError,
    UpstreamTimeoutError,
    kept,
)
from nexusflow_core.routing import Target
from nexusflow_core.upstream import Headers

__all__ = ["earlier_error", "error_headers", "who_answered"]

_FINAL = frozenset({400, 401, 403, 404, 405, 413, 414, 415, 431})
"""A retry cannot help with these. Some clients retry a 401 for minutes unless a header forbids it."""


def error_headers(error: NexusFlowError, request_id: str, length: int) -> Headers:
    """Returns the headers of an error answer of the gateway."""
    headers = {
        "content-type": "application/json",
        "content-length": str(length),
        "request-id": request_id,
        **({"x-should-retry": "false"} if isinstance(error, CallerError) and error.status in _FINAL else {}),
        **{name.lower(): value for name, value in error.headers.items()},
    }
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def who_answered(target: Target | None) -> Headers:
    """Returns `x-nexusflow-upstream`, or nothing before a target was asked."""
    if target is None:
        return ()
    return (_called(target.upstream.name),)


@functools.lru_cache(maxsize=256)
def _called(upstream: str) -> tuple[bytes, bytes]:
    name = upstream.encode("ascii", "replace")  # a Config built by hand may use any name
    return b"x-nexusflow-upstream", bytes(byte if 0x20 < byte < 0x7F else 0x3F for byte in name)


def earlier_error(error: UpstreamError, leg: Leg | None) -> UpstreamError:
    """Returns the upstream's error answer that arrived before its connection broke, else the break.

    A status is more useful, even with a cut body: a server that refuses a large body answers 413 and resets.
    """
    failure = leg.failure if leg is not None else None
    if leg is None or not isinstance(failure, UpstreamStatusError) or isinstance(error, UpstreamTimeoutError):
        return error
    try:
        leg.receive_eof()
    except UpstreamError as answered:
        return kept(answered)
    status_error = leg.failure
    if not isinstance(status_error, UpstreamStatusError):
        return error
    if status_error.status == 413:
        status_error.type = "request_too_large"
    return status_error
