"""JSON values: the type, decoding that cannot overflow the stack, and encoding."""

from __future__ import annotations

import re
from typing import TypeAlias

import msgspec

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Object: TypeAlias = dict[str, Json]

# Deeper than any real request (tool schemas reach about 30), and far below the interpreter's
# recursion limit, so that everything after decoding may recurse over a value safely.
MAX_DEPTH = 128

MAX_REFERENCE = 1_000
_INDEX = re.compile(r"[0-9]{1,6}")


class BadJson(Exception):
    """The body is no JSON, or nests too deeply to be worked on."""


def decode_json(body: bytes) -> Json:
    """The value of a request body; raises BadJson and nothing else."""
    try:
        value: Json = msgspec.json.decode(body)
    except RecursionError:
        raise BadJson("nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise BadJson(str(error)) from None
    if _deeper_than(value, MAX_DEPTH):
        raise BadJson("nested too deeply")
    return value


def encode_json(value: object) -> bytes:
    """Compact JSON, as the real service writes it on one line."""
    return msgspec.json.encode(value)


def pointer(root: Json, reference: str) -> Json:
    """What a local reference such as `#/$defs/city/0` points to, or True (anything) if nothing."""
    if not reference.startswith("#") or len(reference) > MAX_REFERENCE:
        return True
    found = root
    for step in reference[1:].split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and key in found:
            found = found[key]
        elif isinstance(found, list) and _INDEX.fullmatch(key) and int(key) < len(found):
            found = found[int(key)]
        else:
            return True
    return found


def weight(value: Json, most: int) -> int:
    """How large a value is, in nodes and characters; stops counting soon after `most`."""
    total = 0
    waiting = [value]
    while waiting and total <= most:
        node = waiting.pop()
        total += 1
        if isinstance(node, str):
            total += len(node)
        elif isinstance(node, list):
            total += len(node)
            waiting.extend(node[: most + 1])
        elif isinstance(node, dict):
            total += sum(map(len, node))
            waiting.extend(node.values())
    return total


def _deeper_than(value: Json, most: int) -> bool:
    """Level by level, not by recursion: this is what makes recursion safe elsewhere."""
    level = [value]
    for _ in range(most):
        below: list[Json] = []
        for node in level:
            if isinstance(node, list):
                below.extend(node)
            elif isinstance(node, dict):
                below.extend(node.values())
        if not below:
            return False
        level = below
    return any(isinstance(node, list | dict) for node in level)
