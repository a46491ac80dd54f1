"""Headers of the gateway's own, and which error becomes the answer where a connection broke."""

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

__all__ = ["error_headers", "said_before", "who_answered"]

_FINAL = frozenset({400, 401, 403, 404, 405, 413, 414, 415, 431})
"""No repetition mends these. Some clients repeat a 401 for minutes unless they are told so."""


def error_headers(error: NexusFlowError, request_id: str, length: int) -> Headers:
    """The headers of an error answer of ours."""
    headers = {
        "content-type": "application/json",
        "content-length": str(length),
        "request-id": request_id,
        **({"x-should-retry": "false"} if isinstance(error, CallerError) and error.status in _FINAL else {}),
        **{name.lower(): value for name, value in error.headers.items()},
    }
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def who_answered(target: Target | None) -> Headers:
    """`x-nexusflow-upstream`; nothing before a target was asked."""
    if target is None:
        return ()
    return (_called(target.upstream.name),)


@functools.lru_cache(maxsize=256)
def _called(upstream: str) -> tuple[bytes, bytes]:
    name = upstream.encode("ascii", "replace")  # one made by hand may be called anything
    return b"x-nexusflow-upstream", bytes(byte if 0x20 < byte < 0x7F else 0x3F for byte in name)


def said_before(error: UpstreamError, leg: Leg | None) -> UpstreamError:
    """Returns the error that the upstream had answered with before its connection broke, else the break. A
    status tells more, even where its body is cut: a server that does not take a body answers 413 and resets."""
    failure = leg.failure if leg is not None else None
    if leg is None or not isinstance(failure, UpstreamStatusError) or isinstance(error, UpstreamTimeoutError):
        return error
    try:
        leg.receive_eof()
    except UpstreamError as told:
        return kept(told)
    said = leg.failure
    if not isinstance(said, UpstreamStatusError):
        return error
    if said.status == 413:
        said.type = "request_too_large"
    return said
