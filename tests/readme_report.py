"""docs/report.svg: the chart of `nexusflow cost --html`, drawn by its own code from example calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from nexusflow_asgi.cli.chart import MOST_BARS
from nexusflow_asgi.cli.cost.page import COLOURS, by_day, spent_models
from nexusflow_core import Usage
from nexusflow_core.logs import Entry, Pricer
from nexusflow_core.logs.report import CostReport

PICTURE = Path(__file__).parent.parent / "docs" / "report.svg"
START = datetime(2026, 10, 20, 8, tzinfo=UTC)
MODELS = ("claude-opus-5", "claude-sonnet-5-5", "claude-haiku-4-5", "gpt-6-sol", "acme-large")


def example() -> CostReport:
    """Returns a report of some weeks: fewer calls at the end of each, and one model without a price."""
    report, pricer = CostReport(), Pricer()
    for number in range(900):
        day, model = number * 7 % 34, MODELS[number * 3 % 8 % 5]
        at = START + timedelta(day, minutes=number)
        if at.weekday() > 4 and number % 4:
            continue
        size, cached = 400 + number * 37 % 3000, model.startswith("claude")
        usage = Usage(
            input_tokens=size,
            cache_read_tokens=cached * (number * 997 % 150_000),
            cache_write_5m_tokens=cached * size,
            output_tokens=200 + number * 53 % 2500,
        )
        session = f"{number % 40:08x}-6f0e-4f6e-9a51-0c8a4b7d2e90"
        entry = Entry(models=(model,), at=at, usage=usage, session=session, partial=number % 90 == 0)
        report.add(entry, pricer.price(entry))
    return report


def picture() -> str:
    """Returns the chart of the example with its legend, as one SVG."""
    report = example()
    names = spent_models(report)
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 236" font-family="system-ui, sans-serif">',
        f"<style>svg {{ color: #1c2126; background: #fff }}{COLOURS} text {{ fill: currentColor }}",
        "@media (prefers-color-scheme: dark) { svg { color: #e4e8ec; background: #14181c } }</style>",
        by_day(report, MOST_BARS).replace("<svg ", '<svg x="0" y="30" width="720" height="200" ', 1),
    ]
    for number, name in enumerate(names):
        left = 72 + 165 * number
        parts.append(f'<rect class="m{number}" x="{left}" y="6" width="12" height="12"/>')
        parts.append(f'<text x="{left + 18}" y="17" font-size="13">{name}</text>')
    return "".join([*parts, "</svg>\n"])
