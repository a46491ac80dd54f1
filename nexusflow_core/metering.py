"""What a call cost, from the usage that its answer reported.

Online a cost never fails: it is unknown, and says why.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from nexusflow_core.cost import cost
from nexusflow_core.errors import InvalidUsage, UnknownModel
from nexusflow_core.prices import PriceBook
from nexusflow_core.usage import Usage

__all__ = ["CallCost", "price_call"]


class CallCost(Struct, frozen=True):
    """`usd` is exact decimal text, None where it is not known; `row` names the price rows; `flags` say what
    is uncertain, `unknown_price` and `impossible_usage` among them."""

    usd: str | None = None
    row: str | None = None
    flags: tuple[str, ...] = ()


def price_call(
    usage: Mapping[str, Any],
    *,
    models: Iterable[str],
    at: datetime,
    vendor: str | None,
    partial: bool,
    stop_reason: str | None,
    book: PriceBook,
) -> CallCost:
    """The cost of an answer with this usage, in Anthropic's form. `models`: the one that the answer names,
    then the one that was sent; the first with a price counts."""
    try:
        counts = Usage.from_wire(usage, wire="anthropic")
    except InvalidUsage:
        return CallCost(flags=("impossible_usage",))
    for model in models:
        try:
            found = cost(
                counts, model=model, at=at, book=book, vendor=vendor, stop_reason=stop_reason, partial=partial
            )
        except UnknownModel:
            continue
        except InvalidUsage:
            return CallCost(flags=("impossible_usage",))
        return CallCost(f"{found.usd:f}", found.row or None, found.flags)
    return CallCost(flags=("unknown_price",))
