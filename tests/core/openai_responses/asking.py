"""A Messages request on its way to a Responses upstream: what is sent, listed and refused."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from unittest.mock import patch

from nexusflow_core import Call, Target, TargetOptions, Upstream
from nexusflow_core.dialects.openai_responses.reasoning import (
    item_signature,
    reasoning_signature,
    reasoning_text,
)
from nexusflow_core.dialects.openai_responses.request import responses_request
from nexusflow_core.dialects.openai_responses.vendors import VENDORS, ResponsesRequestFacts, Vendor
from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.messages import read_request
from nexusflow_core.translation.losses import Losses
from tests.core.translation.asking import Outcome, request_of
from tests.core.translation.driving import NOW

__all__ = ["asked_of", "compacted", "items_of", "sent", "thought", "translated"]


def translated(
    request: Mapping[str, Any] | bytes,
    vendor: str | Vendor = "openai",
    *,
    strict: bool = False,
    name: str = "u",
    **options: Any,
) -> Outcome:
    """The request as this vendor gets it from the upstream `name`, under these `TargetOptions`."""
    if isinstance(vendor, Vendor):
        with patch.dict(VENDORS, {"a-row": vendor}):
            return translated(request, "a-row", strict=strict, name=name, **options)
    losses = Losses(strict=strict)
    try:
        body, _ = _made(request, vendor, name, losses, **options)
    except InvalidRequestError as error:
        return Outcome(refusal=error.message)
    return Outcome(body=body, dropped=tuple(loss.path for loss in losses.found))


def sent(*messages: Any, vendor: str | Vendor = "openai", **members: Any) -> dict[str, Any]:
    """The body that a request of these messages becomes; a string is a user's turn."""
    body: dict[str, Any] = translated(request_of(*messages, **members), vendor).json
    return body


def items_of(*messages: Any, **members: Any) -> list[dict[str, Any]]:
    """The items of these messages."""
    items: list[dict[str, Any]] = sent(*messages, **members)["input"]
    return items


def asked_of(vendor: str = "openai", *, name: str = "u", **members: Any) -> ResponsesRequestFacts:
    """What the answer's side knows of a request."""
    return _made(request_of(**members), vendor, name, Losses())[1]


def thought(item: Mapping[str, Any], vendor: str = "openai", *, hidden: bool = False) -> dict[str, Any]:
    """The thinking block that the client got of an item of reasoning."""
    shown = "" if hidden else reasoning_text(dict(item))
    signature = reasoning_signature(dict(item), shown, asked_of(vendor))
    return {"type": "thinking", "thinking": shown, "signature": signature}


def compacted(encrypted: str, vendor: str = "openai") -> dict[str, Any]:
    """The compaction block that the client got of the vendor's item."""
    item = {"type": "compaction", "id": "cmp_1", "encrypted_content": encrypted}
    mark = item_signature(item, asked_of(vendor))
    return {"type": "compaction", "content": None, "encrypted_content": mark}


def _made(
    request: Mapping[str, Any] | bytes, vendor: str, name: str, losses: Losses, **options: Any
) -> tuple[bytes, ResponsesRequestFacts]:
    text = request if isinstance(request, bytes) else json.dumps(request).encode()
    call = Call(endpoint="messages", request_id="req_1", started_at=NOW, body=text).look(10**8)
    row = vendor if vendor in VENDORS else None
    upstream = Upstream(name=name, dialect="openai-responses", base_url="http://u", auth="none", vendor=row)
    target = Target(upstream, options=TargetOptions(**options))
    return responses_request(read_request(call.text, call.max_values), call, target, losses)


def texts(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """The texts of messages."""
    contents = [item["content"] for item in items if item["type"] == "message"]
    return [
        text
        for content in contents
        for text in ([content] if isinstance(content, str) else [part.get("text", "") for part in content])
    ]
