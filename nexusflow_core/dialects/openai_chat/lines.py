"""What a line of a stream is besides a chunk: its end, a sign of life, or the first one of a stream at all."""

import re

import msgspec

from nexusflow_core.sse import ServerSentEvent

__all__ = ["is_done", "is_idle", "is_stream"]

_DONE = frozenset({b"[done]", b'"[done]"', b"'[done]'", b"done", b'"done"'})
_ALIVE = frozenset({"ping", "heartbeat", "keepalive", "keep-alive", "keep_alive"})
_WORD = re.compile(rb"\[?[A-Za-z][A-Za-z _.-]{0,40}\]?")
_FIELD = re.compile(rb"(?:data|event|id|retry)[ \t]*:|:")


def is_done(data: bytes) -> bool:
    """Whether a line says that the stream is over: `[DONE]`, however it is written."""
    return data.strip().lower() in _DONE


def is_idle(event: ServerSentEvent) -> bool:
    """Whether a line that is no chunk says nothing: a ping, a word, or JSON that is neither object nor list."""
    if event.event.lower() in _ALIVE or _WORD.fullmatch(event.data.strip()):
        return True  # `[KEEPALIVE]` too
    if event.data.strip()[:1] in (b"{", b"["):
        return event.data.strip() == b"[]"
    try:
        msgspec.json.decode(event.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def is_stream(body: bytes) -> bool:
    """Whether a body begins as a stream of server-sent events does."""
    return _FIELD.match(body.lstrip()) is not None
