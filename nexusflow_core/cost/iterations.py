"""Iterations: an answer that took several model calls."""

from collections.abc import Callable
from datetime import datetime

from msgspec.structs import replace

from nexusflow_core.cost.amounts import Cost
from nexusflow_core.errors import UnknownModel
from nexusflow_core.prices import PriceBook, Served
from nexusflow_core.usage import Iteration, Usage

__all__ = ["iterated"]

_BESIDE_THE_MESSAGE = frozenset({"compaction", "advisor_message"})
_TERMS = ("service_tier", "speed", "inference_geo", "reasoning_tokens", "explicit_cache", "thinking")
"""What a usage says of its terms: they hold for every call of the message's own model in it."""


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
    """Each model call at its own model's price, and web searches once, beside them. `own` prices what the
    message's own model did, on the message's terms; `theirs` what another one did, on plain terms."""
    flags += _difference(usage)
    terms = {name: getattr(usage, name) for name in _TERMS}
    parts: list[Cost] = []
    sizes: list[int] = []
    for step in usage.iterations:
        counts = _counts(step)
        other = None if _is_own(step.model, model, served, book) else step.model
        if not step.output_tokens and (refused or other is not None):
            flags += ("declined_attempt_free",)  # declined before it said anything
        elif other is None:
            parts.append(own(replace(counts, **terms)))
            sizes += [] if step.kind in _BESIDE_THE_MESSAGE else [counts.prompt_tokens]
        else:
            parts.append(theirs(counts, other))
            if served.varied:  # whether batch and the like hold for another model's part is not documented
                flags += ("other_model_at_plain_terms",)
    if usage.web_searches:
        parts.append(own(Usage(web_searches=usage.web_searches, **terms)))
    if len({served.price(at, size).row for size in (*sizes, sum(sizes))}) > 1:
        flags += ("tier_unknown",)  # whether a tier goes by each call or by their sum is not documented
    flags += tuple(flag for part in parts for flag in part.flags)
    lines = [line for part in parts for line in part.lines]
    return Cost(sum(part.femto_usd for part in parts), lines, tuple(dict.fromkeys(flags)))


def _difference(usage: Usage) -> tuple[str, ...]:
    """The counts at the top are the sum of the messages below, or the last of them after a fallback."""
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
    """Whether an iteration's model is the message's own, by whatever name."""
    if name is None or name == model:
        return True
    try:
        return book.find(name, served.prices.vendor) is served.prices
    except UnknownModel:
        return False
