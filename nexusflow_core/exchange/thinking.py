"""Signed thinking and fallback: recognises refusals of it, and removes it from a call."""

from msgspec.structs import replace

from nexusflow_core.call import Call
from nexusflow_core.dialect import Leg
from nexusflow_core.errors import UpstreamError
from nexusflow_core.messages.marks import has_signed_thinking, without_signed_thinking
from nexusflow_core.routing import ModelRoute, Target
from nexusflow_core.upstream import header

__all__ = ["refuses_choice", "refuses_thinking", "without_thinking", "would_be_refused"]


def would_be_refused(call: Call, route: ModelRoute, target: Target, leg: Leg) -> bool:
    """True if falling back would send one model's signed thinking to another model, which refuses it.

    With `thinking = "strip"` it is False: the refusal is awaited.
    """
    wanted = route.targets[0].model or call.model
    if route.thinking == "strip" or (target.model or call.model) == wanted or call.seen is None:
        return False
    if leg.request is None:
        return False
    encoded = header(leg.request.headers, b"content-encoding") is not None
    return has_signed_thinking(call.seen.text) and (encoded or has_signed_thinking(leg.request.body))


def refuses_thinking(body: bytes) -> bool:
    """True if an error answer of status 400 is about the signature of a thinking block."""
    return b"signature" in body and b"thinking" in body


def refuses_choice(error: UpstreamError, body: bytes) -> bool:
    """True if an error answer is about a forced tool choice, which some model families refuse."""
    return error.status == 400 and (b"tool_choice" in body or "tool_choice" in error.message)


def without_thinking(call: Call) -> tuple[Call, tuple[str, ...]]:
    """Returns the call without signed thinking, and the edits made; () if nothing changed.

    An edited body is sent uncompressed.
    """
    if call.seen is None:
        return call, ()
    text = without_signed_thinking(call.seen.text)
    if text is call.seen.text:
        return call, ()
    headers = [pair for pair in call.headers if pair[0] != b"content-encoding"]
    edits = ("thinking", "content-encoding") if call.content_encoding else ("thinking",)
    return replace(call, headers=headers, body=text, seen=replace(call.seen, text=text)), edits
