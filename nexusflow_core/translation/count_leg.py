"""CountLeg: answers count_tokens from a vendor's own counter."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

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
from nexusflow_core.errors import NexusFlowError, NotFoundError, UpstreamProtocolError, UpstreamStatusError
from nexusflow_core.messages import MessagesRequest, read_body, read_request
from nexusflow_core.record import Loss
from nexusflow_core.routing import Target
from nexusflow_core.translation.error_bodies import read_error_body
from nexusflow_core.translation.errors import Origin, failure
from nexusflow_core.translation.held import HELD_BYTES
from nexusflow_core.translation.losses import Losses, warning
from nexusflow_core.untyped import MALFORMED, object_of, whole
from nexusflow_core.upstream import Headers, UpstreamRequest, json_headers, upstream_id

__all__ = ["CountLeg", "Counter", "open_count"]

Sends: TypeAlias = Callable[[MessagesRequest, Call, Target, Losses], bytes]


class Counter(Struct, frozen=True):
    """A vendor's token counter: accepted members of a request, and the count's name in its answer."""

    url: str
    members: tuple[str, ...]
    count: str
    origin: Origin


def open_count(call: Call, target: Target, counter: Counter | None, sends: Sends) -> Leg:
    """Returns the leg of a count, from the vendor's counter or from an estimate that the route allows.

    `sends` translates the request as for an answer. Raises InvalidRequestError for a request that cannot be
    translated, and NotFoundError without a counter and an estimate.
    """
    upstream, estimates = target.upstream, target.options.count_tokens is not None
    if counter is None and not estimates:
        raise NotFoundError(NOT_COUNTED)
    given = read_body(call.text, call.max_values)
    # count_tokens has no max_tokens, but `read_request` requires it.
    request = read_request(msgspec.json.encode({"max_tokens": 1, **given}), call.max_values + 1)
    if counter is None:
        return EstimateLeg(given, call.request_id)
    losses = Losses(strict=target.strict)
    made = msgspec.json.decode(sends(request, call, target, losses))
    body = msgspec.json.encode({name: made[name] for name in counter.members if name in made})
    sent = UpstreamRequest(upstream, "POST", counter.url, json_headers(stream=False), body)
    return CountLeg(
        sent, call, counter.origin, losses.found, count=counter.count, body=call.text if estimates else None
    )


class CountLeg:
    """One attempt at a vendor's counter. See `Leg` for the methods.

    `count`: name of the count in the answer. `body`: the request, to estimate its tokens if the upstream has no
    counter; None: no estimate.
    """

    may_ping = False

    def __init__(
        self,
        request: UpstreamRequest,
        call: Call,
        origin: Origin,
        losses: list[Loss],
        *,
        count: str,
        body: bytes | None,
    ) -> None:
        self.request = request
        self.losses: Sequence[Loss] = losses
        self.head: ResponseHead | None = None
        self.state = LegState.OPEN
        self.failure: NexusFlowError | None = None
        self.facts = AnswerFacts()
        self._call = call
        self._origin = origin
        self._count = count
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
        request_id = upstream_id(headers, self.request.headers, b"x-request-id")
        self.facts = AnswerFacts(upstream_request_id=request_id)
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
        found = self._read_count()
        if found is None:
            raise UpstreamProtocolError("the upstream's token count is not a number")
        dropped = warning(self.losses)
        return counted(found, call.request_id, [(b"x-nexusflow-warning", dropped)] if dropped else ())

    def _read_count(self) -> int | None:
        try:
            found = whole(object_of(msgspec.json.decode(bytes(self._held))).get(self._count))
        except MALFORMED:
            return None
        return found if type(found) is int else None

    def _failed(self, body: bytes) -> UpstreamStatusError:
        return failure(
            read_error_body(body), self._status, self._headers, origin=self._origin, now=self._call.started_at
        )
