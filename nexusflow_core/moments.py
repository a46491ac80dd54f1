"""Moments as text: ISO 8601 with a zone, or a UTC day. Logs, commands and `cost` read them alike."""

from datetime import UTC, date, datetime, time

__all__ = ["moment_of"]


def moment_of(text: str) -> datetime:
    """Returns the moment as UTC; a day begins at midnight UTC.

    Raises ValueError, with a sentence, for a time without its zone and for what is no ISO 8601.
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
        raise ValueError(f"{text[:40]!r} is no ISO 8601 time") from None
    if moment.tzinfo is None:
        raise ValueError(f"the time {text[:40]!r} has no time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text[:40]!r} is no ISO 8601 time") from None
