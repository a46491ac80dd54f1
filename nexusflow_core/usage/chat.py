"""Chat Completions' usage as many servers write it: one reader for the gateway and for offline pricing.

Equivalent members are tried in order, and the first that is not 0 counts: some servers write 0 for absent.
The gateway clamps impossible counts; offline pricing refuses them.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from nexusflow_core.untyped import is_object, object_of, whole
from nexusflow_core.usage.billing import EXPLICIT_CACHE
from nexusflow_core.usage.counts import MAX_COUNT, exact_count, invalid

__all__ = ["OUTPUT", "PROMPT", "ChatCounts", "check_counts", "count", "first", "is_count", "read_counts"]

PROMPT = (
    "prompt_tokens",
    "input_tokens",
    "promptTokens",
    "inputTokens",
    "promptTokenCount",
    "prompt_eval_count",
)
OUTPUT = (
    "completion_tokens",
    "output_tokens",
    "completionTokens",
    "outputTokens",
    "candidatesTokenCount",
    "eval_count",
)
_TOTAL = ("total_tokens", "totalTokens", "totalTokenCount")
"""Names of the same count in Chat Completions, Responses, the AI SDK, Gemini and Ollama."""
_PROMPT_DETAILS = ("prompt_tokens_details", "input_tokens_details", "promptTokensDetails", "inputTokensDetails")
_OUTPUT_DETAILS = (
    "completion_tokens_details",
    "output_tokens_details",
    "completionTokensDetails",
    "outputTokensDetails",
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
_SPLITS = ("cache_creation", "cache_creation_token_details", "cache_write_tokens_details")
_SHORT = ("ephemeral_5m_input_tokens", "ttl_30m_tokens")
_LONG = ("ephemeral_1h_input_tokens", "ttl_12h_tokens")
"""Written tokens by lifetime: Anthropic's names, which several vendors use too, and OpenAI's."""
_REASONING = ("reasoning_tokens", "reasoningTokens", "thinking_tokens", "thoughtsTokenCount")
_AUDIO = ("audio_tokens", "audioTokens")
_IMAGES = ("image_tokens", "imageTokens")
_HIT, _MISS = "prompt_cache_hit_tokens", "prompt_cache_miss_tokens"

_NAMED = (*PROMPT, *OUTPUT, *_TOTAL, *_READ, *_WRITTEN, *_SHORT, *_LONG, *_REASONING, *_AUDIO, *_IMAGES, _MISS)
_DIGITS = re.compile(r"[0-9]{1,15}")


class ChatCounts(Struct, frozen=True):
    """The counts of one answer. `read` and `written` are part of `prompt`, `reasoning` is part of `output`."""

    prompt: int
    output: int
    read: int
    written: int
    lives: tuple[int, int] | None
    """Written tokens that live for 5 minutes, and for an hour. None if the vendor gives no lifetimes."""
    reasoning: int
    audio: int
    """Tokens of sound, in prompt and output."""
    drawn: int
    """Tokens of images in the output."""
    uncounted: int
    """The vendor's total less prompt and output; negative if the total is too small."""
    explicit: bool
    """The cache was requested by markers (Qwen)."""
    in_blocks: bool = False
    """Cached tokens were counted in whole blocks, exceeded the prompt, and were clamped to it (Mistral)."""
    wrong: str = ""
    """The impossible count that was clamped, such as cached tokens above the prompt. "" if there is none."""

    @property
    def flags(self) -> tuple[str, ...]:
        """Reasons why the counts are not certain."""
        clamped = ("clamped_usage",) if self.in_blocks or self.wrong else ()
        differs = ("total_differs",) if self.uncounted else ()
        sound = ("unpriced_audio",) if self.audio else ()
        return (*clamped, *differs, *sound, *(("unpriced_images",) if self.drawn else ()))


def read_counts(usage: Mapping[str, Any], *, output_by_total: bool = False) -> ChatCounts:
    """Returns the counts, under any of their names. None is negative, and no part exceeds its whole.

    `output_by_total`: the vendor counts reasoning only in the total (Gemini).
    """
    reasoning, audio = _reasoning(usage), _audio(usage)
    drawn = next((found for held in _held(usage, _OUTPUT_DETAILS) if (found := first(held, _IMAGES))), 0)
    told_read, told_written, split = _cached(usage)
    prompt, output = _prompt_and_output(usage, reasoning, told_read + told_written)
    total = first(usage, _TOTAL)
    if not told_read and usage.get(_HIT) is None and (miss := count(usage, _MISS)):
        told_read = max(prompt - miss, 0)  # tokens that did not miss the cache were read from it
    rest = total - prompt - output if total else 0
    if rest > 0 and rest == sum(audio):
        rest = 0  # Mistral counts sound beside the text, and charges it by the minute
    elif rest > 0 and output_by_total and prompt:
        output, rest = output + rest, 0
    in_blocks = prompt < told_read == count(usage, "num_cached_tokens")
    told_read = prompt if in_blocks else told_read
    read = min(told_read, prompt)
    written = min(told_written, prompt - read)
    lives = None
    if split is not None and written:
        told_short, told_hour = _lives(split)
        hour = min(told_hour, written)
        lives = min(told_short, written - hour), hour
    wrong = _wrong(usage, prompt, told_read, told_written, split)
    kinds = [held.get("cache_type") for held in _held(usage, _PROMPT_DETAILS)]
    explicit = any(kind in EXPLICIT_CACHE for kind in kinds if isinstance(kind, str))
    return ChatCounts(
        prompt, output, read, written, lives, reasoning, sum(audio), drawn, rest, explicit, in_blocks, wrong
    )


def check_counts(usage: Mapping[str, Any], form: str = "Chat Completions") -> None:
    """Raises InvalidUsageError for a count that is not a whole number, and for an object without any count."""
    for held, path in _every(usage):
        for name in _NAMED:
            value = held.get(name)
            if value is None or is_object(value):
                continue
            if exact_count(whole(value), f"{path}{name}") > MAX_COUNT:
                raise invalid(f"{path}{name} is beyond 64 bits")
    named = (*PROMPT, *OUTPUT, _HIT, _MISS)
    if not any(usage.get(name) is not None for name in named):
        raise invalid(f"it has none of the counts of {form}")
    total = first(usage, _TOTAL)
    if total and not any(count(usage, name) for name in (*named, *_REASONING)) and not _reasoning(usage):
        raise invalid(f"its total is {total}, but it has neither prompt nor completion tokens")


def _every(usage: Mapping[str, Any]) -> Iterable[tuple[Mapping[str, Any], str]]:
    """Yields the object itself and each object in it that holds counts, with its path."""
    yield usage, ""
    for name in (*_PROMPT_DETAILS, *_OUTPUT_DETAILS, *_SPLITS):
        value = usage.get(name)
        if not value:
            continue
        if not is_object(value):
            raise invalid(f"{name} is a {type(value).__name__}, not an object")
        yield value, f"{name}."
        for inner in _SPLITS:
            if is_object(split := value.get(inner)):
                yield split, f"{name}.{inner}."


def _prompt_and_output(usage: Mapping[str, Any], reasoning: int, cached: int) -> tuple[int, int]:
    """Returns the tokens of the whole prompt and of the whole output."""
    prompt, output, total = (first(usage, names) for names in (PROMPT, OUTPUT, _TOTAL))
    prompt = prompt or count(usage, _HIT) + count(usage, _MISS)
    if _disjoint(usage, prompt, output, total, cached):
        prompt += cached
    if reasoning and total == prompt + output + reasoning:
        output += reasoning  # xAI counts reasoning beside the completion; its total proves it
    if not output:  # reasoning is output, even if there is no other output
        output = max(total - prompt, reasoning) if prompt else reasoning
    if not prompt and output:
        prompt = max(total - output, 0)
    return prompt, output


def _disjoint(usage: Mapping[str, Any], prompt: int, output: int, total: int, cached: int) -> bool:
    """True if the prompt count excludes cached tokens, as Anthropic's does."""
    if cached > prompt > 0 and total == prompt + output + cached:
        return True  # Azure counts Grok's this way; its total proves it
    if first(usage, ("prompt_tokens",)) or not first(usage, ("input_tokens",)):
        return False
    anthropics = any(usage.get(name) for name in ("cache_read_input_tokens", "cache_creation_input_tokens"))
    return anthropics and total != prompt + output


def _reasoning(usage: Mapping[str, Any]) -> int:
    holders = (*_held(usage, _OUTPUT_DETAILS), usage)
    return next((found for held in holders if (found := first(held, _REASONING))), 0)


def _audio(usage: Mapping[str, Any]) -> tuple[int, int]:
    """Returns tokens of sound in the prompt and in the output."""
    prompt, output = (
        next((found for held in _held(usage, details) if (found := first(held, _AUDIO))), 0)
        for details in (_PROMPT_DETAILS, _OUTPUT_DETAILS)
    )
    return prompt, output


def _cached(usage: Mapping[str, Any]) -> tuple[int, int, dict[str, Any] | None]:
    """Returns tokens read, tokens written, and the vendor's split of the written tokens by lifetime."""
    holders = (*_held(usage, _PROMPT_DETAILS), usage)
    splits = [held[name] for held in holders for name in _SPLITS if is_object(held.get(name))]
    split: dict[str, Any] | None = next((split for split in splits if any(_lives(split))), None)
    by_lifetime = sum(_lives(split)) if split else 0
    read = next((found for held in holders if (found := first(held, _READ))), 0)
    written = next((found for held in holders if (found := first(held, _WRITTEN))), by_lifetime)
    return read, written, split


def _lives(split: Mapping[str, Any]) -> tuple[int, int]:
    """Returns written tokens with a short life, and with a long one."""
    return first(split, _SHORT), first(split, _LONG)


def _wrong(usage: Mapping[str, Any], prompt: int, read: int, written: int, split: dict[str, Any] | None) -> str:
    """Returns the first impossible count as a sentence, or "" if all counts add up."""
    for name in (*PROMPT[:2], *OUTPUT[:2]):
        if usage.get(name) and not count(usage, name):
            return f"{name} is {str(usage[name])[:40]}"
    if read + written > prompt:
        return f"{read} cached and {written} written tokens of a prompt of {prompt}"
    if split is not None and (parts := sum(_lives(split))) > written:
        return f"cache_creation adds up to {parts}, but {written} tokens were written"
    hit, miss = count(usage, _HIT), count(usage, _MISS)
    if miss and (miss > prompt or (usage.get(_HIT) is not None and hit + miss != prompt)):
        return f"{hit} cached and {miss} uncached tokens of a prompt of {prompt}"
    return ""


def _held(usage: Mapping[str, Any], names: Iterable[str]) -> list[dict[str, Any]]:
    return [object_of(usage[name]) for name in names if usage.get(name)]


def is_count(value: Any) -> bool:
    """True for a whole number, also one written as text or as a float."""
    return type(_number(value)) is int  # `true` is an int in Python


def count(usage: Mapping[str, Any], name: str) -> int:
    """Returns a member's count, or 0 if it is not a positive whole number."""
    value = usage.get(name)
    if type(value) is not int:  # a count is nearly always absent, or a number
        value = None if value is None else _number(value)
    return value if type(value) is int and value > 0 else 0


def _number(value: Any) -> Any:
    """Returns a whole number as an int. Some servers write it as text."""
    return int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else whole(value)


def first(usage: Mapping[str, Any], names: Iterable[str]) -> int:
    """Returns the first of equivalent counts that is not 0, or 0."""
    for name in names:
        if name in usage and (found := count(usage, name)):
            return found
    return 0
