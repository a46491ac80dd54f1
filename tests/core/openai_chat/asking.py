"""A Messages request on its way to a Chat Completions upstream: what is sent, named and refused."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from nexusflow_core.dialects.openai_chat.losses import Losses
from nexusflow_core.dialects.openai_chat.request import chat_request
from nexusflow_core.dialects.openai_chat.vendors import GENERIC, VENDORS, Vendor
from nexusflow_core.errors import InvalidRequest
from nexusflow_core.messages import read_request
from nexusflow_core.routing import Options

__all__ = ["NOW", "ROWS", "Outcome", "request_of", "translated"]

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)

ROWS: dict[str, Vendor] = {"generic": GENERIC, **VENDORS}


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of a request: `sent` is everything that reaches the upstream, or the answer's translation."""

    body: bytes = b""
    stop_here: tuple[str, ...] = ()
    one_call: bool = False
    dropped: tuple[str, ...] = ()
    refusal: str | None = None

    @property
    def sent(self) -> tuple[object, ...]:
        return self.body, self.stop_here, self.one_call

    @property
    def json(self) -> Any:
        assert self.refusal is None, self.refusal
        return json.loads(self.body)


def translated(
    request: Mapping[str, Any] | bytes,
    vendor: str | Vendor = "generic",
    *,
    strict: bool = False,
    **options: Any,
) -> Outcome:
    """The request as this vendor gets it. Any error but InvalidRequest is a defect and goes up."""
    text = request if isinstance(request, bytes) else json.dumps(request).encode()
    losses = Losses(strict=strict)
    try:
        read = read_request(text)
        row = vendor if isinstance(vendor, Vendor) else ROWS[vendor]
        made = chat_request(read, read.model, row, losses, Options(**options))
    except InvalidRequest as error:
        return Outcome(refusal=error.message)
    return Outcome(
        body=made.body,
        stop_here=made.stop_here,
        one_call=made.one_call,
        dropped=tuple(loss.path for loss in losses.found),
    )


def request_of(*messages: Any, **members: Any) -> dict[str, Any]:
    """A request with these messages; a string is a user's turn."""
    turns = [{"role": "user", "content": item} if isinstance(item, str) else item for item in messages]
    return {"model": "some-model", "max_tokens": 100, "messages": turns or [_HELLO], **members}


_HELLO = {"role": "user", "content": "hi"}
