"""Tools, and which of them must be called."""

from typing import Any

import msgspec

from nexusflow_core.dialects.openai_chat.losses import Losses
from nexusflow_core.dialects.openai_chat.names import ToolNames
from nexusflow_core.dialects.openai_chat.vendors import Vendor
from nexusflow_core.errors import InvalidRequest
from nexusflow_core.messages import MessagesRequest, Tool, ToolChoice
from nexusflow_core.untyped import is_list, object_of

__all__ = ["closed", "offer_tools"]


def offer_tools(request: MessagesRequest, vendor: Vendor, body: dict[str, Any], losses: Losses) -> bool:
    """Puts tools and choice into the body. True: only the first call of the answer counts, since the upstream
    has no field that says so."""
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
        elif tool.strict and not closed(function["parameters"]):
            losses.drop(f"{path}.strict", "this upstream enforces closed schemas without optional members only")
        elif vendor.strict_tools:
            function["strict"] = tool.strict
    return {"type": "function", "function": function}


def closed(schema: Any) -> bool:
    """Whether every object in a schema is closed and has no optional member: only that can be `strict`. Making
    it so would change what it means (PITFALLS E7)."""
    if is_list(schema):
        return all(closed(item) for item in schema)
    members = object_of(schema)
    if "properties" in members or members.get("type") == "object":
        required: Any = members.get("required") or ()
        if members.get("additionalProperties") is not False:
            return False
        if any(name not in required for name in object_of(members.get("properties"))):
            return False
    return all(closed(value) for name, value in members.items() if name not in ("enum", "const", "default"))
