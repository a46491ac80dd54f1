"""A Messages request as a Chat Completions request: the same input makes the same bytes."""

import hashlib
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.call import Call
from nexusflow_core.dialects.openai_chat.asked import Asked
from nexusflow_core.dialects.openai_chat.caching import CacheMarkers, cache_key
from nexusflow_core.dialects.openai_chat.conversation import Conversation
from nexusflow_core.dialects.openai_chat.counts import estimated_prompt
from nexusflow_core.dialects.openai_chat.recall import Recall
from nexusflow_core.dialects.openai_chat.structure import answer_format
from nexusflow_core.dialects.openai_chat.thinking import steer_thinking
from nexusflow_core.dialects.openai_chat.tools import offer_tools
from nexusflow_core.dialects.openai_chat.vendors import Vendor, vendor_row
from nexusflow_core.errors import InvalidRequest
from nexusflow_core.messages import MessagesRequest, ToolUseBlock
from nexusflow_core.routing import Options, Target
from nexusflow_core.threads import UNSUPPORTED
from nexusflow_core.translation.ids import CallIds, ToolNames, UsedIds
from nexusflow_core.translation.losses import Losses
from nexusflow_core.translation.stops import MAX_STOP_CHARS, MAX_STOPS
from nexusflow_core.untyped import is_blank, is_list, is_object, is_zero, object_of

__all__ = ["ChatRequest", "chat_request"]

REFUSED = {
    "container": "code execution runs at Anthropic only",
    "mcp_servers": "MCP servers are called by Anthropic only",
    "compaction": "compaction runs at Anthropic only",
    "fallbacks": "server-side fallbacks run at Anthropic only",
    "fallback_credit_token": "server-side fallbacks run at Anthropic only",
    "thread": "threads are kept by Anthropic only",
    "billing_policy": "billing policies are Anthropic's own",
}
"""A guarantee, a price or a tool would vanish: 400."""

DETAILS: dict[str, dict[str, Any]] = {"thread": UNSUPPORTED}
"""What clients look for: the anthropic SDK's tool runner asks for a thread, and then goes on without one."""

DROPPED = {
    "diagnostics": "cache diagnostics are Anthropic's own",
}

HINTS = {
    "safeguards": "tool calls are judged by Anthropic only",
}
"""Named, and under `strict` not refused: without an answer to them a client does the same for itself."""


class ChatRequest(Struct, frozen=True):
    """The upstream's body, and what the answer's translation must know of the request."""

    body: bytes
    asked: Asked


def chat_request(request: MessagesRequest, call: Call, target: Target, losses: Losses) -> ChatRequest:
    """The request of this call. Raises InvalidRequest for what this upstream cannot be asked without changing
    what it means."""
    try:
        return _chat_request(request, call, target, losses)
    except RecursionError:  # an input or a schema so deep that it can be read, but not written
        raise InvalidRequest("The request body nests too deeply") from None


def _chat_request(request: MessagesRequest, call: Call, target: Target, losses: Losses) -> ChatRequest:
    vendor, model, options = vendor_row(target.upstream.vendor), target.model or call.model, target.options
    thinker = target.upstream.vendor or target.upstream.name
    tenant = call.principal.id if call.principal is not None else ""
    for path in request.unknown:
        losses.unknown(path)
    markers = CacheMarkers(request, model, vendor, losses)
    body: dict[str, Any] = {"model": model, "messages": []}
    body[vendor.max_tokens] = _max_tokens(request.max_tokens, options, losses)
    if request.stream:
        body["stream"] = True
        if vendor.stream_options:
            body["stream_options"] = {"include_usage": True}
    stop_here = _stop(request, model, vendor, body)
    _sampling(request, model, vendor, body, losses)
    one_call = offer_tools(request, vendor, body, losses, options)
    steered = steer_thinking(request, model, vendor, body, losses)
    recall = Recall(vendor, thinker, model, off=steered.off)
    call_ids = _call_ids(request)
    ids = CallIds(vendor.id_form(model), call_ids)
    conversation = Conversation(request, vendor, losses, options, markers=markers, recall=recall, ids=ids)
    body["messages"] = conversation.messages()
    _metadata(request, vendor, body, losses)
    _extra(request.extra, vendor, body, losses)
    answer_format(request, vendor, body, losses, prefilled=conversation.begun is not None)
    body.update(conversation.prefill.body)
    body.update(markers.body())
    if vendor.cache_key is not None:
        body[vendor.cache_key] = cache_key(request, model, body.get("tools"), tenant)
    encoded = msgspec.json.encode(body)
    asked = Asked(
        request_id=call.request_id,
        model=call.model,
        upstream_model=model,
        vendor_name=target.upstream.vendor,
        thinker=thinker,
        vendor=vendor,
        names=ToolNames(tool.name for tool in request.tools),
        used_ids=UsedIds(call_ids),
        stops=tuple(request.stop_sequences),
        stop_here=stop_here,
        echo=(conversation.begun or "") if conversation.prefill.echoed else "",
        one_call=one_call,
        hide_thinking=steered.hidden,
        prompt_tokens=estimated_prompt(len(encoded), body["messages"]),
    )
    return ChatRequest(encoded, asked)


def _call_ids(request: MessagesRequest) -> list[str]:
    turns = [message.content for message in request.messages if message.role == "assistant"]
    return [block.id for blocks in turns for block in blocks if isinstance(block, ToolUseBlock)]


def _max_tokens(asked: int, options: Options, losses: Losses) -> int:
    if asked < 0:
        raise InvalidRequest("max_tokens: Input should be greater than or equal to 0")
    if asked == 0:
        raise InvalidRequest("max_tokens: 0, a cache pre-warm, is not possible on this upstream")
    if options.max_tokens is None or asked <= options.max_tokens:
        return asked
    losses.drop("max_tokens", f"{asked} > {options.max_tokens}, the most that this route declares")
    return options.max_tokens


def _stop(request: MessagesRequest, model: str, vendor: Vendor, body: dict[str, Any]) -> tuple[str, ...]:
    """Sends what the vendor takes, all or none; returns what must be found here. Raises InvalidRequest for more
    than this search is made for."""
    stops = request.stop_sequences
    if len(stops) > MAX_STOPS:
        raise InvalidRequest(
            f"stop_sequences: at most {MAX_STOPS} are possible on this upstream, not {len(stops)}"
        )
    if sum(map(len, stops)) > MAX_STOP_CHARS:
        raise InvalidRequest(
            f"stop_sequences: at most {MAX_STOP_CHARS} characters together are possible on this upstream"
        )
    too_long = vendor.stop_bytes is not None and any(len(stop.encode()) > vendor.stop_bytes for stop in stops)
    if not stops or len(stops) > vendor.stop or too_long or vendor.reasons(model):
        return tuple(stops)
    body["stop"] = stops
    return ()


def _sampling(
    request: MessagesRequest, model: str, vendor: Vendor, body: dict[str, Any], losses: Losses
) -> None:
    for name in ("temperature", "top_p", "top_k"):
        value = getattr(request, name)
        if value is None:
            continue
        if name in vendor.sampling and not vendor.reasons(model):
            body[name] = value
        else:
            losses.drop(name, "not taken by this upstream")


def _metadata(request: MessagesRequest, vendor: Vendor, body: dict[str, Any], losses: Losses) -> None:
    for name, value in request.metadata.items():
        if is_blank(value):
            continue
        if name == "user_id" and isinstance(value, str) and vendor.user_field:
            opaque = len(value) <= 64 and value.isascii() and "@" not in value
            body[vendor.user_field] = value if opaque else hashlib.sha256(value.encode()).hexdigest()
        elif name == "user_id":
            losses.hint("metadata.user_id", "this upstream takes no user id")
        else:
            losses.unknown(f"metadata.{name}")


_KEEP_ALL = {"type": "clear_thinking_20251015", "keep": "all"}
"""Clears nothing: what Claude Code says with every request."""


def _extra(extra: dict[str, Any], vendor: Vendor, body: dict[str, Any], losses: Losses) -> None:
    for name, value in extra.items():
        if name == "thinking":
            continue  # see `steer_thinking`
        if name in REFUSED:
            raise InvalidRequest(f"{name}: {REFUSED[name]}", details=DETAILS.get(name))
        if name in HINTS:
            losses.hint(name, HINTS[name])
        elif name in DROPPED:
            losses.drop(name, DROPPED[name])
        elif name == "service_tier":
            if value == "standard_only" and vendor.service_tiers:
                body["service_tier"] = "default"
            elif value not in ("auto", "standard_only"):
                raise InvalidRequest("service_tier: Input should be 'auto' or 'standard_only'")
        elif name == "speed" and value != "standard":
            raise InvalidRequest("speed: only 'standard' is possible on this upstream")
        elif name == "inference_geo" and value != "global":
            raise InvalidRequest("inference_geo: this upstream promises no region")
        elif name == "context_management":
            _context_management(value, losses)
        elif name == "output_config":
            _output_config(value, losses)


def _context_management(value: Any, losses: Losses) -> None:
    edits = object_of(value).get("edits")
    if is_zero(edits):
        edits = []
    if not is_list(edits):
        raise InvalidRequest("context_management.edits: Input should be a valid list")
    asked = [object_of(edit) for edit in edits]
    if any("compact" in str(edit.get("type")) for edit in asked):
        raise InvalidRequest("context_management: compaction runs at Anthropic only")
    others = [name for name, given in object_of(value).items() if name != "edits" and not is_blank(given)]
    if asked not in ([], [_KEEP_ALL]) or others:
        losses.drop("context_management", "context is edited by Anthropic only")


def _output_config(value: Any, losses: Losses) -> None:
    if not is_object(value):
        raise InvalidRequest("output_config: Input should be a valid dictionary")
    for member, given in value.items():
        if member not in ("effort", "task_budget", "format"):
            if not is_blank(given):
                losses.unknown(f"output_config.{member}")
        elif member == "task_budget" and not is_zero(
            given
        ):  # effort: `steer_thinking`; format: `answer_format`
            losses.drop(f"output_config.{member}", "not controlled on this upstream")
