"""Oddities of framing and of errors."""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulator.openai_chat.values import Json, Object

_COMMENT = b": OPENROUTER PROCESSING\n\n"
_FRAMES_BETWEEN = 3


def no_done(frames: Iterator[bytes]) -> Iterator[bytes]:
    """The connection just ends."""
    return (frame for frame in frames if not frame.startswith(b"data: [DONE]"))


def no_blank(frames: Iterator[bytes]) -> Iterator[bytes]:
    """As short as the standard allows."""
    return (frame.replace(b"data: ", b"data:", 1) for frame in frames)


def crlf(frames: Iterator[bytes]) -> Iterator[bytes]:
    """The other line end; inside JSON there is none."""
    return (frame.replace(b"\n", b"\r\n") for frame in frames)


def comments(frames: Iterator[bytes]) -> Iterator[bytes]:
    """One before the first frame, and again every few."""
    for nth, frame in enumerate(frames):
        if nth % _FRAMES_BETWEEN == 0:
            yield _COMMENT
        yield frame


def error_event(frames: Iterator[bytes]) -> Iterator[bytes]:
    """The only events with a name."""
    return (b"event: error\n" + frame if frame.startswith(b'data: {"error"') else frame for frame in frames)


def error_string(body: Object) -> Object:
    """Only the text."""
    return {"error": _told(body, "message")}


def error_detail(body: Object) -> Object:
    """Only the text, by another name."""
    return {"detail": _told(body, "message")}


def error_flat(body: Object) -> Object:
    """No object around it."""
    return {"object": "error", "message": _told(body, "message"), "type": _told(body, "type"), "code": "1500"}


def error_msg(body: Object) -> Object:
    """The vendor's own number, and the text."""
    return {"code": 1302, "msg": _told(body, "message")}


def error_with_choice(body: Object) -> Object:
    """As a chunk: an error, and a choice that ends with it."""
    error: Object = {"code": 502, "message": _told(body, "message"), "metadata": {"provider_name": "Simulated"}}
    choice: Object = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
    return {"error": error, "choices": [choice]}


def _told(body: Object, name: str) -> Json:
    error = body.get("error")
    return error.get(name) if isinstance(error, dict) else error or body.get(name)
