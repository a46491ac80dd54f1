"""Reads what an upstream sent: fast where it is as it should be, else once more and leniently."""

import json
from typing import Any

import msgspec

from nexusflow_core.dialects.openai_chat.schema import Chunk
from nexusflow_core.translation.json_lenient import loads, mended_json, mended_text
from nexusflow_core.untyped import MALFORMED, is_list, is_object, is_zero, object_of, whole

__all__ = ["decode_chunk"]

_TEXTS = (
    "id",
    "call_id",
    "tool_call_id",
    "name",
    "model",
    "content",
    "refusal",
    "finish_reason",
    "native_finish_reason",
)
_OBJECTS = ("delta", "message", "function", "function_call", "x_groq", "base_resp")
_LISTS = ("choices", "tool_calls")
_DEEPEST = 5
"""Answer, choice, message, call, function."""
_IN_PIECES = frozenset(
    """
    content refusal arguments reasoning reasoning_content reasoning_text thinking text summary
    """.split()
)
"""Members of a delta that go on in the next one."""

_chunk = msgspec.json.Decoder(Chunk)


def decode_chunk(data: bytes, *, in_pieces: bool = False) -> Chunk:
    """A data line, or a whole answer. Raises msgspec.DecodeError, whose text says what it is instead; a
    msgspec.ValidationError where it is JSON all the same.

    `in_pieces`: half a surrogate pair at an edge of a delta's text stays: the next line may have the other.
    """
    try:
        return _chunk.decode(data)
    except MALFORMED:
        return _second_try(data, in_pieces=in_pieces)


def _second_try(data: bytes, *, in_pieces: bool) -> Chunk:
    value = loads(data)
    value = _pieces(value) if in_pieces else mended_json(value)
    if is_list(value) and len(value) == 1:
        value = value[0]  # Gemini's errors
    _mend(value)
    try:
        return msgspec.convert(value, Chunk, strict=False)
    except msgspec.ValidationError as error:
        raise msgspec.ValidationError(f"JSON of another form: {error}") from None


# Halves of surrogate pairs


def _pieces(value: Any) -> Any:
    """The value with every text mended but those of its deltas, which keep half a pair at an edge."""
    choices = object_of(value).get("choices")
    deltas = [object_of(choice).get("delta") for choice in choices] if is_list(choices) else []
    value = mended_json(value)
    for number, delta in enumerate(deltas):
        if is_object(delta):
            value["choices"][number]["delta"] = _open_ended(delta)
    return value


def _open_ended(value: Any, name: str = "") -> Any:
    if is_object(value) and name not in ("arguments", "content"):
        return {mended_text(key): _open_ended(item, key) for key, item in value.items()}
    if is_list(value):
        return [_open_ended(item) if is_object(item) else _open_ended(item, name) for item in value]
    if not isinstance(value, str) or name not in _IN_PIECES:
        return mended_json(value)
    first = 1 if "\udc00" <= value[:1] <= "\udfff" else 0
    last = len(value) - 1 if "\ud800" <= value[-1:] <= "\udbff" else len(value)
    return value[:first] + mended_text(value[first:last]) + value[max(first, last) :]


# Members of another type


def _mend(value: Any, deepest: int = _DEEPEST) -> None:
    """Makes members of another type what they mean, in place: a number where a text belongs, one object where
    a list of them does, and what is as good as absent."""
    for item in value if is_list(value) else [value]:
        if not is_object(item):
            continue
        for name in _TEXTS:
            _mend_text(item, name)
        _mend_arguments(item)
        if "index" in item:
            item["index"] = _index(item["index"])
        for name in _OBJECTS:
            if not is_object(item.get(name)) and is_zero(item.get(name)):
                item[name] = None
        for name in _LISTS:
            _mend_list(item, name)
        for name in (*_OBJECTS, *_LISTS) if deepest else ():
            _mend(item.get(name), deepest - 1)


def _index(given: Any) -> Any:
    """A number, however it is written; 0 is one, and what is as good as absent is none."""
    if isinstance(given, bool) or (is_zero(given) and not isinstance(given, int | float)):
        return None
    return whole(given)


def _mend_text(item: dict[str, Any], name: str) -> None:
    given = item.get(name)
    if given is None or isinstance(given, str):
        return
    if not given or (name != "content" and is_zero(given)):
        item[name] = None
    elif type(given) in (int, float):
        item[name] = str(given)


def _mend_arguments(item: dict[str, Any]) -> None:
    given = item.get("arguments")
    if given is not None and not isinstance(given, str | dict):
        item["arguments"] = None if is_zero(given) else json.dumps(given)


def _mend_list(item: dict[str, Any], name: str) -> None:
    given = item.get(name)
    if is_object(given):
        item[name] = [given] if given else None
    elif is_list(given):
        item[name] = [one for one in given if is_object(one) or not is_zero(one)]
    elif is_zero(given):
        item[name] = None
