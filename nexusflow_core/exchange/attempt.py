"""Attempt: all that belongs to one target of a call."""

from math import inf

from nexusflow_core.dialect import Leg
from nexusflow_core.exchange.deadlines import Deadlines
from nexusflow_core.record import Attempt as AttemptRecord
from nexusflow_core.routing import Target
from nexusflow_core.upstream import Headers

__all__ = ["Attempt"]


class Attempt:
    """One target that is asked, and its leg. `status` and `headers` are the upstream's, once they have come.

    `ended` tells that the attempt is counted: its leg may still be read, for the words of an error. A leg that
    asks nobody makes no attempt.
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
        """Raises what the leg raises."""
        self.status, self.headers = status, headers
        self.leg.receive_head(status, headers)

    def let_go(self) -> None:
        """Forgets what was sent and the upstream's headers: nothing will be asked again."""
        self.headers = ()
        if self.leg.request is not None:
            self.leg.request.let_go()

    def end(self, model: str, reason: str, now: float) -> AttemptRecord:
        """Returns the record of the attempt. `model` is the one that was asked for."""
        self.ended = True
        return AttemptRecord(
            upstream=self.target.upstream.name,
            model=self.target.model or model,
            status=self.status,
            reason=reason,
            duration=now - self.deadlines.started,
        )
