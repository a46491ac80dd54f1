"""Usage in the names of the wire, merged over the events of a stream."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

__all__ = ["MAX_USAGE_BYTES", "MAX_USAGE_MEMBERS", "WireUsage", "add_members", "merge_usage", "read_wire_usage"]

WireUsage = dict[str, Any]
"""A `usage` object with the wire's names and values, unknown members included."""

MAX_USAGE_MEMBERS = 64
"""Bound on the members of a usage object. Members of Anthropic's own usage are always kept."""

MAX_USAGE_BYTES = 64 * 1024
"""A longer usage object is reduced to the members of Anthropic's own usage."""

_PROMPT_COUNTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


class _Split(Struct, omit_defaults=True):
    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class _Details(Struct, omit_defaults=True):
    thinking_tokens: int | None = None


class _Tools(Struct, omit_defaults=True):
    web_search_requests: int | None = None
    web_fetch_requests: int | None = None


class _Known(Struct, omit_defaults=True):
    """The members of Anthropic's own usage. msgspec skips all others without building objects."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation: _Split | None = None
    output_tokens_details: _Details | None = None
    server_tool_use: _Tools | None = None
    service_tier: Annotated[str, Meta(max_length=256)] | None = None
    inference_geo: Annotated[str, Meta(max_length=256)] | None = None
    speed: Annotated[str, Meta(max_length=256)] | None = None


class _Iterations(Struct):
    iterations: Raw = Raw(b"null")


_NAMES = frozenset((*_Known.__struct_fields__, "iterations", "fallback_credit"))
_usage = msgspec.json.Decoder(dict[str, Any] | None)
_known = msgspec.json.Decoder(_Known)
_iterations = msgspec.json.Decoder(_Iterations)


def merge_usage(earlier: WireUsage, later: Mapping[str, Any], *, third_party: bool = False) -> WireUsage:
    """Returns `earlier`, with each member replaced that is present and not null in `later`.

    Stream usage is cumulative, so counts replace each other and are never added. Anthropic's prompt counts may
    shrink after a compaction: the later one counts. A third party may send zeros in message_delta, or a larger
    prompt than in message_start: there the larger prompt total wins.
    """
    news = {name: value for name, value in later.items() if value is not None}
    total = _prompt_total(news) if earlier else None
    if total is not None and total < (_prompt_total(earlier) or 0) and (third_party or total == 0):
        for name in (*_PROMPT_COUNTS, "cache_creation"):
            news.pop(name, None)
    merged = dict(earlier)
    add_members(merged, news)
    return merged


def add_members(usage: WireUsage, more: Mapping[str, Any]) -> None:
    """Adds members to a usage object. Unknown members are limited in number, so that memory is bounded."""
    if len(usage) + len(more) <= MAX_USAGE_MEMBERS:
        usage.update(more)
        return
    for name, value in more.items():
        if len(usage) < MAX_USAGE_MEMBERS or name in usage or name in _NAMES:
            usage[name] = value


def read_wire_usage(raw: Raw) -> WireUsage | None:
    """Returns a usage object as a dict, or None for null. Raises msgspec.DecodeError or UnicodeError.

    Above MAX_USAGE_BYTES only the known members are read. `iterations` then becomes a text: the call gets no
    cost instead of a wrong one.
    """
    if memoryview(raw).nbytes <= MAX_USAGE_BYTES:
        usage: WireUsage | None = _usage.decode(raw)
        if usage is None or len(usage) <= MAX_USAGE_MEMBERS:
            return usage
        kept: WireUsage = {}
        add_members(kept, usage)
        return kept
    found: WireUsage = msgspec.to_builtins(_known.decode(raw))
    if bytes(_iterations.decode(raw).iterations) != b"null":
        found["iterations"] = f"longer than {MAX_USAGE_BYTES} bytes"
    return found


def _prompt_total(usage: Mapping[str, Any]) -> int | None:
    """Returns the prompt's tokens, or None if a count is impossible: pricing reports that later."""
    total = 0
    for name in _PROMPT_COUNTS:
        count = usage.get(name, 0)
        if type(count) is not int or count < 0:
            return None
        total += count
    return total
