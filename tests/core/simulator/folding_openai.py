"""A reader of Chat Completions that puts up with every vendor; it shares nothing with the simulator."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Said:
    """What an answer amounts to, however it was written."""

    reasoning: str = ""
    text: str = ""
    refusal: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    finish: str | None = None
    usage: dict[str, Any] | None = None


def read_sync(body: dict[str, Any]) -> Said:
    """A sync body."""
    choice = body["choices"][0]
    said = Said(finish=choice["finish_reason"], usage=body.get("usage"))
    entries = choice["message"].get("tool_calls") or []
    _hear(said, {**choice["message"], "tool_calls": None})
    for entry in entries:  # each is a call of its own, even where ids repeat
        one: list[dict[str, Any]] = []
        _hear_call(one, entry)
        said.calls += one
    return said


def read_stream(body: bytes) -> Said:
    """The bytes of a stream, split the plain way."""
    said = Said()
    for line in body.replace(b"\r\n", b"\n").split(b"\n"):
        data = line.removeprefix(b"data:").strip() if line.startswith(b"data:") else b""
        if data and data != b"[DONE]":
            _chunk(said, json.loads(data))
    return said


def _chunk(said: Said, chunk: dict[str, Any]) -> None:
    for usage in (chunk.get("usage"), chunk.get("x_groq", {}).get("usage")):
        said.usage = usage or said.usage
    for choice in chunk["choices"]:
        said.usage = choice.get("usage") or said.usage
        said.finish = choice["finish_reason"] or said.finish
        _hear(said, choice["delta"])


def _hear(said: Said, holder: dict[str, Any]) -> None:
    said.reasoning += holder.get("reasoning_content") or holder.get("reasoning") or ""
    content = holder.get("content") or ""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    for part in parts:
        if part["type"] == "thinking":
            said.reasoning += part["thinking"][0]["text"]
        else:
            said.text += part["text"]
    said.refusal += holder.get("refusal") or ""
    for entry in holder.get("tool_calls") or []:
        _hear_call(said.calls, entry)


def _hear_call(calls: list[dict[str, Any]], entry: dict[str, Any]) -> None:
    call = _known(calls, entry)
    if call is None:
        call = {"index": entry.get("index"), "id": entry.get("id"), "name": "", "arguments": ""}
        calls.append(call)
    name, arguments = entry["function"].get("name"), entry["function"].get("arguments")
    if name and name != call["name"] and not call["arguments"]:
        call["name"] += name
    if isinstance(arguments, dict) or (arguments and call["arguments"] == "{}"):
        call["arguments"] = arguments  # "{}" was a placeholder
    else:
        call["arguments"] += arguments or ""


def _known(calls: list[dict[str, Any]], entry: dict[str, Any]) -> dict[str, Any] | None:
    """The call that an entry goes on with: the last of its index, unless a new id says otherwise."""
    same = [call for call in calls if call["index"] == entry.get("index")]
    if not same or (entry.get("id") and entry["id"] != same[-1]["id"]):
        return None
    if "index" not in entry and "id" not in entry and entry["function"].get("name"):
        return None
    return same[-1]
