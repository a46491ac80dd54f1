"""Moments as text: ISO 8601 with a zone, or a UTC day. Shared by logs, commands and `cost`."""

from datetime import UTC, date, datetime, time

__all__ = ["moment_of"]


def moment_of(text: str) -> datetime:
    """Returns the moment in UTC; a day means its midnight.

    Raises ValueError for a time without zone and for text that is not ISO 8601.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        pass
    else:
        return datetime.combine(day, time(), UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not an ISO 8601 time") from None
    if moment.tzinfo is None:
        raise ValueError(f"the time {text[:40]!r} has no time zone: add one, such as Z or +02:00")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text[:40]!r} is not an ISO 8601 time: out of range in UTC") from None
