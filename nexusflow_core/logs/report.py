"""CostReport: what a page about many calls shows, in exact integers."""

from collections.abc import Sequence
from datetime import UTC, date, timedelta, tzinfo
from itertools import pairwise

from msgspec import Struct

from nexusflow_core.logs.entry import Entry
from nexusflow_core.logs.pricing import Priced
from nexusflow_core.logs.summary import Summary, Totals

__all__ = ["Class", "CostReport", "Day", "Unpriced"]

_MAX_FILLED = 400
"""Days without calls are shown between others, unless there are more days than this."""


class Class(Struct):
    """The tokens and the cost of one token class, of calls with a price."""

    tokens: int = 0
    femto_usd: int = 0


class Unpriced(Struct):
    """Calls of one model that have no known cost, and the first reason."""

    calls: int
    tokens: int
    why: str


class Day(Struct, frozen=True):
    """The cost of each model on a day or several, in femto-dollars, in the order of `CostReport.models`."""

    first: str
    last: str
    femto_usd: tuple[int, ...]


class CostReport:
    """Adds up priced calls for a page. Memory grows with days, models and sessions, not with calls."""

    def __init__(self, zone: tzinfo = UTC) -> None:
        """`zone`: the time zone of days."""
        self._days = Summary(["day", "model"], zone)
        self.sessions = Summary(["session"])
        self.classes: dict[str, Class] = {}
        self.unpriced: dict[str, Unpriced] = {}

    def add(self, entry: Entry, priced: Priced) -> None:
        """Adds one call."""
        self._days.add(entry, priced)
        self.sessions.add(entry, priced)
        if priced.cost is not None:
            for line in priced.cost.lines:
                found = self.classes.setdefault(line.bucket, Class())
                found.tokens += line.tokens
                found.femto_usd += line.femto_usd
        elif entry.usage is not None:
            model = self.unpriced.setdefault(priced.model, Unpriced(0, 0, priced.why))
            model.calls += entry.calls
            model.tokens += entry.usage.prompt_tokens + entry.usage.output_tokens

    def total(self) -> Totals:
        """Returns the sum of all calls."""
        return self.sessions.total()

    def models(self) -> list[tuple[str, Totals]]:
        """Returns the totals of each model, the most expensive first."""
        totals: dict[str, Totals] = {}
        for group in self._days.groups():
            totals.setdefault(group.values[1] or "", Totals()).add(group.totals)
        return sorted(totals.items(), key=lambda it: (-it[1].femto_usd, it[0]))

    def days(self, models: Sequence[str], most: int) -> list[Day]:
        """Returns the cost per day of these models and, last, of all others; days without calls too.

        With more days than `most`, neighbours are added up.
        """
        by_day: dict[str, list[int]] = {}
        numbers = {model: number for number, model in enumerate(models)}
        for group in self._days.groups():
            day, model = group.values
            amounts = by_day.setdefault(day or "", [0] * (len(models) + 1))
            amounts[numbers.get(model or "", len(models))] += group.totals.femto_usd
        names = _filled(sorted(by_day))
        count = min(len(names), most)
        edges = [round(number * len(names) / max(1, count)) for number in range(count + 1)]
        nothing = [0] * (len(models) + 1)
        return [
            Day(
                names[start],
                names[end - 1],
                tuple(map(sum, zip(*(by_day.get(name, nothing) for name in names[start:end]), strict=True))),
            )
            for start, end in pairwise(edges)
        ]


def _filled(days: list[str]) -> list[str]:
    if not days or not days[0]:
        return days
    first, last = date.fromisoformat(days[0]), date.fromisoformat(days[-1])
    count = (last - first).days + 1
    return days if count > _MAX_FILLED else [str(first + timedelta(number)) for number in range(count)]
