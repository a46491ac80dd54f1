"""Exchange: gives the orders of one call, over one attempt or several, and keeps its record.

The caller's I/O obeys `order` and reports the result with a verb. It sends the bytes that the verb returns to
the client, after `response_head`, once that is set. Times are seconds of one monotonic clock. `states` explains
the states of a call.
"""

from nexusflow_core.call import Call
from nexusflow_core.dialect import LegState, OpenLeg, ResponseHead
from nexusflow_core.errors import (
    InternalError,
    NexusFlowError,
    UpstreamError,
    error_body,
    kept,
)
from nexusflow_core.exchange.attempt import Attempt, Deadlines
from nexusflow_core.exchange.cache_watch import CacheView
from nexusflow_core.exchange.fallback import Fallback
from nexusflow_core.exchange.heads import earlier_error, error_headers, who_answered
from nexusflow_core.exchange.metering import CallCost, cost_of
from nexusflow_core.exchange.orders import CLOSE, PING, Close, Order, Read, Send, Sleep
from nexusflow_core.exchange.outcome import Outcome
from nexusflow_core.exchange.recording import record_of
from nexusflow_core.exchange.states import TRANSITIONS, UNSEEN, Event, State
from nexusflow_core.prices import PriceBook
from nexusflow_core.record import CallRecord
from nexusflow_core.resilience import Health, Step
from nexusflow_core.routing import ModelRoute
from nexusflow_core.upstream import Headers, Timeouts

__all__ = ["Exchange"]

_DONE = frozenset({State.OVER, State.RECORDED})

_OPEN, _WINDING_DOWN, _ENDED = LegState.OPEN, LegState.WINDING_DOWN, LegState.ENDED
_ASK, _HEAR, _REST = Event.ASK, Event.HEAR, Event.REST
_PUBLISH, _END, _RECORD = Event.PUBLISH, Event.END, Event.RECORD
"""Members of an Enum as names of this module, which are read ten times faster."""

_ERROR_BODY_SECONDS = 5.0
"""Seconds to wait for the body of an error answer if another attempt is possible."""


class Exchange:
    """One call from its routing to its record. A verb that returns bytes returns them for the client.

    - `route`: None only with a `refusal`, an error that answers the call at once.
    - `started`: the arrival of the request, in seconds of the clock.
    - `open_leg`: opens a call's leg to a target at a UTC moment. Raises CallerError for an impossible call.
    - `health`: remembers failing targets over calls; None: they are always tried.
    - `cache`: explains the prompt cache of the call, if the doctor is on.
    - `ping`: seconds of silence towards the client before a ping, if the answer can carry one.
    """

    def __init__(
        self,
        call: Call,
        route: ModelRoute | None,
        *,
        started: float,
        open_leg: OpenLeg,
        book: PriceBook,
        health: Health | None = None,
        cache: CacheView | None = None,
        ping: float = 10.0,
        refusal: NexusFlowError | None = None,
    ) -> None:
        self.order: Order = CLOSE
        self.response_head: ResponseHead | None = None
        self._state = State.NEW
        self._outcome = Outcome(call=call, route=route)
        self._fallback = Fallback(self._outcome, health, open_leg, started=started, ping=ping)
        self._step: Step | None = None  # the next attempt, while the call rests
        self._started = started
        self._book = book
        self._cache = cache
        self._ping = ping
        self._refusal = refusal
        self._cost: CallCost | None = None

    @property
    def request_id(self) -> str:
        """The id of the call."""
        return self._outcome.call.request_id

    # Reports of the caller

    def start(self, now: float) -> bytes:
        """Opens the first attempt, or answers with the refusal. Call it once, first. Returns bytes to send."""
        first = self._fallback.first(now) if self._refusal is None else None
        if first is None:
            return self.fail(self._refusal or InternalError("no route"), now)
        return self._take(first, now)

    def receive_head(self, status: int, headers: Headers, now: float) -> bytes:
        """Reports the upstream's status and headers, names in lower case. Call it after a Send order.

        Returns bytes to send. The order becomes Read, or the first order of the next attempt.
        """
        attempt = self._current()
        self._move(_HEAR)
        try:
            attempt.receive_head(status, headers)
        except UpstreamError as error:
            return self._failed(error, now)
        failure, deadlines = attempt.leg.failure, attempt.deadlines
        until = deadlines.first_byte_until
        if isinstance(failure, UpstreamError) and failure.retryable:
            until = min(until, now + _ERROR_BODY_SECONDS)
        deadlines.wait(until, pings=False)
        self.order = deadlines.read
        return b""

    def receive_data(self, data: bytes, now: float) -> bytes:
        """Reports the next bytes of the upstream's body. Returns bytes to send, possibly none."""
        attempt = self._outcome.attempt or self._current()
        leg = attempt.leg
        try:
            out = leg.receive_data(data)
        except UpstreamError as error:
            return self._failed(error, now)
        if self.response_head is not None:
            if leg.state is _OPEN and not leg.may_ping:  # nearly every chunk
                attempt.deadlines.heard(now)
                return out
        else:
            # So far there is only an error.
            if isinstance(leg.failure, UpstreamError) and leg.facts.model is None:
                return self._failed(leg.failure, now, out) if leg.head is not None else out
            self._publish_head(attempt, now)
        deadlines, pings = attempt.deadlines, leg.may_ping
        anew = pings and bool(out)
        if anew:
            deadlines.client_received(now)
        deadlines.upstream_sent(now, leg.state, pings=pings, anew=anew)
        if self.response_head is None and leg.facts.model is not None:  # at work: it may think in silence
            deadlines.wait(max(deadlines.idle_until, deadlines.first_byte_until), pings=False)
        if leg.state is _ENDED:
            self._finish(now)
        return out

    def receive_eof(self, now: float) -> bytes:
        """Reports the proper end of the upstream's body, as HTTP defines it. Returns bytes to send."""
        attempt = self._current()
        try:
            out = attempt.leg.receive_eof()
        except UpstreamError as error:
            return self._failed(error, now)
        if self.response_head is None and isinstance(attempt.leg.failure, UpstreamError):
            return self._failed(attempt.leg.failure, now, out)
        return self._pass_on(attempt, out, now)

    def transport_failed(self, error: UpstreamError, now: float) -> bytes:
        """Reports that the connection could not be made, or broke. Returns bytes to send."""
        if self._state in UNSEEN:
            attempt = self._outcome.attempt
            return self._failed(earlier_error(error, attempt.leg if attempt is not None else None), now)
        return self.fail(error, now)

    def on_timer(self, now: float) -> bytes:
        """Reports that the current order's `until` has passed; earlier it does nothing.

        Returns bytes to send. Without a change of order they are a ping: send them and go on reading.
        """
        order = self.order
        if isinstance(order, Close) or now < order.until:
            return b""
        if isinstance(order, Sleep):
            return self._open(self._step, now)
        attempt = self._current()
        leg, deadlines = attempt.leg, attempt.deadlines
        if isinstance(order, Read) and now < deadlines.idle_until:
            deadlines.client_received(now)
            deadlines.wait(deadlines.idle_until, pings=leg.may_ping)
            return PING if leg.may_ping else b""
        if leg.state is _WINDING_DOWN and self._state is State.ANSWERING:
            return self.receive_eof(now)  # the grace period has passed
        if self._state is State.HEARING and isinstance(leg.failure, UpstreamError):
            return self._slow_error(attempt, leg.failure, now)
        return self.transport_failed(attempt.timed_out(now, reading=self._state is State.ANSWERING), now)

    def client_slow(self, now: float) -> bool:
        """Reports that the client is slow: restarts the upstream's idle time and grace period.

        Returns False if the total time has passed.
        """
        attempt = self._outcome.attempt
        if attempt is None:
            return True
        leg, deadlines = attempt.leg, attempt.deadlines
        deadlines.client_received(now)
        deadlines.upstream_sent(now, leg.state, pings=leg.may_ping, anew=True)
        return now < deadlines.until

    def rest_until(self, now: float, closed: float) -> float:
        """Returns the client's deadline for the next bytes, once the order is Close (since `closed`)."""
        attempt = self._outcome.attempt
        if attempt is None:  # refused: without an upstream the default timeouts apply
            return Deadlines(Timeouts(), self._started, ping=self._ping).rest_until(now, closed)
        return attempt.deadlines.rest_until(now, closed)

    def client_gone(self, now: float) -> None:
        """Reports that the client left. It does nothing once the answer is finished."""
        if self._state in _DONE:
            return
        attempt = self._outcome.attempt
        if attempt is not None and attempt.ended and self._state is not State.ANSWERING:
            attempt = None  # it had failed, and no other has begun
        if attempt is not None:
            attempt.leg.client_gone()
        self._outcome.client_gone = attempt is None or attempt.leg.state is not _ENDED
        self._finish(now)

    def fail(self, error: NexusFlowError, now: float) -> bytes:
        """Ends the call with this error, in any state. Returns bytes to send. No other target is tried."""
        if self._state in _DONE:
            return b""
        if self._state in UNSEEN:
            self._outcome.end_attempt(error.reason or error.type, now)
            self._fallback.abandoned()
            return self._answer(error, now)
        out = self._current().leg.fail(kept(error))
        self._finish(now, whole=out is not None)
        return out or b""

    def record(self, now: float) -> CallRecord:
        """Returns the record. Call it once, after the answer is over. Raises InternalError a second time."""
        if self._state is State.RECORDED:
            raise InternalError("a call has one record")
        self._move(_RECORD)
        cost = self._cost or cost_of(self._outcome, self._book)
        record = record_of(self._outcome, cost, started=self._started, now=now)
        return record if self._cache is None else self._cache.explained(record)

    def _move(self, event: Event) -> None:
        state = TRANSITIONS.get((self._state, event))
        if state is None:
            raise InternalError(f"{event.name} while {self._state.name}")
        self._state = state

    # Attempts

    def _current(self) -> Attempt:
        attempt = self._outcome.attempt
        if attempt is None:
            raise InternalError("no attempt has begun")
        return attempt

    def _take(self, step: Step, now: float) -> bytes:
        """Opens the next attempt, now or after a Sleep. Returns bytes to send."""
        if step.at > now:
            self._step = step
            self._move(_REST)
            self.order = Sleep(step.at)
            return b""
        return self._open(step, now)

    def _open(self, step: Step | None, now: float) -> bytes:
        """Opens the attempt of this step, or a replacement if its target cannot carry the call.

        Returns bytes to send.
        """
        fallback = self._fallback
        opened = fallback.open(step, now)
        if isinstance(opened, Attempt):
            if (request := opened.leg.request) is None:
                return self.receive_eof(now)  # the leg answers by itself
            self._move(_ASK)
            self.order = Send(request, opened.deadlines.answer_until)
            return b""
        # No target can carry the call: the earlier failure is the answer, with the upstream's body if any.
        if fallback.unsent is not None:
            return self._pass_on(*fallback.unsent, now)
        return self._answer(opened, now)

    def _failed(self, error: UpstreamError, now: float, words: bytes | None = None) -> bytes:
        """Handles a failed attempt that the client has not seen. Returns bytes to send.

        Another attempt follows, or the failure is the answer, with the upstream's own body (`words`) if any.
        """
        attempt, fallback = self._current(), self._fallback
        if fallback.cannot_carry(error, words or b""):
            return self._not_carried(error, now)
        step = fallback.after(attempt, error, words or b"", now)
        self._outcome.end_attempt(error.reason or error.type, now)
        if step is not None:
            if words is not None:
                fallback.unsent = fallback.words = attempt, words
            return self._take(step, now)
        return self._answer(error, now) if words is None else self._pass_on(attempt, words, now)

    def _not_carried(self, error: UpstreamError, now: float) -> bytes:
        """Handles a replacement target that cannot carry the call. Returns bytes to send.

        The next target is tried. Without one, the earlier failure is the answer.
        """
        outcome, fallback = self._outcome, self._fallback
        outcome.end_attempt(error.reason or error.type, now)
        step = fallback.instead(now)
        if step is not None:
            return self._take(step, now)
        if fallback.words is None:
            return self._answer(fallback.cause or error, now)
        outcome.go_to(fallback.words[0])
        return self._pass_on(*fallback.words, now)

    def _slow_error(self, attempt: Attempt, error: UpstreamError, now: float) -> bytes:
        """Gives up the slow body of an error answer if another attempt is possible. Returns bytes to send."""
        if not attempt.ended:
            step = self._fallback.after(attempt, error, b"", now)
            self._outcome.end_attempt(error.reason or error.type, now)
            if step is not None:
                return self._take(step, now)
            deadlines = attempt.deadlines
            until = max(deadlines.first_byte_until, now + deadlines.timeouts.idle)
            if now < min(until, deadlines.until):
                deadlines.wait(until, pings=False)
                return b""
        return self._answer(attempt.timed_out(now, reading=self._state is State.ANSWERING), now)

    # The answer and its end

    def _publish_head(self, attempt: Attempt, now: float) -> None:
        leg = attempt.leg
        if leg.head is None or self.response_head is not None:
            return
        self._move(_PUBLISH)
        headers = [*leg.head.headers, *who_answered(attempt.target)]
        if self._cache is not None and leg.failure is None:
            outcome = self._outcome
            sent, answered = (outcome.moment(t - self._started) for t in (attempt.deadlines.started, now))
            headers += self._cache.begin(outcome.call, attempt.target, leg, at=sent, answered_at=answered)
        ended = leg.state is _ENDED  # a sync answer that was held whole
        if ended:
            self._cost = cost_of(self._outcome, self._book)
            if self._cost.usd is not None:
                headers.append((b"x-nexusflow-cost-usd", self._cost.usd.encode()))
        self._set_head(ResponseHead(leg.head.status, headers), now)
        attempt.deadlines.client_received(now)
        if leg.failure is None:
            self._fallback.served(now)
        if not ended:
            self._outcome.call = self._outcome.call.answered()
            attempt.let_go()

    def _pass_on(self, attempt: Attempt, out: bytes, now: float) -> bytes:
        """Returns these bytes of the attempt's body, after publishing its head."""
        leg = attempt.leg
        self._publish_head(attempt, now)
        if leg.state is _ENDED:
            self._finish(now)
        else:
            attempt.deadlines.upstream_sent(now, leg.state, pings=leg.may_ping)
            self.order = attempt.deadlines.read
        return out

    def _set_head(self, head: ResponseHead, now: float) -> None:
        self.response_head = head
        self._outcome.status, self._outcome.first_byte_at = head.status, now

    def _answer(self, error: NexusFlowError, now: float) -> bytes:
        """Makes the error the whole answer. Returns its body."""
        outcome = self._outcome
        body = error_body(error, outcome.call.request_id)
        headers = error_headers(error, outcome.call.request_id, len(body))
        if isinstance(error, UpstreamError):
            headers = [*headers, *who_answered(outcome.target)]
        self._set_head(ResponseHead(error.status, headers), now)
        outcome.error = kept(error)
        self._move(_END)
        self.order = CLOSE
        return body

    def _finish(self, now: float, *, whole: bool = True) -> None:
        """Ends the call: the answer is over, or the client has left."""
        outcome = self._outcome
        error = outcome.attempt.leg.failure if outcome.attempt is not None else None
        if outcome.client_gone:
            self._fallback.abandoned()
        elif error is not None and outcome.attempt is not None and not outcome.attempt.ended:
            self._fallback.broke(outcome.attempt, error, now)
        reason = (error.reason or error.type) if error is not None else ""
        outcome.end_attempt("client_gone" if outcome.client_gone else reason, now)
        self._move(_END)
        self.order = CLOSE if whole else Close(whole=False)
