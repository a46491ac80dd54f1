"""The request of a relayed call: the client's body, with few edits, each of them listed."""

from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.call import Call
from nexusflow_core.dialects.anthropic.door_edits import edit_for_door
from nexusflow_core.dialects.anthropic.door_refusals import refused_before
from nexusflow_core.dialects.anthropic.doors import DOORS, Door
from nexusflow_core.dialects.anthropic.envelope import enveloped, operation_of
from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.json_spans import elements, members
from nexusflow_core.messages.marks import strip_marked
from nexusflow_core.peek import rename_model
from nexusflow_core.routing import Target
from nexusflow_core.untyped import MALFORMED
from nexusflow_core.upstream import (
    Headers,
    KeptHeaders,
    Upstream,
    UpstreamRequest,
    derived,
    header,
    relayed_request_headers,
)

__all__ = ["is_third_party", "relayed_request"]

_OLDEST_VERSION = (b"anthropic-version", b"2023-06-01")

_BILLING = "x-anthropic-billing-header"
"""Begins the system block in which Claude Code sends its billing header. It differs in each request."""

_PATHS = {"messages": "/v1/messages", "count_tokens": "/v1/messages/count_tokens"}


def is_third_party(call: Call, target: Target) -> bool:
    """True if the upstream only speaks Anthropic's protocol: it has other prices or another model.

    Some of them use Anthropic's names for their models. Behind a cloud's door is always Claude, whatever the
    model is called there.
    """
    if target.upstream.door is not None:
        return False
    own_model = not (target.model or call.model).startswith("claude-")
    return own_model or target.upstream.prices not in (None, "anthropic")


def relayed_request(call: Call, target: Target, *, third_party: bool) -> UpstreamRequest:
    """Returns the request without its credential. `third_party`: see `is_third_party`.

    Raises InvalidRequestError for a query or a header that cannot be sent.
    """
    upstream = target.upstream
    headers = derived(call.headers, f"relayed to {upstream.name}", _relayed_headers, upstream)
    body, edits = _edited_body(call, target, third_party=third_party)
    url = upstream.base_url + _PATHS[call.endpoint]
    if call.query:
        url += "?" + _checked_query(call.query)
    request = UpstreamRequest(upstream, "POST", url, headers, body, edits)
    if upstream.door is not None and call.seen is not None:
        _through_door(request, DOORS[upstream.door], call, target)
    if request.body is not call.body and call.content_encoding:  # an edited body is sent uncompressed
        request.headers = [pair for pair in request.headers if pair[0] != b"content-encoding"]
        request.edits = tuple(dict.fromkeys((*request.edits, "content-encoding")))
    return request


def _relayed_headers(headers: Headers, upstream: Upstream) -> Headers:
    relayed = relayed_request_headers(headers, None, own_credential=upstream.own_credential)
    if header(relayed, b"anthropic-version") is None:
        relayed.append(_OLDEST_VERSION)
    if upstream.headers:
        own = upstream.own_headers()
        names = {name for name, _ in own}
        relayed = [*(pair for pair in relayed if pair[0] not in names), *own]
    return KeptHeaders(relayed, {}) if type(headers) is KeptHeaders else relayed


def _through_door(request: UpstreamRequest, door: Door, call: Call, target: Target) -> None:
    """Edits the request for a cloud's door. A body without edits stays the same object."""
    plain = call.text if request.body is call.body else request.body
    text, edits, upstream = plain, list(request.edits), target.upstream
    if upstream.betas == "filter":
        refused = refused_before(call, upstream)
        text, request.headers, more = edit_for_door(door, text, request.headers, target, refused)
        edits += more
    if door.envelope is not None:
        model = target.model or call.model
        request.url = upstream.base_url + door.envelope.path(
            operation_of(call), model, door.place(upstream.place)
        )
        text, request.headers, more = enveloped(door.envelope, call, text, request.headers, model)
        edits += more
    request.edits = tuple(dict.fromkeys(edits))
    if text is not plain:
        request.body = text


def _edited_body(call: Call, target: Target, *, third_party: bool) -> tuple[bytes, tuple[str, ...]]:
    """Returns the client's body, and its edits. There are three: the model's name is replaced; marked thinking
    blocks are removed, since Anthropic would refuse them; and for third parties the billing header is removed,
    since it differs in every call and defeats prefix caches."""
    seen = call.seen
    if seen is None:
        return call.body, ()
    model = target.model if target.model != seen.model else None
    if model is None and not third_party and not seen.marked:
        return call.body, ()
    words = (*(("model",) if model else ()), *(("content-encoding",) if call.content_encoding else ()))
    text, edits = strip_marked(seen.text, words, call.max_values) if seen.marked else (seen.text, ())
    if third_party:
        text, cut = _without_billing_header(text)
        edits = (*(edits or words), *cut) if cut else edits
    if model is not None:
        text = rename_model(text, model, seen.models if text is seen.text else ())
        edits = edits or words
    return (text, edits) if edits else (call.body, ())


class _Block(Struct):
    type: str = ""
    text: Any = None


_block = msgspec.json.Decoder(_Block)


def _without_billing_header(text: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Returns a request's body without leading system blocks that are billing headers, and their paths.

    All other bytes stay. A body without such a header is not searched further.
    """
    if _BILLING.encode() not in text:
        return text, ()
    for name, start, end in members(text):
        if name == "system":
            system = text[start:end]
            blocks = elements(system)
            count = 0
            while count < len(blocks) and _is_billing(system[slice(*blocks[count])]):
                count += 1
            if count:
                last = blocks[count][0] if count < len(blocks) else blocks[-1][1]
                kept = system[: blocks[0][0]] + system[last:]
                return text[:start] + kept + text[end:], tuple(f"system[{number}]" for number in range(count))
    return text, ()


def _is_billing(block: bytes) -> bool:
    if _BILLING.encode() not in block:
        return False
    try:
        found = _block.decode(block)
    except MALFORMED:
        return False
    return found.type == "text" and isinstance(found.text, str) and found.text.startswith(_BILLING)


def _checked_query(query: bytes) -> str:
    if any(byte <= 0x20 or byte >= 0x7F or byte == 0x23 for byte in query):
        raise InvalidRequestError("query: only printable ASCII is allowed, without '#'")
    return query.decode("ascii")
