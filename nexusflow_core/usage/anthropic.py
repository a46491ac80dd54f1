"""Readers of Anthropic's forms: one answer, a stream, and the rows of its usage and cost reports.

Source: the Messages API (`usage`) and the Admin API (usage report, cost report).
"""

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from nexusflow_core.errors import InvalidUsageError
from nexusflow_core.sse import ServerSentEvent, SSEDecoder
from nexusflow_core.usage.buckets import Iteration, Usage
from nexusflow_core.usage.counts import MALFORMED, Count, Split, femto, invalid, plain, read
from nexusflow_core.usage.forms import refuse_foreign, without_foreign
from nexusflow_core.usage.merge import WireUsage, merge_usage

__all__ = ["read_answer", "read_cost_report", "read_metered", "read_stream", "read_usage_report"]

_FEMTO_PER_CENT = 10**13
_AMOUNT = re.compile(r"-?\d{1,40}(\.\d{1,20})?", re.ASCII)


class _Tools(Struct, gc=False):
    web_search_requests: Count | None = None


class _Details(Struct, gc=False):
    thinking_tokens: Count | None = None


class _Credit(Struct):
    status: dict[str, Any] | None = None


class _Step(Struct, gc=False):
    type: str = "message"
    model: str | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation: Split | None = None


class _Answer(Struct, gc=False):
    # In Anthropic's order: msgspec finds a member fastest where it expects it.
    input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation: Split | None = None
    output_tokens: Count | None = None
    output_tokens_details: _Details | None = None
    service_tier: str | None = None
    inference_geo: str | None = None
    server_tool_use: _Tools | None = None
    speed: str | None = None
    iterations: list[_Step] | None = None
    fallback_credit: _Credit | None = None
    # Only other forms have these. Declaring them as None makes their presence an error at no cost.
    input_tokens_details: None = None
    total_tokens: None = None
    prompt_tokens: None = None


class _ReportRow(Struct):
    uncached_input_tokens: Count | None = None
    cache_creation: Split | None = None
    cache_read_input_tokens: Count | None = None
    output_tokens: Count | None = None
    server_tool_use: _Tools | None = None
    service_tier: str | None = None
    inference_geo: str | None = None
    speed: str | None = None
    context_window: str | None = None


class _CostRow(Struct):
    amount: str
    currency: str = "USD"


class _Message(Struct):
    usage: dict[str, Any] | None = None


class _Event(Struct):
    type: str = ""
    usage: dict[str, Any] | None = None
    message: _Message | None = None


_answer = msgspec.json.Decoder(_Answer)
_decode_answer = _answer.decode
_report_row = msgspec.json.Decoder(_ReportRow)
_cost_row = msgspec.json.Decoder(_CostRow)
_event = msgspec.json.Decoder(_Event)
_usages = msgspec.json.Decoder(list[Mapping[str, Any]])

_WINDOWS = {"0-200k": 0, "200k-1M": 200_000}


def read_answer(usage: bytes | Mapping[str, Any]) -> Usage:
    """Returns the usage of a message. Cache writes without a lifetime count as 5-minute writes.

    Raises InvalidUsageError.
    """
    try:  # the hot path
        counts = _decode_answer(usage) if isinstance(usage, bytes) else read(usage, _answer, _Answer)
    except (*MALFORMED, InvalidUsageError) as error:
        refuse_foreign(usage, "anthropic")
        raise error if isinstance(error, InvalidUsageError) else invalid(str(error)) from None
    return _usage_of(usage, counts)


def _usage_of(usage: bytes | Mapping[str, Any], counts: _Answer) -> Usage:
    """Returns these counts as a Usage. Raises InvalidUsageError for those of another form."""
    if counts.input_tokens is None and counts.output_tokens is None:
        refuse_foreign(usage, "anthropic")
        _check_any(counts)
    short = hour = rest = 0
    if (split := counts.cache_creation) is not None:
        short = split.ephemeral_5m_input_tokens or 0
        hour = split.ephemeral_1h_input_tokens or 0
    if (total := counts.cache_creation_input_tokens) is not None and total - short != hour:
        rest = _rest(total, short, hour)
        short += rest
    found = Usage(
        counts.input_tokens or 0,
        counts.cache_read_input_tokens or 0,
        short,
        hour,
        counts.output_tokens or 0,
        0 if counts.server_tool_use is None else counts.server_tool_use.web_search_requests or 0,
        counts.service_tier,
        counts.speed,
        counts.inference_geo,
        () if counts.iterations is None else tuple(map(_iteration, counts.iterations)),
        0 if counts.output_tokens_details is None else counts.output_tokens_details.thinking_tokens or 0,
        rest,
    )
    return (
        found if counts.fallback_credit is None else replace(found, flags=_credit_flags(counts.fallback_credit))
    )


def read_stream(usage: bytes | Sequence[Mapping[str, Any]]) -> Usage:
    """Returns the usage of a stream, from its bytes or from its usage objects in order. Raises
    InvalidUsageError."""
    parts, flags = _usages_of(usage) if isinstance(usage, bytes) else (_converted(usage), ())
    if not parts:
        raise invalid("a stream without any usage")
    merged: WireUsage = {}
    for part in parts:
        refuse_foreign(part, "anthropic-stream")
        read(part, _answer, _Answer)
        merged = merge_usage(merged, part)
    counts = read(merged, _answer, _Answer)
    given, total = counts.cache_creation or Split(), counts.cache_creation_input_tokens
    short, hour = given.ephemeral_5m_input_tokens or 0, given.ephemeral_1h_input_tokens or 0
    if total is not None and short + hour > total:  # message_delta corrected the total alone
        flags += ("cache_write_split_assumed",)
        hour = min(hour, total)
        split = {"ephemeral_5m_input_tokens": total - hour, "ephemeral_1h_input_tokens": hour}
        merged["cache_creation"] = split
    found = read_answer(merged)
    return replace(found, flags=found.flags + flags) if flags else found


def read_metered(usage: Mapping[str, Any], *, stream: bool) -> Usage:
    """Returns the usage of a call that the gateway made, merged if it was a stream.

    Members that a server added are ignored. Raises InvalidUsageError.
    """
    own = without_foreign(usage)
    try:  # the hot path: the counts of a stream are merged already
        counts = msgspec.convert(own, _Answer)
    except MALFORMED:
        return read_stream([own]) if stream else read_answer(own)
    if stream and (split := counts.cache_creation) is not None:
        written = (split.ephemeral_5m_input_tokens or 0) + (split.ephemeral_1h_input_tokens or 0)
        if (total := counts.cache_creation_input_tokens) is not None and written > total:
            return read_stream([own])
    return _usage_of(own, counts)


def read_usage_report(row: bytes | Mapping[str, Any]) -> Usage:
    """Returns the usage of a usage report row: a sum over many requests, with its tier in `context_window`."""
    counts = read(row, _report_row, _ReportRow)
    refuse_foreign(row, "anthropic-usage-report")
    split = counts.cache_creation or Split()
    if counts.context_window is not None and counts.context_window not in _WINDOWS:
        raise invalid(f"context_window {counts.context_window[:40]!r} is not one of {', '.join(_WINDOWS)}")
    return Usage(
        input_tokens=counts.uncached_input_tokens or 0,
        cache_read_tokens=counts.cache_read_input_tokens or 0,
        cache_write_5m_tokens=split.ephemeral_5m_input_tokens or 0,
        cache_write_1h_tokens=split.ephemeral_1h_input_tokens or 0,
        output_tokens=counts.output_tokens or 0,
        web_searches=(counts.server_tool_use and counts.server_tool_use.web_search_requests) or 0,
        service_tier=counts.service_tier,
        speed=counts.speed,
        inference_geo=counts.inference_geo,
        prompt_above=_WINDOWS[counts.context_window or "0-200k"],
        flags=("many_requests",) if counts.context_window else ("many_requests", "tier_unknown"),
    )


def read_cost_report(row: bytes | Mapping[str, Any]) -> Usage:
    """Returns the usage of a cost report row: only a billed amount. `amount` is cents, as decimal text."""
    cost = read(row, _cost_row, _CostRow)
    if cost.currency != "USD":
        raise invalid(f"currency {cost.currency[:10]!r}, where only USD is known")
    if not _AMOUNT.fullmatch(cost.amount):
        raise invalid(f"amount {cost.amount[:40]!r} is not a number of cents")
    return Usage(reported_femto_usd=femto(Decimal(cost.amount), _FEMTO_PER_CENT), flags=("provider_reported",))


def _iteration(counts: _Step) -> Iteration:
    split = counts.cache_creation or Split()
    short, hour = split.ephemeral_5m_input_tokens or 0, split.ephemeral_1h_input_tokens or 0
    total = counts.cache_creation_input_tokens
    rest = 0 if total is None else _rest(total, short, hour)
    return Iteration(
        counts.type,
        counts.model,
        counts.input_tokens or 0,
        counts.cache_read_input_tokens or 0,
        short + rest,
        hour,
        counts.output_tokens or 0,
        rest,
    )


def _check_any(counts: _Answer) -> None:
    """Raises InvalidUsageError for a usage of another form: read as this one, it would cost nothing."""
    others = (
        counts.cache_read_input_tokens,
        counts.cache_creation_input_tokens,
        counts.cache_creation,
        counts.server_tool_use,
    )
    if not counts.iterations and all(other is None for other in others):
        raise invalid("it has none of the counts of Anthropic's form")


def _rest(total: int, short: int, hour: int) -> int:
    """Returns the written tokens that the split does not cover. Raises InvalidUsageError if it covers too
    many."""
    if (rest := total - short - hour) < 0:
        raise invalid(f"cache_creation is {-rest} more than cache_creation_input_tokens, which is {total}")
    return rest


def _credit_flags(credit: _Credit) -> tuple[str, ...]:
    """Returns a flag for a redeemed credit: it reprices an unknown number of writes as reads."""
    return ("fallback_credit",) if (credit.status or {}).get("type") == "redeemed" else ()


def _converted(usages: object) -> list[Mapping[str, Any]]:
    try:
        return msgspec.convert(plain(usages), list[Mapping[str, Any]])
    except MALFORMED as error:
        raise invalid(str(error)) from None


def _usages_of(data: bytes) -> tuple[list[Mapping[str, Any]], tuple[str, ...]]:
    """Returns the usage objects of a stream or a JSON list, and a flag if the stream was cut short."""
    try:
        if data.lstrip()[:1] == b"[":
            return _usages.decode(data), ()
        decoder = SSEDecoder()
        events = [_event.decode(data) for data in _data_of(decoder.feed(data))]
    except MALFORMED as error:
        raise invalid(str(error)) from None
    with contextlib.suppress(*MALFORMED):  # the last event may be cut short
        events += [_event.decode(data) for data in _data_of(decoder.flush())]
    usages = [event.usage or (event.message.usage if event.message else None) for event in events]
    whole = any(event.type == "message_stop" for event in events)
    return [usage for usage in usages if usage], () if whole else ("partial_usage",)


def _data_of(events: Iterable[ServerSentEvent]) -> list[bytes]:
    """Returns the data of each event, without the `[DONE]` that OpenRouter appends to Anthropic's streams."""
    return [event.data for event in events if event.data and event.data != b"[DONE]"]
