"""Members that only one form of usage has. Such an object, read as another form, would be priced wrongly."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from nexusflow_core.untyped import is_object
from nexusflow_core.usage.buckets import Wire
from nexusflow_core.usage.counts import MALFORMED, invalid, plain

__all__ = ["FOREIGN", "refuse_foreign", "without_foreign"]

_ANTHROPIC = ("cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation", "server_tool_use")
_CHAT = ("prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details")
_RESPONSES = ("input_tokens_details", "total_tokens")
_CONVERSE = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
_REPORT = ("uncached_input_tokens",)

_OF: Final[Mapping[str, Wire]] = {
    **dict.fromkeys(_ANTHROPIC, "anthropic"),
    **dict.fromkeys(_CHAT, "openai-chat"),
    **dict.fromkeys(_RESPONSES, "openai-responses"),
    **dict.fromkeys(_CONVERSE, "bedrock-converse"),
    **dict.fromkeys(_REPORT, "anthropic-usage-report"),
}
"""The form that each member belongs to."""

_LIKE_CHAT = (*_CONVERSE, *_REPORT)
"""Servers add Anthropic's and Responses' cached tokens to Chat Completions, so those are not foreign there."""

FOREIGN: Final[Mapping[Wire, tuple[str, ...]]] = {
    "anthropic": (*_CHAT, *_RESPONSES, *_CONVERSE, *_REPORT),
    "anthropic-stream": (*_CHAT, *_RESPONSES, *_CONVERSE, *_REPORT),
    "anthropic-usage-report": ("input_tokens", *_CHAT, *_RESPONSES, *_CONVERSE),
    "openai-chat": _LIKE_CHAT,
    "deepseek-chat": _LIKE_CHAT,
    "openrouter": _LIKE_CHAT,
    "openai-responses": (*_ANTHROPIC, *_CHAT, *_CONVERSE, *_REPORT),
    "bedrock-converse": (
        "input_tokens",
        "output_tokens",
        *_ANTHROPIC,
        *_CHAT,
        "input_tokens_details",
        *_REPORT,
    ),
}
_NOT_ANTHROPIC = frozenset(FOREIGN["anthropic"])
_BESIDE_ITS_OWN = (*_ANTHROPIC[:3], "input_tokens_details")
_raw = msgspec.json.Decoder(dict[str, Raw])


def refuse_foreign(usage: bytes | object, wire: Wire) -> None:
    """Raises InvalidUsageError that names the right wire, if the usage has a member of another form."""
    try:
        members = _raw.decode(usage) if isinstance(usage, bytes) else plain(usage)
    except MALFORMED:
        return  # the reader itself reports malformed data
    if not is_object(members):
        return
    found = next((name for name in FOREIGN[wire] if _stands(members, name)), None)
    if found is None and FOREIGN[wire] is _LIKE_CHAT and not any(_stands(members, name) for name in _CHAT[:2]):
        found = next((name for name in _BESIDE_ITS_OWN if _stands(members, name)), None)
    if found is not None:
        theirs = _OF.get(found, "anthropic")
        raise invalid(f"{found} is not a member of {wire} but of {theirs}: read it with wire={theirs!r}")


def without_foreign(usage: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns an Anthropic usage without the members of other forms that some servers add.

    Such a server answered in Anthropic's form, so Anthropic's members can be trusted.
    """
    if _NOT_ANTHROPIC.isdisjoint(usage):
        return usage
    return {name: value for name, value in usage.items() if name not in _NOT_ANTHROPIC}


def _stands(members: Mapping[str, Any], name: str) -> bool:
    value = members.get(name)
    return value is not None and (not isinstance(value, Raw) or bytes(value) != b"null")
