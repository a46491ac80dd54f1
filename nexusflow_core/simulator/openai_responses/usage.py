"""The counts of an answer: the prompt, the parts of it read from and written to the cache, and the output."""

import re
from typing import Any

from msgspec.structs import replace

from nexusflow_core.simulator.openai_chat.usage import CACHED_AT_LEAST, CACHED_BY, prompt_tokens
from nexusflow_core.simulator.openai_responses.request import ResponsesRequest, chat_of, parts_of
from nexusflow_core.simulator.reply import Reply
from nexusflow_core.untyped import object_of

__all__ = ["usage_of"]

_BILLS_WRITES = re.compile(r"gpt-5\.[6-9]|gpt-[6-9]")
"""Models that take breakpoints, and bill what they write to the cache."""


def usage_of(request: ResponsesRequest, reply: Reply) -> dict[str, Any]:
    """Returns the counts with all of OpenAI's details."""
    prompt = prompt_tokens(chat_of(request))
    cached: dict[str, Any] = {"cached_tokens": prompt.cached}
    if _BILLS_WRITES.match(request.base_model):
        cached = _read_and_written(request, prompt.cached)
    return {
        "input_tokens": prompt.total,
        "input_tokens_details": cached,
        "output_tokens": reply.output_tokens,
        "output_tokens_details": {"reasoning_tokens": reply.thinking_tokens},
        "total_tokens": prompt.total + reply.output_tokens,
    }


def _read_and_written(request: ResponsesRequest, sent_before: int) -> dict[str, Any]:
    """Returns what was read and written. In the explicit mode, the cache ends with the last marked item."""
    options, items = object_of(request.prompt_cache_options), request.items
    if options.get("mode") == "explicit":
        marked = [i for i, item in enumerate(items, 1) if any(map(_has_breakpoint, parts_of(item)))]
        items = items[: marked[-1]] if marked else []
    until = prompt_tokens(chat_of(replace(request, input=items, instructions=None))).total if items else 0
    cacheable = until // CACHED_BY * CACHED_BY if until >= CACHED_AT_LEAST else 0
    written = cacheable - min(sent_before, cacheable)
    long = written if options.get("ttl") == "12h" else 0
    lifetimes = {"ttl_30m_tokens": written - long, "ttl_12h_tokens": long}
    details = {"cache_write_tokens": written, "cache_write_tokens_details": lifetimes}
    return {"cached_tokens": min(sent_before, cacheable), **details}


def _has_breakpoint(part: dict[str, Any]) -> bool:
    return part.get("prompt_cache_breakpoint") is not None
