"""Translates tools, the tool choice, and the vendor's own web search."""

from collections.abc import Sequence
from typing import Final

from nexusflow_core.dialects.openai_responses.vendors import ResponsesTranslation
from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.messages import Tool
from nexusflow_core.translation.documents import Part
from nexusflow_core.translation.ids import ToolNames
from nexusflow_core.translation.server_tools import SEARCH, read_web_search
from nexusflow_core.translation.tools import function_of, offered_tools, wanted_choice
from nexusflow_core.translation.translated_dialect import fits

__all__ = ["SEARCH_TYPE", "offer_tools"]

SEARCH_TYPE: Final = "web_search"
_NOT_ON_TOP: Final = ("anyOf", "oneOf", "allOf", "enum", "not")


def offer_tools(translation: ResponsesTranslation) -> bool:
    """Puts tools and tool choice into the body. Raises InvalidRequestError.

    Returns True if the answer must be cut after its first call, since the upstream has no field for that.
    """
    carried = SEARCH if translation.vendor.web_search is not None else None
    offered = offered_tools(translation, carried=carried)
    if offered:
        refused = _NOT_ON_TOP if fits(translation.vendor.open_schemas, translation.model) else ()
        translation.body["tools"] = [
            _function(tool, at, translation, refused)
            if not tool.type.startswith(SEARCH)
            else _web_search(tool, at, translation)
            for at, tool in offered
        ]
    choice = wanted_choice(translation, [tool for _, tool in offered])
    if choice is None:
        return False
    if "tool_choice" in translation.vendor.refuses:
        if choice.type != "auto":
            translation.losses.drop("tool_choice", "not taken by this upstream")
    elif choice.type in ("auto", "none"):
        translation.body["tool_choice"] = choice.type
    elif translation.vendor.tool_choice == "auto":
        translation.losses.drop("tool_choice", "this upstream cannot be made to call a tool")
        translation.body["tool_choice"] = "auto"
    elif choice.type == "any":
        translation.body["tool_choice"] = "required"
    else:
        translation.body["tool_choice"] = _named(choice.name or "", offered)
    if choice.disable_parallel_tool_use:
        translation.body["parallel_tool_calls"] = False
        return "parallel_tool_calls" in translation.vendor.refuses
    return False


def _named(name: str, offered: list[tuple[int, Tool]]) -> Part:
    tool = next(tool for _, tool in offered if tool.name == name)
    if tool.type.startswith(SEARCH):
        return {"type": SEARCH_TYPE}
    return {"type": "function", "name": ToolNames.sent(name)}


def _function(tool: Tool, at: int, translation: ResponsesTranslation, refused: Sequence[str]) -> Part:
    """Returns a tool as a function, always with `strict`. `refused`: keywords not taken on top of a schema.

    Without `strict`, the server assumes true and makes every member of the schema mandatory.
    """
    made = function_of(tool, at, translation.losses, enforces=translation.vendor.strict_tools)
    for name in refused:
        if name in made["parameters"]:
            translation.losses.drop(
                f"tools[{at}].input_schema.{name}", "this model refuses it at the top of a schema"
            )
            del made["parameters"][name]
    return {"type": "function", **made, "strict": made.get("strict", False)}


# The vendor's own web search


def _web_search(tool: Tool, at: int, translation: ResponsesTranslation) -> Part:
    wanted, most = read_web_search(tool, at, translation.losses), translation.vendor.search_domains
    if wanted.blocked_domains is not None and translation.vendor.web_search != "blocked":
        raise InvalidRequestError(f"tools.{at}.blocked_domains: this upstream takes domains to search only")
    filters = {"allowed_domains": wanted.allowed_domains, "blocked_domains": wanted.blocked_domains}
    filters = {name: domains for name, domains in filters.items() if domains is not None}
    for name, domains in filters.items():
        if len(domains or ()) > most:
            raise InvalidRequestError(f"tools.{at}.{name}: this upstream takes at most {most} domains")
    if wanted.max_uses is not None:  # the limit counts all tools that run at the vendor, here the search only
        translation.body["max_tool_calls"] = wanted.max_uses
    search: Part = {"type": SEARCH_TYPE}
    if filters:
        search["filters"] = filters
    if wanted.location is not None:
        search["user_location"] = {"type": "approximate", **wanted.location}
    return search
