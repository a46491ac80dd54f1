"""Amounts: a cost, the lines that add up to it, and what each of its flags means."""

from collections.abc import Sequence
from decimal import Context, Decimal, Inexact
from typing import Any

from msgspec import Struct

from nexusflow_core.prices import UnitPrice, usd, usd_text

__all__ = ["FLAGS", "Cost", "CostLine", "beside_input", "meaning"]

_MAX_RATE = 40
_EXACT = Context(prec=200, traps=[Inexact])

FLAGS = {
    "total_differs": "The vendor's total is not the sum of prompt and output; nothing explains the difference.",
    "unpriced_audio": "Audio tokens are at the price of text.",
    "unpriced_images": "An answer's images are at the price of text.",
    "clamped_usage": "Impossible counts were reduced to possible ones.",
    "impossible_usage": "The counts are impossible, and not priced.",
    "cache_write_assumed_5m": "Cache writes without a lifetime count as written for 5 minutes.",
    "cache_write_split_assumed": "The lifetimes of cache writes exceeded the writes, and were cut to fit.",
    "partial_usage": "The stream was cut short.",
    "billed_to_user_profile": "The request's `billing_policy` lets somebody else pay.",
    "unknown_price": "No price row has the model.",
    "estimated_usage": "The usage is an estimate, and not priced.",
    "list_price_differs": "The vendor's own bill is not the list price.",
    "logged_cost": "The cost in the log is used.",
    "logged_cost_differs": "The cost in the log is another one.",
    "cache_at_list_price": "The effect of caching uses the list price.",
    "unknown_time": "In a table: a row without a time, which has no price.",
    "no_usage": "In a table: a row without any count.",
    "fallback_credit": "A redeemed credit reprices writes by an unknown amount.",
    "impossible_bill": "The vendor's bill is not an amount.",
    "tier_unknown": "Prompts of several calls are added up, or exceed the window; another tier may apply.",
    "many_requests": "A sum of many requests, at the lowest tier.",
    "hours_unknown": "A sum of many requests, of a model with hours at other prices.",
    "iterations_differ": "The model calls of an answer do not add up to its own counts.",
    "other_model_at_plain_terms": "Another model made part of the answer; its part has the plain price.",
    "terms_combined": "A batch that is also fast or of another tier: no vendor documents the price.",
    "holidays_unknown": "The model has peak hours on working days, and no price file knows holidays.",
    "declined_attempt_free": "An attempt was declined before any output, and is not billed.",
    "refusal_free": "A refusal before any output is not billed.",
    "provider_reported": "The cost is the vendor's own bill.",
    "bill_missing": "The vendor's bill is missing.",
    "bill_rounded": "The vendor's bill was finer than a femto-dollar.",
    "byok_fee_only": "The bill has only the fee of a call with your own key at the vendor behind it.",
    "uncertain_price": "The price row's source is weak.",
    "outside_listing": "No source lists the variant on that day.",
    "stale_book": "The price row was read more than 90 days before.",
}
"""Flags and their meaning. A flag that begins with `unpriced_` may also name a term without a price."""


class CostLine(Struct, frozen=True, gc=False):
    """One part of a cost: a number of tokens (or requests) of one bucket, their rate and its price row."""

    tokens: int
    by: UnitPrice
    """The rate, and its price row. A charge by the vendor itself has no row and no layer: both are ""."""

    @property
    def bucket(self) -> str:
        """The bucket, such as `cache_read`; `provider_reported` for a charge by the vendor itself."""
        return self.by.bucket

    @property
    def rate(self) -> int:
        """Femto-dollars (10^-15 USD) per token or request."""
        return self.by.femto_usd

    @property
    def row(self) -> str:
        """The price row, such as `anthropic/claude-opus-4-7`."""
        return self.by.row

    @property
    def layer(self) -> str:
        """Where that row comes from: `builtin`, or the name of the user's price file."""
        return self.by.layer

    @property
    def femto_usd(self) -> int:
        """This line's amount in femto-dollars."""
        return self.tokens * self.by.femto_usd

    @property
    def usd(self) -> Decimal:
        """This line's amount in USD, exact."""
        return usd(self.femto_usd)


class Cost(Struct, frozen=True, gc=False):
    """An exact amount. `lines` add up to `femto_usd`; `flags` name reasons why it is not certain.

    Costs add up: `one + other`, and `sum(costs)`. The sum has one line per rate and each flag once.
    """

    femto_usd: int
    lines: Sequence[CostLine] = []
    flags: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash((self.femto_usd, tuple(self.lines), self.flags))

    def __add__(self, other: object) -> "Cost":
        if not isinstance(other, Cost):
            return NotImplemented
        tokens: dict[UnitPrice, int] = {}
        for line in (*self.lines, *other.lines):
            tokens[line.by] = tokens.get(line.by, 0) + line.tokens
        lines = [CostLine(count, by) for by, count in tokens.items()]
        flags = tuple(dict.fromkeys((*self.flags, *other.flags)))
        return Cost(self.femto_usd + other.femto_usd, lines, flags)

    def __radd__(self, other: object) -> "Cost":
        if type(other) is int and other == 0:  # sum() begins with 0
            return self
        return NotImplemented

    def as_dict(self) -> dict[str, Any]:
        """Returns values for JSON, under the names of a record. Amounts are exact decimal text in USD."""
        return {
            "cost_usd": usd_text(self.femto_usd),
            "price_row": self.row,
            "price_layer": self.layer,
            "cost_flags": list(self.flags),
            "lines": [
                {
                    "bucket": line.bucket,
                    "tokens": line.tokens,
                    "rate_usd": usd_text(line.rate),
                    "cost_usd": usd_text(line.femto_usd),
                    "price_row": line.row,
                    "price_layer": line.layer,
                }
                for line in self.lines
            ],
        }

    def converted(self, rate: Decimal | int | str) -> Decimal:
        """Returns the exact amount in another currency. `rate` is the price of one USD in it, such as "0.8617".

        Raises TypeError for a float, which is not exact, and ValueError for a rate that is not above 0.
        """
        if isinstance(rate, (bool, float)):
            raise TypeError(f"rate: {rate!r} is a {type(rate).__name__}; give a Decimal, an int or text")
        try:
            factor = Decimal(rate)
        except ArithmeticError:
            raise ValueError(f"rate: {str(rate)[:40]!r} is not a decimal number") from None
        if not (factor.is_finite() and factor > 0 and len(str(factor)) <= _MAX_RATE):
            raise ValueError(f"rate: {str(rate)[:40]!r} is not a number above 0 of at most {_MAX_RATE} digits")
        return _EXACT.multiply(self.usd, factor)

    @property
    def usd(self) -> Decimal:
        """USD, exact: `Decimal('0.06275')`."""
        return usd(self.femto_usd)

    @property
    def row(self) -> str:
        """The price rows of all lines, each once, joined by spaces."""
        row = ""
        for line in self.lines:
            if line.by.row != row:
                if row:  # there are several
                    return " ".join(dict.fromkeys([line.by.row for line in self.lines if line.by.row]))
                row = line.by.row
        return row

    @property
    def layer(self) -> str:
        """The layers of those rows, each once, joined by spaces: `builtin`, or names of price files."""
        return " ".join(dict.fromkeys([line.by.layer for line in self.lines if line.by.layer]))

    @property
    def cache_saved_femto_usd(self) -> int:
        """Femto-dollars that cache reads saved compared with plain input. A vendor's own bill counts as 0."""
        return beside_input(self.lines)[0]

    @property
    def cache_write_extra_femto_usd(self) -> int:
        """Femto-dollars that cache writes cost more than plain input."""
        return beside_input(self.lines)[1]


def beside_input(lines: Sequence[CostLine]) -> tuple[int, int]:
    """Returns femto-dollars beside plain input, in one pass: saved by cache reads, and extra for writes."""
    saved = extra = 0
    for line in lines:
        by = line.by
        if by.as_input is not None and (bucket := by.bucket) != "output":
            if bucket == "cache_read":
                saved += line.tokens * (by.as_input - by.femto_usd)
            elif bucket != "input":
                extra += line.tokens * (by.femto_usd - by.as_input)
    return saved, extra


def meaning(flag: str) -> str:
    """Returns what a flag means; "" for one of another program."""
    if flag in FLAGS:
        return FLAGS[flag]
    if flag.startswith("unpriced_"):
        return "The answer names a term without a price in the row; the plain price is used."
    return ""
