"""The usage of the Responses API, for the gateway and for offline pricing.

Cached and written tokens lie inside `input_tokens`, reasoning inside `output_tokens`. The counts are read as
those of Chat Completions are: the gateway reads both with `read_counts`.
"""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from nexusflow_core.untyped import object_of
from nexusflow_core.usage.buckets import Usage
from nexusflow_core.usage.chat import count
from nexusflow_core.usage.forms import refuse_foreign
from nexusflow_core.usage.others import chat_usage, plain_members

__all__ = ["read_responses", "web_searches"]


def read_responses(usage: bytes | Mapping[str, Any]) -> Usage:
    """Returns the usage of Responses, whose `input_tokens` includes cached tokens, unlike Anthropic's.

    `tool_usage` and `service_tier` of the answer may be added to the object: they have a price too.
    Raises InvalidUsageError.
    """
    members = plain_members(usage)
    refuse_foreign(members, "openai-responses")
    found = chat_usage(members, "Responses")
    searches = web_searches(object_of(members.get("tool_usage")))
    return replace(found, web_searches=searches) if searches else found


def web_searches(tool_usage: Mapping[str, Any]) -> int:
    """Returns the searches of the web that are charged, from an answer's `tool_usage`."""
    return count(object_of(tool_usage.get("web_search")), "num_requests")
