"""Reads the wait that an upstream asks for: `retry-after` in all its forms."""

import math
import re
from datetime import UTC, datetime

from nexusflow_core.upstream import Headers, header

__all__ = ["stated_wait"]

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
