"""Readers of the other vendors' forms. Each does its one subtraction here, and nobody does another after it."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.usage.billing import EXPLICIT_CACHE
from nexusflow_core.usage.buckets import Usage
from nexusflow_core.usage.counts import Count, Split, invalid, read, rounded_femto

__all__ = ["read_bedrock", "read_chat", "read_deepseek", "read_openrouter", "read_responses"]

_FEMTO_PER_USD = 10**15


class _PromptDetails(Struct):
    """`cache_write_tokens` is OpenAI's, what follows Qwen's; Kimi splits as Qwen does."""

    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_creation: Split | None = None
    cache_type: str | None = None


class _OutputDetails(Struct):
    reasoning_tokens: Count | None = None


class _Chat(Struct):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    service_tier: str | None = None


class _OpenRouter(_Chat):
    cost: Decimal | None = None
    is_byok: bool | None = None


class _DeepSeek(_Chat):
    prompt_cache_hit_tokens: Count | None = None
    prompt_cache_miss_tokens: Count | None = None


class _Responses(Struct):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    input_tokens_details: _PromptDetails | None = None
    output_tokens_details: _OutputDetails | None = None
    service_tier: str | None = None


class _CacheDetail(Struct, rename="camel"):
    ttl: str = "5m"
    input_tokens: Count | None = None


class _Bedrock(Struct, rename="camel"):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_write_input_tokens: Count | None = None
    cache_details: list[_CacheDetail] | None = None


_chat = msgspec.json.Decoder(_Chat)
_openrouter = msgspec.json.Decoder(_OpenRouter)
_deepseek = msgspec.json.Decoder(_DeepSeek)
_responses = msgspec.json.Decoder(_Responses)
_bedrock = msgspec.json.Decoder(_Bedrock)


def read_chat(usage: bytes | Mapping[str, Any]) -> Usage:
    """Chat Completions: `prompt_tokens` includes what was cached and written. Source: OpenAI's reference."""
    return _chat_usage(read(usage, _chat, _Chat))


def read_openrouter(usage: bytes | Mapping[str, Any]) -> Usage:
    """OpenRouter: Chat Completions and `cost`, which is the bill, in dollars."""
    form = _with_exact_cost(usage) if isinstance(usage, Mapping) else usage
    it = read(form, _openrouter, _OpenRouter)
    bill_alone = it.cost is not None and it.prompt_tokens is None and it.completion_tokens is None
    counted = Usage() if bill_alone else _chat_usage(it)
    if it.cost is None:
        return msgspec.structs.replace(counted, flags=("bill_missing",))
    bill, flags = rounded_femto(it.cost, _FEMTO_PER_USD)
    # With a key of one's own the vendor behind it sends a bill of its own.
    byok = ("byok_fee_only",) if it.is_byok else ()
    return msgspec.structs.replace(counted, reported_femto_usd=bill, flags=("provider_reported", *flags, *byok))


def read_deepseek(usage: bytes | Mapping[str, Any]) -> Usage:
    """DeepSeek: `prompt_tokens` is what hit the cache and what missed it. Source: DeepSeek's API reference."""
    it = read(usage, _deepseek, _DeepSeek)
    hit, miss = it.prompt_cache_hit_tokens, it.prompt_cache_miss_tokens
    if hit is None and miss is None:
        return _chat_usage(it)
    if it.prompt_tokens is not None:
        hit = it.prompt_tokens - (miss or 0) if hit is None else hit
        miss = it.prompt_tokens - hit if miss is None else miss
        if min(hit, miss) < 0 or hit + miss != it.prompt_tokens:
            raise invalid(f"{hit} cached and {miss} uncached tokens of a prompt of {it.prompt_tokens}")
    return Usage(
        input_tokens=miss or 0,
        cache_read_tokens=hit or 0,
        output_tokens=it.completion_tokens or 0,
        reasoning_tokens=_reasoning(it.completion_tokens_details),
    )


def read_responses(usage: bytes | Mapping[str, Any]) -> Usage:
    """Responses: `input_tokens` includes what was cached, unlike Anthropic's member of the same name."""
    it = read(usage, _responses, _Responses)
    _check_any(it.input_tokens, it.output_tokens, form="Responses")
    details = it.input_tokens_details or _PromptDetails()
    return _split(
        it.input_tokens or 0,
        details,
        output_tokens=it.output_tokens or 0,
        reasoning_tokens=_reasoning(it.output_tokens_details),
        service_tier=it.service_tier,
    )


def read_bedrock(usage: bytes | Mapping[str, Any]) -> Usage:
    """Bedrock's Converse: `inputTokens` is what was neither read nor written. Source: its API reference."""
    it = read(usage, _bedrock, _Bedrock)
    _check_any(
        it.input_tokens,
        it.output_tokens,
        it.cache_read_input_tokens,
        it.cache_write_input_tokens,
        form="Converse",
    )
    total = it.cache_write_input_tokens or 0
    hour = sum(detail.input_tokens or 0 for detail in it.cache_details or () if detail.ttl == "1h")
    short = sum(detail.input_tokens or 0 for detail in it.cache_details or () if detail.ttl == "5m")
    other = sum(detail.input_tokens or 0 for detail in it.cache_details or ()) - hour - short
    if it.cache_write_input_tokens is None:
        total = hour + short + other
    if hour + short + other > total:
        raise invalid(f"cacheDetails add up to {hour + short + other}, cacheWriteInputTokens is {total}")
    rest = total - hour - short
    return Usage(
        input_tokens=it.input_tokens or 0,
        cache_read_tokens=it.cache_read_input_tokens or 0,
        cache_write_5m_tokens=short + rest,
        cache_write_1h_tokens=hour,
        output_tokens=it.output_tokens or 0,
        assumed_5m_tokens=rest,
    )


def _chat_usage(it: _Chat) -> Usage:
    _check_any(it.prompt_tokens, it.completion_tokens, form="Chat Completions")
    prompt, output = it.prompt_tokens or 0, it.completion_tokens or 0
    reasoning = _reasoning(it.completion_tokens_details)
    # xAI counts reasoning beside completion_tokens, and its total says so; everybody else counts it inside.
    if reasoning and it.total_tokens == prompt + output + reasoning:
        output += reasoning
    details = it.prompt_tokens_details or _PromptDetails()
    return _split(
        prompt, details, output_tokens=output, reasoning_tokens=reasoning, service_tier=it.service_tier
    )


def _split(
    prompt: int, details: _PromptDetails, *, output_tokens: int, reasoning_tokens: int, service_tier: str | None
) -> Usage:
    split = details.cache_creation or Split()
    short, hour = split.ephemeral_5m_input_tokens or 0, split.ephemeral_1h_input_tokens or 0
    told = (details.cache_write_tokens, details.cache_creation_input_tokens, short + hour)
    cached, written = details.cached_tokens or 0, next(count for count in told if count is not None)
    if cached + written > prompt:
        raise invalid(f"{cached} cached and {written} written tokens of a prompt of {prompt}")
    if short + hour > written:
        raise invalid(f"cache_creation adds up to {short + hour}, written were {written}")
    return Usage(
        input_tokens=prompt - cached - written,
        cache_read_tokens=cached,
        cache_write_5m_tokens=written - hour,
        cache_write_1h_tokens=hour,
        output_tokens=output_tokens,
        reasoning_tokens=reasoning_tokens,
        service_tier=service_tier,
        assumed_5m_tokens=written - short - hour,
        explicit_cache=details.cache_type in EXPLICIT_CACHE,
    )


def _check_any(*counts: int | None, form: str) -> None:
    """Another form's usage has other names: read as this one it would cost nothing."""
    if all(count is None for count in counts):
        raise invalid(f"it has none of the counts of {form}")


def _reasoning(details: _OutputDetails | None) -> int:
    return (details.reasoning_tokens or 0) if details is not None else 0


def _with_exact_cost(usage: Mapping[str, Any]) -> Mapping[str, Any]:
    """A cost that was decoded as a float has its shortest text, which is what the vendor wrote."""
    cost = usage.get("cost")
    return {**usage, "cost": Decimal(repr(cost))} if isinstance(cost, float) else usage
