"""Times functions of one process against each other: CPU time, interleaved rounds."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks.report import Figure, Row, Table, ratios

__all__ = ["Case", "Effort", "case", "table"]


class Effort(NamedTuple):
    """How long to measure: each case runs about so many milliseconds a round."""

    rounds: int
    milliseconds: float


class Case(NamedTuple):
    """Something to time. `timed` returns the nanoseconds of so many calls; a call handles `units` things."""

    name: str
    units: int
    timed: Callable[[int], int]
    result: str = ""


def case(name: str, work: Callable[[], object], units: int = 1, result: object = "") -> Case:
    """Returns a case that calls a function of this process."""

    def timed(count: int) -> int:
        work()  # caches warm, whatever ran before
        before = time.process_time_ns()
        for _ in range(count):
            work()
        return time.process_time_ns() - before

    return Case(name, units, timed, str(result))


def table(
    title: str, unit: str, cases: Sequence[Case], effort: Effort, *, result: str = "", notes: Sequence[str] = ()
) -> Table:
    """Measures the cases. Ratios are to the first of them. `result` names a column of their results."""
    samples = _measure(cases, effort)
    rows = []
    for one, times in zip(cases, samples, strict=True):
        cells: list[Figure | str | None] = [ratios(times, samples[0]), Figure.of(times)]
        rows.append(Row(one.name, [*cells, one.result] if result else cells))
    columns = ["", "ratio", f"ns/{unit}", *([result] if result else [])]
    return Table(title, columns, rows, notes)


def _measure(cases: Sequence[Case], effort: Effort) -> list[list[float]]:
    """Returns nanoseconds a unit: a list of the rounds for each case."""
    slack = _slack()
    counts = [max(1, int(effort.milliseconds * 1e6 / max(one.timed(3) / 3, 1))) for one in cases]
    samples: list[list[float]] = [[] for _ in cases]
    for _ in range(effort.rounds):
        for one, times, count in zip(cases, samples, counts, strict=True):
            times.append(one.timed(count) / count / one.units)
    del slack
    return samples


def _slack() -> list[object]:
    """Returns held objects of every size with free places between them.

    Otherwise a call's objects may be alone in a block of memory, which CPython then frees and asks for again
    at each call. That took one row of some processes twice its time.
    """
    made: list[object] = [bytes(size) for size in range(480) for _ in range(50)]
    made += [2**40 + number for number in range(1000)]
    return made[::2]
