"""A tool call's arguments as an object, as far as they can be read."""

import re
from typing import Any

import msgspec

from nexusflow_core.dialects.openai_chat.decoding import decode_leniently
from nexusflow_core.dialects.openai_chat.schema import NO_ARGUMENTS
from nexusflow_core.untyped import MALFORMED, is_object

__all__ = ["NO_OBJECT", "read_arguments", "readable_prefix"]

NO_OBJECT = "the upstream's answer has tool arguments that are no JSON object"

_MARKS = re.compile(r'\\.|["{}\[\],]', re.S)
_LONGEST_ESCAPE = 12  # two halves of a surrogate pair: \ud83d\ude00


def read_arguments(arguments: str) -> dict[str, Any] | None:
    """Returns the arguments as an object, be it encoded twice; None where they are none."""
    return _read(arguments, twice=True)


def _read(arguments: str, *, twice: bool) -> dict[str, Any] | None:
    if arguments.strip() in ("", *NO_ARGUMENTS):
        return {}
    try:
        return msgspec.json.decode(arguments.encode(), type=dict[str, Any])
    except MALFORMED:
        pass
    try:
        value = decode_leniently(arguments)
    except msgspec.DecodeError:
        return None
    if twice and isinstance(value, str):
        return _read(value, twice=False)
    return value if is_object(value) else None


def readable_prefix(arguments: str) -> dict[str, Any]:
    """Returns the longest beginning that can be read, closed; {} where there is none. A string counts as far as
    it goes, a number that was cut does not: half of it says something else."""
    closing: list[str] = []
    whole, in_string = 0, False  # where the last member ends that is sure to be whole
    for found in _MARKS.finditer(arguments):
        mark = found[0]
        if mark == '"':
            in_string = not in_string
        elif in_string or mark[0] == "\\":
            continue
        elif mark in "{[":
            closing.append("}" if mark == "{" else "]")
            whole = found.end()
        elif mark == ",":
            whole = found.start()
        elif closing:
            closing.pop()
            whole = found.end()
    end = "".join(reversed(closing))
    tries = [arguments[:whole] + end]
    if in_string:  # without the escape sequence that it was perhaps cut in
        tries[:0] = [arguments[: len(arguments) - cut] + '"' + end for cut in range(_LONGEST_ESCAPE)]
    elif not arguments[-1:].isdigit():
        tries[:0] = [arguments + end]
    for text in tries:
        try:
            return msgspec.json.decode(text.encode(), type=dict[str, Any])
        except MALFORMED:
            continue
    return {}
