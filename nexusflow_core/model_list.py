"""What `GET /v1/models` tells of a model, in Anthropic's shape: from routes, price book and vendor table."""

from datetime import UTC, date, datetime, time
from typing import Any

from nexusflow_core.dialects import DIALECTS
from nexusflow_core.errors import UnknownModel
from nexusflow_core.prices import ModelPrices, PriceBook, usd
from nexusflow_core.routing import Route

__all__ = ["model_info"]

_UNKNOWN_DATE = date(1970, 1, 1)  # what Anthropic itself gives where a release date is not known
_RATES = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")


def model_info(id: str, route: Route, at: datetime, book: PriceBook) -> dict[str, Any]:
    """One model, by the first target of its route. An alias shows the name of the model behind it; what is not
    known of a model is left out."""
    target = route.targets[0]
    model, vendor = target.model or id, target.upstream.prices
    info: dict[str, Any] = {
        "type": "model",
        "id": id,
        "display_name": route.display_name or model,
        "created_at": _timestamp(_UNKNOWN_DATE),
        "lifecycle": "active",
        **_capabilities(route, model),
    }
    try:
        known = book.find(model, vendor)
    except UnknownModel:
        return info
    row = known.row
    return {
        **info,
        "created_at": _timestamp(row.released or _UNKNOWN_DATE),
        "lifecycle": row.status,
        "deprecated_at": _timestamp(row.deprecated_since),
        "retires_at": _timestamp(row.retired_on or row.retires_on),
        "max_input_tokens": row.context_window,
        "max_tokens": row.max_output,
        "price": _price(known, model, vendor, at, book),
    }


def _capabilities(route: Route, model: str) -> dict[str, Any]:
    upstream = route.targets[0].upstream
    found = DIALECTS[upstream.dialect].capabilities(upstream, model)
    return {"capabilities": found} if found is not None else {}


def _price(
    known: ModelPrices, model: str, vendor: str | None, at: datetime, book: PriceBook
) -> dict[str, Any] | None:
    """Dollars per million tokens, exact, of a short prompt at this moment."""
    try:
        price = book.price(model, at, 0, vendor=vendor)
    except UnknownModel:
        return None
    per_million = {name: _per_million(getattr(price, name)) for name in _RATES}
    return {"currency": "USD", "per": 1_000_000, **per_million, "row": price.row, "as_of": known.as_of}


def _per_million(femto: int | None) -> str | None:
    return None if femto is None else f"{usd(femto * 1_000_000):f}"


def _timestamp(day: date | None) -> str | None:
    return None if day is None else datetime.combine(day, time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
