"""Deadlines: how long an attempt is waited for, and when the client gets a ping meanwhile."""

from math import inf

from nexusflow_core.dialect import LegState
from nexusflow_core.exchange.orders import Read
from nexusflow_core.upstream import Timeouts

__all__ = ["Deadlines"]


class Deadlines:
    """The times of one attempt. `read` is the order to read on, whose `until` moves with what is heard.

    `latest`: the whole call must be over by then. `ping`: seconds without a word to the client after which a
    ping is due, on an answer that can carry one.
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
        self._grace_until: float | None = None  # set when the answer's stop reason has come

    @property
    def first_byte_until(self) -> float:
        return self.started + self.timeouts.first_byte

    def said(self, now: float) -> None:
        """The client has heard something."""
        self._ping_at = now + self._ping

    def heard(self, now: float, state: LegState, *, pings: bool, anew: bool = False) -> None:
        """The upstream has said something. The idle time runs anew with it. The grace period does not, lest
        pings keep a finished answer waiting: only where more of the answer has come, `anew`."""
        if state is LegState.OPEN:
            until = now + self.timeouts.idle
        elif self._grace_until is None or anew:
            until = self._grace_until = now + self.timeouts.grace
        else:
            until = self._grace_until
        self.wait(until, pings=pings)

    def wait(self, until: float, *, pings: bool) -> None:
        """The upstream has until then; the order wakes earlier where a ping is due."""
        self.idle_until = until = until if until < self.until else self.until
        self.read.until = self._ping_at if pings and self._ping_at < until else until

    def rest_until(self, now: float, closed: float) -> float:
        """The upstream is done with: the client has its idle time for each further piece, within the total time
        or, where that is all but up, one idle time since then."""
        idle = self.timeouts.idle
        return min(now + idle, max(self.until, closed + idle))

    def lost(self, now: float, upstream: str, *, reading: bool) -> str:
        """What took too long, in words."""
        if now >= self.until:
            return f"upstream {upstream} took longer than {self.until - self.started:g} s"
        if reading:
            return f"upstream {upstream} was silent for {self.timeouts.idle:g} s"
        return f"upstream {upstream} did not begin its answer within {self.timeouts.first_byte:g} s"
