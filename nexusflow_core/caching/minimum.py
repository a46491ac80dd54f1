"""The minimum of tokens that a model caches, from the price book."""

from datetime import datetime

from nexusflow_core.caching.rules import Rules
from nexusflow_core.errors import UnknownModelError
from nexusflow_core.prices import ModelPrices, PriceBook

__all__ = ["Minimums"]

_MAX_REMEMBERED = 1024


class Minimums:
    """Finds models and their minimums in the price book, and remembers the rows."""

    def __init__(self, rules: Rules, book: PriceBook) -> None:
        self._rules, self._book = rules, book
        self._rows: dict[str, ModelPrices | None] = {}

    def model(self, name: str) -> str:
        """Returns the id of a model's price row, so that alias and dated id count as one; else the name."""
        row = self._row(name)
        return name if row is None else row.row.id

    def tokens(self, name: str, at: datetime) -> int:
        """Returns the minimum at a moment, in tokens: from the price book, else from the rules."""
        row = self._row(name)
        found = None if row is None else row.row.min_cacheable(at.date())
        return self._rules.minimum if found is None else found

    def _row(self, name: str) -> ModelPrices | None:
        if name not in self._rows:
            if len(self._rows) >= _MAX_REMEMBERED:
                self._rows.clear()
            try:
                self._rows[name] = self._book.find(name)
            except UnknownModelError:
                self._rows[name] = None
        return self._rows[name]
