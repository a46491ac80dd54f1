"""Deadlines: the limits of an attempt's time, and the times of pings to its client."""

from math import inf

from nexusflow_core.dialect import LegState
from nexusflow_core.exchange.orders import Read
from nexusflow_core.upstream import Timeouts

__all__ = ["Deadlines"]


class Deadlines:
    """The times of one attempt, in seconds of one clock. `read` is its Read order; `until` moves on with data.

    `latest`: the end of the whole call. `ping`: seconds of silence towards the client before a ping, if the
    answer can carry one.
    """

    __slots__ = ("_grace_until", "_ping", "_ping_at", "idle_until", "read", "started", "timeouts", "until")

    def __init__(self, timeouts: Timeouts, started: float, *, latest: float = inf, ping: float) -> None:
        self.timeouts = timeouts
        self.started = started
        self.until = min(started + timeouts.total, latest)
        self.read = Read(0.0)
        self.idle_until = 0.0
        self._ping = ping
        self._ping_at = 0.0
        self._grace_until: float | None = None  # set once the stop reason has arrived

    @property
    def first_byte_until(self) -> float:
        """The deadline of the answer's first byte."""
        return self.started + self.timeouts.first_byte

    def said(self, now: float) -> None:
        """Notes that the client received something: the next ping is due later."""
        self._ping_at = now + self._ping

    def heard(self, now: float, state: LegState, *, pings: bool, anew: bool = False) -> None:
        """Notes that the upstream sent something, and restarts the idle time.

        The grace period restarts only with more of the answer (`anew`): pings must not prolong a finished one.
        """
        if state is LegState.OPEN:
            until = now + self.timeouts.idle
        elif self._grace_until is None or anew:
            until = self._grace_until = now + self.timeouts.grace
        else:
            until = self._grace_until
        self.wait(until, pings=pings)

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

    def lost(self, now: float, upstream: str, *, reading: bool) -> str:
        """Returns a sentence that names the deadline that has passed."""
        if now >= self.until:
            return f"upstream {upstream} took longer than {self.until - self.started:g} s"
        if reading:
            return f"upstream {upstream} was silent for {self.timeouts.idle:g} s"
        return f"upstream {upstream} did not begin its answer within {self.timeouts.first_byte:g} s"
