"""Readers of other vendors' forms, and the table of all readers.

Each does its one subtraction here; no later code subtracts again.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from nexusflow_core.untyped import object_of
from nexusflow_core.usage.anthropic import read_answer, read_cost_report, read_stream, read_usage_report
from nexusflow_core.usage.buckets import READERS, Usage
from nexusflow_core.usage.chat import OUTPUT, PROMPT, check_counts, count, read_counts
from nexusflow_core.usage.counts import MALFORMED, Count, invalid, plain_object, read, rounded_femto
from nexusflow_core.usage.forms import refuse_foreign

__all__ = [
    "READERS",
    "chat_usage",
    "plain_members",
    "read_bedrock",
    "read_chat",
    "read_deepseek",
    "read_openrouter",
    "read_responses",
    "web_searches",
]

_FEMTO_PER_USD = 10**15


class _Bill(Struct):
    cost: Decimal | None = None
    is_byok: bool | None = None


class _CacheDetail(Struct, rename="camel"):
    ttl: str = "5m"
    input_tokens: Count | None = None


class _Bedrock(Struct, rename="camel"):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_write_input_tokens: Count | None = None
    cache_details: list[_CacheDetail] | None = None


_members = msgspec.json.Decoder(dict[str, Any])
_bill = msgspec.json.Decoder(_Bill)
_bedrock = msgspec.json.Decoder(_Bedrock)


def read_chat(usage: bytes | Mapping[str, Any]) -> Usage:
    """Returns the usage of Chat Completions, whose `prompt_tokens` includes cached and written tokens.

    Source: OpenAI's reference. Raises InvalidUsageError.
    """
    members = plain_members(usage)
    refuse_foreign(members, "openai-chat")
    return chat_usage(members)


def read_responses(usage: bytes | Mapping[str, Any]) -> Usage:
    """Returns the usage of Responses, whose `input_tokens` includes cached tokens, unlike Anthropic's.

    Add the answer's `tool_usage` and `service_tier` to the object if there are any: the price depends on them.
    Raises InvalidUsageError.
    """
    members = plain_members(usage)
    refuse_foreign(members, "openai-responses")
    found = chat_usage(members, "Responses")
    searches = web_searches(object_of(members.get("tool_usage")))
    return replace(found, web_searches=searches) if searches else found


def web_searches(tool_usage: Mapping[str, Any]) -> int:
    """Returns the number of billed web searches in an answer's `tool_usage`."""
    return count(object_of(tool_usage.get("web_search")), "num_requests")


def read_openrouter(usage: bytes | Mapping[str, Any]) -> Usage:
    """Returns OpenRouter's usage: Chat Completions, and `cost`, its bill in dollars. Raises
    InvalidUsageError."""
    members = plain_members(usage)
    refuse_foreign(members, "openrouter")
    bill = read(usage if isinstance(usage, bytes) else _with_exact_cost(members), _bill, _Bill)
    alone = bill.cost is not None and not any(members.get(name) for name in (*PROMPT, *OUTPUT))
    counted = Usage() if alone else chat_usage(members)
    if bill.cost is None:
        return replace(counted, flags=(*counted.flags, "bill_missing"))
    femto, flags = rounded_femto(bill.cost, _FEMTO_PER_USD)
    # With the customer's own key, the vendor behind OpenRouter sends a separate bill.
    byok = ("byok_fee_only",) if bill.is_byok else ()
    return replace(
        counted, reported_femto_usd=femto, flags=(*counted.flags, "provider_reported", *flags, *byok)
    )


def read_deepseek(usage: bytes | Mapping[str, Any]) -> Usage:
    """Returns DeepSeek's usage, whose `prompt_tokens` is cache hits plus misses.

    Source: DeepSeek's API reference. Raises InvalidUsageError.
    """
    members = plain_members(usage)
    refuse_foreign(members, "deepseek-chat")
    return chat_usage(members)


def read_bedrock(usage: bytes | Mapping[str, Any]) -> Usage:
    """Returns the usage of Bedrock's Converse, whose `inputTokens` excludes cache reads and writes.

    Source: Bedrock's API reference. Raises InvalidUsageError.
    """
    counts = read(usage, _bedrock, _Bedrock)
    refuse_foreign(usage, "bedrock-converse")
    _check_any(
        counts.input_tokens,
        counts.output_tokens,
        counts.cache_read_input_tokens,
        counts.cache_write_input_tokens,
        form="Converse",
    )
    total = counts.cache_write_input_tokens or 0
    hour = sum(detail.input_tokens or 0 for detail in counts.cache_details or () if detail.ttl == "1h")
    short = sum(detail.input_tokens or 0 for detail in counts.cache_details or () if detail.ttl == "5m")
    other = sum(detail.input_tokens or 0 for detail in counts.cache_details or ()) - hour - short
    if counts.cache_write_input_tokens is None:
        total = hour + short + other
    if hour + short + other > total:
        raise invalid(f"cacheDetails adds up to {hour + short + other}, but cacheWriteInputTokens is {total}")
    rest = total - hour - short
    return Usage(
        input_tokens=counts.input_tokens or 0,
        cache_read_tokens=counts.cache_read_input_tokens or 0,
        cache_write_5m_tokens=short + rest,
        cache_write_1h_tokens=hour,
        output_tokens=counts.output_tokens or 0,
        assumed_5m_tokens=rest,
    )


def chat_usage(members: Mapping[str, Any], form: str = "Chat Completions") -> Usage:
    """Returns the usage in an object of Chat Completions' kind. Raises InvalidUsageError."""
    check_counts(members, form)
    counts = read_counts(members)
    if counts.wrong:
        raise invalid(counts.wrong)
    short, hour = counts.lives or (0, 0)
    tier = members.get("service_tier")
    return Usage(
        input_tokens=counts.prompt - counts.read - counts.written,
        cache_read_tokens=counts.read,
        cache_write_5m_tokens=counts.written - hour,
        cache_write_1h_tokens=hour,
        output_tokens=counts.output,
        reasoning_tokens=counts.reasoning,
        service_tier=tier if isinstance(tier, str) else None,
        assumed_5m_tokens=counts.written - short - hour,
        explicit_cache=counts.explicit,
        flags=counts.flags,
        uncounted_tokens=max(counts.uncounted, 0),
    )


def plain_members(usage: bytes | Mapping[str, Any]) -> dict[str, Any]:
    """Returns a usage object as a dict of Python's own values. Raises InvalidUsageError for any other value."""
    try:
        return _members.decode(usage) if isinstance(usage, bytes) else plain_object(usage)
    except MALFORMED as error:
        raise invalid(str(error)) from None


def _check_any(*counts: int | None, form: str) -> None:
    """Raises InvalidUsageError for a usage of another form: read as this one, it would cost nothing."""
    if all(count is None for count in counts):
        raise invalid(f"it has none of the counts of {form}")


def _with_exact_cost(usage: dict[str, Any]) -> dict[str, Any]:
    """Returns the usage with a float cost as the Decimal of its shortest text, which the vendor wrote."""
    cost = usage.get("cost")
    return {**usage, "cost": Decimal(repr(cost))} if isinstance(cost, float) else usage


READERS.update(
    {
        "anthropic": read_answer,
        "anthropic-stream": read_stream,
        "anthropic-usage-report": read_usage_report,
        "anthropic-cost-report": read_cost_report,
        "openai-chat": read_chat,
        "openai-responses": read_responses,
        "deepseek-chat": read_deepseek,
        "bedrock-converse": read_bedrock,
        "openrouter": read_openrouter,
    }
)
