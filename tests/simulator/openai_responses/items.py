"""The items of a Responses request, checked: forms, breakpoints, phases, and the replay of reasoning."""

from __future__ import annotations

import hashlib
import json
import re
from itertools import pairwise
from typing import Any

from tests.simulator.openai_chat.checks import Refused, an_object, array, one_of, required, string
from tests.simulator.openai_responses.models import Fields, has_phases, takes_breakpoints

__all__ = ["check_items"]

_KINDS = ("message", "function_call", "function_call_output", "reasoning", "web_search_call", "compaction")
_ROLES = ("user", "assistant", "system", "developer")
_ASKED = ("input_text", "input_image", "input_file")
_SAID = ("output_text", "refusal")
_DATA_URL = re.compile(r"data:[\w.+-]+/[\w.+-]+;base64,")
_MOST_WRITTEN = 4


def check_items(fields: Fields) -> None:
    """Raises Refused for items that OpenAI refuses, or that this gateway promises never to send."""
    model = string(fields["model"], "model")
    items = [an_object(item, f"input[{i}]") for i, item in enumerate(array(fields["input"], "input"))]
    seen: set[str] = set()
    marked = 0
    for i, (item, follower) in enumerate(pairwise([*items, {}])):
        path = f"input[{i}]"
        kind = one_of(string(required(item, "type", f"{path}."), path), _KINDS, f"{path}.type")
        for name in ("id", "status"):
            if name in item:
                raise Refused(f"Item with id '{item.get('id')}' not found.", f"{path}.{name}")
        match kind:
            case "message":
                marked += _message(item, path, has_phases(model))
            case "function_call":
                _call(item, path, seen)
            case "function_call_output":
                marked += _content(required(item, "output", f"{path}."), _ASKED, f"{path}.output")
            case "reasoning":
                _reasoning(item, follower, path)
            case _:
                string(required(item, "encrypted_content", f"{path}."), path)
    if marked and not takes_breakpoints(model):
        raise Refused(f"'prompt_cache_breakpoint' is not supported with {model}.", "input")
    if marked > _MOST_WRITTEN:
        raise Refused(f"Only the latest {_MOST_WRITTEN} of {marked} breakpoints are written.", "input")


def _message(item: Fields, path: str, phased: bool) -> int:
    role = one_of(string(required(item, "role", f"{path}."), path), _ROLES, f"{path}.role")
    made = role == "assistant"
    if made and phased:
        one_of(string(required(item, "phase", f"{path}."), path), ("commentary", "final_answer"), path)
    elif "phase" in item:
        raise Refused("Unknown parameter: 'phase'.", f"{path}.phase", "unknown_parameter")
    return _content(required(item, "content", f"{path}."), _SAID if made else _ASKED, f"{path}.content")


def _call(item: Fields, path: str, seen: set[str]) -> None:
    call = string(required(item, "call_id", f"{path}."), f"{path}.call_id")
    if call in seen:
        raise Refused(f"Duplicate call_id '{call}'.", f"{path}.call_id")
    seen.add(call)
    string(required(item, "name", f"{path}."), f"{path}.name")
    arguments = string(required(item, "arguments", f"{path}."), f"{path}.arguments")
    an_object(json.loads(arguments), f"{path}.arguments")


def _content(content: Any, kinds: tuple[str, ...], path: str) -> int:
    """Checks parts. Returns how many of them carry a breakpoint."""
    if isinstance(content, str):
        return 0
    marked = 0
    for i, entry in enumerate(array(content, path)):
        part, at = an_object(entry, f"{path}[{i}]"), f"{path}[{i}]"
        kind = one_of(string(required(part, "type", f"{at}."), at), kinds, f"{at}.type")
        if "prompt_cache_breakpoint" in part:
            marked += 1
            if kinds is _SAID:
                raise Refused("Unknown parameter: 'prompt_cache_breakpoint'.", at, "unknown_parameter")
        if kind in ("input_text", "output_text"):
            string(required(part, "text", f"{at}."), f"{at}.text")
        elif kind == "input_file" and "file_data" in part:
            if not _DATA_URL.match(string(part["file_data"], at)):
                raise Refused("Expected a base64 data URL with a MIME type.", at, "invalid_value")
        elif kind == "input_image":
            string(required(part, "image_url", f"{at}."), f"{at}.image_url")
    return marked


def _reasoning(item: Fields, follower: Fields, path: str) -> None:
    """It comes back with the summary that it had, right before the very item that it led to."""
    sealed = string(required(item, "encrypted_content", f"{path}."), f"{path}.encrypted_content")
    _, _, summary, led_to, _ = sealed.split(".")
    parts: Any = array(item["summary"], path) if required(item, "summary", f"{path}.") else []
    texts = "\n".join(part["text"] for part in parts)
    if hashlib.sha256(texts.encode()).hexdigest() != summary:
        message = "The encrypted content does not belong to this summary."
        raise Refused(message, path, "invalid_encrypted_content")
    if led_to not in (follower.get("call_id"), follower.get("type")):
        raise Refused("Item of type 'reasoning' was provided without its required following item.", path)
