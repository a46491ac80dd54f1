"""Exchange: gives the orders of one call, over one Leg or several, and keeps its record.

Whoever does the I/O obeys `order`, reports what came of it with a verb, and sends the bytes that the verb
returns to the client, after `response_head` once that is set. Times are seconds of one monotonic clock.
"""

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct

from nexusflow_core.call import Call
from nexusflow_core.dialect import Leg, ResponseHead
from nexusflow_core.errors import InternalError, NexusFlowError, UpstreamError, UpstreamTimeout, error_body
from nexusflow_core.metering import CallCost, price_call
from nexusflow_core.prices import PriceBook
from nexusflow_core.record import Attempt, CallRecord, Ending, UsageSource
from nexusflow_core.routing import Route, Target
from nexusflow_core.upstream import Headers, Timeouts, UpstreamRequest

__all__ = ["Close", "Exchange", "Order", "Read", "Send"]


class Send(Struct, frozen=True):
    """Send this request and report `receive_head` or `transport_failed`; at `until`, `on_timer`."""

    request: UpstreamRequest
    until: float


class Read(Struct):
    """Read on from the upstream and report `receive_data`, `receive_eof` or `transport_failed`; at `until`,
    `on_timer`. The object stays the same over a leg, while `until` moves."""

    until: float


class Close(Struct, frozen=True):
    """Close the upstream and finish the answer. `whole` False: the body could not be brought to an end that
    HTTP would take for one, so the connection to the client has to be cut."""

    whole: bool = True


Order: TypeAlias = Send | Read | Close

_MAX_NAME = 256
"""Characters of a model's name that a record keeps, whatever a client calls it."""


class Exchange:
    """One call from its routing to its record. Verbs that return bytes return them for the client."""

    def __init__(
        self,
        call: Call,
        route: Route | None,
        *,
        started: float,
        open_leg: Callable[[Call, Target], Leg],
        book: PriceBook,
        refusal: NexusFlowError | None = None,
    ) -> None:
        self.order: Order = Close()
        self.response_head: ResponseHead | None = None
        self._call = call
        self._open_leg = open_leg
        self._book = book
        self._refusal = refusal
        self._started = started
        self._route = route
        self._targets = list(route.targets) if route is not None else []  # those not tried yet
        self._attempts: list[Attempt] = []
        self._target: Target | None = None
        self._leg: Leg | None = None
        self._leg_status: int | None = None
        self._leg_started = self._leg_until = started
        self._timeouts = Timeouts()
        self._read = Read(0.0)
        self._first_byte_at: float | None = None
        self._failed_with: UpstreamError | None = None  # why the leg before this one was given up
        self._error: NexusFlowError | None = None  # one of ours that the client was told
        self._cost: CallCost | None = None
        self._client_gone = False
        self._over = False
        self._recorded = False

    @property
    def request_id(self) -> str:
        return self._call.request_id

    # What the caller reports

    def start(self, now: float) -> bytes:
        """Opens the first leg, or answers with the refusal."""
        if self._refusal is not None:
            return self.fail(self._refusal, now)
        return self._next_leg(now)

    def receive_head(self, status: int, headers: Headers, now: float) -> bytes:
        leg = self._current_leg()
        self._leg_status = status
        try:
            leg.receive_head(status, headers)
        except UpstreamError as error:
            return self._leg_failed(error, now)
        if leg.failure is not None and leg.failure.retryable and self._targets:
            return self._leg_failed(leg.failure, now)
        self._read.until = min(self._leg_started + self._timeouts.first_byte, self._leg_until)
        self.order = self._read
        return b""

    def receive_data(self, data: bytes, now: float) -> bytes:
        leg = self._leg or self._current_leg()
        try:
            out = leg.receive_data(data)
        except UpstreamError as error:
            return self._leg_failed(error, now)
        until = now + (self._timeouts.grace if leg.ended else self._timeouts.idle)
        self._read.until = until if until < self._leg_until else self._leg_until
        if self.response_head is None:
            self._publish_head(leg, now)
        if leg.finished:
            self._finish(now)
        return out

    def receive_eof(self, now: float) -> bytes:
        leg = self._current_leg()
        try:
            out = leg.receive_eof()
        except UpstreamError as error:
            return self._leg_failed(error, now)
        self._publish_head(leg, now)
        self._finish(now)
        return out

    def transport_failed(self, error: UpstreamError, now: float) -> bytes:
        """The connection could not be made, or broke."""
        if self.response_head is None and not self._over:
            return self._leg_failed(error, now)
        return self.fail(error, now)

    def on_timer(self, now: float) -> bytes:
        """The time of the current order may be up; does nothing where it is not."""
        if isinstance(self.order, Close) or now < self.order.until:
            return b""
        if self._leg is not None and self._leg.ended:
            return self.receive_eof(now)  # the answer has ended, only its connection has not
        return self.transport_failed(UpstreamTimeout(self._timeout_message(now)), now)

    def client_slow(self, now: float) -> bool:
        """The client, not the upstream, makes the exchange wait: the idle time runs anew. False where the
        total time is up all the same."""
        self._read.until = min(now + self._timeouts.idle, self._leg_until)
        return now < self._leg_until

    def client_gone(self, now: float) -> None:
        """The client went away; does nothing once the answer is finished."""
        if not self._over:
            self._client_gone = self._leg is None or not self._leg.ended
            self._finish(now)

    def fail(self, error: NexusFlowError, now: float) -> bytes:
        """Ends the call with this error wherever it stands; no further target is tried."""
        if self._over:
            return b""
        if self.response_head is None:
            self._end_attempt(error.type, now)
            return self._answer(error, now)
        leg = self._current_leg()
        out = leg.fail(error)
        if not leg.ended and leg.failure is None:
            self._error = error
        self._finish(now, whole=out is not None)
        return out or b""

    # Legs

    def _next_leg(self, now: float) -> bytes:
        self._target = self._targets.pop(0)
        self._timeouts = self._target.upstream.timeouts
        try:
            leg = self._leg = self._open_leg(self._call, self._target)
        except NexusFlowError as error:
            if self._failed_with is None:
                return self._answer(error, now)
            # A fallback that cannot carry this call is passed over; the failure that led here stays the answer.
            return self._next_leg(now) if self._targets else self._answer(self._failed_with, now)
        self._leg_status = None
        self._leg_started = now
        self._leg_until = now + self._timeouts.total
        if leg.request is None:
            return self.receive_eof(now)
        self.order = Send(leg.request, min(now + self._timeouts.first_byte, self._leg_until))
        return b""

    def _leg_failed(self, error: UpstreamError, now: float) -> bytes:
        """Nothing has gone out yet: the next target, or the error as the answer."""
        self._end_attempt(error.type, now)
        self._failed_with = error
        if error.retryable and self._targets:
            return self._next_leg(now)
        return self._answer(error, now)

    def _end_attempt(self, reason: str, now: float) -> None:
        if self._leg is not None and self._leg.request is not None and self._target is not None:
            attempt = Attempt(
                upstream=self._target.upstream.name,
                model=self._target.model or self._call.model,
                status=self._leg_status,
                reason=reason,
                duration=now - self._leg_started,
            )
            self._attempts.append(attempt)

    def _current_leg(self) -> Leg:
        if self._leg is None:
            raise InternalError("no leg is open")
        return self._leg

    def _publish_head(self, leg: Leg, now: float) -> None:
        if leg.head is not None and self.response_head is None:
            self.response_head = leg.head
            self._first_byte_at = now
            if leg.ended:  # a sync answer that was held whole
                cost = self._cost = self._price(leg)
                if cost.usd is not None:
                    headers = [*leg.head.headers, (b"x-nexusflow-cost-usd", cost.usd.encode())]
                    self.response_head = ResponseHead(leg.head.status, headers)

    def _timeout_message(self, now: float) -> str:
        upstream = self._target.upstream.name if self._target else ""
        if now >= self._leg_until:
            return f"upstream {upstream} took longer than {self._timeouts.total:g} s"
        if isinstance(self.order, Read) and self.response_head is not None:
            return f"upstream {upstream} was silent for {self._timeouts.idle:g} s"
        return f"upstream {upstream} did not begin its answer within {self._timeouts.first_byte:g} s"

    # Endings

    def _answer(self, error: NexusFlowError, now: float) -> bytes:
        """The error as the whole answer."""
        body = error_body(error, self._call.request_id)
        self.response_head = ResponseHead(error.status, error_headers(error, self._call.request_id, len(body)))
        self._first_byte_at = now
        self._error = error
        self._over = True
        self.order = Close()
        return body

    def _finish(self, now: float, *, whole: bool = True) -> None:
        """The leg's answer is over, or nobody waits for it any more."""
        failure = self._leg.failure if self._leg is not None else None
        self._end_attempt("client_gone" if self._client_gone else failure.type if failure else "", now)
        self._over = True
        self.order = Close(whole)

    def record(self, now: float) -> CallRecord:
        """What happened. To be asked for once, when the answer is over."""
        if self._recorded:
            raise InternalError("a call has one record")
        self._recorded = True
        call, leg = self._call, self._leg
        principal = call.principal
        usage = leg.usage if leg is not None else None
        billing = leg.billing if leg is not None else None
        facts = usage or {}
        cost = self._cost or self._price(leg)
        return CallRecord(
            request_id=call.request_id,
            upstream_request_id=leg.upstream_request_id if leg is not None else None,
            started_at=call.started_at,
            duration=now - self._started,
            time_to_first_byte=None if self._first_byte_at is None else self._first_byte_at - self._started,
            endpoint=call.endpoint,
            model=call.model[:_MAX_NAME],
            response_model=leg.response_model if leg is not None else None,
            route=self._route.model if self._route is not None else None,
            principal=principal.id if principal is not None else None,
            metadata=principal.metadata if principal is not None else {},
            stream=call.stream,
            status=self.response_head.status if self.response_head is not None else None,
            error_type=self._error_type(),
            ending=self._ending(),
            attempts=tuple(self._attempts),
            usage=usage,
            usage_source=self._usage_source(),
            service_tier=(billing and billing.service_tier) or facts.get("service_tier"),
            speed=facts.get("speed"),
            inference_geo=facts.get("inference_geo"),
            cost_usd=cost.usd,
            price_row=cost.row,
            cost_flags=cost.flags,
            billing=billing,
            cache_saved_usd=cost.cache_saved_usd,
            cache_write_extra_usd=cost.cache_write_extra_usd,
            dropped=tuple(leg.losses) if leg is not None else (),
            edits=tuple(leg.edits) if leg is not None else (),
        )

    def _price(self, leg: Leg | None) -> CallCost:
        if leg is None or leg.usage is None or self._target is None:
            return CallCost()
        if leg.estimated:
            return CallCost(flags=("estimated_usage",))
        sent = self._target.model or self._call.model
        return price_call(
            leg.usage,
            billing=leg.billing,
            models=(leg.response_model or sent, sent),
            at=self._call.started_at,
            vendor=self._target.upstream.prices,
            partial=not leg.ended or leg.failure is not None,
            stop_reason=leg.stop_reason,
            book=self._book,
        )

    def _ending(self) -> Ending:
        if self._client_gone:
            return "client_gone"
        if self._error is not None and not self._attempts:
            return "refused"
        return "complete" if self._error_type() is None else "error"

    def _error_type(self) -> str | None:
        if self._client_gone:
            return None
        if self._error is not None:
            return self._error.type
        failure = self._leg.failure if self._leg is not None else None
        return failure.type if failure is not None else None

    def _usage_source(self) -> UsageSource:
        if self._leg is None or self._leg.usage is None:
            return "none"
        if self._leg.estimated:
            return "estimated"
        return "upstream" if self._leg.ended and self._leg.failure is None else "partial"


def error_headers(error: NexusFlowError, request_id: str, length: int) -> Headers:
    """The headers of an error answer of ours."""
    headers = {
        "content-type": "application/json",
        "content-length": str(length),
        "request-id": request_id,
        **error.headers,
    }
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
