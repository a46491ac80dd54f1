"""A look at a request body without decoding it: `model`, `stream`, and where a value stands.

The bytes are never rebuilt. Whatever else the body says is the upstream's to judge.
"""

import zlib

import msgspec
from msgspec import Raw, Struct

from nexusflow_core.errors import InvalidRequest, RequestTooLarge
from nexusflow_core.json_spans import members
from nexusflow_core.untyped import MALFORMED

__all__ = ["Peek", "inflate", "peek", "rename_model"]

MAX_MODEL = 1000
"""Bound on the characters of a model's name, which is matched with patterns and kept in records."""

_MAX_GZIP_MEMBERS = 100
"""Bound on the members of one gzip body: each costs a copy of what follows it, and senders make one."""


class Peek(Struct, frozen=True):
    """What the gateway reads of a body: `model`, whether `stream` is literally true, and the JSON text itself,
    inflated where the body came compressed."""

    model: str
    stream: bool
    text: bytes


class _Plain(Struct):
    """A body without surprises: one `model`, one `stream`."""

    model: str
    stream: Raw = Raw(b"")


_SMALL = 16 * 1024
"""Beyond this size looking closely takes less time than decoding past every member."""

_plain = msgspec.json.Decoder(_Plain)
_string = msgspec.json.Decoder(str)


def peek(text: bytes) -> Peek:
    """Reads `model` and `stream` of a JSON object.

    Raises InvalidRequest for what is no JSON object, nests too deeply, or has no `model`, one that is no
    string or too long, two different ones, or one beside a key that differs in case alone: which one counts
    would depend on the reader.
    """
    seen = _peek_plain(text) or _peek_closely(text)
    if len(seen.model) > MAX_MODEL:
        raise InvalidRequest(f"model: String should have at most {MAX_MODEL} characters")
    return seen


def rename_model(seen: Peek, model: str) -> bytes:
    """Returns the text with another model's name in each place where it stood; every other byte as it was."""
    text, name = seen.text, msgspec.json.encode(model)
    pieces: list[bytes] = []
    done = 0
    for key, start, end in members(text):
        if key == "model":
            pieces += (text[done:start], name)
            done = end
    return b"".join((*pieces, text[done:]))


def _peek_plain(text: bytes) -> Peek | None:
    """The quick way for a small body in which only one key can be `model`; None for any other."""
    if len(text) > _SMALL or text.lower().count(b'"model"') != 1 or text.find(b"\\u00") >= 0:
        return None
    try:
        plain = _plain.decode(text)
    except MALFORMED:
        return None
    return Peek(plain.model, bytes(plain.stream) == b"true", text)


def _peek_closely(text: bytes) -> Peek:
    found = members(text)
    values = [text[start:end] for key, start, end in found if key == "model"]
    if not values:
        raise InvalidRequest("model: Field required")
    if other := next((key for key, _, _ in found if len(key) == 5 and key.lower() == "model" != key), None):
        raise InvalidRequest(f"model: given twice, as 'model' and as {other!r}; send 'model' alone")
    try:
        names = {_string.decode(value) for value in values}
    except MALFORMED:
        raise InvalidRequest("model: Input should be a valid string") from None
    if len(names) > 1:
        raise InvalidRequest("model: given more than once, with different values")
    streams = [text[start:end] for key, start, end in found if key == "stream"]
    return Peek(names.pop(), bool(streams) and streams[-1] == b"true", text)


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """A compressed body as plain bytes. Raises InvalidRequest for an encoding other than gzip and deflate or
    for broken data, RequestTooLarge beyond `limit` bytes."""
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise InvalidRequest(f"content-encoding: {encoding[:50]!r} is not supported, only gzip and deflate are")
    plain = b""
    try:
        for _ in range(_MAX_GZIP_MEMBERS):
            inflater = zlib.decompressobj(wbits=47)
            plain += inflater.decompress(body, limit - len(plain) + 1)
            if len(plain) > limit:
                raise RequestTooLarge(f"the request body is larger than {limit} bytes after decoding")
            if not inflater.eof:
                raise InvalidRequest("content-encoding: the compressed body is cut short")
            body = inflater.unused_data
            if not body:
                return plain
    except zlib.error:
        raise InvalidRequest(f"content-encoding: the body is not valid {encoding} data") from None
    raise InvalidRequest(f"content-encoding: more than {_MAX_GZIP_MEMBERS} members in one body")
