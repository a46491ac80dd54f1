"""Iterations: the cost of an answer that took several model calls."""

from collections.abc import Callable
from datetime import datetime

from msgspec.structs import replace

from nexusflow_core.costing.amounts import Cost
from nexusflow_core.errors import UnknownModelError
from nexusflow_core.prices import PriceBook, Served
from nexusflow_core.usage import Iteration, Usage

__all__ = ["iterated"]

_BESIDE_THE_MESSAGE = frozenset({"compaction", "advisor_message"})
_TERMS = ("service_tier", "speed", "inference_geo", "reasoning_tokens", "explicit_cache", "thinking")
"""Members of a usage that apply to every call of the message's own model."""


def iterated(
    usage: Usage,
    served: Served,
    own: Callable[[Usage], Cost],
    theirs: Callable[[Usage, str], Cost],
    flags: tuple[str, ...],
    *,
    model: str,
    at: datetime,
    book: PriceBook,
    refused: bool,
) -> Cost:
    """Returns the cost of all model calls, each at its own model's price, plus the web searches.

    `own` prices calls of the message's model, on the message's terms. `theirs` prices another model's calls,
    on plain terms.
    """
    flags += _difference(usage)
    terms = {name: getattr(usage, name) for name in _TERMS}
    parts: list[Cost] = []
    sizes: list[int] = []
    for step in usage.iterations:
        counts = _counts(step)
        other = None if _is_own(step.model, model, served, book) else step.model
        if not step.output_tokens and (refused or other is not None):
            flags += ("declined_attempt_free",)  # it declined before any output
        elif other is None:
            parts.append(own(replace(counts, **terms)))
            sizes += [] if step.kind in _BESIDE_THE_MESSAGE else [counts.prompt_tokens]
        else:
            parts.append(theirs(counts, other))
            if served.varied:  # no source says whether batch and other terms apply to another model's part
                flags += ("other_model_at_plain_terms",)
    if usage.web_searches:
        parts.append(own(Usage(web_searches=usage.web_searches, **terms)))
    if len({served.price(at, size).row for size in (*sizes, sum(sizes))}) > 1:
        flags += ("tier_unknown",)  # no source says whether the tier depends on each call or on their sum
    flags += tuple(flag for part in parts for flag in part.flags)
    lines = [line for part in parts for line in part.lines]
    return Cost(sum(part.femto_usd for part in parts), lines, tuple(dict.fromkeys(flags)))


def _difference(usage: Usage) -> tuple[str, ...]:
    """Returns a flag if the top-level counts are neither the sum of the messages nor the last one.

    After a fallback Anthropic reports the last one.
    """
    messages = [_counts(step) for step in usage.iterations if step.kind not in _BESIDE_THE_MESSAGE]
    shown = usage.prompt_tokens, usage.output_tokens
    summed = sum(each.prompt_tokens for each in messages), sum(each.output_tokens for each in messages)
    last = messages and (messages[-1].prompt_tokens, messages[-1].output_tokens)
    return () if shown in (summed, last) else ("iterations_differ",)


def _counts(step: Iteration) -> Usage:
    return Usage(
        input_tokens=step.input_tokens,
        cache_read_tokens=step.cache_read_tokens,
        cache_write_5m_tokens=step.cache_write_5m_tokens,
        cache_write_1h_tokens=step.cache_write_1h_tokens,
        output_tokens=step.output_tokens,
        assumed_5m_tokens=step.assumed_5m_tokens,
    )


def _is_own(name: str | None, model: str, served: Served, book: PriceBook) -> bool:
    """True if an iteration's model is the message's own, under any of its names."""
    if name is None or name == model:
        return True
    try:
        return book.find(name, served.prices.vendor) is served.prices
    except UnknownModelError:
        return False
