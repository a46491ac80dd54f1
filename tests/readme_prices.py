"""The built-in prices as docs/prices.md shows them: those in force on the day the book was last compared."""

from datetime import date

from nexusflow_core import ModelPrices, PriceBook
from nexusflow_core.prices.rows import Period


def prices_table() -> str:
    """Returns a table for each vendor: its active models, what they cost, and since when."""
    book = PriceBook.builtin()
    day = book.as_of
    assert day is not None
    models = [model for model in book.models() if model.row.status == "active"]
    parts = [f"In force on {day}, in USD per million tokens. A dash: no price of its own."]
    for vendor in dict.fromkeys(model.vendor for model in models):
        lines = [f"### {vendor}", "", "| model | input | output | cache read | write 5m | write 1h | since |"]
        lines.append("| --- | --: | --: | --: | --: | --: | --- |")
        lines += [line for model in models if model.vendor == vendor for line in _lines(model, day)]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _lines(model: ModelPrices, day: date) -> list[str]:
    """Returns a line for each tier of the period in force; none without such a period."""
    for period in model.row.periods:
        if (period.start or date.min) <= day < (period.until or date.max):
            return _tiers(model, period)
    return []


def _tiers(model: ModelPrices, period: Period) -> list[str]:
    lines = []
    for tier in period.tiers:
        name = f"`{model.row.id}`" + (f", over {tier.above:,} tokens" if tier.above else "")
        prices = (tier.input, tier.output, tier.cache_read, tier.cache_write_5m, tier.cache_write_1h)
        cells = [price or "-" for price in prices]
        lines.append(f"| {name} | {' | '.join(cells)} | {period.start or 'the beginning'} |")
    return lines
