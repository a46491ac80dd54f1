"""A Messages request on its way to a translated upstream: what is sent, named and refused; and what the client
then gets of an answer. Through the dialect's front door, so that the code behind it can be cut anew."""

import json
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

from msgspec import Struct

from nexusflow_core import Call, Target, TargetOptions, Upstream
from nexusflow_core.dialect import LegState, UpstreamDialect
from nexusflow_core.dialects import DIALECTS
from nexusflow_core.dialects.openai_chat.vendors import GENERIC, VENDORS, Vendor
from nexusflow_core.errors import InvalidRequestError
from tests.core.translation.driving import NOW
from tests.core.translation.responses import responses_answer, responses_events
from tests.core.translation.toy import TOY, toy_answer

__all__ = ["OTHER_DIALECTS", "RESPONSES", "ROWS", "Outcome", "request_of", "shown", "translated"]

ROWS: dict[str, Vendor] = {"generic": GENERIC, **VENDORS}
"""Every row of the vendor table; `generic` is that of a vendor which has none."""

RESPONSES = "openai-responses/"
"""Before the name of a row of the Responses API, where a row can stand."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of a request. `refusal` is the message of a 400; then nothing is sent."""

    body: bytes = b""
    dropped: tuple[str, ...] = ()
    refusal: str | None = None

    @property
    def json(self) -> Any:
        assert self.refusal is None, self.refusal
        return json.loads(self.body)


OTHER_DIALECTS: dict[str, UpstreamDialect] = {"toy": TOY}
"""Translated dialects beside those of the table."""


def translated(
    request: Mapping[str, Any] | bytes,
    vendor: str | Vendor = "generic",
    *,
    strict: bool = False,
    dialect: str = "openai-chat",
    **options: Any,
) -> Outcome:
    """The request as this vendor gets it under these `TargetOptions`. Any error but InvalidRequestError is a
    defect."""
    if isinstance(vendor, Vendor):
        with patch.dict(VENDORS, {"a-row": vendor}):
            return translated(request, "a-row", strict=strict, dialect=dialect, **options)
    try:
        leg = _leg(request, vendor, strict, dialect, **options)
    except InvalidRequestError as error:
        return Outcome(refusal=error.message)
    body = leg.request.body
    assert isinstance(body, bytes)
    return Outcome(body=body, dropped=tuple(loss.path for loss in leg.losses))


def shown(request: Mapping[str, Any] | bytes, vendor: str, message: Mapping[str, Any]) -> bytes:
    """What the client gets where the upstream answers with this message, sync or as a stream."""
    leg = _leg(request, vendor, False)
    stream = bool(json.loads(leg.request.body or b"").get("stream"))
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    choice = {"index": 0, "delta" if stream else "message": message, "finish_reason": "stop"}
    data = json.dumps({"choices": [choice], "usage": usage}).encode()
    events = [data]
    if vendor == "toy":
        events = [toy_answer(message)]
    elif vendor.startswith(RESPONSES):
        events = responses_events(message) if stream else [responses_answer(message)]
    leg.receive_head(200, [])
    body = b"".join(b"data: " + event + b"\n\n" for event in events) if stream else events[0]
    out: bytes = leg.receive_data(body)
    return out if leg.state is LegState.ENDED else out + leg.receive_eof()


def _leg(
    request: Mapping[str, Any] | bytes,
    vendor: str,
    strict: bool,
    dialect: str = "openai-chat",
    **options: Any,
) -> Any:
    text = request if isinstance(request, bytes) else json.dumps(request).encode()
    call = Call(endpoint="messages", request_id="req_1", started_at=NOW, body=text).look(10**8)
    if vendor.startswith(RESPONSES):
        dialect, vendor = RESPONSES[:-1], vendor.removeprefix(RESPONSES)
    dialect = vendor if vendor in OTHER_DIALECTS else dialect
    row = None if vendor in ("generic", *OTHER_DIALECTS) else vendor
    upstream = Upstream(name="u", dialect=dialect, base_url="http://u", auth="none", vendor=row)
    target = Target(upstream, strict=strict, options=TargetOptions(**options))
    return {**DIALECTS, **OTHER_DIALECTS}[dialect].open(call, target, NOW)


def request_of(*messages: Any, **members: Any) -> dict[str, Any]:
    """A request with these messages; a string is a user's turn."""
    turns = [{"role": "user", "content": item} if isinstance(item, str) else item for item in messages]
    return {"model": "some-model", "max_tokens": 100, "messages": turns or [_HELLO], **members}


_HELLO = {"role": "user", "content": "hi"}
