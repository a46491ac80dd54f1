"""The usage of the Responses API, for the gateway and for offline pricing.

`input_tokens` includes cached and written tokens, `output_tokens` includes reasoning. The gateway reads these
counts with `read_counts`, like those of Chat Completions.
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
