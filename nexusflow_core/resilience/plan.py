"""Plan: the next attempt of a call: the same target again, the next one, or none."""

from collections.abc import Sequence

from msgspec import Struct

from nexusflow_core.resilience.circuits import Health
from nexusflow_core.resilience.failures import Counts, Failure
from nexusflow_core.routing import Retry, Target

__all__ = ["Plan", "Step"]

_ATTEMPTS = 3


class Step(Struct, frozen=True):
    """The next attempt: its target, and the earliest time."""

    target: Target
    at: float


class Plan:
    """Chooses the next target of a call, within one budget of attempts and one deadline.

    `spent`: attempts the client made before (`x-stainless-retry-count`). `jitter`: 0 to 1, spreads the retries
    of calls that failed together. `caller`: "" if unknown. `health` None: the call neither uses nor changes
    the health of targets. Times are seconds of one clock.
    """

    __slots__ = (
        "_caller",
        "_cooling",
        "_current",
        "_health",
        "_last_resort",
        "_left",
        "_model",
        "_policy",
        "_spread",
        "_targets",
        "_waits",
        "deadline",
    )

    def __init__(
        self,
        targets: Sequence[Target],
        policy: Retry,
        health: Health | None,
        *,
        model: str,
        started: float,
        spent: int = 0,
        jitter: float = 0.0,
        caller: str = "",
    ) -> None:
        self.deadline = started + policy.deadline
        self._targets = targets  # not tried yet
        self._policy = policy
        self._health = health
        self._model = model
        self._caller = caller
        attempts = policy.attempts or (_ATTEMPTS if len(targets) <= _ATTEMPTS else len(targets))
        self._left = attempts - spent if attempts > spent else 1
        self._spread = 0.5 + jitter / 2
        self._waits = 0
        self._cooling: Sequence[Target] = ()  # skipped while they cool down
        self._current: Target | None = None
        self._last_resort = False

    def first(self, now: float) -> Step:
        """Returns the first target that may be tried. If all cool down, that is the one that reopens first.

        A call is never refused for its targets' health: the upstream's own answer is more useful.
        """
        index = 0
        if self._reopens(self._targets[0]) > now:
            times = [max(self._reopens(target), now) for target in self._targets]
            index = times.index(min(times))
            self._last_resort = times[index] > now
        self._cooling, ready = self._targets[:index], self._targets[index]
        self._targets = self._targets[index + 1 :]
        return self._enter(ready, now, now)

    def begin(self) -> None:
        """Notes that the first target has been asked at once, because no target was known to have failed."""
        self._left -= 1
        self._current, self._targets = self._targets[0], self._targets[1:]

    def after(self, failure: Failure, now: float) -> Step | None:
        """Returns the next attempt after a failure; None makes the failure the answer."""
        self._count(failure, now)
        target = self._current
        if target is None or self._left <= 0 or now >= self.deadline:
            return None
        wait = failure.wait or self._backoff()
        again = failure.again and not self._last_resort and wait <= self._policy.max_wait
        if again and self._left > len(self._targets) and now + wait < self.deadline:
            self._waits += 1
            return self._enter(target, now + wait, now)
        return self.next(now)

    def next(self, now: float) -> Step | None:
        """Returns the next target in order that is not cooling down, or None."""
        self._abandon()
        while self._targets and self._left > 0:
            target, self._targets = self._targets[0], self._targets[1:]
            if self._reopens(target) <= now:
                return self._enter(target, now, now)
        return None

    def once_more(self, now: float) -> Step | None:
        """Returns the same target at once, for a changed request; None if the budget is used up."""
        if self._current is None or self._left <= 0 or now >= self.deadline:
            return None
        return self._enter(self._current, now, now)

    def instead(self, now: float, *, failed: bool) -> Step | None:
        """Returns a replacement for a target that could not carry the call. That costs no attempt.

        After a failure it is the next target; before one, a target that was skipped while it cools down.
        """
        self._left += 1
        if failed:
            return self.next(now)
        self._abandon()
        if not self._cooling:
            return None
        self._last_resort = True
        target, self._cooling = self._cooling[0], self._cooling[1:]
        return self._enter(target, now, now)

    def served(self, now: float) -> None:
        """Notes that the target began an answer, or refused the call for the caller's mistake."""
        if self._health is not None and self._current is not None:
            self._health.succeeded(self._key(self._current), now)

    def broke(self, failure: Failure, now: float) -> None:
        """Notes that the answer broke off after its first byte."""
        self._count(failure, now)

    def abandoned(self) -> None:
        """Notes that the client left, or the gateway ended the call."""
        self._abandon()

    def _enter(self, target: Target, at: float, now: float) -> Step:
        self._left -= 1
        self._current = target
        if self._health is not None:
            self._health.enter(self._key(target), now)
        return Step(target, at)

    def _abandon(self) -> None:
        if self._health is not None and self._current is not None:
            self._health.abandoned(self._key(self._current))

    def _count(self, failure: Failure, now: float) -> None:
        target = self._current
        if self._health is None or target is None:
            return
        upstream = target.upstream
        callers_key = upstream.api_key is None and upstream.signing is None and upstream.fetched is None
        own_limit = failure.reason in ("rate_limited", "exhausted") and callers_key
        if own_limit or failure.counts is Counts.NEVER:
            self._abandon()  # it concerns no other caller
        else:
            stated = failure.wait is not None and failure.wait > self._policy.max_wait
            self._health.failed(self._key(target), failure, now, stated=stated, caller=self._caller)

    def _reopens(self, target: Target) -> float:
        return self._health.reopens(self._key(target)) if self._health is not None else 0.0

    def _key(self, target: Target) -> str:
        return f"{target.upstream.name}/{target.model or self._model}"

    def _backoff(self) -> float:
        return float(self._policy.backoff * 2**self._waits * self._spread)
