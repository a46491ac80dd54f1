"""Tools, which of them must be called, and the vendor's own search of the web."""

from typing import Any, Final

from nexusflow_core.dialects.openai_responses.context import ResponsesTranslation
from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.messages import Tool
from nexusflow_core.translation.documents import Part
from nexusflow_core.translation.ids import ToolNames
from nexusflow_core.translation.tools import check_callers, function_of, offered_tools, wanted_choice
from nexusflow_core.translation.vendor_row import fits
from nexusflow_core.untyped import is_blank, is_list, is_object, whole

__all__ = ["SEARCH_TYPE", "offer_tools"]

SEARCH_TYPE: Final = "web_search"
_SEARCH: Final = "web_search_"
_NOT_ON_TOP: Final = ("anyOf", "oneOf", "allOf", "enum", "not")
_SEARCH_MEMBERS: Final = ("max_uses", "allowed_domains", "blocked_domains", "user_location")
_PLACE: Final = ("type", "city", "region", "country", "timezone")


def offer_tools(it: ResponsesTranslation) -> bool:
    """Puts tools and choice into the body. True: only the first call of the answer counts, since the upstream
    has no field that says so. Raises InvalidRequestError."""
    carried = _SEARCH if it.vendor.web_search is not None else None
    offered = offered_tools(it, carried=carried)
    if offered:
        it.body["tools"] = [
            _function(tool, at, it) if not tool.type.startswith(_SEARCH) else _web_search(tool, at, it)
            for at, tool in offered
        ]
    choice = wanted_choice(it, [tool for _, tool in offered])
    if choice is None:
        return False
    if "tool_choice" in it.vendor.refuses:
        if choice.type != "auto":
            it.losses.drop("tool_choice", "not taken by this upstream")
    elif choice.type in ("auto", "none"):
        it.body["tool_choice"] = choice.type
    elif it.vendor.tool_choice == "auto":
        it.losses.drop("tool_choice", "this upstream cannot be made to call a tool")
        it.body["tool_choice"] = "auto"
    elif choice.type == "any":
        it.body["tool_choice"] = "required"
    else:
        it.body["tool_choice"] = _named(choice.name or "", offered)
    if choice.disable_parallel_tool_use:
        it.body["parallel_tool_calls"] = False
        return "parallel_tool_calls" in it.vendor.refuses
    return False


def _named(name: str, offered: list[tuple[int, Tool]]) -> Part:
    tool = next(tool for _, tool in offered if tool.name == name)
    if tool.type.startswith(_SEARCH):
        return {"type": SEARCH_TYPE}
    return {"type": "function", "name": ToolNames.sent(name)}


def _function(tool: Tool, at: int, it: ResponsesTranslation) -> Part:
    """Returns a tool as a function. `strict` is always sent: left out it means true, and the server then makes
    every member of the schema mandatory."""
    made = function_of(tool, at, it.losses, enforces=it.vendor.strict_tools)
    if fits(it.vendor.open_schemas, it.model):
        for name in [name for name in _NOT_ON_TOP if name in made["parameters"]]:
            it.losses.drop(f"tools[{at}].input_schema.{name}", "this model refuses it at the top of a schema")
            del made["parameters"][name]
    return {"type": "function", **made, "strict": made.get("strict", False)}


# The vendor's own search


def _web_search(tool: Tool, at: int, it: ResponsesTranslation) -> Part:
    check_callers(tool, at)
    if tool.name != SEARCH_TYPE:
        raise InvalidRequestError(f"tools.{at}.{tool.type}.name: Input should be '{SEARCH_TYPE}'")
    given = {name: value for name, value in tool.rest.items() if not is_blank(value)}
    for name in given:
        if name not in _SEARCH_MEMBERS:
            it.losses.unknown(f"tools[{at}].{name}")
    search: Part = {"type": SEARCH_TYPE}
    filters = {
        name: _domains(given[name], f"tools.{at}.{name}", it)
        for name in ("allowed_domains", "blocked_domains")
        if name in given
    }
    if "blocked_domains" in filters and it.vendor.web_search != "blocked":
        raise InvalidRequestError(f"tools.{at}.blocked_domains: this upstream takes domains to search only")
    if filters:
        search["filters"] = filters
    if "user_location" in given:
        search["user_location"] = _location(given["user_location"], at, it)
    if "max_uses" in given:
        it.body["max_tool_calls"] = _max_uses(given["max_uses"], at)
    return search


def _domains(given: Any, path: str, it: ResponsesTranslation) -> list[Any]:
    if not is_list(given) or not all(isinstance(domain, str) for domain in given):
        raise InvalidRequestError(f"{path}: Input should be a valid list of strings")
    if len(given) > it.vendor.search_domains:
        raise InvalidRequestError(f"{path}: this upstream takes at most {it.vendor.search_domains} domains")
    return given


def _location(given: Any, at: int, it: ResponsesTranslation) -> Part:
    if not is_object(given):
        raise InvalidRequestError(f"tools.{at}.user_location: Input should be a valid dictionary")
    for name, value in given.items():
        if name not in _PLACE and not is_blank(value):
            it.losses.unknown(f"tools[{at}].user_location.{name}")
    return {"type": "approximate", **{name: given[name] for name in _PLACE if not is_blank(given.get(name))}}


def _max_uses(given: Any, at: int) -> int:
    most = whole(given)
    if type(most) is not int or most < 1:
        raise InvalidRequestError(f"tools.{at}.max_uses: Input should be a positive integer")
    return most
