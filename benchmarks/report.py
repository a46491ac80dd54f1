"""What a run reports: the machine, the versions, and tables of figures with their spread."""

import importlib.metadata
import os
import platform
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Figure", "Report", "Row", "Table", "machine", "ratios", "versions"]

_LIBRARIES = "nexusflow msgspec anyio starlette uvicorn uvloop httptools aiohttp httpx2".split()


class Figure(NamedTuple):
    """A median with the least and the most of its samples."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Sequence[float], scale: float = 1) -> "Figure":
        return cls(statistics.median(samples) * scale, min(samples) * scale, max(samples) * scale)

    def __str__(self) -> str:
        if self.low == self.high:
            return _digits(self.median)
        return f"{_digits(self.median)} ({_digits(self.low)}-{_digits(self.high)})"


def ratios(samples: Sequence[float], reference: Sequence[float]) -> Figure | None:
    """Returns the figure of each round's own ratio: what disturbs a round disturbs both of its samples.

    A round whose reference was too short to measure has no ratio. Returns None if no round has one.
    """
    found = [sample / other for sample, other in zip(samples, reference, strict=True) if other]
    return Figure.of(found) if found else None


class Row(NamedTuple):
    """One line: `cells` follow the table's columns. None is shown as a dash."""

    name: str
    cells: Sequence[Figure | str | None]


class Table(NamedTuple):
    """Figures of one kind. The first of `columns` names the rows."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]
    notes: Sequence[str] = ()

    def lines(self) -> Iterator[list[str]]:
        """The header and the rows as texts."""
        yield list(self.columns)
        for row in self.rows:
            yield [row.name, *("-" if cell is None else str(cell) for cell in row.cells)]


class Report(NamedTuple):
    """A whole run: one section a part, each with its method and its tables."""

    conditions: Sequence[str]
    sections: Mapping[str, tuple[str, Sequence[Table]]]

    def text(self) -> str:
        parts = ["\n".join(self.conditions)]
        for title, (method, tables) in self.sections.items():
            parts += [f"== {title}\n{method}", *map(_as_text, tables)]
        return "\n\n".join(parts)

    def markdown(self) -> str:
        parts = ["# What it costs", "`python -m benchmarks --write` wrote this file."]
        parts.append("\n".join(f"- {line}" for line in self.conditions))
        for title, (method, tables) in self.sections.items():
            parts += [f"## {title}", method, *map(_as_markdown, tables)]
        return "\n\n".join(parts) + "\n"

    def plain(self) -> dict[str, Any]:
        """Values for JSON: a figure is an object of its median, least and most."""
        sections = {
            title: {"method": method, "tables": [_as_plain(table) for table in tables]}
            for title, (method, tables) in self.sections.items()
        }
        return {"conditions": list(self.conditions), "sections": sections}


def machine() -> str:
    return f"{_cpu_model()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


def versions() -> str:
    libraries = ", ".join(f"{name} {_version(name)}" for name in _LIBRARIES)
    return f"{platform.python_implementation()} {platform.python_version()}, {libraries}"


def _digits(value: float) -> str:
    """Three digits that count; all of a whole number."""
    if value == int(value) or value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 1 else f"{value:.{2 - len(str(int(value))) + 1}f}"


def _as_text(table: Table) -> str:
    lines = list(table.lines())
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    texts = [table.title]
    for line in [lines[0], ["-" * width for width in widths], *lines[1:]]:
        first, *others = line
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        texts.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join([*texts, *table.notes])


def _as_markdown(table: Table) -> str:
    header, *rows = (f"| {' | '.join(line)} |" for line in table.lines())
    rule = "| --- |" + " --: |" * (len(table.columns) - 1)
    notes = [f"\n{note}" for note in table.notes]
    return "\n".join([f"**{table.title}**", "", header, rule, *rows, *notes])


def _as_plain(table: Table) -> dict[str, Any]:
    rows = [
        {
            "name": row.name,
            **{
                column: cell._asdict() if isinstance(cell, Figure) else cell
                for column, cell in zip(table.columns[1:], row.cells, strict=True)
            },
        }
        for row in table.rows
    ]
    return {"title": table.title, "rows": rows, "notes": list(table.notes)}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "(absent)"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
