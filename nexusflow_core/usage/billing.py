"""Billing: what a bill needs beside the counts, and Anthropic's usage has no name for."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from nexusflow_core.errors import InvalidUsage
from nexusflow_core.untyped import is_object
from nexusflow_core.usage.buckets import Usage
from nexusflow_core.usage.counts import rounded_femto

__all__ = ["EXPLICIT_CACHE", "Billing", "read_bill"]

EXPLICIT_CACHE = frozenset({"ephemeral"})
"""What Qwen calls a cache that markers asked for. Source: DashScope's SDK."""

_FEMTO_PER_USD = 10**15
_FEMTO_PER_TICK = 10**5  # xAI's: 10^-10 USD

_BILLS: Mapping[str, tuple[tuple[str, ...], int]] = {
    "openrouter": (("cost",), _FEMTO_PER_USD),
    "perplexity": (("cost", "total_cost"), _FEMTO_PER_USD),  # holds a fee per request that no token shows
    "xai": (("cost_in_usd_ticks",), _FEMTO_PER_TICK),
}
"""Vendors whose usage says what they charged: where in it, and in which unit. Sources: OpenRouter's and
Perplexity's references, recorded traffic of all three."""


class Billing(Struct, frozen=True, omit_defaults=True):
    """As the vendor told it. `service_tier` is the vendor's own word for how the call was served."""

    reported_femto_usd: int | None = None
    """What the vendor itself charged."""
    service_tier: str | None = None
    explicit_cache: bool = False
    """The cache was used by markers, which Qwen prices apart."""
    thinking: bool = False
    """The answer thought, though its usage does not count how much."""
    flags: tuple[str, ...] = ()
    """What makes the bill less than certain."""
    uncounted_tokens: int = 0
    """As a Usage has them."""

    def applied(self, usage: Usage) -> Usage:
        """The usage with all of this in it."""
        reported = () if self.reported_femto_usd is None else ("provider_reported",)
        return replace(
            usage,
            service_tier=self.service_tier or usage.service_tier,
            explicit_cache=self.explicit_cache or usage.explicit_cache,
            thinking=self.thinking or usage.thinking,
            reported_femto_usd=self.reported_femto_usd,
            flags=(*usage.flags, *reported, *self.flags),
            uncounted_tokens=self.uncounted_tokens or usage.uncounted_tokens,
        )


BILLING_VENDORS = frozenset(_BILLS)
"""Vendors whose usage says what they charged."""


def read_bill(vendor: str | None, usage: Mapping[str, Any]) -> Billing | None:
    """What a vendor's usage says that it charged; None where it says nothing. A charge that cannot be, a
    negative one say, is none and is flagged."""
    if vendor is None or vendor not in _BILLS:
        return None
    path, unit = _BILLS[vendor]
    found: object = usage
    for name in path:
        found = found.get(name) if is_object(found) else None
    if found is None:
        return None
    try:
        femto, flags = rounded_femto(_decimal(found), unit)
    except InvalidUsage:
        return Billing(flags=("impossible_bill",))
    # With a key of one's own the vendor behind it sends a bill of its own.
    byok = ("byok_fee_only",) if usage.get("is_byok") is True else ()
    return Billing(reported_femto_usd=femto, flags=(*flags, *byok))


def _decimal(amount: object) -> Decimal:
    """A number that was decoded as a float has its shortest text, which is what the vendor wrote."""
    if isinstance(amount, bool) or not isinstance(amount, (int, float)):
        return Decimal("NaN")
    return Decimal(repr(amount))
