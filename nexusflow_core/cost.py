"""cost: what one usage cost, to the femto-dollar, and which price row made each part of it."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Literal, overload

from msgspec import Struct

from nexusflow_core.errors import InvalidUsage, UnknownModel
from nexusflow_core.prices import Price, PriceBook, Served, usd
from nexusflow_core.usage import Iteration, Usage

__all__ = ["Cost", "Line", "cost"]

_BUILTIN = PriceBook.builtin()

_REPORTED_BELOW = 200_000
"""Where the lower of the usage report's two context windows ends."""


class Line(Struct, frozen=True, gc=False):
    """One part of a cost: so many tokens (or requests) of a bucket, at a rate, by a price row.

    `rate` is femto-dollars, 10^-15 USD, for each of them. `price` is None for what the vendor itself billed.
    """

    bucket: str
    tokens: int
    rate: int
    price: Price | None = None

    @property
    def femto_usd(self) -> int:
        return self.tokens * self.rate

    @property
    def usd(self) -> Decimal:
        return usd(self.femto_usd)

    @property
    def row(self) -> str:
        """The price row: `anthropic/claude-opus-4-7`; "" for what the vendor itself billed."""
        return self.price.row if self.price is not None else ""


class Cost(Struct, frozen=True, gc=False):
    """An exact amount. `lines` add up to it; `flags` name what makes it less than certain."""

    femto_usd: int
    lines: tuple[Line, ...] = ()
    flags: tuple[str, ...] = ()

    @property
    def usd(self) -> Decimal:
        """Dollars, exact: `Decimal('0.06275')`."""
        return usd(self.femto_usd)

    @property
    def row(self) -> str:
        """The price rows that made it, each once, joined by a space."""
        return " ".join(dict.fromkeys(line.row for line in self.lines if line.price is not None))

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
            line.femto_usd - line.tokens * line.price.input
            for line in self.lines
            if line.price is not None and line.bucket in buckets
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
    flags = usage.flags
    if usage.reported_femto_usd is not None:
        _moment(at)
        return _reported(usage.reported_femto_usd, flags)
    if partial:
        flags += ("partial_usage",)
    if book is None:
        book = _BUILTIN
    tier, geo = usage.service_tier, usage.inference_geo
    try:
        if (  # as nearly every usage is: then the model's name alone finds its price, in half the time
            vendor is None
            and (tier is None or tier == "standard")
            and usage.speed is None
            and (geo is None or geo == "not_available" or geo == "global")
            and endpoint is None
            and not (
                batch or explicit_cache or usage.explicit_cache or usage.thinking or usage.reasoning_tokens
            )
        ):
            served = book.plainly[model]
        else:
            served = book.served[
                model,
                vendor,
                batch,
                tier,
                usage.speed,
                geo,
                endpoint,
                explicit_cache or usage.explicit_cache,
                usage.thinking or usage.reasoning_tokens > 0,
            ]
        when: Any = at
        try:
            doubtful = when > served.doubted_from
        except TypeError:  # a day, or a datetime without its zone: asking first would cost every call
            when = _moment(at)
            doubtful = when > served.doubted_from
        if doubtful:
            flags += served.doubts(when)
        refused = (
            stop_reason is not None
            and stop_reason == "refusal"
            and not usage.output_tokens
            and served.prices.vendor == "anthropic"
        )
        if usage.iterations:
            return _iterated(usage, model, served, when, book, flags, refused)
        if (price := served.always) is None:
            price, doubts = _tiered(usage, served, when)
            flags += doubts
    except UnknownModel:
        if unknown == "none":
            return None
        raise
    if usage.assumed_5m_tokens and price.cache_write_1h != price.cache_write_5m:
        flags = ("cache_write_assumed_5m", *flags)
    if refused:
        return Cost(0, (), (*flags, "refusal_free"))
    if price.flags:
        flags += price.flags
    return _priced(usage, price, usage.web_searches, flags)


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


def _priced(counts: Usage | Iteration, price: Price, searches: int, flags: tuple[str, ...]) -> Cost:
    """The hot path: five products and their sum."""
    total, scaled = 0, price.scaled
    lines: list[Line] = []
    if tokens := counts.input_tokens:
        lines.append(Line("input", tokens, price.input, price))
        total = tokens * scaled.input
    if tokens := counts.cache_read_tokens:
        lines.append(Line("cache_read", tokens, price.cache_read, price))
        total += tokens * scaled.cache_read
    if tokens := counts.cache_write_5m_tokens:
        lines.append(Line("cache_write_5m", tokens, price.cache_write_5m, price))
        total += tokens * scaled.cache_write_5m
    if tokens := counts.cache_write_1h_tokens:
        lines.append(Line("cache_write_1h", tokens, price.cache_write_1h, price))
        total += tokens * scaled.cache_write_1h
    if tokens := counts.output_tokens:
        if (output := price.output) is None:
            raise InvalidUsage(f"impossible usage: {tokens} output tokens, and {price.row} has no output")
        lines.append(Line("output", tokens, output, price))
        total += tokens * scaled.output
    total *= scaled.unit
    if searches:
        if (fee := price.web_search) is None:
            flags += ("unpriced_web_search",)
        else:
            lines.append(Line("web_search", searches, fee, price))
            total += searches * fee
    return Cost(total, tuple(lines), flags)


def _iterated(
    usage: Usage,
    model: str,
    served: Served,
    at: datetime,
    book: PriceBook,
    flags: tuple[str, ...],
    refused: bool,
) -> Cost:
    """Each model call at its own model's price; web searches are counted once, beside them."""
    lines: list[Line] = []
    if usage.assumed_5m_tokens:
        flags = ("cache_write_assumed_5m", *flags)
    for step in usage.iterations:
        other = None if _is_own(step.model, model, served, book) else step.model
        if not step.output_tokens and (refused or other is not None):
            flags += ("declined_attempt_free",)  # declined before it said anything
            continue
        theirs = served
        if other is not None:
            theirs = book.plain(other, served.prices.vendor)
            if served.varied:  # whether batch and the like hold for another model's part is not documented
                flags += ("other_model_at_plain_terms",)
        prompt = (
            step.input_tokens + step.cache_read_tokens + step.cache_write_5m_tokens + step.cache_write_1h_tokens
        )
        price = theirs.price(at, prompt)
        part = _priced(step, price, 0, price.flags)
        lines += part.lines
        flags += part.flags
    searches = _priced(Iteration("web_search"), served.price(at, usage.prompt_tokens), usage.web_searches, ())
    lines += searches.lines
    flags = tuple(dict.fromkeys(flags + searches.flags))
    return Cost(sum(line.femto_usd for line in lines), tuple(lines), flags)


def _is_own(name: str | None, model: str, served: Served, book: PriceBook) -> bool:
    """Whether an iteration's model is the message's own, by whatever name."""
    if name is None or name == model:
        return True
    try:
        return book.find(name, served.prices.vendor) is served.prices
    except UnknownModel:
        return False


def _reported(femto: int, flags: tuple[str, ...]) -> Cost:
    """The vendor's own bill wins over any table."""
    return Cost(femto, (Line("provider_reported", 1, femto),), flags)
