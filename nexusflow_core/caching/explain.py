"""explain: the first difference between two requests, described without their content."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from nexusflow_core.caching.messages_prompt import read_messages_prompt
from nexusflow_core.caching.misses import Miss, Reason, Trace, divergence
from nexusflow_core.messages import blocks_of
from nexusflow_core.untyped import is_list, is_object, list_of, object_of

__all__ = ["Difference", "explain"]

_WORD = re.compile(r"[\w:.+\-/]*")
_LOOKS: Final = (
    (re.compile(r".*\d{4}-\d\d-\d\d.*|.*\d{1,2}:\d\d.*"), "a date or a time"),
    (re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}"), "a UUID"),
    (re.compile(r"(?=.*\d)[0-9a-fA-F]{12,}"), "a hash or an id"),
    (re.compile(r"[\d.,:+-]*\d[\d.,:+-]*"), "a number"),
)
"""Forms of a changed word. These break a prefix by accident most often."""

_MAX_SHOWN = 60


class Difference(Struct, frozen=True):
    """The first difference of two requests. `miss` has its place and kind; `what` describes it."""

    miss: Miss
    what: str

    def __str__(self) -> str:
        return f"{self.miss}: {self.what}"


def explain(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> Difference | None:
    """Returns the first difference of a Messages API request from an earlier one, in the order of the cache.

    None if the later one only continues the earlier. Values of parameters are shown, texts never.

    Raises InvalidRequestError for breakpoints that the API refuses.
    """
    before, after = read_messages_prompt(earlier), read_messages_prompt(later)
    found = divergence(after, Trace.of(before, len(before.prefixes) - 1, 0.0))
    if found is None:
        return None
    miss = found[1]
    if miss.reason is Reason.MODEL_CHANGED:
        what = f"{_shown(earlier.get('model'))} -> {_shown(later.get('model'))}"
    elif miss.reason is Reason.PARAMETERS_CHANGED:
        sides = before.parameters, after.parameters
        what = "; ".join(_parameter(name, *sides) for name in miss.parameters)
    elif miss.reason is Reason.TOOLS_CHANGED and _are_reordered(earlier, later):
        what = "the same names in another order"
    else:
        try:
            what = _block(_at(earlier, miss.path), _at(later, miss.path))
        except RecursionError:
            what = "it differs somewhere deep inside"
    return Difference(miss, what)


def _are_reordered(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> bool:
    """True if two requests have tools of the same names, in another order."""
    old, new = ([_name(tool) for tool in list_of(side.get("tools"))] for side in (earlier, later))
    return old != new and sorted(old) == sorted(new)


def _block(old: Any, new: Any) -> str:
    if old is None or new is None:
        return "there is one block more" if old is None else "a block is gone"
    before, after = object_of(old), object_of(new)
    if (kind := before.get("type")) != (other := after.get("type")):
        return f"type {_shown(kind)} -> {_shown(other)}"
    found = _first(before, after, "")
    if found is None:
        return "the same members in another order"
    path, one, two = found
    if isinstance(one, str) and isinstance(two, str):
        return _texts(path, one, two)
    return f"{path} differs"


def _first(old: Any, new: Any, path: str) -> tuple[str, Any, Any] | None:
    """Returns path and values of the first member that differs; None if only the order does. Ignores
    breakpoints."""
    if is_object(old) and is_object(new):
        for name in dict.fromkeys((*old, *new)):
            if name == "cache_control":
                continue
            inner = f"{path}.{name}" if path else name
            if found := _first(old.get(name), new.get(name), inner):
                return found
        return None
    if is_list(old) and is_list(new):
        for index, (one, two) in enumerate(zip(old, new, strict=False)):
            if found := _first(one, two, f"{path}[{index}]"):
                return found
        if len(old) != len(new):
            return f"{path} (the number of items)", len(old), len(new)
        return None
    return None if old == new else (path, old, new)


def _texts(path: str, old: str, new: str) -> str:
    same = _shared(old, new)
    start = same
    while start and same - start < _MAX_SHOWN and _WORD.fullmatch(new[start - 1]):
        start -= 1
    found = _WORD.match(new[start : start + _MAX_SHOWN])
    word = found[0].rstrip(".:") if found else ""
    looks = next((f"; it looks like {name}" for form, name in _LOOKS if form.fullmatch(word)), "")
    return f"{path} differs from character {same + 1:,} of {len(new):,} on{looks}"


def _shared(old: str, new: str) -> int:
    """Returns the length of the common beginning of two texts. Bisects, since equal texts compare fast."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _parameter(name: str, before: Mapping[str, bytes], after: Mapping[str, bytes]) -> str:
    old, new = (_shown(msgspec.json.decode(side[name]) if name in side else None) for side in (before, after))
    return f"{name} {old} -> {new}"


def _at(request: Mapping[str, Any], path: str | None) -> Any:
    """Returns the block at a path such as `system[0]`, or None."""
    match re.findall(r"[a-z]+|\d+", path or ""):
        case ["tools" | "system" as level, index]:
            return _item(blocks_of(request.get(level)), int(index))
        case ["messages", message, "content", index]:
            found = object_of(_item(list_of(request.get("messages")), int(message)))
            return _item(blocks_of(found.get("content")), int(index))
        case _:
            return None


def _item(items: list[Any], index: int) -> Any:
    return items[index] if index < len(items) else None


def _name(tool: Any) -> str:
    return str(object_of(tool).get("name"))


def _shown(value: Any) -> str:
    text = (
        "none"
        if value is None
        else value
        if isinstance(value, str)
        else str(msgspec.json.encode(value), "utf-8")
    )
    text = text if text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..."
