"""`nexusflow cost --html FILE`: the report as one HTML page."""

from collections.abc import Iterator
from html import escape

from nexusflow_asgi.cli.chart import AXES, MOST_BARS, Bar, legend, stacked, thousands
from nexusflow_asgi.cli.html import document, dollars, numbers, table, text
from nexusflow_core.costing.amounts import meaning
from nexusflow_core.logs.report import CostReport, Day
from nexusflow_core.logs.summary import Totals
from nexusflow_core.prices import FEMTO_PER_USD

__all__ = ["COLOURS", "by_day", "page", "spent_models"]

_MODELS = 6
_SESSIONS = 20
_ROWS = 50
_FILLS = "#3b7dd8 #e0a030 #2f8f83 #c2485b #8d6cc9 #6b9e3f #8a939b".split()
COLOURS = "".join(f" .m{number} {{ fill: {fill} }}" for number, fill in enumerate(_FILLS)) + AXES
"""Styles of the chart, for a light and a dark background."""

_CLASSES = {
    "input": "input, not cached",
    "cache_read": "read from the cache",
    "cache_write_5m": "written for 5 minutes",
    "cache_write_1h": "written for 1 hour",
    "output": "output",
    "web_search": "web searches",
    "provider_reported": "the vendor's own bill",
}


def page(report: CostReport, *, skipped: int = 0) -> str:
    """Returns the whole page. Texts from logs are escaped. `skipped`: values of the logs that were no calls."""
    total = report.total()
    if skipped and not total.calls:
        total.unknown = True
    parts = [
        f"<h1>What the calls cost</h1><p>{_sample(report, total, skipped)}</p>",
        numbers(_numbers(total)),
        *_by_day(report),
        *_by_model(report),
        *_by_class(report),
        *_sessions(report),
        *_unpriced(report),
        *_flags(total),
        "<p><small>saved: by cache reads, against the price of input. extra: paid for cache writes above it.",
        "wasted: the part of extra in sessions without any cache read. All in US dollars.</small></p>",
    ]
    return document("What the calls cost", parts, styles=COLOURS)


def _sample(report: CostReport, total: Totals, skipped: int) -> str:
    days = report.days([], MOST_BARS)
    when = f", from {days[0].first} to {days[-1].last}" if days and days[0].first else ""
    what = "value of the logs is" if skipped == 1 else "values of the logs are"
    left_out = f" {skipped:,} {what} unreadable and in no sum." if skipped else ""
    return f"{total.calls:,} call{'' if total.calls == 1 else 's'}{when}.{left_out}"


def _numbers(total: Totals) -> dict[str, str]:
    written = total.cache_write_5m_tokens + total.cache_write_1h_tokens
    prompt = total.input_tokens + total.cache_read_tokens + written
    values = {"spent": _spent(total)}
    if total.unpriced:
        values["calls without a known cost"] = f"{total.unpriced:,}"
    return values | {
        "read from the cache": f"{total.cache_read_tokens / prompt:.0%}" if prompt else "-",
        "saved by the cache": _amount(total, total.saved_femto_usd),
        "extra for writes": _amount(total, total.extra_femto_usd),
        "wasted writes": _amount(total, total.wasted_femto_usd),
    }


def _spent(totals: Totals) -> str:
    known = totals.known_femto_usd
    return "unknown" if known is None else dollars(known) + (" + unknown" if totals.unpriced else "")


def _amount(totals: Totals, femto_usd: int) -> str:
    return "unknown" if totals.known_femto_usd is None else dollars(femto_usd)


def spent_models(report: CostReport) -> list[str]:
    """Returns the models that have a colour of their own in the chart: the most expensive ones."""
    return [name for name, totals in report.models() if totals.femto_usd][:_MODELS]


def _by_day(report: CostReport) -> Iterator[str]:
    models = spent_models(report)
    days = report.days(models, MOST_BARS)
    if models and days[0].first:
        names = {f"m{number}": text(model) for number, model in enumerate(models)}
        if any(day.femto_usd[-1] for day in days):
            names[f"m{len(models)}"] = "other models"
        yield f"<h2>Spent by day and model</h2>{legend(names)}"
        yield by_day(report, MOST_BARS)


def by_day(report: CostReport, most_bars: int) -> str:
    """Returns the chart: a bar per day, or per several neighbours, and in it a part per model."""
    models = spent_models(report)
    days = report.days(models, most_bars)
    words = [*map(text, models), "other models"]
    bars = [Bar(_on(day, words), day.femto_usd) for day in days]
    return stacked(
        bars,
        [f"m{number}" for number in range(len(words))],
        title="Spent by day",
        most=max(sum(bar.heights) for bar in bars),
        label=_label,
        first=days[0].first,
        last=days[-1].last,
    )


def _label(femto_usd: int) -> str:
    """Returns dollars for a scale, which has little room."""
    cents = femto_usd * 100 // FEMTO_PER_USD
    if cents < 10:
        return dollars(femto_usd)
    return f"${cents // 100}.{cents % 100:02d}" if cents < 10_000 else f"${thousands(cents // 100)}"


def _on(day: Day, words: list[str]) -> str:
    when = day.first if day.first == day.last else f"{day.first} to {day.last}"
    spent = [f"{name} {dollars(it)}" for name, it in zip(words, day.femto_usd, strict=False) if it]
    return f"{when}: {', '.join(spent) or 'nothing'}"


def _by_model(report: CostReport) -> Iterator[str]:
    listed = report.models()
    heads = ["model", "calls", "input", "cache read", "written", "output", "cost", "saved"]
    rows = ([text(model) or "(none)", *_cells(totals)] for model, totals in listed[:_ROWS])
    if listed:
        yield from table("By model", heads, rows, more=len(listed) - _ROWS)


def _cells(totals: Totals) -> list[str]:
    written = totals.cache_write_5m_tokens + totals.cache_write_1h_tokens
    counts = totals.input_tokens, totals.cache_read_tokens, written, totals.output_tokens
    tokens = [f'<span title="{count:,}">{thousands(count)}</span>' for count in counts]
    return [f"{totals.calls:,}", *tokens, _spent(totals), _amount(totals, totals.saved_femto_usd)]


def _by_class(report: CostReport) -> Iterator[str]:
    spent = sum(it.femto_usd for it in report.classes.values())
    found = [(words, report.classes[name]) for name, words in _CLASSES.items() if name in report.classes]
    if not found:
        return
    most = max(it.femto_usd for _, it in found)
    rows = [
        [
            words,
            f"{it.tokens:,}",
            dollars(it.femto_usd),
            f"{it.femto_usd / spent:.1%}" if spent else "-",
            _line(it.femto_usd, most),
        ]
        for words, it in found
    ]
    yield from table("Tokens by class", ["class", "tokens", "cost", "share", ""], rows)


def _line(femto_usd: int, most: int) -> str:
    """Returns a bar in a cell."""
    wide = 120 * femto_usd / max(1, most)
    return (
        '<svg width="120" height="12" aria-hidden="true">'
        f'<rect class="m0" width="{max(0.0, wide):.1f}" height="12"/></svg>'
    )


def _sessions(report: CostReport) -> Iterator[str]:
    listed = [group for group in report.sessions.groups() if group.values[0] is not None]
    heads = ["session", "calls", "input", "cache read", "written", "output", "cost", "saved", "wasted"]
    rows = (
        [
            f'<span title="{text(group.values[0] or "")}">{text(group.values[0] or "")}</span>',
            *_cells(group.totals),
            _amount(group.totals, group.totals.wasted_femto_usd),
        ]
        for group in listed[:_SESSIONS]
    )
    if listed:
        yield from table("The most expensive sessions", heads, rows, more=len(listed) - _SESSIONS)


def _unpriced(report: CostReport) -> Iterator[str]:
    listed = sorted(report.unpriced.items(), key=lambda it: (-it[1].calls, it[0]))
    rows = ([text(model), f"{it.calls:,}", f"{it.tokens:,}", text(it.why)] for model, it in listed[:_ROWS])
    if listed:
        heads = ["model", "calls", "tokens", "why"]
        yield from table("Without a known cost", heads, rows, more=len(listed) - _ROWS, words=True)


def _flags(total: Totals) -> Iterator[str]:
    listed = sorted(total.flags.items(), key=lambda it: (-it[1], it[0]))
    rows = ([f"<code>{text(name)}</code>", f"{count:,}", escape(meaning(name))] for name, count in listed)
    if listed:
        yield from table("Why a cost is not certain", ["flag", "calls", "what it means"], rows, words=True)
