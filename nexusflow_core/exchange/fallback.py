"""Fallback: what follows an attempt that failed while the client had nothing of its answer."""

from math import inf

from nexusflow_core.dialect import Leg
from nexusflow_core.errors import NexusFlowError, UpstreamError, kept
from nexusflow_core.exchange.attempt import Attempt
from nexusflow_core.exchange.outcome import Outcome
from nexusflow_core.exchange.planning import moment, plan_of
from nexusflow_core.exchange.thinking import (
    refuses_choice,
    refuses_thinking,
    without_thinking,
    would_be_refused,
)
from nexusflow_core.resilience import Failure, Health, Step, failure_of
from nexusflow_core.routing import Target

__all__ = ["Fallback"]


class Fallback:
    """Chooses the targets of one call. It has none where `outcome` has no route.

    `cause`: why the attempt before the current one was given up. `words`: the last failed attempt that had an
    error body, with that body. `unsent`: the same, where no attempt has begun since.
    """

    def __init__(self, outcome: Outcome, health: Health | None, started: float) -> None:
        self.cause: UpstreamError | None = None
        self.words: tuple[Attempt, bytes] | None = None
        self.unsent: tuple[Attempt, bytes] | None = None
        self._outcome = outcome
        self._started = started
        route = outcome.route
        self._plan = plan_of(outcome.call, route, health, started) if route is not None else None

    @property
    def deadline(self) -> float:
        """Until when the whole call has to be over."""
        return self._plan.deadline if self._plan is not None else inf

    def first(self, now: float) -> Step | None:
        """Returns the first attempt to make."""
        return self._plan.first(now) if self._plan is not None else None

    def after(self, attempt: Attempt, error: UpstreamError, body: bytes, now: float) -> Step | None:
        """Returns what follows this failure; None: it becomes the answer. `body` is that of an error answer."""
        if (step := self._without_thinking(error, body, now)) is not None:
            self.cause = kept(error)
            return step
        if attempt.ended or self._plan is None:
            return None
        self.cause = kept(error)
        failure = self._failure(attempt, error, now)
        if failure is None:
            self._plan.served(now)
            return None
        return self._plan.after(failure, now)

    def instead(self, now: float) -> Step | None:
        """Returns what follows where the last target cannot carry the call."""
        return self._plan.instead(now, failed=self.cause is not None) if self._plan is not None else None

    def cannot_carry(self, error: UpstreamError, body: bytes) -> bool:
        """Whether a target that stands in for another one says that the call is nothing for it."""
        return self.cause is not None and refuses_choice(error, body)

    def would_refuse(self, target: Target, leg: Leg) -> bool:
        """Whether this target would get thinking that another model has signed."""
        it = self._outcome
        return it.route is not None and would_be_refused(it.call, it.route, target, leg)

    def served(self, now: float) -> None:
        """The answer has begun."""
        if self._plan is not None:
            self._plan.served(now)

    def broke(self, attempt: Attempt, error: NexusFlowError, now: float) -> None:
        """The answer broke off after its head was out."""
        failure = self._failure(attempt, error, now)
        if failure is not None and self._plan is not None:
            self._plan.broke(failure, now)

    def abandoned(self) -> None:
        """The client has left, or the gateway ended the call."""
        if self._plan is not None:
            self._plan.abandoned()

    def _without_thinking(self, error: UpstreamError, body: bytes, now: float) -> Step | None:
        """Returns the same target once more, for the call without signed thinking; None where that is not why
        it was refused, or where the same bytes would go out again."""
        it = self._outcome
        strips = it.route is not None and it.route.thinking == "strip" and not it.edits
        if not (strips and error.status == 400 and refuses_thinking(body)) or self._plan is None:
            return None
        stripped, edits = without_thinking(it.call)
        step = self._plan.once_more(now) if edits else None
        if step is not None:
            it.call, it.edits = stripped, edits
        return step

    def _failure(self, attempt: Attempt, error: NexusFlowError, now: float) -> Failure | None:
        if not isinstance(error, UpstreamError):
            return None
        return failure_of(error, attempt.headers, moment(self._outcome.call, now - self._started))
