"""The models of `GET /v1/models` in Anthropic's shape, from routes, price book and vendor table."""

from datetime import UTC, date, datetime, time
from typing import Any

from nexusflow_core.dialects import DIALECTS
from nexusflow_core.errors import UnknownModelError
from nexusflow_core.prices import ModelPrices, PriceBook, usd
from nexusflow_core.prices.rows import ModelRow
from nexusflow_core.routing import ModelRoute

__all__ = ["Listed"]

_UNKNOWN_DATE = date(1970, 1, 1)  # Anthropic uses it for an unknown release date
_RATES = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")


class Listed:
    """One model of the list, by the first target of its route. An alias shows the name of its model.

    Unknown facts are left out.
    """

    def __init__(self, id: str, route: ModelRoute, book: PriceBook) -> None:
        target = route.targets[0]
        self._model, self._vendor = target.model or id, target.upstream.prices
        self._book = book
        self._known = _known(book, self._model, self._vendor)
        if self._known is None and target.upstream.door is not None:
            self._model = id  # a deployment's name, or an ARN, names no model
            self._known = _known(book, id, self._vendor)
        self._info: dict[str, Any] = {
            "type": "model",
            "id": id,
            "display_name": route.display_name or self._model,
            "created_at": _timestamp(_UNKNOWN_DATE),
            "lifecycle": "active",
            **_capabilities(route, self._model),
            **(_facts(self._known.row) if self._known is not None else {}),
        }

    def info(self, at: datetime) -> dict[str, Any]:
        """Returns the model in Anthropic's shape, with its price at `at`: strings, numbers, dicts or None."""
        if self._known is None:
            return dict(self._info)
        return {**self._info, "price": _price(self._known, self._model, self._vendor, at, self._book)}


def _known(book: PriceBook, model: str, vendor: str | None) -> ModelPrices | None:
    try:
        return book.find(model, vendor)
    except UnknownModelError:
        return None


def _facts(row: ModelRow) -> dict[str, Any]:
    return {
        "created_at": _timestamp(row.released or _UNKNOWN_DATE),
        "lifecycle": row.status,
        "deprecated_at": _timestamp(row.deprecated_since),
        "retires_at": _timestamp(row.retired_on or row.retires_on),
        "max_input_tokens": row.context_window,
        "max_tokens": row.max_output,
    }


def _capabilities(route: ModelRoute, model: str) -> dict[str, Any]:
    upstream = route.targets[0].upstream
    found = DIALECTS[upstream.dialect].capabilities(upstream, model)
    return {"capabilities": found} if found is not None else {}


def _price(
    known: ModelPrices, model: str, vendor: str | None, at: datetime, book: PriceBook
) -> dict[str, Any] | None:
    """Returns the price of a short prompt at `at`, as exact text in USD per million tokens, or None."""
    try:
        price = book.price(model, at, 0, vendor=vendor)
    except UnknownModelError:
        return None
    per_million = {name: _per_million(getattr(price, name)) for name in _RATES}
    return {"currency": "USD", "per": 1_000_000, **per_million, "row": price.row, "as_of": known.as_of}


def _per_million(femto: int | None) -> str | None:
    return None if femto is None else f"{usd(femto * 1_000_000):f}"


def _timestamp(day: date | None) -> str | None:
    return None if day is None else datetime.combine(day, time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
