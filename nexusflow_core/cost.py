"""cost: what one usage cost, to the femto-dollar, and which price row made each part of it."""

import functools
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Literal, overload

from msgspec import Struct
from msgspec.structs import replace

from nexusflow_core.errors import InvalidUsage, UnknownModel
from nexusflow_core.prices import Price, PriceBook, Rate, Served, usd
from nexusflow_core.usage import Iteration, Usage

__all__ = ["Cost", "Line", "cost"]

_BUILTIN = PriceBook.builtin()

_TERMS = ("service_tier", "speed", "inference_geo", "reasoning_tokens", "explicit_cache", "thinking")
"""What a usage says of its terms: they hold for every call of the message's own model in it."""

_REPORTED_BELOW = 200_000
"""Where the lower of the usage report's two context windows ends."""


class Line(Struct, frozen=True, gc=False):
    """One part of a cost: so many tokens (or requests) of a bucket, at a rate, by a price row."""

    tokens: int
    by: Rate
    """What each of them costs, and why. What the vendor itself billed has no row and no layer: both are ""."""

    @property
    def bucket(self) -> str:
        return self.by.bucket

    @property
    def rate(self) -> int:
        """Femto-dollars, 10^-15 USD, for each of them."""
        return self.by.femto_usd

    @property
    def row(self) -> str:
        """The price row: `anthropic/claude-opus-4-7`."""
        return self.by.row

    @property
    def layer(self) -> str:
        """Where that row stands: `builtin`, or what the user's prices were called."""
        return self.by.layer

    @property
    def femto_usd(self) -> int:
        return self.tokens * self.by.femto_usd

    @property
    def usd(self) -> Decimal:
        return usd(self.femto_usd)


class Cost(Struct, frozen=True, gc=False):
    """An exact amount. `lines` add up to it; `flags` name what makes it less than certain."""

    femto_usd: int
    lines: Sequence[Line] = []
    flags: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash((self.femto_usd, tuple(self.lines), self.flags))

    @property
    def usd(self) -> Decimal:
        """Dollars, exact: `Decimal('0.06275')`."""
        return usd(self.femto_usd)

    @property
    def row(self) -> str:
        """The price rows that made it, each once, joined by a space."""
        return " ".join(dict.fromkeys(line.row for line in self.lines if line.row))

    @property
    def cache_saved_femto_usd(self) -> int:
        """What cache reads would have cost as input, less what they did cost; nothing is known of a vendor's
        own bill."""
        return -self._beside_input("cache_read")

    @property
    def cache_write_extra_femto_usd(self) -> int:
        """What cache writes cost, less what they would have cost as input."""
        return self._beside_input("cache_write_5m", "cache_write_1h")

    def _beside_input(self, *buckets: str) -> int:
        return sum(
            line.tokens * (line.by.femto_usd - line.by.as_input)
            for line in self.lines
            if line.by.as_input is not None and line.bucket in buckets
        )


@overload
def cost(
    usage: Usage,
    *,
    model: str,
    at: datetime | date,
    book: PriceBook | None = None,
    vendor: str | None = None,
    batch: bool = False,
    endpoint: str | None = None,
    stop_reason: str | None = None,
    explicit_cache: bool = False,
    partial: bool = False,
    unknown: Literal["error"] = "error",
) -> Cost: ...
@overload
def cost(
    usage: Usage,
    *,
    model: str,
    at: datetime | date,
    book: PriceBook | None = None,
    vendor: str | None = None,
    batch: bool = False,
    endpoint: str | None = None,
    stop_reason: str | None = None,
    explicit_cache: bool = False,
    partial: bool = False,
    unknown: Literal["none"],
) -> Cost | None: ...
def cost(
    usage: Usage,
    model: str,
    at: datetime | date,
    book: PriceBook | None = None,
    vendor: str | None = None,
    batch: bool = False,
    endpoint: str | None = None,
    stop_reason: str | None = None,
    explicit_cache: bool = False,
    partial: bool = False,
    unknown: Literal["error", "none"] = "error",
) -> Cost | None:
    """What `usage` cost when `model` (of the answer, not an alias) ran at `at`, an aware datetime or a UTC day.

    - `vendor`: whose row; None looks through all of them.
    - `batch`: it ran through a batch API. `endpoint`: "regional" or "global" on Bedrock and Vertex; None reads
      it from the id. `explicit_cache`: the cache hit came from markers (Qwen).
    - `stop_reason`: a refusal of Anthropic's without output is free. `partial`: the stream was cut short.
    - `unknown="none"`: None for a model without a price, instead of raising.

    Raises UnknownModel, or InvalidUsage for output of a model that has none. Rules and their sources: README.
    """
    moment: Any = at
    price: Price | None = None
    flags = usage.flags
    if book is None:
        book = _BUILTIN
    if (  # as nearly every usage is: then the model's name alone finds its price, in half the time
        vendor is None
        and ((tier := usage.service_tier) is None or tier == "standard")
        and usage.speed is None
        and ((geo := usage.inference_geo) is None or geo == "not_available" or geo == "global")
        and endpoint is None
        and (stop_reason is None or usage.output_tokens)
        and not (batch or partial or usage.iterations or usage.assumed_5m_tokens)
        and usage.prompt_above is None
        and usage.reported_femto_usd is None
    ):
        try:
            served = book.plainly[model]
            if moment <= served.plain_until:
                price = served.always or served.price(moment, usage.prompt_tokens)
        except (TypeError, UnknownModel):  # a day, or a time without its zone; no such model
            pass
    if price is None:
        try:
            found = _by_the_rules(
                usage, model, at, book, vendor, batch, endpoint, stop_reason, explicit_cache, partial
            )
        except UnknownModel:
            if unknown == "none":
                return None
            raise
        if isinstance(found, Cost):
            return found
        price, flags = found
    if price.flags:
        flags += price.flags
    total, rates = 0, price.rates
    lines: list[Line] = []
    if tokens := usage.input_tokens:
        rate = rates.input
        lines.append(Line(tokens, rate))
        total = tokens * rate.units
    if tokens := usage.cache_read_tokens:
        rate = rates.cache_read
        lines.append(Line(tokens, rate))
        total += tokens * rate.units
    if tokens := usage.cache_write_5m_tokens:
        rate = rates.cache_write_5m
        lines.append(Line(tokens, rate))
        total += tokens * rate.units
    if tokens := usage.cache_write_1h_tokens:
        rate = rates.cache_write_1h
        lines.append(Line(tokens, rate))
        total += tokens * rate.units
    if tokens := usage.output_tokens:
        if (output := rates.output) is None:
            raise InvalidUsage(f"impossible usage: {tokens} output tokens, and {price.row} has no output")
        lines.append(Line(tokens, output))
        total += tokens * output.units
    total *= rates.unit
    if searches := usage.web_searches:
        if (fee := rates.web_search) is None:
            flags += ("unpriced_web_search",)
        else:
            lines.append(Line(searches, fee))
            total += searches * fee.femto_usd
    return Cost(total, lines, flags)


def _by_the_rules(
    usage: Usage,
    model: str,
    at: datetime | date,
    book: PriceBook,
    vendor: str | None,
    batch: bool,
    endpoint: str | None,
    stop_reason: str | None,
    explicit_cache: bool,
    partial: bool,
) -> tuple[Price, tuple[str, ...]] | Cost:
    """The price of any usage, and flags; the whole cost where it is not simply its counts at one price."""
    when, flags = _moment(at), usage.flags
    if (bill := usage.reported_femto_usd) is not None:  # the vendor's own wins over any table
        return Cost(bill, [Line(1, Rate("provider_reported", bill))], flags)
    if partial:
        flags += ("partial_usage",)
    explicit, thought = explicit_cache or usage.explicit_cache, usage.thinking or usage.reasoning_tokens > 0
    terms = batch, usage.service_tier, usage.speed, usage.inference_geo, endpoint, explicit, thought
    served = book.served[model, vendor, *terms]
    flags += served.doubts(when)
    refused = stop_reason == "refusal" and not usage.output_tokens and served.prices.vendor == "anthropic"
    if usage.iterations:
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
        return _iterated(usage, model, when, book, served, own, flags, refused)
    price, doubts = _tiered(usage, served, when)
    flags += doubts
    if usage.assumed_5m_tokens and price.cache_write_1h != price.cache_write_5m:
        flags = ("cache_write_assumed_5m", *flags)
    if refused:
        return Cost(0, [], (*flags, "refusal_free"))
    return price, flags


def _moment(at: datetime | date) -> datetime:
    moment = at if isinstance(at, datetime) else datetime.combine(at, time(), UTC)
    if moment.tzinfo is None:
        raise ValueError("at: a datetime needs its time zone")
    return moment


def _tiered(usage: Usage, served: Served, at: datetime) -> tuple[Price, tuple[str, ...]]:
    """The price by the size of the prompt, and a flag where a report's row does not tell the size."""
    if usage.prompt_above is None:
        return served.price(at, usage.prompt_tokens), ()
    price = served.price(at, usage.prompt_above + 1)
    one_tier = usage.prompt_above > 0 or served.price(at, _REPORTED_BELOW) is price
    return price, () if one_tier or "tier_unknown" in usage.flags else ("tier_unknown",)


def _iterated(
    usage: Usage,
    model: str,
    at: datetime,
    book: PriceBook,
    served: Served,
    own: Callable[[Usage], Cost],
    flags: tuple[str, ...],
    refused: bool,
) -> Cost:
    """Each model call at its own model's price, and web searches once, beside them. `own` prices what the
    message's own model did, on the message's terms."""
    if usage.assumed_5m_tokens:
        flags = ("cache_write_assumed_5m", *flags)
    terms = {name: getattr(usage, name) for name in _TERMS}
    parts: list[Cost] = []
    for step in usage.iterations:
        other = None if _is_own(step.model, model, served, book) else step.model
        if not step.output_tokens and (refused or other is not None):
            flags += ("declined_attempt_free",)  # declined before it said anything
        elif other is None:
            parts.append(own(replace(_counts(step), **terms)))
        else:
            if served.varied:  # whether batch and the like hold for another model's part is not documented
                flags += ("other_model_at_plain_terms",)
            parts.append(cost(_counts(step), model=other, at=at, book=book, vendor=served.prices.vendor))
    if usage.web_searches:
        parts.append(own(Usage(web_searches=usage.web_searches, **terms)))
    flags += tuple(flag for part in parts for flag in part.flags)
    lines = [line for part in parts for line in part.lines]
    return Cost(sum(part.femto_usd for part in parts), lines, tuple(dict.fromkeys(flags)))


def _counts(step: Iteration) -> Usage:
    return Usage(
        input_tokens=step.input_tokens,
        cache_read_tokens=step.cache_read_tokens,
        cache_write_5m_tokens=step.cache_write_5m_tokens,
        cache_write_1h_tokens=step.cache_write_1h_tokens,
        output_tokens=step.output_tokens,
    )


def _is_own(name: str | None, model: str, served: Served, book: PriceBook) -> bool:
    """Whether an iteration's model is the message's own, by whatever name."""
    if name is None or name == model:
        return True
    try:
        return book.find(name, served.prices.vendor) is served.prices
    except UnknownModel:
        return False
