"""cost: the price of one usage, exact to the femto-dollar, with the price row of each part."""

import functools
from datetime import UTC, date, datetime, time
from typing import Any, Literal, overload

from msgspec.structs import replace

from nexusflow_core.costing.amounts import Cost, CostLine
from nexusflow_core.costing.iterations import iterated
from nexusflow_core.errors import InvalidUsageError, UnknownModelError
from nexusflow_core.prices import MAX_PROMPT, OUTPUT_BY_TOTAL, Price, PriceBook, Served, UnitPrice
from nexusflow_core.untyped import moment_of
from nexusflow_core.usage import Usage, exact

__all__ = ["by_the_rules", "cost", "moment_at"]

_BUILTIN = PriceBook.builtin()

_ENDPOINTS = (None, "regional", "global", "us-gov")

_INEXACT = (TypeError, ValueError, ArithmeticError, Warning)
"""Errors of arithmetic with counts that are not Python ints; Warning, since the host may raise numpy's."""

_BY_THE_RULES = (*_INEXACT, AttributeError, UnknownModelError)
"""Errors that end the fast path: an odd `at`, odd counts, an object that is not a Usage, an unknown model."""

_REPORTED_BELOW = 200_000
"""The upper bound, in prompt tokens, of the lower context window in Anthropic's usage report."""


@overload
def cost(
    usage: Usage,
    *,
    model: str,
    at: datetime | date | str,
    book: PriceBook | None = None,
    vendor: str | None = None,
    batch: bool = False,
    endpoint: str | None = None,
    stop_reason: str | None = None,
    explicit_cache: bool = False,
    partial: bool = False,
    many_requests: bool = False,
    unknown: Literal["error"] = "error",
) -> Cost: ...
@overload
def cost(
    usage: Usage,
    *,
    model: str,
    at: datetime | date | str,
    book: PriceBook | None = None,
    vendor: str | None = None,
    batch: bool = False,
    endpoint: str | None = None,
    stop_reason: str | None = None,
    explicit_cache: bool = False,
    partial: bool = False,
    many_requests: bool = False,
    unknown: Literal["none"],
) -> Cost | None: ...
def cost(
    usage: Usage,
    model: str,
    at: datetime | date | str,
    book: PriceBook | None = None,
    vendor: str | None = None,
    batch: bool = False,
    endpoint: str | None = None,
    stop_reason: str | None = None,
    explicit_cache: bool = False,
    partial: bool = False,
    many_requests: bool = False,
    unknown: Literal["error", "none"] = "error",
) -> Cost | None:
    """Returns the cost of `usage` when `model` (the answer's, not an alias) ran at `at`: an aware datetime, a
    UTC day, or either as ISO 8601 text.

    - `vendor`: the vendor whose prices apply; None searches all vendors.
    - `batch`: it ran through a batch API. `endpoint`: "regional", "global" or "us-gov" of a cloud; None reads
      it from the model's id. `explicit_cache`: the cache hit came from markers (Qwen).
    - `many_requests`: the usage is a sum, for example of a day. The lowest tier applies, and `tier_unknown`
      flags that others exist. A prompt beyond the model's window is also treated as a sum.
    - `stop_reason`: Anthropic's refusal without output is free. `partial`: the stream was cut short.
    - `unknown="none"`: returns None for a model without a price, instead of raising.

    Raises UnknownModelError; InvalidUsageError for impossible counts, and for output of a model that has none;
    ValueError or TypeError for a wrong `at` or `endpoint`. Rules: docs/costs.md.
    """
    moment: Any = at
    price: Price | None = None
    flags: tuple[str, ...] = ()
    if book is None:
        book = _BUILTIN
    try:
        flags = usage.flags
        if (  # nearly every usage: then the model's name alone finds its price, in half the time
            ((tier := usage.service_tier) is None or tier == "standard")
            and usage.speed is None
            and ((geo := usage.inference_geo) is None or geo == "not_available" or geo == "global")
            and endpoint is None
            and (stop_reason is None or usage.output_tokens)
            and not (batch or partial or many_requests or usage.iterations or usage.assumed_5m_tokens)
            and usage.prompt_above is None
            and usage.reported_femto_usd is None
        ):
            served = book.plainly[model]
            if moment <= served.plain_until and (vendor is None or vendor == served.prices.vendor):
                price = served.always
                if price is None and not usage.web_searches:
                    size = usage.input_tokens + usage.cache_read_tokens  # faster than `prompt_tokens`
                    size += usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
                    if size <= served.window:
                        price = served.price(moment, size)
    except _BY_THE_RULES:  # the fast path does not cover this usage: the rules below price it
        pass
    if price is None:
        usage = exact(usage)
        try:
            found = by_the_rules(
                usage,
                model,
                at,
                book,
                vendor,
                batch,
                endpoint,
                stop_reason,
                explicit_cache,
                partial,
                many_requests,
            )
        except UnknownModelError:
            if unknown == "none":
                return None
            raise
        if isinstance(found, Cost):
            return found
        usage, price, flags = found
    try:
        total, rates = 0, price.rates
        lines: list[CostLine] = []
        if (tokens := usage.input_tokens) > 0:
            rate = rates.input
            lines.append(CostLine(tokens, rate))
            total = tokens * rate.units
        elif tokens:
            raise ValueError
        if (tokens := usage.cache_read_tokens) > 0:
            rate = rates.cache_read
            lines.append(CostLine(tokens, rate))
            total += tokens * rate.units
        elif tokens:
            raise ValueError
        if (tokens := usage.cache_write_5m_tokens) > 0:
            rate = rates.cache_write_5m
            lines.append(CostLine(tokens, rate))
            total += tokens * rate.units
        elif tokens:
            raise ValueError
        if (tokens := usage.cache_write_1h_tokens) > 0:
            rate = rates.cache_write_1h
            lines.append(CostLine(tokens, rate))
            total += tokens * rate.units
        elif tokens:
            raise ValueError
        if (tokens := usage.output_tokens) > 0:
            if (output := rates.output) is None:
                raise InvalidUsageError(
                    f"impossible usage: {tokens} output tokens, but {price.row} has no output"
                )
            lines.append(CostLine(tokens, output))
            total += tokens * output.units
        elif tokens:
            raise ValueError
        if type(total) is not int:
            raise TypeError
        total *= rates.unit
        if price.flags:
            flags += price.flags
        if searches := usage.web_searches:
            if type(searches) is not int or searches < 0:
                raise TypeError
            if (fee := rates.web_search) is None:
                flags += ("unpriced_web_search",)
            else:
                lines.append(CostLine(searches, fee))
                total += searches * fee.femto_usd
        return Cost(total, lines, flags)
    except _INEXACT:
        counted = exact(usage)  # converts integers of other libraries, or names the count that is not one
        if counted is usage:
            raise
        terms: Any = {"book": book, "vendor": vendor, "batch": batch, "endpoint": endpoint}
        terms |= {"stop_reason": stop_reason, "explicit_cache": explicit_cache, "partial": partial}
        terms["many_requests"] = many_requests
        return cost(counted, model=model, at=at, unknown=unknown, **terms)


def by_the_rules(
    usage: Usage,
    model: str,
    at: datetime | date | str,
    book: PriceBook,
    vendor: str | None,
    batch: bool,
    endpoint: str | None,
    stop_reason: str | None,
    explicit_cache: bool,
    partial: bool,
    many_requests: bool,
) -> tuple[Usage, Price, tuple[str, ...]] | Cost:
    """Returns the usage to charge, its price and flags; or the whole cost, if it is already known."""
    if endpoint not in _ENDPOINTS:
        raise ValueError(f"endpoint: {endpoint!r} is not 'regional', 'global' or 'us-gov'")
    if not isinstance(model, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # untyped callers
        raise UnknownModelError(f"no price is known for {repr(model)[:40]}: `model` must be a string")
    when, flags = moment_at(at), usage.flags
    if (bill := usage.reported_femto_usd) is not None:  # the vendor's own charge overrides any price
        return Cost(bill, [CostLine(1, UnitPrice("provider_reported", bill))], flags)
    if partial and "partial_usage" not in flags:
        flags += ("partial_usage",)
    explicit, thought = explicit_cache or usage.explicit_cache, usage.thinking or usage.reasoning_tokens > 0
    terms = batch, usage.service_tier, usage.speed, usage.inference_geo, endpoint, explicit, thought
    served = book.served[model, vendor, *terms]
    if usage.uncounted_tokens and served.prices.vendor in OUTPUT_BY_TOTAL:
        usage = replace(usage, output_tokens=usage.output_tokens + usage.uncounted_tokens, uncounted_tokens=0)
        flags = tuple(flag for flag in flags if flag != "total_differs")
    flags += served.doubts(when)
    refused = stop_reason == "refusal" and not usage.output_tokens and served.prices.vendor == "anthropic"
    if usage.iterations:
        if usage.assumed_5m_tokens:
            flags = ("cache_write_assumed_5m", *flags)
        own = functools.partial(
            cost,
            model=model,
            at=when,
            book=book,
            vendor=vendor,
            batch=batch,
            endpoint=endpoint,
            explicit_cache=explicit_cache,
        )

        def theirs(counts: Usage, other: str) -> Cost:
            return cost(counts, model=other, at=when, book=book, vendor=served.prices.vendor)

        return iterated(usage, served, own, theirs, flags, model=model, at=when, book=book, refused=refused)
    price, doubts = _summed(served, when) if many_requests else _tiered(usage, served, when)
    flags += doubts
    if usage.assumed_5m_tokens and price.cache_write_1h != price.cache_write_5m:
        flags = ("cache_write_assumed_5m", *flags)
    if refused:
        return Cost(0, [], (*flags, "refusal_free"))
    return usage, price, flags


def moment_at(at: datetime | date | str) -> datetime:
    """Returns `at` as an aware datetime. Raises ValueError or TypeError."""
    if isinstance(at, str):
        try:
            return moment_of(at)
        except ValueError as error:
            raise ValueError(f"at: {error}") from None
    if not isinstance(at, date):  # pyright: ignore[reportUnnecessaryIsInstance]  # untyped callers
        raise TypeError(f"at: got a {type(at).__name__}; give a datetime, a UTC date or ISO 8601 text")
    moment = at if isinstance(at, datetime) else datetime.combine(at, time(), UTC)
    if moment.tzinfo is None:
        raise ValueError("at: the datetime has no time zone; give an aware one")
    return moment


def _summed(served: Served, at: datetime) -> tuple[Price, tuple[str, ...]]:
    """Returns price and flags of a sum over many requests: their sizes and hours are unknown."""
    price = served.price(at, 0)
    flags = (
        ("many_requests", "tier_unknown") if served.price(at, MAX_PROMPT) is not price else ("many_requests",)
    )
    return price, (*flags, "hours_unknown") if served.by_hour else flags


def _tiered(usage: Usage, served: Served, at: datetime) -> tuple[Price, tuple[str, ...]]:
    """Returns the price for the prompt's size, and a flag if that size is uncertain.

    A row of a report may lack it, and the server's own tools add up the prompts of several calls.
    """
    if usage.prompt_above is None:
        size = usage.prompt_tokens
        if size > served.window:  # no single request has a prompt this long
            price = served.price(at, 0)
            return price, ("tier_unknown",) if served.price(at, size) is not price else ()
        price = served.price(at, size)
        return price, ("tier_unknown",) if usage.web_searches and served.price(at, 0) is not price else ()
    price = served.price(at, usage.prompt_above + 1)
    one_tier = usage.prompt_above > 0 or served.price(at, _REPORTED_BELOW) is price
    return price, () if one_tier or "tier_unknown" in usage.flags else ("tier_unknown",)
