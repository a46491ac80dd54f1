"""Tools, and which of them must be called."""

from typing import Any

import msgspec

from nexusflow_core.dialects.openai_chat.vendors import Vendor
from nexusflow_core.errors import InvalidRequest
from nexusflow_core.messages import MessagesRequest, Tool, ToolChoice
from nexusflow_core.routing import Options
from nexusflow_core.translation.ids import ToolNames
from nexusflow_core.translation.losses import Losses
from nexusflow_core.translation.schemas import closed, without
from nexusflow_core.translation.tools import client_tool, runs_at_anthropic
from nexusflow_core.untyped import whole

__all__ = ["offer_tools"]


def offer_tools(
    request: MessagesRequest, vendor: Vendor, body: dict[str, Any], losses: Losses, options: Options
) -> bool:
    """Puts tools and choice into the body. True: only the first call of the answer counts, since the upstream
    has no field that says so."""
    offered = _offered(request.tools, losses, options)
    tools = [tool for _, tool in offered]
    if tools:
        if len({tool.name for tool in tools}) < len(tools):
            raise InvalidRequest("tools: Tool names must be unique.")
        body["tools"] = [_tool(tool, index, vendor, losses) for index, tool in offered]
    choice = request.tool_choice
    if choice is None:
        return False
    if not tools:
        if choice.type in ("any", "tool"):
            raise InvalidRequest("tool_choice: needs tools to choose from")
        return False
    _tool_choice(choice, tools, vendor, body, losses)
    if not choice.disable_parallel_tool_use:
        return False
    if vendor.parallel_tool_calls:
        body["parallel_tool_calls"] = False
    return not vendor.parallel_tool_calls


def _offered(tools: list[Tool], losses: Losses, options: Options) -> list[tuple[int, Tool]]:
    """The tools that the client runs, with their number in the request."""
    offered: list[tuple[int, Tool]] = []
    for index, tool in enumerate(tools):
        if tool.type == "custom" or client_tool(tool) is not None:
            offered.append((index, tool))
        elif options.server_tools == "drop" and runs_at_anthropic(tool.type):
            losses.drop(f"tools[{index}]", "it runs at Anthropic only")
        else:
            raise InvalidRequest(f"tools.{index}: {tool.type[:60]!r} cannot be offered to this upstream")
    return offered


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
    if tool.allowed_callers is not None and "direct" not in tool.allowed_callers:
        raise InvalidRequest(f"tools.{index}.allowed_callers: code execution runs at Anthropic only")
    function: dict[str, Any] = {"name": ToolNames.sent(tool.name)}
    description, schema = _defined(tool, index, losses)
    if tool.input_examples:
        examples = "\n".join(msgspec.json.encode(example).decode() for example in tool.input_examples)
        description = f"{description}\n\nExamples of the input:\n{examples}".lstrip()
    if description:
        function["description"] = description
    function["parameters"] = {"type": "object", "properties": {}, **schema}
    if vendor.schema_refuses:
        at = f"{path}.input_schema"
        function["parameters"] = without(vendor.schema_refuses, function["parameters"], at, losses)
    if tool.strict is not None:
        if tool.strict and not vendor.strict_tools:
            losses.drop(f"{path}.strict", "this upstream does not enforce schemas")
        elif tool.strict and not closed(function["parameters"]):
            losses.drop(f"{path}.strict", "this upstream enforces closed schemas without optional members only")
        elif vendor.strict_tools:
            function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _defined(tool: Tool, index: int, losses: Losses) -> tuple[str, dict[str, Any]]:
    """Description and schema: the client's, or those of a tool that Anthropic defines."""
    path, rest = f"tools[{index}]", set(tool.rest)
    defined = client_tool(tool)
    if defined is None:
        description, schema = tool.description or "", tool.input_schema or {}
    else:
        if tool.name != defined.name:
            raise InvalidRequest(f"tools.{index}.{tool.type}.name: Input should be '{defined.name}'")
        for name in ("description", "input_schema"):
            if getattr(tool, name) is not None:
                losses.unknown(f"{path}.{name}")
        description, schema = defined.description, defined.parameters
        most = whole(tool.rest.get("max_characters"))
        if defined.max_characters and isinstance(most, int):
            description += f" It shows at most {most} characters of a file."
            rest.discard("max_characters")
    for name in tool.rest:
        if name in rest:
            losses.unknown(f"{path}.{name}")
    return description, schema
