"""Signed thinking and fallback: who would refuse it, who has refused it, and the call without it."""

from msgspec.structs import replace

from nexusflow_core.call import Call
from nexusflow_core.dialect import Leg
from nexusflow_core.errors import UpstreamError
from nexusflow_core.messages.marks import has_signed_thinking, without_signed_thinking
from nexusflow_core.routing import ModelRoute, Target
from nexusflow_core.upstream import header

__all__ = ["refuses_choice", "refuses_thinking", "without_thinking", "would_be_refused"]


def would_be_refused(call: Call, route: ModelRoute, target: Target, leg: Leg) -> bool:
    """Whether this target, of another model than the route's first, would be given thinking that the first one
    has signed, which the other model refuses. Where the route strips it the refusal is waited for."""
    wanted = route.targets[0].model or call.model
    if route.thinking == "strip" or (target.model or call.model) == wanted or call.seen is None:
        return False
    if leg.request is None:
        return False
    encoded = header(leg.request.headers, b"content-encoding") is not None
    return has_signed_thinking(call.seen.text) and (encoded or has_signed_thinking(leg.request.body))


def refuses_thinking(body: bytes) -> bool:
    """Whether an error answer of status 400 is about the signature of a thinking block."""
    return b"signature" in body and b"thinking" in body


def refuses_choice(error: UpstreamError, body: bytes) -> bool:
    """Whether an error answer is about a forced tool, which some families of models refuse: a good request for
    one target is none for another."""
    return error.status == 400 and (b"tool_choice" in body or "tool_choice" in error.message)


def without_thinking(call: Call) -> tuple[Call, tuple[str, ...]]:
    """The call without signed thinking, and what was edited for that: nothing where there is
    none. An edited text goes out plain."""
    if call.seen is None:
        return call, ()
    text = without_signed_thinking(call.seen.text)
    if text is call.seen.text:
        return call, ()
    headers = [pair for pair in call.headers if pair[0] != b"content-encoding"]
    edits = ("thinking", "content-encoding") if call.content_encoding else ("thinking",)
    return replace(call, headers=headers, body=text, seen=replace(call.seen, text=text)), edits
