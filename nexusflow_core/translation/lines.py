"""Lines of an upstream's stream that are not a part of the answer: its end, signs of life, unreadable data."""

import re

import msgspec

from nexusflow_core.errors import AnswerUnusableError, UpstreamProtocolError
from nexusflow_core.sse import ServerSentEvent

__all__ = ["is_done", "is_idle", "unread"]

_DONE = frozenset({b"[done]", b'"[done]"', b"'[done]'", b"done", b'"done"'})
_ALIVE = frozenset({"ping", "heartbeat", "keepalive", "keep-alive", "keep_alive"})
_WORD = re.compile(rb"\[?[A-Za-z][A-Za-z _.-]{0,40}\]?")


def is_done(data: bytes) -> bool:
    """True if a line ends the stream: `[DONE]`, in any spelling."""
    return data.strip().lower() in _DONE


def is_idle(event: ServerSentEvent) -> bool:
    """True if a line is neither a part of the answer nor an error: a ping, a word, a JSON string or number."""
    if event.event.lower() in _ALIVE or _WORD.fullmatch(event.data.strip()):
        return True  # `[KEEPALIVE]` too
    if event.data.strip()[:1] in (b"{", b"["):
        return event.data.strip() == b"[]"
    try:
        msgspec.json.decode(event.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def unread(message: str, data: bytes) -> UpstreamProtocolError:
    """Returns the error for undecodable data. An object is a model's answer; other data is a server's."""
    kind = AnswerUnusableError if data.lstrip()[:1] == b"{" else UpstreamProtocolError
    return kind(message)
