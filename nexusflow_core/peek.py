"""Reads `model` and `stream` of a request body, and the places of values, without decoding the whole.

The bytes are never rebuilt. The upstream judges the rest of the body.
"""

import zlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from nexusflow_core.errors import InvalidRequestError, RequestTooLargeError
from nexusflow_core.json_spans import members
from nexusflow_core.untyped import MALFORMED, is_zero, object_of

__all__ = [
    "MARK_PREFIX",
    "UNSUPPORTED",
    "Peek",
    "continues_thread",
    "inflate",
    "peek",
    "rename_model",
    "thread_of",
    "thread_refused",
]

MAX_MODEL = 1000
"""Bound on the characters of a model's name: it is matched with patterns and recorded."""

_MAX_GZIP_MEMBERS = 100
"""Bound on the members of one gzip body. Each costs a copy of the rest; senders write one."""


MARK_PREFIX = b"nxf1."
"""Begins the signature of each thinking block that the gateway has made, see `messages.marks`."""

_NOTED = frozenset(("thread", "billing_policy"))


_NONE_NOTED: Final[frozenset[str]] = frozenset()
"""One for all: each empty set of its own would take 216 bytes a call."""


class Peek(Struct, frozen=True):
    """The gateway's view of a body: `model`, whether `stream` is literally true, and the inflated JSON text.

    `noted`: the members `thread` and `billing_policy`, where the body may have them. `marked`: it may contain
    thinking that the gateway has marked. Both save a search of the whole text.
    Where a walk over the members found them, `messages` has start and end of their value in the text, and
    `models` those of each `model`.
    """

    model: str
    stream: bool
    text: bytes
    noted: frozenset[str] = _NOTED
    marked: bool = True
    messages: tuple[int, int] | None = None
    models: tuple[tuple[int, int], ...] = ()


_ABSENT: Final = Raw(b"")


class _Plain(Struct):
    """A body with one `model` and at most one `stream`: the fast path."""

    model: str
    stream: Any = None
    thread: Raw = _ABSENT
    billing_policy: Raw = _ABSENT


_SMALL = 16 * 1024
"""Above this size in bytes, walking the members takes less time than decoding."""

_plain = msgspec.json.Decoder(_Plain)
_string = msgspec.json.Decoder(str)


def peek(text: bytes) -> Peek:
    """Returns `model` and `stream` of a JSON object.

    Raises InvalidRequestError if the text is not a JSON object or nests too deeply, and if `model` is missing,
    not a string, too long, or ambiguous: two different values, or a second key that differs only in case.
    Readers would disagree which one counts.
    """
    seen = _peek_plain(text) or _peek_closely(text)
    if len(seen.model) > MAX_MODEL:
        raise InvalidRequestError(f"model: String should have at most {MAX_MODEL} characters")
    return seen


def rename_model(text: bytes, model: str, places: Sequence[tuple[int, int]] = ()) -> bytes:
    """Returns a JSON object's text with every `model` replaced. All other bytes stay unchanged.

    `places`: where they stand in this text, see `Peek.models`. Without them they are searched.
    """
    name = msgspec.json.encode(model)
    pieces: list[bytes] = []
    done = 0
    for start, end in places or [(start, end) for key, start, end in members(text) if key == "model"]:
        pieces += (text[done:start], name)
        done = end
    return b"".join((*pieces, text[done:]))


def _peek_plain(text: bytes) -> Peek | None:
    """Returns the peek of a small body with exactly one key that can be `model`, else None."""
    if len(text) > _SMALL or text.lower().count(b'"model"') != 1 or text.find(b"\\u00") >= 0:
        return None
    try:
        plain = _plain.decode(text)
    except MALFORMED:
        return None
    noted = _NONE_NOTED
    if plain.thread is not _ABSENT or plain.billing_policy is not _ABSENT:
        noted = frozenset([name for name in _NOTED if getattr(plain, name) is not _ABSENT])
    return Peek(plain.model, plain.stream is True, text, noted, _is_marked(text))


def _peek_closely(text: bytes) -> Peek:
    models: list[tuple[int, int]] = []
    streams: list[bytes] = []
    messages: list[tuple[int, int]] = []
    noted: list[str] = []
    other = None
    for key, start, end in members(text):
        if key == "messages":
            messages.append((start, end))
        elif key == "model":
            models.append((start, end))
        elif key == "stream":
            streams.append(text[start:end])
        elif key in _NOTED:
            noted.append(key)
        elif len(key) == 5 and key.lower() == "model":
            other = other or key
    if not models:
        raise InvalidRequestError("model: Field required")
    if other is not None:
        raise InvalidRequestError(f"model: given twice, as 'model' and as {other!r}; send 'model' alone")
    try:
        names = {_string.decode(text[start:end]) for start, end in models}
    except MALFORMED:
        raise InvalidRequestError("model: Input should be a valid string") from None
    if len(names) > 1:
        raise InvalidRequestError("model: given more than once, with different values")
    place = messages[0] if len(messages) == 1 else None
    marked = any(_is_marked(text, *place) for place in messages)
    streams_it = bool(streams) and streams[-1] == b"true"
    members_noted = frozenset(noted) if noted else _NONE_NOTED
    return Peek(names.pop(), streams_it, text, members_noted, marked, place, tuple(models))


def _is_marked(text: bytes, start: int = 0, end: int | None = None) -> bool:
    return text.rfind(MARK_PREFIX, start, end) >= 0  # twice as fast as `in`


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """Returns a compressed body as plain bytes.

    Raises InvalidRequestError for broken data and for encodings other than gzip and deflate,
    RequestTooLargeError beyond `limit` bytes.
    """
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise InvalidRequestError(
            f"content-encoding: {encoding[:50]!r} is not supported, only gzip and deflate are"
        )
    plain = b""
    try:
        for _ in range(_MAX_GZIP_MEMBERS):
            inflater = zlib.decompressobj(wbits=47)
            plain += inflater.decompress(body, limit - len(plain) + 1)
            if len(plain) > limit:
                raise RequestTooLargeError(f"the request body is larger than {limit} bytes after decoding")
            if not inflater.eof:
                raise InvalidRequestError("content-encoding: the compressed body is cut short")
            body = inflater.unused_data
            if not body:
                return plain
    except zlib.error:
        raise InvalidRequestError(f"content-encoding: the body is not valid {encoding} data") from None
    raise InvalidRequestError(f"content-encoding: more than {_MAX_GZIP_MEMBERS} members in one body")


# Message threads: the provider keeps the history, and a `continue` request sends the new turn only. Upstreams
# without threads would take that turn for the whole conversation.

UNSUPPORTED: dict[str, Any] = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
"""Details that make the SDK and Claude Code send the whole conversation again."""


def thread_of(text: bytes) -> dict[str, Any]:
    """Returns the thread object of a request's body; {} if there is none."""
    if b'"thread"' not in text:
        return {}
    found = [text[start:end] for name, start, end in members(text) if name == "thread"]
    try:
        thread = object_of(msgspec.json.decode(found[-1])) if found else {}
    except MALFORMED:
        return {}
    return {} if is_zero(thread) else thread


def continues_thread(text: bytes) -> bool:
    """True if the provider keeps the history of this request."""
    return thread_of(text).get("type") == "continue"


def thread_refused() -> InvalidRequestError:
    """Returns the error that makes clients send the whole conversation."""
    return InvalidRequestError(
        "thread: this upstream keeps no threads; send the whole conversation without `thread`",
        details=UNSUPPORTED,
    )
