"""Usage as it comes over the wire, merged over a stream."""

from collections.abc import Mapping
from typing import Any

__all__ = ["WireUsage", "merge_usage"]

WireUsage = dict[str, Any]
"""A `usage` object with the names and values of the wire, unknown members included."""

_PROMPT_COUNTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def merge_usage(earlier: WireUsage, later: Mapping[str, Any], *, third_party: bool = False) -> WireUsage:
    """`earlier` with each member of `later` that is present and not null put in its place.

    Stream usage is cumulative: it replaces and is never summed (PITFALLS C5). Anthropic's own prompt counts
    may shrink (a compaction), so the later one stands. A third party that speaks its protocol may send zeros
    in message_delta, or correct message_start upwards: there the larger prompt total stands as a whole (C6).
    """
    news = {name: value for name, value in later.items() if value is not None}
    total = _prompt_total(news)
    if total is not None and total < (_prompt_total(earlier) or 0) and (third_party or total == 0):
        for name in (*_PROMPT_COUNTS, "cache_creation"):
            news.pop(name, None)
    return {**earlier, **news}


def _prompt_total(usage: Mapping[str, Any]) -> int | None:
    """None where a count cannot be: that is for whoever prices it to say, and must not go unseen."""
    counts = [usage[name] for name in _PROMPT_COUNTS if name in usage]
    return sum(counts) if all(type(count) is int and count >= 0 for count in counts) else None
