"""Attempt: everything that belongs to one target of a call, with its deadlines."""

from math import inf

from nexusflow_core.dialect import Leg, LegState
from nexusflow_core.errors import UpstreamTimeoutError
from nexusflow_core.exchange.orders import Read
from nexusflow_core.record import AttemptRecord
from nexusflow_core.routing import Target
from nexusflow_core.upstream import Headers, Timeouts

__all__ = ["Attempt", "Deadlines"]

_OPEN = LegState.OPEN


class Attempt:
    """One target that is asked, and its leg. `status` and `headers` are the upstream's, once they arrive.

    `ended`: the attempt is recorded; the body of its error may still be read. A leg that sends no request makes
    no attempt.
    """

    __slots__ = ("deadlines", "ended", "headers", "leg", "status", "target")

    def __init__(self, target: Target, leg: Leg, now: float, *, latest: float = inf, ping: float) -> None:
        self.target = target
        self.leg = leg
        self.status: int | None = None
        self.headers: Headers = ()
        self.deadlines = Deadlines(target.upstream.timeouts, now, latest=latest, ping=ping)
        self.ended = leg.request is None

    def receive_head(self, status: int, headers: Headers) -> None:
        """Passes on the upstream's head. Raises UpstreamError, as the leg does."""
        self.status, self.headers = status, headers
        self.leg.receive_head(status, headers)

    def let_go(self) -> None:
        """Frees the request and the upstream's headers: nothing will be sent again."""
        self.headers = ()
        if self.leg.request is not None:
            self.leg.request.let_go()

    def end(self, model: str, reason: str, now: float) -> AttemptRecord:
        """Returns the record of the attempt. `model` is the client's, used if the target has none."""
        self.ended = True
        return AttemptRecord(
            upstream=self.target.upstream.name,
            model=self.target.model or model,
            status=self.status,
            reason=reason,
            duration=now - self.deadlines.started,
        )

    def timed_out(self, now: float, *, reading: bool) -> UpstreamTimeoutError:
        """Returns the error of the deadline that has passed. `reading`: the answer has begun."""
        return UpstreamTimeoutError(
            self.deadlines.describe_timeout(now, self.target.upstream.name, reading=reading)
        )


class Deadlines:
    """The times of one attempt, in seconds of one clock. `read` is its Read order; `until` moves on with data.

    `latest`: the end of the whole call. `ping`: seconds of silence towards the client before a ping, if the
    answer can carry one.
    """

    __slots__ = ("_grace_until", "_ping", "_ping_at", "idle_until", "read", "started", "timeouts", "until")

    def __init__(self, timeouts: Timeouts, started: float, *, latest: float = inf, ping: float) -> None:
        self.timeouts = timeouts
        self.started = started
        until = started + timeouts.total
        self.until = until if until < latest else latest
        self.read = Read(0.0)
        self.idle_until = 0.0
        self._ping = ping
        self._ping_at = 0.0
        self._grace_until: float | None = None  # set once the stop reason has arrived

    @property
    def first_byte_until(self) -> float:
        """The deadline of the answer's first byte."""
        return self.started + self.timeouts.first_byte

    @property
    def answer_until(self) -> float:
        """The deadline of the answer's head."""
        until = self.started + self.timeouts.first_byte
        return until if until < self.until else self.until

    def client_received(self, now: float) -> None:
        """Notes that the client received something: the next ping is due later."""
        self._ping_at = now + self._ping

    def upstream_sent(self, now: float, state: LegState, *, pings: bool, anew: bool = False) -> None:
        """Notes that the upstream sent something, and restarts the idle time.

        The grace period restarts only with more of the answer (`anew`): pings must not prolong a finished one.
        """
        if state is _OPEN:
            until = now + self.timeouts.idle
        elif self._grace_until is None or anew:
            until = self._grace_until = now + self.timeouts.grace
        else:
            until = self._grace_until
        self.wait(until, pings=pings)

    def heard(self, now: float) -> None:
        """Notes that the upstream sent more of an answer that goes on and carries no pings."""
        until = now + self.timeouts.idle
        self.read.until = self.idle_until = until if until < self.until else self.until

    def wait(self, until: float, *, pings: bool) -> None:
        """Sets the upstream's deadline. The order wakes earlier if a ping is due."""
        self.idle_until = until = until if until < self.until else self.until
        self.read.until = self._ping_at if pings and self._ping_at < until else until

    def rest_until(self, now: float, closed: float) -> float:
        """Returns the deadline of the client's next piece once the upstream is closed.

        That is the idle time for each piece, up to the total time, or at least one idle time since `closed`.
        """
        idle = self.timeouts.idle
        return min(now + idle, max(self.until, closed + idle))

    def describe_timeout(self, now: float, upstream: str, *, reading: bool) -> str:
        """Returns a sentence that names the deadline that has passed."""
        if now >= self.until:
            return f"upstream {upstream} took longer than {self.until - self.started:g} s"
        if reading:
            return f"upstream {upstream} was silent for {self.timeouts.idle:g} s"
        return f"upstream {upstream} did not begin its answer within {self.timeouts.first_byte:g} s"
