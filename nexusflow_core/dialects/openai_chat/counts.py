"""The counts of an answer in Anthropic's names, and what its vendor tells of the bill."""

from collections.abc import Iterable
from typing import Any

from nexusflow_core.counting import IMAGE_TOKENS, PAGE_TOKENS, TOKEN_BYTES, pages
from nexusflow_core.dialects.openai_chat.asked import Asked
from nexusflow_core.dialects.openai_chat.documents import Part
from nexusflow_core.dialects.openai_chat.schema import Chunk
from nexusflow_core.dialects.openai_chat.vendors import Vendor
from nexusflow_core.untyped import is_list, is_object, object_of, whole
from nexusflow_core.usage import EXPLICIT_CACHE, Billing, read_bill

__all__ = ["UsageTap", "estimated_prompt", "estimated_usage"]

_PLAIN_TIERS = frozenset({"default", "auto", "standard", "on_demand", "provisioned"})
"""What vendors call the tier that costs the plain price: OpenAI's, Groq's, OpenRouter's words."""


class UsageTap:
    """Reads along an answer, chunk by chunk or whole."""

    def __init__(self, asked: Asked) -> None:
        self._vendor_name = asked.vendor_name
        self._vendor = asked.vendor
        self._usage: dict[str, Any] = {}  # field by field the last that is not null
        self._service_tier: str | None = None
        self._thinks = False

    def take(self, chunk: Chunk) -> None:
        """A chunk, or a whole answer."""
        if isinstance(chunk.service_tier, str):
            self._service_tier = chunk.service_tier
        told = chunk.usage or chunk.x_groq  # most chunks have text and nothing else
        for choice in chunk.choices or ():
            said = choice.delta or choice.message
            if said is not None and (said.reasoning_content or said.reasoning):
                self._thinks = True
            told = told or choice.usage
        for usage in chunk.usages() if told else ():
            if any(_count(usage, name) for name in usage):  # zeros alone tell nothing (MiniMax, until the end)
                self._usage.update({name: value for name, value in usage.items() if value is not None})

    def counts(self) -> dict[str, Any] | None:
        """Usage in Anthropic's names; None where the upstream has told none yet."""
        return _read_usage(self._usage, self._vendor)[0] if self._usage else None

    def billing(self) -> Billing | None:
        """What a bill needs beside the counts; None where there is nothing."""
        usage = self._usage
        bill = read_bill(self._vendor_name, usage) or Billing()
        tier = self._service_tier or usage.get("service_tier")  # Mistral's stands inside
        details = object_of(usage.get("prompt_tokens_details"))
        counted, clamped = _read_usage(usage, self._vendor)
        found = Billing(
            reported_femto_usd=bill.reported_femto_usd,
            service_tier=tier if isinstance(tier, str) and tier not in _PLAIN_TIERS else None,
            explicit_cache=details.get("cache_type") in EXPLICIT_CACHE,
            thinking=self._thinks and "output_tokens_details" not in counted,
            flags=(*bill.flags, "clamped_usage") if clamped else bill.flags,
        )
        return None if found == Billing() else found


def estimated_prompt(size: int, messages: Iterable[Part]) -> int:
    """Tokens of a request of this many bytes: about four bytes each, and a flat count for each image and each
    page of a PDF, as count_tokens estimates them."""
    tokens = 0
    for message in messages:
        content = message.get("content")
        for part in content if is_list(content) else ():
            if part["type"] == "image_url":
                size -= len(part["image_url"]["url"])
                tokens += IMAGE_TOKENS
            elif part["type"] == "file":
                data = part["file"]["file_data"]
                size -= len(data)
                tokens += PAGE_TOKENS * max(1, pages(data.partition(",")[2]))
    return tokens + -(-size // TOKEN_BYTES)


def estimated_usage(prompt_tokens: int, output_bytes: int) -> dict[str, Any]:
    """Where the upstream gives no usage. Shown, and never priced as a fact."""
    return {
        "input_tokens": prompt_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": -(-output_bytes // TOKEN_BYTES),
    }


def _read_usage(usage: dict[str, Any], vendor: Vendor) -> tuple[dict[str, Any], bool]:
    """Usage in Anthropic's names: the prompt less what was read and written, so that nothing counts twice; and
    whether a count had to be clamped, so that none is negative and the three still add up (PITFALLS C3)."""
    prompt, output = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    output_details = object_of(usage.get("completion_tokens_details"))
    reasoning = _count(output_details, "reasoning_tokens") or _count(usage, "reasoning_tokens")
    if "prompt_tokens" not in usage and "prompt_cache_miss_tokens" in usage:
        prompt = _count(usage, "prompt_cache_hit_tokens") + _count(usage, "prompt_cache_miss_tokens")
    told_read, told_written, split = _cached(usage)
    read = min(told_read, prompt)
    written = min(told_written, prompt - read)
    if vendor.adds_reasoning and _count(usage, "total_tokens") == prompt + output + reasoning:
        output += reasoning
    if vendor.output_by_total and prompt:
        output = max(output, _count(usage, "total_tokens") - prompt)
    found: dict[str, Any] = {
        "input_tokens": prompt - read - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": output,
    }
    clamped = (read, written) != (told_read, told_written) or _impossible(usage)
    if split is not None and written:
        told_hour, told_short = (_count(split, f"ephemeral_{life}_input_tokens") for life in ("1h", "5m"))
        hour = min(told_hour, written)
        short = min(told_short, written - hour)
        found["cache_creation"] = {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": hour}
        clamped = clamped or (short, hour) != (told_short, told_hour)
    if reasoning:
        found["output_tokens_details"] = {"thinking_tokens": min(reasoning, output)}
    return found, clamped


def _cached(usage: dict[str, Any]) -> tuple[int, int, dict[str, Any] | None]:
    """Tokens read, tokens written, and the written ones by lifetime, wherever the vendor puts them."""
    details = object_of(usage.get("prompt_tokens_details"))
    read = _first(
        (details, "cached_tokens"),
        (usage, "prompt_cache_hit_tokens"),
        (usage, "cached_tokens"),
        (usage, "num_cached_tokens"),
        (usage, "cache_read_input_tokens"),
    )
    splits = [
        holder["cache_creation"] for holder in (details, usage) if is_object(holder.get("cache_creation"))
    ]
    split: dict[str, Any] | None = splits[0] if splits else None
    by_lifetime = sum(_count(split, name) for name in split) if split else 0
    written = _first(
        (details, "cache_write_tokens"),
        (details, "cache_creation_input_tokens"),
        (usage, "cache_creation_input_tokens"),
        ({"split": by_lifetime or None}, "split"),
    )
    return read, written, split


def _impossible(usage: dict[str, Any]) -> bool:
    """Whether a count that matters is none: negative, a fraction, no number."""
    return any(usage.get(name) and not _count(usage, name) for name in ("prompt_tokens", "completion_tokens"))


def _count(usage: dict[str, Any], name: str) -> int:
    value = whole(usage.get(name))
    return value if type(value) is int and value > 0 else 0  # `true` is an int in Python


def _first(*places: tuple[dict[str, Any], str]) -> int:
    """The first of the places that has a count; null counts as absent."""
    return next((_count(usage, name) for usage, name in places if usage.get(name) is not None), 0)
