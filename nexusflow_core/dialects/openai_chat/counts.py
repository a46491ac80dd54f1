"""The counts of an answer in Anthropic's names, and what its vendor tells of the bill."""

import re
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

_PROMPT = (
    "prompt_tokens",
    "input_tokens",
    "promptTokens",
    "inputTokens",
    "promptTokenCount",
    "prompt_eval_count",
)
_OUTPUT = (
    "completion_tokens",
    "output_tokens",
    "completionTokens",
    "outputTokens",
    "candidatesTokenCount",
    "eval_count",
)
_TOTAL = ("total_tokens", "totalTokens", "totalTokenCount")
"""The same count under the names of Chat Completions, of Responses, of the AI SDK, of Gemini and of Ollama."""
_PROMPT_DETAILS = ("prompt_tokens_details", "input_tokens_details", "promptTokensDetails", "inputTokensDetails")
_OUTPUT_DETAILS = (
    "completion_tokens_details",
    "output_tokens_details",
    "completionTokensDetails",
    "outputTokensDetails",
)
_DIGITS = re.compile(r"[0-9]{1,15}")
_TOTALS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")


class UsageTap:
    """Reads along an answer, chunk by chunk or whole."""

    def __init__(self, asked: Asked) -> None:
        self._vendor_name = asked.vendor_name
        self._vendor = asked.vendor
        self._prompt_tokens = asked.prompt_tokens
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
                _merge(self._usage, usage)

    def counts(self) -> dict[str, Any] | None:
        """Usage in Anthropic's names as far as it was told; None where the upstream has told none yet."""
        if not self._usage:
            return None
        found = _read_usage(self._usage, self._vendor)[0]
        return found if any(found[name] for name in _TOTALS) else None

    @property
    def estimated(self) -> bool:
        """Whether a count was not told, so that it must be guessed: a count that is absent is not 0. Where the
        bill is told, nothing needs to be guessed."""
        counts = self.counts()
        if counts is None:
            return True
        told = self._told(counts, "input_tokens") and self._told(counts, "output_tokens")
        return not told and not self._billed()

    def usage(self, said: int) -> dict[str, Any]:
        """Usage in Anthropic's names of an answer that said so many bytes; a guess for what was not told."""
        guess = estimated_usage(self._prompt_tokens, said)
        counts = self.counts()
        if counts is None:
            return guess
        if self.estimated:
            untold = [name for name in ("input_tokens", "output_tokens") if not self._told(counts, name)]
            counts.update({name: guess[name] for name in untold})
        return counts

    def _billed(self) -> bool:
        bill = read_bill(self._vendor_name, self._usage)
        return bill is not None and bill.reported_femto_usd is not None

    def _told(self, counts: dict[str, Any], name: str) -> bool:
        sides = (_PROMPT, _TOTALS[:3]) if name == "input_tokens" else (_OUTPUT, _TOTALS[3:])
        return any(counts[it] for it in sides[1]) or any(_is_count(self._usage.get(it)) for it in sides[0])

    def billing(self) -> Billing | None:
        """What a bill needs beside the counts; None where there is nothing."""
        usage = self._usage
        bill = read_bill(self._vendor_name, usage) or Billing()
        tier = self._service_tier or usage.get("service_tier")  # Mistral's stands inside
        explicit = any(held.get("cache_type") in EXPLICIT_CACHE for held in _held(usage, _PROMPT_DETAILS))
        counted, clamped = _read_usage(usage, self._vendor)
        found = Billing(
            reported_femto_usd=bill.reported_femto_usd,
            service_tier=tier if isinstance(tier, str) and tier not in _PLAIN_TIERS else None,
            explicit_cache=explicit,
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


def _merge(known: dict[str, Any], usage: dict[str, Any]) -> None:
    """Field by field the last that tells something. A zero behind a count tells nothing: what has been used
    stays used."""
    for name, value in usage.items():
        before = known.get(name)
        if value is None or (not value and _count(known, name)):
            continue
        if is_object(value) and is_object(before):
            known[name] = {**before}
            _merge(known[name], value)
        else:
            known[name] = value


def _read_usage(usage: dict[str, Any], vendor: Vendor) -> tuple[dict[str, Any], bool]:
    """Usage in Anthropic's names: the prompt less what was read and written, so that nothing counts twice; and
    whether a count had to be clamped, so that none is negative and the three still add up (PITFALLS C3)."""
    reasoning = _reasoning(usage)
    told_read, told_written, split = _cached(usage)
    prompt, output = _prompt_and_output(usage, reasoning, told_read + told_written)
    read = min(told_read, prompt)
    written = min(told_written, prompt - read)
    if vendor.output_by_total and prompt:
        output = max(output, _first(usage, _TOTAL) - prompt)
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


def _prompt_and_output(usage: dict[str, Any], reasoning: int, cached: int) -> tuple[int, int]:
    """Tokens of the whole prompt and of the whole output, under whichever names the vendor has for them."""
    prompt, output, total = (_first(usage, names) for names in (_PROMPT, _OUTPUT, _TOTAL))
    prompt = prompt or _first(usage, ("prompt_cache_hit_tokens",)) + _first(
        usage, ("prompt_cache_miss_tokens",)
    )
    if _disjoint(usage, prompt, output, total):
        prompt += cached
    if reasoning and total == prompt + output + reasoning:
        output += reasoning  # as xAI counts it, beside the completion; its total proves that
    if not output:  # reasoning is output, even where nothing else was said
        output = max(total - prompt, reasoning) if prompt else reasoning
    if not prompt and output:
        prompt = max(total - output, 0)
    return prompt, output


def _disjoint(usage: dict[str, Any], prompt: int, output: int, total: int) -> bool:
    """Whether the prompt is told as Anthropic tells it: less what was read from the cache or written to it."""
    if _first(usage, ("prompt_tokens",)) or not _first(usage, ("input_tokens",)):
        return False
    anthropics = any(usage.get(name) for name in ("cache_read_input_tokens", "cache_creation_input_tokens"))
    return anthropics and total != prompt + output


def _reasoning(usage: dict[str, Any]) -> int:
    names = ("reasoning_tokens", "reasoningTokens", "thinking_tokens", "thoughtsTokenCount")
    return next(
        (found for held in (*_held(usage, _OUTPUT_DETAILS), usage) if (found := _first(held, names))), 0
    )


_READ = (
    "cached_tokens",
    "cachedTokens",
    "cache_read_tokens",
    "cache_read_input_tokens",
    "prompt_cache_hit_tokens",
    "num_cached_tokens",
    "cachedContentTokenCount",
)
_WRITTEN = (
    "cache_write_tokens",
    "cache_creation_input_tokens",
    "cache_creation_tokens",
    "cache_write_input_tokens",
)


def _cached(usage: dict[str, Any]) -> tuple[int, int, dict[str, Any] | None]:
    """Tokens read, tokens written, and the written ones by lifetime, wherever the vendor puts them."""
    holders = (*_held(usage, _PROMPT_DETAILS), usage)
    splits = [held["cache_creation"] for held in holders if is_object(held.get("cache_creation"))]
    split: dict[str, Any] | None = next((it for it in splits if any(_count(it, name) for name in it)), None)
    by_lifetime = sum(_count(split, name) for name in split) if split else 0
    read = next((found for held in holders if (found := _first(held, _READ))), 0)
    written = next((found for held in holders if (found := _first(held, _WRITTEN))), by_lifetime)
    return read, written, split


def _held(usage: dict[str, Any], names: Iterable[str]) -> list[dict[str, Any]]:
    return [object_of(usage[name]) for name in names if usage.get(name)]


def _impossible(usage: dict[str, Any]) -> bool:
    """Whether a count that matters is none: negative, a fraction, no number."""
    return any(usage.get(name) and not _count(usage, name) for name in (*_PROMPT[:2], *_OUTPUT[:2]))


def _is_count(value: Any) -> bool:
    return type(_number(value)) is int  # `true` is an int in Python


def _count(usage: dict[str, Any], name: str) -> int:
    value = _number(usage.get(name))
    return value if type(value) is int and value > 0 else 0


def _number(value: Any) -> Any:
    """A whole number as an int; some servers write it as text."""
    return int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else whole(value)


def _first(usage: dict[str, Any], names: Iterable[str]) -> int:
    """The first of equivalent members that is not 0: a server that writes every member writes 0 for absent."""
    return next((found for name in names if (found := _count(usage, name))), 0)
