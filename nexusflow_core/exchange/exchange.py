"""Exchange: gives the orders of one call, over one Leg or several, and keeps its record.

Whoever does the I/O obeys `order`, reports what came of it with a verb, and sends the bytes that the verb
returns to the client, after `response_head` once that is set. Times are seconds of one monotonic clock.
"""

from collections.abc import Callable
from math import inf

from nexusflow_core.call import Call
from nexusflow_core.dialect import Leg, LegState, ResponseHead
from nexusflow_core.errors import (
    InternalError,
    InvalidRequest,
    NexusFlowError,
    UpstreamError,
    UpstreamTimeout,
    error_body,
    kept,
)
from nexusflow_core.exchange.heads import error_headers, said_before, who_answered
from nexusflow_core.exchange.metering import CallCost
from nexusflow_core.exchange.orders import PING, Close, Order, Read, Send, Sleep
from nexusflow_core.exchange.patience import Patience
from nexusflow_core.exchange.planning import moment, plan_of
from nexusflow_core.exchange.settling import Outcome, cost_of, settle
from nexusflow_core.exchange.thinking import (
    refuses_choice,
    refuses_thinking,
    without_thinking,
    would_be_refused,
)
from nexusflow_core.prices import PriceBook
from nexusflow_core.record import CallRecord
from nexusflow_core.resilience import Failure, Health, Step, failure_of
from nexusflow_core.routing import Route, Target
from nexusflow_core.upstream import Headers, Timeouts

__all__ = ["Exchange"]

_ERROR_BODY_SECONDS = 5.0
"""How long an error answer's body is waited for where something else can be tried."""


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
        health: Health | None = None,
        ping: float = 10.0,
        refusal: NexusFlowError | None = None,
    ) -> None:
        self.order: Order = Close()
        self.response_head: ResponseHead | None = None
        self._call = call
        self._route = route
        self._started = started
        self._open_leg = open_leg
        self._book = book
        self._ping = ping
        self._refusal = refusal
        self._plan = plan_of(call, route, health, started) if route is not None else None
        self._step: Step | None = None  # to be taken when its time has come
        self._outcome = Outcome(attempts=[])
        self._leg: Leg | None = None
        self._attempting = False  # a leg is open whose attempt has not ended
        self._leg_status: int | None = None
        self._leg_headers: Headers = ()
        self._patience = Patience(Timeouts(), started, ping=ping)
        self._failed_with: UpstreamError | None = None  # why the leg before this one was given up
        self._words: tuple[Leg, bytes, Target | None] | None = None  # of the last failure that had any
        self._otherwise: tuple[Leg, bytes] | None = None  # its answer, to go out where nothing else comes of it
        self._cost: CallCost | None = None
        self._over = False
        self._recorded = False

    @property
    def request_id(self) -> str:
        return self._call.request_id

    # What the caller reports

    def start(self, now: float) -> bytes:
        """Opens the first leg, or answers with the refusal."""
        if self._refusal is not None or self._plan is None:
            return self.fail(self._refusal or InternalError("no route"), now)
        return self._take(self._plan.first(now), now)

    def receive_head(self, status: int, headers: Headers, now: float) -> bytes:
        leg = self._current_leg()
        self._leg_status, self._leg_headers = status, headers
        try:
            leg.receive_head(status, headers)
        except UpstreamError as error:
            return self._leg_failed(error, now)
        until = self._patience.first_byte_until
        if isinstance(leg.failure, UpstreamError) and leg.failure.retryable:
            until = min(until, now + _ERROR_BODY_SECONDS)
        self._patience.wait(until, pings=False)
        self.order = self._patience.read
        return b""

    def receive_data(self, data: bytes, now: float) -> bytes:
        leg = self._leg or self._current_leg()
        try:
            out = leg.receive_data(data)
        except UpstreamError as error:
            return self._leg_failed(error, now)
        if self.response_head is None:
            # An error is all there is so far.
            if isinstance(leg.failure, UpstreamError) and leg.facts.model is None:
                return self._error_answer(leg, leg.failure, out, now) if leg.head is not None else out
            self._publish_head(leg, now)
        patience, pings = self._patience, leg.may_ping
        anew = pings and bool(out)
        if anew:
            patience.said(now)
        patience.heard(now, leg.state, pings=pings, anew=anew)
        if leg.state is LegState.ENDED:
            self._finish(now)
        return out

    def receive_eof(self, now: float) -> bytes:
        leg = self._current_leg()
        try:
            out = leg.receive_eof()
        except UpstreamError as error:
            return self._leg_failed(error, now)
        if self.response_head is None and isinstance(leg.failure, UpstreamError):
            return self._error_answer(leg, leg.failure, out, now)
        return self._pass_on(leg, out, now)

    def transport_failed(self, error: UpstreamError, now: float) -> bytes:
        """The connection could not be made, or broke."""
        if self.response_head is None and not self._over:
            return self._leg_failed(said_before(error, self._leg), now)
        return self.fail(error, now)

    def on_timer(self, now: float) -> bytes:
        """The time of the current order may be up; does nothing where it is not. Bytes that come without a
        change of order are a ping, to be sent while the reading goes on."""
        order = self.order
        if isinstance(order, Close) or now < order.until:
            return b""
        if isinstance(order, Sleep):
            return self._open(now)
        leg = self._current_leg()
        if isinstance(order, Read) and now < self._patience.idle_until:
            self._patience.said(now)
            self._patience.wait(self._patience.idle_until, pings=leg.may_ping)
            return PING if leg.may_ping else b""
        if leg.state is LegState.WINDING_DOWN and self.response_head is not None:
            return self.receive_eof(now)  # the grace period is over
        if isinstance(order, Read) and self.response_head is None and isinstance(leg.failure, UpstreamError):
            return self._slow_error(leg.failure, now)
        return self.transport_failed(UpstreamTimeout(self._timeout_message(now)), now)

    def client_slow(self, now: float) -> bool:
        """The client, not the upstream, makes the exchange wait: the idle time or the grace period runs anew.
        False where the total time is up all the same."""
        patience, leg = self._patience, self._leg
        patience.said(now)
        if leg is not None:
            patience.heard(now, leg.state, pings=leg.may_ping, anew=True)
        return now < patience.until

    def rest_until(self, now: float, closed: float) -> float:
        """Once the order is Close, since `closed`: how long the client may take for the next bytes."""
        return self._patience.rest_until(now, closed)

    def client_gone(self, now: float) -> None:
        """The client went away; does nothing once the answer is finished."""
        if self._over:
            return
        leg = self._leg if self._attempting or self.response_head is not None else None
        if leg is not None:
            leg.client_gone()
        self._outcome.client_gone = leg is None or leg.state is not LegState.ENDED
        self._finish(now)

    def fail(self, error: NexusFlowError, now: float) -> bytes:
        """Ends the call with this error wherever it stands; no further target is tried."""
        if self._over:
            return b""
        if self.response_head is None:
            self._end_attempt(error.reason or error.type, now)
            self._abandon()
            return self._answer(error, now)
        out = self._current_leg().fail(kept(error))
        self._finish(now, whole=out is not None)
        return out or b""

    # Attempts

    def _take(self, step: Step, now: float) -> bytes:
        """Goes on to the next attempt, at once or after a rest."""
        self._step = step
        if step.at > now:
            self.order = Sleep(step.at)
            return b""
        return self._open(now)

    def _open(self, now: float) -> bytes:
        """Opens the leg of the step, or of another one where that cannot carry the call."""
        step, plan, first = self._step, self._plan, None
        while step is not None and plan is not None:
            refused = self._try_open(step.target, now)
            if refused is None:  # one that has nothing to send answers by itself
                return b"" if self._attempting else self.receive_eof(now)
            first = first or refused
            step = plan.instead(now, failed=self._failed_with is not None)
        # Nobody else can carry this call; the failure that led here stays the answer, in its own words if any.
        if self._otherwise is not None:
            return self._pass_on(*self._otherwise, now)
        return self._answer(self._failed_with or first or InternalError("no target"), now)

    def _try_open(self, target: Target, now: float) -> NexusFlowError | None:
        """Opens a leg to this target; returns why not."""
        try:
            leg = self._open_leg(self._call, target)
        except NexusFlowError as error:
            return kept(error)
        if self._route is not None and would_be_refused(self._call, self._route, target, leg):
            return InvalidRequest("thinking: signed by another model than the one that is available")
        self._leg = leg
        self._outcome.begin_attempt(target, leg)
        self._attempting, self._otherwise = leg.request is not None, None
        self._leg_status, self._leg_headers = None, ()
        latest = self._plan.deadline if self._plan is not None else inf
        self._patience = patience = Patience(target.upstream.timeouts, now, latest=latest, ping=self._ping)
        if leg.request is not None:
            self.order = Send(leg.request, min(patience.first_byte_until, patience.until))
        return None

    def _leg_failed(self, error: UpstreamError, now: float) -> bytes:
        """Nothing has gone out yet: another attempt, or the error as the answer."""
        if self._failed_with is not None and refuses_choice(error, b""):
            return self._not_carried(error, now)
        step = self._after_failure(error, now)
        return self._answer(error, now) if step is None else self._take(step, now)

    def _after_failure(self, error: UpstreamError, now: float) -> Step | None:
        """Ends the attempt; what comes next, None for nothing."""
        if not self._attempting:
            return None
        self._end_attempt(error.reason or error.type, now)
        self._failed_with = kept(error)
        plan, failure = self._plan, self._failure(error, now)
        if plan is None:
            return None
        if failure is None:
            plan.served(now)
            return None
        return plan.after(failure, now)

    def _error_answer(self, leg: Leg, error: UpstreamError, out: bytes, now: float) -> bytes:
        """An error in the upstream's own words, none of which has gone out: another attempt, or the words."""
        if self._failed_with is not None and refuses_choice(error, out):
            return self._not_carried(error, now)
        step = self._after_error_answer(error, out, now)
        if step is None:
            return self._pass_on(leg, out, now)
        self._otherwise, self._words = (leg, out), (leg, out, self._outcome.target)
        return self._take(step, now)

    def _not_carried(self, error: UpstreamError, now: float) -> bytes:
        """A target tried in place of another one cannot carry the call: the next one, or the failure before."""
        self._end_attempt(error.reason or error.type, now)
        step = self._plan.instead(now, failed=True) if self._plan is not None else None
        if step is not None:
            return self._take(step, now)
        if self._words is None:
            return self._answer(self._failed_with or error, now)
        leg, out, self._outcome.target = self._words
        self._leg = self._outcome.leg = leg
        self._outcome.final = None
        return self._pass_on(leg, out, now)

    def _after_error_answer(self, error: UpstreamError, body: bytes, now: float) -> Step | None:
        strips = self._route is not None and self._route.thinking == "strip" and not self._outcome.edits
        if strips and error.status == 400 and refuses_thinking(body) and self._plan is not None:
            stripped, edits = without_thinking(self._call)
            step = self._plan.once_more(now) if edits else None  # the same bytes would fail the same way
            if step is not None:
                self._call, self._outcome.edits = stripped, edits
                self._end_attempt(error.type, now)
                self._failed_with = kept(error)
                return step
        return self._after_failure(error, now)

    def _slow_error(self, error: UpstreamError, now: float) -> bytes:
        """The body of an error answer takes its time: no longer, where something else can be tried."""
        if self._attempting:
            step = self._after_failure(error, now)
            if step is not None:
                return self._take(step, now)
            patience = self._patience
            until = max(patience.first_byte_until, now + patience.timeouts.idle)
            if now < min(until, patience.until):
                patience.wait(until, pings=False)
                return b""
        return self._answer(UpstreamTimeout(self._timeout_message(now)), now)

    def _failure(self, error: NexusFlowError, now: float) -> Failure | None:
        if not isinstance(error, UpstreamError):
            return None
        return failure_of(error, self._leg_headers, moment(self._call, now - self._started))

    def _end_attempt(self, reason: str, now: float) -> None:
        if self._attempting:
            self._attempting = False
            self._outcome.end_attempt(self._call, self._leg_status, reason, now - self._patience.started)

    def _abandon(self) -> None:
        if self._plan is not None:
            self._plan.abandoned()

    def _current_leg(self) -> Leg:
        if self._leg is None:
            raise InternalError("no leg is open")
        return self._leg

    def _publish_head(self, leg: Leg, now: float) -> None:
        if leg.head is None or self.response_head is not None:
            return
        headers = [*leg.head.headers, *who_answered(self._outcome.target)]
        if leg.state is LegState.ENDED:  # a sync answer that was held whole
            self._cost = cost_of(self._call, self._outcome, self._book)
            if self._cost.usd is not None:
                headers.append((b"x-nexusflow-cost-usd", self._cost.usd.encode()))
        self._set_head(ResponseHead(leg.head.status, headers), now)
        self._patience.said(now)
        if self._plan is not None and leg.failure is None:
            self._plan.served(now)
        if leg.state is not LegState.ENDED:  # and nothing will be asked again
            self._call, self._leg_headers = self._call.answered(), ()
            if leg.request is not None:
                leg.request.let_go()

    def _pass_on(self, leg: Leg, out: bytes, now: float) -> bytes:
        """The leg's head and these bytes of its body go out."""
        self._publish_head(leg, now)
        if leg.state is LegState.ENDED:
            self._finish(now)
        else:
            self._patience.heard(now, leg.state, pings=leg.may_ping)
            self.order = self._patience.read
        return out

    def _set_head(self, head: ResponseHead, now: float) -> None:
        self.response_head = head
        self._outcome.status, self._outcome.first_byte_at = head.status, now

    def _timeout_message(self, now: float) -> str:
        target = self._outcome.target
        reading = isinstance(self.order, Read) and self.response_head is not None
        return self._patience.lost(now, target.upstream.name if target is not None else "", reading=reading)

    # Endings

    def _answer(self, error: NexusFlowError, now: float) -> bytes:
        """The error as the whole answer."""
        body = error_body(error, self._call.request_id)
        headers = error_headers(error, self._call.request_id, len(body))
        if isinstance(error, UpstreamError):
            headers = [*headers, *who_answered(self._outcome.target)]
        self._set_head(ResponseHead(error.status, headers), now)
        self._outcome.error = kept(error)
        self._over = True
        self.order = Close()
        return body

    def _finish(self, now: float, *, whole: bool = True) -> None:
        """The leg's answer is over, or nobody waits for it any more."""
        error = self._leg.failure if self._leg is not None else None
        if self._outcome.client_gone:
            self._abandon()
        elif error is not None and self._attempting and self._plan is not None:
            failure = self._failure(error, now)
            if failure is not None:
                self._plan.broke(failure, now)
        reason = (error.reason or error.type) if error is not None else ""
        self._end_attempt("client_gone" if self._outcome.client_gone else reason, now)
        self._over = True
        self.order = Close(whole)

    def record(self, now: float) -> CallRecord:
        """What happened. To be asked for once, when the answer is over."""
        if self._recorded:
            raise InternalError("a call has one record")
        self._recorded = True
        it = self._outcome
        cost = self._cost or cost_of(self._call, it, self._book)
        return settle(self._call, self._route, it, cost, started=self._started, now=now)
