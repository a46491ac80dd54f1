"""count_tokens by the vendor's own counter, if it has one: it counts the prompt as the model would get it."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from nexusflow_core.call import Call
from nexusflow_core.counting import (
    ESTIMATED,
    NOT_COUNTED,
    EstimateLeg,
    counted,
    estimated,
    is_absent,
    not_counted,
)
from nexusflow_core.dialect import AnswerFacts, Leg, LegState, ResponseHead
from nexusflow_core.dialects.openai_chat.errors import origin_of
from nexusflow_core.dialects.openai_chat.request import chat_request
from nexusflow_core.dialects.openai_chat.vendors import Vendor
from nexusflow_core.errors import (
    NexusFlowError,
    NotFoundError,
    UpstreamProtocolError,
    UpstreamStatusError,
)
from nexusflow_core.messages import read_body, read_request
from nexusflow_core.record import Loss
from nexusflow_core.routing import Target
from nexusflow_core.translation.error_bodies import read_error_body
from nexusflow_core.translation.errors import failure
from nexusflow_core.translation.held import HELD_BYTES
from nexusflow_core.translation.losses import Losses, warning
from nexusflow_core.untyped import MALFORMED
from nexusflow_core.upstream import Headers, UpstreamRequest, split_url, upstream_id

__all__ = ["CountLeg", "open_count"]

_COUNTED = (
    "model",
    "messages",
    "tools",
    "chat_template_kwargs",
    "continue_final_message",
    "add_generation_prompt",
)
"""Members of a chat request that belong to the prompt."""


class _Count(Struct):
    count: int


_count = msgspec.json.Decoder(_Count)


def open_count(call: Call, target: Target, vendor: Vendor, headers: Headers) -> Leg:
    """Returns the leg of a count: by the vendor's counter, else by an estimate if the route allows it.

    Raises NotFoundError without either, and InvalidRequestError for a request that would be refused.
    """
    if vendor.counts_at is None and target.options.count_tokens is None:
        raise NotFoundError(NOT_COUNTED)
    given = read_body(call.text, call.max_values)
    # count_tokens has no max_tokens. The rest is read like a request for an answer.
    request = read_request(msgspec.json.encode({"max_tokens": 1, **given}), call.max_values + 1)
    if vendor.counts_at is None:
        return EstimateLeg(given, call.request_id)
    losses = Losses(strict=target.strict)
    made = msgspec.json.decode(chat_request(request, call, target, losses).body)
    body = msgspec.json.encode({name: made[name] for name in _COUNTED if name in made})
    url = _beside(target.upstream.base_url, vendor.counts_at)
    sent = UpstreamRequest(target.upstream, "POST", url, headers, body)
    return CountLeg(sent, call, vendor, losses.found, call.text if target.options.count_tokens else None)


def _beside(base_url: str, path: str) -> str:
    """Returns the URL of a path beside the API: `http://host:8000/tokenize` for `http://host:8000/v1`."""
    server, own = split_url(base_url)
    return server + own.rpartition("/")[0] + path


class CountLeg:
    """One attempt at a vendor's counter. See `Leg` for the verbs.

    `body`: the request to estimate from, if the counter does not exist; None: no estimate.
    """

    may_ping = False

    def __init__(
        self,
        request: UpstreamRequest,
        call: Call,
        vendor: Vendor,
        losses: list[Loss],
        body: bytes | None,
    ) -> None:
        self.request = request
        self.losses: Sequence[Loss] = losses
        self.head: ResponseHead | None = None
        self.state = LegState.OPEN
        self.failure: NexusFlowError | None = None
        self.facts = AnswerFacts()
        self._call = call
        self._vendor = vendor
        self._body = body
        self._status = 0
        self._headers: Headers = ()
        self._held = bytearray()

    def receive_head(self, status: int, headers: Headers) -> None:
        if 300 <= status < 400:
            raise UpstreamProtocolError(
                f"the upstream answered with a redirect ({status}), which is not followed"
            )
        self._status, self._headers = status, headers
        told = upstream_id(headers, self.request.headers, b"x-request-id")
        self.facts = AnswerFacts(upstream_request_id=told)
        if status >= 400 and not is_absent(status):
            self.failure = self._failed(b"")

    def receive_data(self, data: bytes) -> bytes:
        if len(self._held) + len(data) > HELD_BYTES:
            raise UpstreamProtocolError("the upstream's answer is larger than every bound")
        self._held += data
        return b""

    def receive_eof(self) -> bytes:
        self.state = LegState.ENDED
        self.head, body = self._answer()
        return body

    def fail(self, error: NexusFlowError) -> bytes | None:
        self.state, self.failure = LegState.ENDED, error
        return None

    def client_gone(self) -> None:
        return None

    def _answer(self) -> tuple[ResponseHead, bytes]:
        call = self._call
        if is_absent(self._status):
            if self._body is None:
                return not_counted(call.request_id)
            self.losses = (*self.losses, ESTIMATED)
            return estimated(read_body(self._body, call.max_values), call.request_id)
        if self._status >= 400:
            raise self._failed(bytes(self._held))
        try:
            found = _count.decode(bytes(self._held))
        except MALFORMED:
            raise UpstreamProtocolError("the upstream's token count is not a number") from None
        told = warning(self.losses)
        return counted(found.count, call.request_id, [(b"x-nexusflow-warning", told)] if told else ())

    def _failed(self, body: bytes) -> UpstreamStatusError:
        origin = origin_of(self._vendor, self._call.model, self.request.upstream, self._call.credential)
        return failure(
            read_error_body(body), self._status, self._headers, origin=origin, now=self._call.started_at
        )
