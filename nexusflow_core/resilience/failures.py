"""Reads a failure before the first byte: its reason, its wait, and whether it counts against the target."""

from datetime import datetime
from enum import Enum, auto
from typing import Literal, TypeAlias

from msgspec import Struct

from nexusflow_core.errors import (
    UpstreamError,
    UpstreamProtocolError,
    UpstreamStatusError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from nexusflow_core.resilience.retry_after import stated_wait
from nexusflow_core.spending import EXHAUSTED
from nexusflow_core.upstream import Headers, header

__all__ = ["Counts", "Failure", "Reason", "failure_of"]

Reason: TypeAlias = Literal["unreachable", "timeout", "overloaded", "rate_limited", "failed", "exhausted"]

_CONNECTING = "connect_timeout"
"""The reason of a connect timeout, which no caller can cause."""


class Counts(Enum):
    """When a failure counts against its target."""

    ALWAYS = auto()
    WITH_OTHERS = auto()  # once a second caller has met it: one caller alone may cause it
    NEVER = auto()  # a caller may have caused it


class Failure(Struct, frozen=True):
    """Why an attempt failed. `again`: the same target may be asked once more.

    `wait`: the seconds that the upstream asks for, or None.
    """

    reason: Reason
    again: bool
    wait: float | None = None
    counts: Counts = Counts.ALWAYS


def failure_of(error: UpstreamError, headers: Headers, at: datetime) -> Failure | None:
    """Returns the failure of a target, or None for an error that the caller caused.

    `headers` are the upstream's. `at` is the UTC moment, for a `retry-after` that is a date.
    """
    if error.reason == EXHAUSTED:
        regained = error.regained_at if isinstance(error, UpstreamStatusError) else None
        wait = (regained - at).total_seconds() if regained is not None else None
        return Failure("exhausted", False, wait)
    if not error.retryable:
        return None
    reason: Reason = "failed"
    counts = Counts.ALWAYS if error.counts else Counts.NEVER
    again = True  # except after a timeout, which used up the time, and garbage, which would come again
    if isinstance(error, UpstreamUnreachableError):
        reason = "unreachable"
    elif isinstance(error, UpstreamTimeoutError):
        reason, again = "timeout", False
        if error.reason != _CONNECTING:  # a slow prompt, or one caller using all connections, may cause it
            counts = Counts.WITH_OTHERS
    elif isinstance(error, UpstreamProtocolError):
        again = not headers and error.counts
    elif error.status in (503, 529) or error.type == "overloaded_error":
        reason = "overloaded"
    elif error.status == 429 or error.type == "rate_limit_error":
        reason = "rate_limited"
    if header(headers, b"x-should-retry") == b"false" or error.headers.get("x-should-retry") == "false":
        again = False
    return Failure(reason, again, stated_wait(headers, at), counts)
