"""Chunks as the oddities change them: the product's, with members of a vendor's making."""

from __future__ import annotations

import msgspec

from tests.simulator.openai_chat.values import Json, Object


class Chunk(msgspec.Struct, frozen=True):
    """One chunk of a stream. `extra` are members of the chunk, `choice_extra` of its choice."""

    delta: Object | None
    finish: str | None = None
    usage: Object | None = None
    extra: Object = msgspec.field(default_factory=dict[str, Json])
    choice_extra: Object = msgspec.field(default_factory=dict[str, Json])


def call_chunk(*entries: Object) -> Chunk:
    """A chunk with these entries in `tool_calls`."""
    return Chunk({"tool_calls": [*entries]})


def call_entries(holder: Object | None) -> list[Object]:
    """The entries of `tool_calls` in a message or a delta."""
    listed = None if holder is None else holder.get("tool_calls")
    return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []


def function_of(entry: Object) -> Object:
    """What an entry of `tool_calls` has under `function`."""
    function = entry.get("function")
    return function if isinstance(function, dict) else {}
