"""Windows: spans of time in which spending is counted.

The start of a window is part of its key. A new window is a new key, so nothing is ever set back to zero.
"""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Literal, TypeAlias

from msgspec import Struct

from nexusflow_core.budgets.amounts import Unit

__all__ = ["CALENDAR", "Meter", "Period", "Window"]

Calendar: TypeAlias = Literal["hour", "day", "week", "month"]
Period: TypeAlias = Calendar | Literal["session"] | int
"""A calendar unit in UTC (a week begins on Monday), one session of a client, or seconds from the first call."""

CALENDAR: tuple[Calendar, ...] = ("hour", "day", "week", "month")


class Window(Struct, frozen=True, gc=False):
    """One span of one meter. Times are whole seconds since 1970, UTC. `ends_at`: None for a session."""

    key: str
    scope: str
    unit: Unit
    period: str
    starts_at: int
    ends_at: int | None


class Meter(Struct, frozen=True, gc=False):
    """What is counted, for whom, over which period. Caps that agree in all of it share its windows.

    So a cap may be raised, lowered or made hard in the middle of a window, and the count goes on.
    """

    scope: str
    unit: Unit
    period: Period
    counts: tuple[str, ...] = ()
    """The kinds of tokens, for the unit `tokens`."""

    @property
    def key(self) -> str:
        """The part of a window's key that its spans have in common."""
        what = f"{self.unit}:{'+'.join(self.counts)}" if self.counts else self.unit
        return f"{self.scope}|{what}|{self.period}"

    @property
    def armed(self) -> bool:
        """True if a window begins with its first call, at a time that the store keeps."""
        return isinstance(self.period, int)

    def window(self, at: datetime, *, started: int = 0, session: str | None = None) -> Window:
        """Returns the window of this moment (UTC). `started`: the store's start of an armed window."""
        period = self.period
        if isinstance(period, int):
            return self._span(str(started), started, started + period)
        if period == "session":
            name = sha256((session or "").encode()).hexdigest()[:24]
            return self._span(name, 0, None)
        start, end = _calendar(period, at)
        return self._span(str(start), start, end)

    def _span(self, name: str, start: int, end: int | None) -> Window:
        return Window(f"{self.key}|{name}", self.scope, self.unit, str(self.period), start, end)


def _calendar(period: Calendar, at: datetime) -> tuple[int, int]:
    """Returns start and end of the calendar unit around a moment."""
    at = at.astimezone(UTC)
    start = at.replace(minute=0, second=0, microsecond=0)
    if period == "hour":
        return _seconds(start), _seconds(start) + 3600
    start = start.replace(hour=0)
    if period == "day":
        return _seconds(start), _seconds(start) + 86400
    if period == "week":
        start -= timedelta(days=start.weekday())
        return _seconds(start), _seconds(start) + 7 * 86400
    start = start.replace(day=1)
    end = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    return _seconds(start), _seconds(end)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
