"""Usage in Anthropic's names: from a dialect's counts, merged over a stream, or estimated."""

from typing import Any

from nexusflow_core.counting import TOKEN_BYTES
from nexusflow_core.untyped import is_object, is_zero
from nexusflow_core.usage import MAX_USAGE_MEMBERS, Billing, read_bill
from nexusflow_core.usage.chat import OUTPUT, PROMPT, ChatCounts, count, is_count, read_counts

__all__ = ["TOTALS", "UsageTap", "estimated_usage", "merge_usage", "usage_of"]

TOTALS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")


def estimated_usage(prompt_tokens: int, output_bytes: int) -> dict[str, Any]:
    """Returns usage for an upstream that sends none. It is shown, but never priced."""
    return {
        "input_tokens": prompt_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": -(-output_bytes // TOKEN_BYTES),
    }


def merge_usage(known: dict[str, Any], usage: dict[str, Any], deepest: int = 2) -> None:
    """Merges `usage` into `known`, in place. A later zero does not replace a count.

    New members are limited in number, down to `deepest` nested objects.
    """
    for name, value in usage.items():
        before = known.get(name)
        number = isinstance(value, int | float) and value is not False
        if (is_zero(value) and not number) or (not value and count(known, name)):
            continue
        if len(known) >= MAX_USAGE_MEMBERS and name not in known:
            continue
        if is_object(value) and deepest:
            known[name] = {**before} if is_object(before) else {}
            merge_usage(known[name], value, deepest - 1)
        else:
            known[name] = value


def usage_of(counts: ChatCounts) -> dict[str, Any]:
    """Returns usage in Anthropic's names. `input_tokens` excludes cached tokens, so nothing counts twice."""
    found: dict[str, Any] = {
        "input_tokens": counts.prompt - counts.read - counts.written,
        "cache_creation_input_tokens": counts.written,
        "cache_read_input_tokens": counts.read,
        "output_tokens": counts.output,
    }
    if counts.lives is not None:
        short, hour = counts.lives
        found["cache_creation"] = {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": hour}
    if counts.reasoning:
        found["output_tokens_details"] = {"thinking_tokens": min(counts.reasoning, counts.output)}
    return found


_PLAIN_TIERS = frozenset({"default", "auto", "standard", "on_demand", "provisioned"})
"""Names of the tier at the plain price."""


class UsageTap:
    """Reads usage from an answer, in pieces or whole.

    `prompt_tokens`: an estimate, for an upstream without usage. `output_by_total`: the vendor counts
    reasoning only in the total.
    """

    def __init__(self, vendor_name: str | None, prompt_tokens: int, *, output_by_total: bool = False) -> None:
        self.service_tier: str | None = None
        """The tier that the answer names."""
        self.thinks = False
        """The answer contains reasoning."""
        self._vendor_name = vendor_name
        self._prompt_tokens = prompt_tokens
        self._output_by_total = output_by_total
        self._usage: dict[str, Any] = {}  # for each field, the last value that is not null
        self._counts: ChatCounts | None = None  # those of `_usage`, once they have been read

    def add(self, usage: dict[str, Any]) -> None:
        """Takes a usage object. One with zeros only is ignored: some vendors send it until the end."""
        if any(count(usage, name) for name in usage):
            merge_usage(self._usage, usage)
            self._counts = None

    def counts(self) -> dict[str, Any] | None:
        """Returns the known usage in Anthropic's names; None while the upstream has sent none."""
        if not self._usage:
            return None
        found = usage_of(self.read())
        return found if any(found[name] for name in TOTALS) else None

    @property
    def estimated(self) -> bool:
        """True if a count must be estimated: an absent count is not 0. With a bill no count is needed."""
        counts = self.counts()
        if counts is None:
            return True
        complete = self._has_count(counts, "input_tokens") and self._has_count(counts, "output_tokens")
        return not complete and not self._billed()

    def usage(self, output_bytes: int) -> dict[str, Any]:
        """Returns usage in Anthropic's names. Missing counts are estimated from the answer's bytes."""
        guess = estimated_usage(self._prompt_tokens, output_bytes)
        counts = self.counts()
        if counts is None:
            return guess
        if self.estimated:
            missing = [name for name in ("input_tokens", "output_tokens") if not self._has_count(counts, name)]
            counts.update({name: guess[name] for name in missing})
        return counts

    def read(self) -> ChatCounts:
        """Returns the counts so far, in disjoint parts."""
        if self._counts is None:
            self._counts = read_counts(self._usage, output_by_total=self._output_by_total)
        return self._counts

    def _billed(self) -> bool:
        bill = read_bill(self._vendor_name, self._usage)
        return bill is not None and bill.reported_femto_usd is not None

    def _has_count(self, counts: dict[str, Any], name: str) -> bool:
        sides = (PROMPT, TOTALS[:3]) if name == "input_tokens" else (OUTPUT, TOTALS[3:])
        return any(counts[name] for name in sides[1]) or any(
            is_count(self._usage.get(name)) for name in sides[0]
        )

    def billing(self) -> Billing | None:
        """Returns facts that the price depends on beside the counts, or None."""
        usage = self._usage
        bill = read_bill(self._vendor_name, usage) or Billing()
        tier = self.service_tier or usage.get("service_tier")  # some vendors put it into the usage
        counted = self.read()
        found = Billing(
            reported_femto_usd=bill.reported_femto_usd,
            service_tier=tier if isinstance(tier, str) and tier not in _PLAIN_TIERS else None,
            explicit_cache=counted.explicit,
            thinking=self.thinks and not counted.reasoning,
            flags=(*bill.flags, *counted.flags),
            uncounted_tokens=max(counted.uncounted, 0),
        )
        return None if found == Billing() else found
