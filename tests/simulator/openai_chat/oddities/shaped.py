"""Oddities of form: they change a message, and each delta of a stream alike."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tests.simulator.openai_chat.chunks import call_entries, function_of
from tests.simulator.openai_chat.values import Json, Object


def reasoning_field(holder: Object) -> Object:
    """`reasoning` instead of `reasoning_content`."""
    return _with_reasoning(holder, lambda text: {"reasoning": text})


def reasoning_details(holder: Object) -> Object:
    """One text in two fields."""
    return _with_reasoning(holder, lambda text: {"reasoning": text, "reasoning_details": [_detail(text)]})


def content_array(holder: Object) -> Object:
    """Thinking as a part of content; as recorded, later deltas have plain strings again."""
    text = holder.get("content")
    beside: list[Json] = [{"type": "text", "text": text}] if text else []
    return _with_reasoning(holder, lambda thought: {"content": [_thinking(thought), *beside]})


def text_parts(holder: Object) -> Object:
    """Any content as a list."""
    text = holder.get("content")
    part: Object = {"type": "text", "text": text}
    return {**holder, "content": [part]} if text and isinstance(text, str) else holder


def role_everywhere(holder: Object) -> Object:
    """The role, again and again."""
    return {"role": "assistant", **holder}


def refused(holder: Object) -> Object:
    """All text is a refusal."""
    return (
        {**holder, "content": None, "refusal": holder.get("content") or None} if "content" in holder else holder
    )


def null_tool_calls(holder: Object) -> Object:
    """null for none."""
    return {"tool_calls": None, **holder}


def _with_reasoning(holder: Object, make: Callable[[Json], Object]) -> Object:
    if "reasoning_content" not in holder:
        return holder
    others = {key: value for key, value in holder.items() if key != "reasoning_content"}
    return {**others, **make(holder["reasoning_content"])}


def _detail(text: Json) -> Json:
    return {"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}


def _thinking(text: Json) -> Json:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}


def _each_entry(change: Callable[[Object], Object]) -> Callable[[Object], Object]:
    def changed(holder: Object) -> Object:
        entries = call_entries(holder)
        return {**holder, "tool_calls": [change(entry) for entry in entries]} if entries else holder

    return changed


def _without(name: str) -> Callable[[Object], Object]:
    return lambda entry: {key: value for key, value in entry.items() if key != name}


def _value(entry: Object) -> Object:
    """The entry with its arguments as a value; as text where that is no JSON."""
    function = function_of(entry)
    try:
        arguments = msgspec.json.decode(str(function.get("arguments")))
    except msgspec.DecodeError:
        return entry
    return {**entry, "function": {**function, "arguments": arguments}}


object_arguments = _each_entry(_value)
without_id = _each_entry(_without("id"))
without_index = _each_entry(_without("index"))
same_index = _each_entry(lambda entry: {**entry, "index": 0} if "index" in entry else entry)
