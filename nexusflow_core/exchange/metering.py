"""Prices a call by the usage in its answer.

Online a cost never fails: it is unknown, with the reason as a flag.
"""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from nexusflow_core.costing import Cost, cost
from nexusflow_core.costing.amounts import beside_input
from nexusflow_core.dialect import AnswerFacts
from nexusflow_core.errors import InvalidUsageError, UnknownModelError
from nexusflow_core.exchange.outcome import MAX_TEXT, Outcome
from nexusflow_core.prices import PriceBook, usd_text
from nexusflow_core.usage import Usage, read_metered

__all__ = ["CallCost", "cost_of"]


class CallCost(Struct, frozen=True):
    """Amounts in USD as exact decimal text, None if unknown. `row` names the price rows.

    `flags` name reasons why the cost is not certain, such as `unknown_price` and `impossible_usage`.
    """

    usd: str | None = None
    row: str | None = None
    flags: tuple[str, ...] = ()
    cache_saved_usd: str | None = None
    cache_write_extra_usd: str | None = None


_NO_COST = CallCost()


def cost_of(outcome: Outcome, book: PriceBook) -> CallCost:
    """Returns the cost of a call, as far as it is known. Call it after the answer is over."""
    facts, attempt, call = outcome.facts, outcome.attempt, outcome.call
    if facts.usage is None or attempt is None:
        return _NO_COST
    target = attempt.target
    if facts.estimated:
        return CallCost(flags=("estimated_usage",))
    sent = target.model or call.model
    found = _price(
        facts,
        models=((outcome.word(facts.model) or sent)[:MAX_TEXT], sent),
        at=call.started_at,
        vendor=target.upstream.prices,
        partial=not outcome.complete,
        stream=call.stream,
        book=book,
    )
    if call.session.bill_to is None:
        return found
    return replace(found, flags=(*found.flags, f"billed_to_{call.session.bill_to}"))


def _price(
    facts: AnswerFacts,
    *,
    models: Iterable[str],
    at: datetime,
    vendor: str | None,
    partial: bool,
    stream: bool,
    book: PriceBook,
) -> CallCost:
    """Returns the cost of an answer. Its usage has Anthropic's form, merged if it is a `stream`.

    `models`: the answer's model, then the one sent upstream; the first with a price is used. A charge by the
    vendor itself overrides prices.
    """
    billing = facts.billing
    billed = billing.reported_femto_usd if billing is not None else None
    try:
        counts = read_metered(facts.usage or {}, stream=stream)
    except InvalidUsageError:
        if billed is None:
            return CallCost(flags=("impossible_usage",))
        counts = Usage(flags=("impossible_usage",))
    if billing is not None:
        counts = billing.applied(counts)
    listed, why = None, "unknown_price"
    priced = counts if billed is None else replace(counts, reported_femto_usd=None)
    for model in models:
        try:
            listed = cost(
                priced,
                model=model,
                at=at,
                book=book,
                vendor=vendor,
                stop_reason=facts.stop_reason,
                partial=partial,
                endpoint=billing.endpoint if billing is not None else None,
            )
            break
        except UnknownModelError:
            continue
        except InvalidUsageError:
            why = "impossible_usage"
            break
    if billed is not None:
        own = listed if vendor is not None else None  # another vendor's prices cannot check this bill
        flags = (
            counts.flags if own is None or own.femto_usd == billed else (*counts.flags, "list_price_differs")
        )
        return _reported(billed, flags, listed)
    if listed is None:
        return CallCost(flags=(*counts.flags, why))
    return _call_cost(listed, listed.femto_usd, listed.flags)


def _reported(femto: int, flags: tuple[str, ...], listed: Cost | None) -> CallCost:
    """Returns the vendor's charge. Its cache savings are computed from list prices, if there are any."""
    if listed is None:
        return CallCost(usd_text(femto), flags=flags)
    cached = listed.cache_saved_femto_usd or listed.cache_write_extra_femto_usd
    flags += ("cache_at_list_price",) if cached else ()
    return replace(_call_cost(listed, femto, flags), row=None)


def _call_cost(listed: Cost, femto: int, flags: tuple[str, ...]) -> CallCost:
    saved, extra = beside_input(listed.lines)
    return CallCost(usd_text(femto), listed.row or None, flags, usd_text(saved), usd_text(extra))
