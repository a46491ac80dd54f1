"""Attempt: everything that belongs to one target of a call."""

from math import inf

from nexusflow_core.dialect import Leg
from nexusflow_core.exchange.deadlines import Deadlines
from nexusflow_core.record import Attempt as AttemptRecord
from nexusflow_core.routing import Target
from nexusflow_core.upstream import Headers

__all__ = ["Attempt"]


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
