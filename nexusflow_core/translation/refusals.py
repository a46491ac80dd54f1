"""Fields that no translated upstream can carry: refused, dropped and listed, or without effect."""

import hashlib
from collections.abc import Container
from typing import Any

from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.messages import Block, TextBlock, ToolResultBlock, ToolUseBlock
from nexusflow_core.peek import UNSUPPORTED
from nexusflow_core.translation.context import Translation
from nexusflow_core.translation.losses import Losses
from nexusflow_core.untyped import is_blank, is_list, is_object, is_zero, object_of

__all__ = [
    "COMPACT",
    "DROPPED",
    "HINTS",
    "NO_OPS",
    "REFUSED",
    "check_extra",
    "drop_own_members",
    "max_tokens",
    "sampling",
    "user_id",
]

REFUSED = {
    "container": "code execution runs at Anthropic only",
    "mcp_servers": "MCP servers are called by Anthropic only",
    "compaction": "compaction runs at Anthropic only",
    "fallbacks": "server-side fallbacks run at Anthropic only",
    "fallback_credit_token": "server-side fallbacks run at Anthropic only",
    "thread": "threads are kept by Anthropic only",
    "billing_policy": "billing policies are Anthropic's own",
}
"""Answered with 400: dropping them would lose a guarantee, a price or a tool."""

_DETAILS: dict[str, dict[str, Any]] = {"thread": UNSUPPORTED}
"""Details that clients react to: the SDK's tool runner asks for a thread, and after this goes on without."""

DROPPED = {
    "diagnostics": "cache diagnostics are Anthropic's own",
}

HINTS = {
    "safeguards": "tool calls are judged by Anthropic only",
}
"""Listed, and not refused by `strict`: a client that gets no answer to them does the same by itself."""

_CACHED = "the vendor caches prefixes automatically"
_NO_CITATIONS = "the request asks for none without `enabled: true`"
_EDITION = "identifies the schema, and asks for nothing"
_PAIRED = "it pairs a call with its result; models with another form of id get it on both"
_AS_THEY_ARE = "`downsize` is the default; images are sent unchanged"

NO_OPS: dict[str, str] = {
    "stream": "the answer has the requested form",
    "service_tier": "`auto` is the default, and there is no other tier to avoid",
    "speed": "`standard` is the default",
    "inference_geo": "`global` promises nothing",
    "thinking.type": "`enabled` and `adaptive` both ask for thinking; budget and effort say how much; "
    "`disabled` is the default for models that take tools only without thinking",
    "thinking.display": "`summarized` is the default; the vendor's reasoning is shown unchanged",
    "context_management": "`clear_thinking` with `keep: all` clears nothing",
    "tool_choice": "without tools there is no choice",
    "cache_control": _CACHED,
    "system[].cache_control": _CACHED,
    "tools[].cache_control": _CACHED,
    "messages[].content[].cache_control": _CACHED,
    "messages[].content[].content[].cache_control": _CACHED,
    "tools[].eager_input_streaming": "fragments pass as they come",
    "tools[].defer_loading": "without a tool search, every tool is loaded",
    "tools[].allowed_callers": "every tool is called directly",
    "tools[].type": "`custom` is the only kind of tool",
    "tools[].input_schema.$schema": _EDITION,
    "tools[].input_schema.$id": _EDITION,
    "tools[].input_schema.additionalProperties": "`true` is a schema's default",
    "messages[].content[].citations": _NO_CITATIONS,
    "messages[].content[].content[].citations": _NO_CITATIONS,
    "messages[].content[].id": _PAIRED,
    "messages[].content[].tool_use_id": _PAIRED,
    "messages[].content[].caller": "every tool was called directly",
    "messages[].content[].transformations": _AS_THEY_ARE,
    "messages[].content[].content[].transformations": _AS_THEY_ARE,
    "system[].text": "x-anthropic-billing-header is transport data of the client and changes with every call",
}
"""Members that ask for the default, so nothing is lost. Paths leave out list indices. The leaf test pins their
values."""


def max_tokens(translation: Translation) -> int:
    """Returns the output limit in tokens: the client's, at most the route's. Raises InvalidRequestError."""
    wanted, most = translation.request.max_tokens, translation.options.max_tokens
    if wanted < 0:
        raise InvalidRequestError("max_tokens: Input should be greater than or equal to 0")
    if wanted == 0:
        raise InvalidRequestError("max_tokens: 0, a cache pre-warm, is not possible on this upstream")
    if most is None or wanted <= most:
        return wanted
    translation.losses.drop("max_tokens", f"{wanted} > {most}, the most that this route declares")
    return most


def sampling(translation: Translation, taken: Container[str]) -> dict[str, Any]:
    """Returns the sampling fields to send, those in `taken`. Lists the others as dropped."""
    found: dict[str, Any] = {}
    for name in ("temperature", "top_p", "top_k"):
        value = getattr(translation.request, name)
        if value is None:
            continue
        if name in taken:
            found[name] = value
        else:
            translation.losses.drop(name, "not taken by this upstream")
    return found


def user_id(translation: Translation, *, taken: bool) -> str | None:
    """Returns the user's id to send, or None. An id that may be personal, or is too long, is hashed."""
    found: str | None = None
    for name, value in translation.request.metadata.items():
        if is_blank(value):
            continue
        if name == "user_id" and isinstance(value, str) and taken:
            opaque = len(value) <= 64 and value.isascii() and "@" not in value
            found = value if opaque else hashlib.sha256(value.encode()).hexdigest()
        elif name == "user_id":
            translation.losses.hint("metadata.user_id", "this upstream takes no user id")
        else:
            translation.losses.unknown(f"metadata.{name}")
    return found


COMPACT = "compact_20260112"
_KEEP_ALL = {"type": "clear_thinking_20251015", "keep": "all"}
"""Clears nothing. Claude Code sends it with every request."""


def check_extra(translation: Translation, *, compacts: bool = False) -> None:
    """Checks all further fields of the request. Raises InvalidRequestError for a field in REFUSED. `compacts`:
    the upstream compacts a conversation on request."""
    losses = translation.losses
    for name, value in translation.request.extra.items():
        if name == "thinking":
            continue  # see thinking.py
        if name in REFUSED:
            raise InvalidRequestError(f"{name}: {REFUSED[name]}", details=_DETAILS.get(name))
        if name in HINTS:
            losses.hint(name, HINTS[name])
        elif name in DROPPED:
            losses.drop(name, DROPPED[name])
        elif name == "service_tier":
            if value not in ("auto", "standard_only"):
                raise InvalidRequestError("service_tier: Input should be 'auto' or 'standard_only'")
        elif name == "speed" and value != "standard":
            raise InvalidRequestError("speed: only 'standard' is possible on this upstream")
        elif name == "inference_geo" and value != "global":
            raise InvalidRequestError("inference_geo: this upstream promises no region")
        elif name == "context_management":
            _context_management(value, losses, compacts=compacts)
        elif name == "output_config":
            _output_config(value, losses)


def _context_management(value: Any, losses: Losses, *, compacts: bool) -> None:
    edits = object_of(value).get("edits")
    if is_zero(edits):
        edits = []
    if not is_list(edits):
        raise InvalidRequestError("context_management.edits: Input should be a valid list")
    wanted = [object_of(edit) for edit in edits]
    if compacts:
        wanted = [edit for edit in wanted if edit.get("type") != COMPACT]
    if any("compact" in str(edit.get("type")) for edit in wanted):
        raise InvalidRequestError("context_management: compaction runs at Anthropic only")
    others = [name for name, given in object_of(value).items() if name != "edits" and not is_blank(given)]
    if wanted not in ([], [_KEEP_ALL]) or others:
        losses.drop("context_management", "context is edited by Anthropic only")


def _output_config(value: Any, losses: Losses) -> None:
    if not is_object(value):
        raise InvalidRequestError("output_config: Input should be a valid dictionary")
    for member, given in value.items():
        if member not in ("effort", "task_budget", "format"):
            if not is_blank(given):
                losses.unknown(f"output_config.{member}")
        elif member == "task_budget" and not is_zero(given):  # effort: thinking.py; format: schemas.py
            losses.drop(f"output_config.{member}", "not controlled on this upstream")


def drop_own_members(block: Block, path: str, losses: Losses) -> None:
    """Drops members of a block that only Anthropic can use: citations, a tool's caller, its toolset."""
    if isinstance(block, TextBlock):
        if block.citations:
            losses.drop(f"{path}.citations", "citations are Anthropic's own")
        return
    if isinstance(block, ToolUseBlock):
        if block.caller and block.caller != {"type": "direct"}:
            losses.drop(f"{path}.caller", "code execution runs at Anthropic only")
    elif not isinstance(block, ToolResultBlock):
        return
    if block.toolset_name:
        losses.drop(f"{path}.toolset_name", "toolsets are Anthropic's own")
