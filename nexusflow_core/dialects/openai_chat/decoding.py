"""Reads what an upstream sent: fast where it is as it should be, else once more and leniently."""

import json
import math
from typing import Any

import msgspec

from nexusflow_core.dialects.openai_chat.schema import Chunk
from nexusflow_core.untyped import MALFORMED, is_list, is_object, whole

__all__ = ["decode_chunk", "decode_json", "decode_leniently"]

_TEXTS = ("id", "name", "model", "content", "refusal", "finish_reason", "native_finish_reason")
_OBJECTS = ("delta", "message", "function", "function_call", "x_groq", "base_resp")
_LISTS = ("choices", "tool_calls")
_DEEPEST = 5
"""Answer, choice, message, call, function."""

_chunk = msgspec.json.Decoder(Chunk)


def decode_chunk(data: bytes) -> Chunk:
    """A data line, or a whole answer. Raises msgspec.DecodeError, whose text says what it is instead; a
    msgspec.ValidationError where it is JSON all the same."""
    try:
        return _chunk.decode(data)
    except MALFORMED:
        return _second_try(data)


def decode_json(data: bytes) -> Any:
    """Raises msgspec.DecodeError for what is no JSON even leniently."""
    try:
        return msgspec.json.decode(data)
    except MALFORMED:
        return decode_leniently(data)


def decode_leniently(data: bytes) -> Any:
    """JSON that may have bytes that are no UTF-8, bare control characters, numbers beyond every bound, and
    halves of surrogate pairs: one that stands alone becomes U+FFFD. Raises msgspec.DecodeError."""
    try:
        text = data.decode(errors="replace")
        value = json.loads(text, strict=False, parse_float=_finite, parse_constant=_no_number)
        text = json.dumps(value, ensure_ascii=False)
        return msgspec.json.decode(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))
    except RecursionError:
        raise msgspec.DecodeError("JSON nested beyond every bound") from None
    except ValueError:
        raise msgspec.DecodeError("not JSON") from None


def _finite(text: str) -> float | None:
    return number if math.isfinite(number := float(text)) else None


def _no_number(name: str) -> None:
    raise ValueError(name)


def _second_try(data: bytes) -> Chunk:
    value = decode_leniently(data)
    if is_list(value) and len(value) == 1:
        value = value[0]  # Gemini's errors
    _mend(value)
    try:
        return msgspec.convert(value, Chunk, strict=False)
    except msgspec.ValidationError as error:
        raise msgspec.ValidationError(f"JSON of another form: {error}") from None


def _mend(value: Any, deepest: int = _DEEPEST) -> None:
    """Numbers where texts belong become texts, and empty lists where objects belong nothing, in place."""
    for item in value if is_list(value) else [value]:
        if not is_object(item):
            continue
        for name in _TEXTS:
            if type(item.get(name)) in (int, float):
                item[name] = str(item[name])
        if "index" in item:
            item["index"] = whole(item["index"])
        for name in _OBJECTS:
            if item.get(name) == []:
                item[name] = None
        for name in (*_OBJECTS, *_LISTS) if deepest else ():
            _mend(item.get(name), deepest - 1)
