"""Reads requests for web search and compaction, which run on Anthropic's servers or at another vendor."""

from typing import Any, Final

from msgspec import Struct

from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.messages import Tool
from nexusflow_core.translation.context import Translation
from nexusflow_core.translation.losses import Losses, dotted
from nexusflow_core.translation.refusals import COMPACT
from nexusflow_core.translation.tools import check_callers
from nexusflow_core.untyped import is_blank, is_list, is_object, list_of, object_of, whole

__all__ = ["SEARCH", "WebSearch", "compaction_threshold", "read_web_search"]

SEARCH: Final = "web_search_"
"""Prefix of the types of Anthropic's search tools."""
_NAME: Final = "web_search"
_MEMBERS: Final = ("max_uses", "allowed_domains", "blocked_domains", "user_location")
_LOCATION: Final = ("type", "city", "region", "country", "timezone")
_COMPACT_AT: Final = 150_000
"""Anthropic's default threshold of a compaction, in tokens."""
_EDIT: Final = ("type", "trigger", "instructions", "pause_after_compaction")


class WebSearch(Struct, frozen=True):
    """A search tool of a request. `location`: members of `user_location` with a value."""

    allowed_domains: list[str] | None
    blocked_domains: list[str] | None
    location: dict[str, Any] | None
    max_uses: int | None


def read_web_search(tool: Tool, index: int, losses: Losses) -> WebSearch:
    """Returns the fields of a web search tool. Raises InvalidRequestError for invalid fields."""
    path = f"tools.{index}"
    check_callers(tool, index)
    if tool.name != _NAME:
        raise InvalidRequestError(f"{path}.{tool.type}.name: Input should be '{_NAME}'")
    given = {name: value for name, value in tool.rest.items() if not is_blank(value)}
    for name in given:
        if name not in _MEMBERS:
            losses.unknown(f"tools[{index}].{name}")
    most = whole(given.get("max_uses"))
    if most is not None and (type(most) is not int or most < 1):
        raise InvalidRequestError(f"{path}.max_uses: Input should be a positive integer")
    return WebSearch(
        _domains(given.get("allowed_domains"), f"{path}.allowed_domains"),
        _domains(given.get("blocked_domains"), f"{path}.blocked_domains"),
        _location(given.get("user_location"), index, losses),
        most,
    )


def _domains(given: Any, path: str) -> list[str] | None:
    if given is None:
        return None
    if not is_list(given) or not all(isinstance(domain, str) for domain in given):
        raise InvalidRequestError(f"{path}: Input should be a valid list of strings")
    return given


def _location(given: Any, index: int, losses: Losses) -> dict[str, Any] | None:
    if given is None:
        return None
    if not is_object(given):
        raise InvalidRequestError(f"tools.{index}.user_location: Input should be a valid dictionary")
    for name, value in given.items():
        if name not in _LOCATION and not is_blank(value):
            losses.unknown(f"tools[{index}].user_location.{name}")
    return {name: given[name] for name in _LOCATION if not is_blank(given.get(name))}


def compaction_threshold(translation: Translation) -> int | None:
    """Returns the threshold of the requested compaction in tokens; None without one.

    Raises InvalidRequestError for a compaction that only Anthropic can make.
    """
    edits = object_of(translation.request.extra.get("context_management")).get("edits")
    found: int | None = None
    for index, edit in enumerate(map(object_of, list_of(edits))):
        if edit.get("type") == COMPACT:
            found = _threshold(edit, f"context_management.edits[{index}]", translation.losses)
    return found


def _threshold(edit: dict[str, Any], path: str, losses: Losses) -> int:
    for name in ("instructions", "pause_after_compaction"):
        if edit.get(name):
            raise InvalidRequestError(f"{dotted(path)}.{name}: not possible on this upstream")
    trigger = object_of(edit.get("trigger"))
    at = whole(trigger.get("value", _COMPACT_AT))
    if trigger.get("type", "input_tokens") != "input_tokens" or type(at) is not int:
        raise InvalidRequestError(f"{dotted(path)}.trigger: Input should be a number of input_tokens")
    unknown = [f"{path}.{name}" for name, given in edit.items() if name not in _EDIT and not is_blank(given)]
    unknown += [f"{path}.trigger.{name}" for name in trigger if name not in ("type", "value")]
    for name in unknown:
        losses.unknown(name)
    return at
