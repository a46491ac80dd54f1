"""Reads a failure before the first byte: its reason, its wait, and whether it counts against the target."""

import math
import re
from datetime import UTC, datetime
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
from nexusflow_core.spending import EXHAUSTED
from nexusflow_core.upstream import Headers, header

__all__ = ["Counts", "Failure", "Reason", "failure_of", "stated_wait"]

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


# `retry-after`, in each of its forms

_HTTP_DATE = re.compile(rb"[A-Z][a-z]{2}, (\d{2}) ([A-Z][a-z]{2}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT")
_MONTHS = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def stated_wait(headers: Headers, at: datetime) -> float | None:
    """Returns the seconds of `retry-after-ms` or `retry-after` (number or date), or None."""
    thousandths = _number(header(headers, b"retry-after-ms"))
    if thousandths is not None:
        return thousandths / 1000
    value = header(headers, b"retry-after")
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    moment = _http_date(value)
    return None if moment is None else max(0.0, (moment - at).total_seconds())


def _http_date(value: bytes) -> datetime | None:
    """Returns the moment of `Sun, 06 Nov 1994 08:49:37 GMT`, the form in RFC 9110 section 5.6.7, or None."""
    found = _HTTP_DATE.fullmatch(value.strip())
    if found is None:
        return None
    day, month, year, hour, minute, second = found.groups()
    try:
        named = _MONTHS.index(month) + 1
        return datetime(int(year), named, int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    except ValueError:
        return None


def _number(value: bytes | None) -> float | None:
    try:
        number = float(value) if value is not None and len(value) <= 20 else math.nan
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None
