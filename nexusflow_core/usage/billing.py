"""Billing: facts that a price depends on and that Anthropic's usage object has no member for."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from nexusflow_core.errors import InvalidUsageError
from nexusflow_core.untyped import is_object
from nexusflow_core.usage.buckets import Usage
from nexusflow_core.usage.counts import rounded_femto

__all__ = ["EXPLICIT_CACHE", "Billing", "read_bill"]

EXPLICIT_CACHE = frozenset({"ephemeral"})
"""The `cache_type` that Qwen reports for a cache requested by markers. Source: DashScope's SDK."""

_FEMTO_PER_USD = 10**15
_FEMTO_PER_TICK = 10**5  # xAI's: 10^-10 USD

_BILLS: Mapping[str, tuple[tuple[str, ...], int]] = {
    "openrouter": (("cost",), _FEMTO_PER_USD),
    "perplexity": (("cost", "total_cost"), _FEMTO_PER_USD),  # includes a fee per request, beside the tokens
    "xai": (("cost_in_usd_ticks",), _FEMTO_PER_TICK),
}
"""Vendors that report their charge in the usage: the path to it, and its unit in femto-dollars.

Sources: OpenRouter's and Perplexity's references, recorded traffic of all three.
"""


class Billing(Struct, frozen=True, omit_defaults=True):
    """Facts about the bill of an answer, as the vendor reported them."""

    reported_femto_usd: int | None = None
    """The vendor's charge, in femto-dollars."""
    service_tier: str | None = None
    """How the call was served, in the vendor's word."""
    explicit_cache: bool = False
    """The cache was requested by markers. Qwen prices that differently."""
    thinking: bool = False
    """The answer contains reasoning, although its usage does not count it."""
    endpoint: str | None = None
    """The kind of endpoint in a cloud, if prices differ by it: "regional", "global" or "us-gov"."""
    flags: tuple[str, ...] = ()
    """Reasons why the bill is not certain."""
    uncounted_tokens: int = 0
    """See `Usage.uncounted_tokens`."""

    def applied(self, usage: Usage) -> Usage:
        """Returns the usage with these facts in it."""
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
"""Vendors that report their charge in the usage."""


def read_bill(vendor: str | None, usage: Mapping[str, Any]) -> Billing | None:
    """Returns the charge that a vendor reported in its usage, or None if it reported none.

    An impossible charge, such as a negative one, is dropped and flagged.
    """
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
    except InvalidUsageError:
        return Billing(flags=("impossible_bill",))
        # With the customer's own key, the vendor behind OpenRouter sends a separate bill.
    byok = ("byok_fee_only",) if usage.get("is_byok") is True else ()
    return Billing(reported_femto_usd=femto, flags=(*flags, *byok))


def _decimal(amount: object) -> Decimal:
    """Returns the shortest text of a float as a Decimal: that is what the vendor wrote."""
    if isinstance(amount, bool) or not isinstance(amount, (int, float)):
        return Decimal("NaN")
    return Decimal(repr(amount))
