"""Offers the request's tools, and the choice among them."""

from nexusflow_core.dialects.openai_chat.context import ChatTranslation
from nexusflow_core.messages import ToolChoice
from nexusflow_core.translation.ids import ToolNames
from nexusflow_core.translation.tools import function_of, offered_tools, wanted_choice

__all__ = ["offer_tools"]


def offer_tools(it: ChatTranslation) -> bool:
    """Adds tools and tool choice to the body.

    Returns True if only the answer's first call counts, because the upstream has no field to limit them.
    """
    vendor, body, offered = it.vendor, it.body, offered_tools(it)
    if offered:
        enforces, refuses = vendor.strict_tools, vendor.schema_refuses
        made = [function_of(tool, at, it.losses, enforces=enforces, refuses=refuses) for at, tool in offered]
        body["tools"] = [{"type": "function", "function": function} for function in made]
    choice = wanted_choice(it, [tool for _, tool in offered])
    if choice is None:
        return False
    _tool_choice(choice, it)
    if not choice.disable_parallel_tool_use:
        return False
    if vendor.parallel_tool_calls:
        body["parallel_tool_calls"] = False
    return not vendor.parallel_tool_calls


def _tool_choice(choice: ToolChoice, it: ChatTranslation) -> None:
    vendor, body = it.vendor, it.body
    if choice.type in ("auto", "none"):
        body["tool_choice"] = choice.type
        return
    if vendor.tool_choice == "auto":
        it.losses.drop("tool_choice", "this upstream cannot be made to call a tool")
        body["tool_choice"] = "auto"
    elif choice.type == "any":
        body["tool_choice"] = vendor.required
    elif vendor.tool_choice == "required":  # offer only this tool, and require a call
        sent = ToolNames.sent(choice.name or "")
        body["tools"] = [tool for tool in body["tools"] if tool["function"]["name"] == sent]
        body["tool_choice"] = vendor.required
    else:
        body["tool_choice"] = {"type": "function", "function": {"name": ToolNames.sent(choice.name or "")}}
