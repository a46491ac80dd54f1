"""A Messages request as a Chat Completions request: the same input makes the same bytes."""

import hashlib
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.dialects.openai_chat.conversation import Conversation
from nexusflow_core.dialects.openai_chat.losses import Losses
from nexusflow_core.dialects.openai_chat.names import ToolNames
from nexusflow_core.dialects.openai_chat.vendors import Vendor
from nexusflow_core.errors import InvalidRequest
from nexusflow_core.messages import MessagesRequest, Tool, ToolChoice
from nexusflow_core.untyped import is_list, is_object, object_of

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

DETAILS: dict[str, dict[str, Any]] = {
    "thread": {"error_code": "thread_unsupported_request", "unsupported": ["thread"]},
}
"""What clients look for: the anthropic SDK's tool runner asks for a thread, and then goes on without one."""

DROPPED = {
    "thinking": "thinking is not controlled on this upstream",
    "diagnostics": "cache diagnostics are Anthropic's own",
}


class ChatRequest(Struct):
    """The upstream's body, and what the answer's translation must know of the request."""

    body: bytes
    names: ToolNames
    stop_here: tuple[str, ...]
    """Stop strings that the upstream was not given, to be found on the text."""
    one_call: bool
    """Only the first tool call counts: the upstream has no field that says so."""


def chat_request(request: MessagesRequest, model: str, vendor: Vendor, losses: Losses) -> ChatRequest:
    """Raises InvalidRequest for what this upstream cannot be asked without changing what it means."""
    try:
        return _chat_request(request, model, vendor, losses)
    except RecursionError:  # an input or a schema so deep that it can be read, but not written
        raise InvalidRequest("The request body nests too deeply") from None


def _chat_request(request: MessagesRequest, model: str, vendor: Vendor, losses: Losses) -> ChatRequest:
    for path in request.unknown:
        losses.unknown(path)
    names = ToolNames(tool.name for tool in request.tools)
    conversation = Conversation(request, vendor, losses)
    body: dict[str, Any] = {"model": model, "messages": conversation.messages()}
    if request.max_tokens < 0:
        raise InvalidRequest("max_tokens: Input should be greater than or equal to 0")
    if request.max_tokens == 0:
        raise InvalidRequest("max_tokens: 0, a cache pre-warm, is not possible on this upstream")
    body[vendor.max_tokens] = request.max_tokens
    if request.stream:
        body["stream"] = True
        if vendor.stream_options:
            body["stream_options"] = {"include_usage": True}
    stop_here = _stop(request, model, vendor, body)
    _sampling(request, model, vendor, body, losses)
    one_call = _tools(request, vendor, body, losses)
    _metadata(request, vendor, body, losses)
    _extra(request.extra, vendor, body, losses)
    return ChatRequest(msgspec.json.encode(body), names, stop_here, one_call)


def _stop(request: MessagesRequest, model: str, vendor: Vendor, body: dict[str, Any]) -> tuple[str, ...]:
    """Sends what the vendor takes, all or none; returns what must be found here."""
    stops = request.stop_sequences
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


def _tools(request: MessagesRequest, vendor: Vendor, body: dict[str, Any], losses: Losses) -> bool:
    if request.tools:
        if len({tool.name for tool in request.tools}) < len(request.tools):
            raise InvalidRequest("tools: Tool names must be unique.")
        body["tools"] = [_tool(tool, index, vendor, losses) for index, tool in enumerate(request.tools)]
    choice = request.tool_choice
    if choice is None:
        return False
    if not request.tools:
        if choice.type in ("any", "tool"):
            raise InvalidRequest("tool_choice: needs tools to choose from")
        return False
    _tool_choice(choice, request.tools, vendor, body, losses)
    if not choice.disable_parallel_tool_use:
        return False
    if vendor.parallel_tool_calls:
        body["parallel_tool_calls"] = False
    return not vendor.parallel_tool_calls


def _tool_choice(
    choice: ToolChoice, tools: list[Tool], vendor: Vendor, body: dict[str, Any], losses: Losses
) -> None:
    if choice.type in ("auto", "none"):
        body["tool_choice"] = choice.type
    elif choice.type == "any":
        if vendor.tool_choice == "auto":
            losses.drop("tool_choice", "this upstream cannot be made to call a tool")
        body["tool_choice"] = "auto" if vendor.tool_choice == "auto" else vendor.required
    else:
        if choice.name not in [tool.name for tool in tools]:
            raise InvalidRequest(f"tool_choice.tool.name: no tool is called {str(choice.name)[:100]!r}")
        if vendor.tool_choice == "auto":
            losses.drop("tool_choice", "this upstream cannot be made to call a tool")
            body["tool_choice"] = "auto"
        elif vendor.tool_choice == "required":  # the one tool, and that one must be called
            sent = ToolNames.sent(choice.name or "")
            body["tools"] = [tool for tool in body["tools"] if tool["function"]["name"] == sent]
            body["tool_choice"] = vendor.required
        else:
            body["tool_choice"] = {"type": "function", "function": {"name": ToolNames.sent(choice.name or "")}}


def _tool(tool: Tool, index: int, vendor: Vendor, losses: Losses) -> dict[str, Any]:
    path = f"tools[{index}]"
    if tool.type != "custom":
        raise InvalidRequest(f"tools.{index}: {tool.type[:60]!r} cannot be offered to this upstream")
    if tool.allowed_callers is not None and "direct" not in tool.allowed_callers:
        raise InvalidRequest(f"tools.{index}.allowed_callers: code execution runs at Anthropic only")
    for name in tool.rest:
        losses.unknown(f"{path}.{name}")
    if tool.cache_control is not None and not vendor.caches_itself:
        losses.hint(f"{path}.cache_control", "this upstream takes no cache markers")
    function: dict[str, Any] = {"name": ToolNames.sent(tool.name)}
    description = tool.description or ""
    if tool.input_examples:
        examples = "\n".join(msgspec.json.encode(example).decode() for example in tool.input_examples)
        description = f"{description}\n\nExamples of the input:\n{examples}".lstrip()
    if description:
        function["description"] = description
    function["parameters"] = {"type": "object", "properties": {}, **(tool.input_schema or {})}
    if tool.strict is not None:
        if tool.strict and not vendor.strict_tools:
            losses.drop(f"{path}.strict", "this upstream does not enforce schemas")
        elif tool.strict and not _closed(function["parameters"]):
            losses.drop(f"{path}.strict", "this upstream enforces closed schemas without optional members only")
        elif vendor.strict_tools:
            function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _closed(schema: Any) -> bool:
    """Whether every object in a schema is closed and has no optional member: only that can be `strict`. Making
    it so would change what it means (PITFALLS E7)."""
    if is_list(schema):
        return all(_closed(item) for item in schema)
    members = object_of(schema)
    if "properties" in members or members.get("type") == "object":
        required: Any = members.get("required") or ()
        if members.get("additionalProperties") is not False:
            return False
        if any(name not in required for name in object_of(members.get("properties"))):
            return False
    return all(_closed(value) for name, value in members.items() if name not in ("enum", "const", "default"))


def _metadata(request: MessagesRequest, vendor: Vendor, body: dict[str, Any], losses: Losses) -> None:
    for name, value in request.metadata.items():
        if name == "user_id" and isinstance(value, str) and vendor.user_field:
            opaque = len(value) <= 64 and value.isascii() and "@" not in value
            body[vendor.user_field] = value if opaque else hashlib.sha256(value.encode()).hexdigest()
        elif name == "user_id" and value is not None:
            losses.hint("metadata.user_id", "this upstream takes no user id")
        elif name != "user_id":
            losses.unknown(f"metadata.{name}")


def _extra(extra: dict[str, Any], vendor: Vendor, body: dict[str, Any], losses: Losses) -> None:
    for name, value in extra.items():
        if name in REFUSED:
            raise InvalidRequest(f"{name}: {REFUSED[name]}", details=DETAILS.get(name))
        if name in DROPPED:
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
        elif name == "cache_control" and not vendor.caches_itself:
            losses.hint("cache_control", "this upstream takes no cache markers")
        elif name == "context_management":
            _context_management(value, losses)
        elif name in ("output_config", "output_format"):
            _output_config(name, value, losses)


def _context_management(value: Any, losses: Losses) -> None:
    edits = object_of(value).get("edits")
    if edits is not None and not is_list(edits):
        raise InvalidRequest("context_management.edits: Input should be a valid list")
    kinds = [str(object_of(edit).get("type")) for edit in edits or ()]
    if any("compact" in kind for kind in kinds):
        raise InvalidRequest("context_management: compaction runs at Anthropic only")
    losses.drop("context_management", "context is edited by Anthropic only")


def _output_config(name: str, value: Any, losses: Losses) -> None:
    if not is_object(value):
        raise InvalidRequest(f"{name}: Input should be a valid dictionary")
    if name == "output_format" or value.get("format") is not None:
        path = name if name == "output_format" else f"{name}.format"
        raise InvalidRequest(f"{path}: a schema for the answer is not enforced on this upstream")
    for member, given in value.items():
        if member not in ("effort", "task_budget", "format"):
            losses.unknown(f"{name}.{member}")
        elif given is not None:
            losses.drop(f"{name}.{member}", "not controlled on this upstream")
