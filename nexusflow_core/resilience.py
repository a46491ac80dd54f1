"""What a failure before the first byte leads to: the same target once more, the next one, or the answer.

Pure: `now` is an argument, seconds of one clock; the health of targets lives behind `CircuitStore`.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from enum import Enum, auto
from hashlib import blake2b
from typing import Any, Literal, Protocol, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from nexusflow_core.errors import (
    UpstreamError,
    UpstreamProtocolError,
    UpstreamStatus,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from nexusflow_core.retry_after import stated_wait
from nexusflow_core.routing import Retry, Target
from nexusflow_core.spending import EXHAUSTED
from nexusflow_core.upstream import Headers, header

__all__ = [
    "Circuit",
    "CircuitMemory",
    "CircuitStore",
    "Circuits",
    "Counts",
    "Failure",
    "Health",
    "Plan",
    "Reason",
    "Step",
    "failure_of",
]

Reason: TypeAlias = Literal["unreachable", "timeout", "overloaded", "rate_limited", "failed", "exhausted"]

_ATTEMPTS = 3

_CONNECTING = "connect_timeout"
"""The reason of a time limit that no caller has a part in."""


class Counts(Enum):
    """For whom a failure opens the circuit of its target."""

    ALWAYS = auto()
    WITH_OTHERS = auto()  # once another caller has met it too: one caller alone can cause it
    NEVER = auto()  # a caller can have caused it


class Failure(Struct, frozen=True):
    """Why an attempt failed. `again`: the same target may be asked once more; `wait`: the seconds that the
    upstream wants to be left alone, None where it states none."""

    reason: Reason
    again: bool
    wait: float | None = None
    counts: Counts = Counts.ALWAYS


def failure_of(error: UpstreamError, headers: Headers, at: datetime) -> Failure | None:
    """What an error tells about its target; None for one that is the caller's own making. `headers` are the
    upstream's, `at` is the moment in UTC, for a `retry-after` that is a date."""
    if error.reason == EXHAUSTED:
        regained = error.regained_at if isinstance(error, UpstreamStatus) else None
        wait = (regained - at).total_seconds() if regained is not None else None
        return Failure("exhausted", False, wait)
    if not error.retryable:
        return None
    reason: Reason = "failed"
    counts = Counts.ALWAYS if error.counts else Counts.NEVER
    again = True  # but for silence, which has cost its time, and garbage, which would come again
    if isinstance(error, UpstreamUnreachable):
        reason = "unreachable"
    elif isinstance(error, UpstreamTimeout):
        reason, again = "timeout", False
        if error.reason != _CONNECTING:  # a slow prompt, or one caller that takes all connections
            counts = Counts.WITH_OTHERS
    elif isinstance(error, UpstreamProtocolError):
        again = not headers and error.counts
    elif error.status in (503, 529) or error.type == "overloaded_error":
        reason = "overloaded"
    elif error.status == 429 or error.type == "rate_limit_error":
        reason = "rate_limited"
    if header(headers, b"x-should-retry") == b"false" or error.headers.get("x-should-retry") == "false":
        again = False
    return Failure(reason, again, stated_wait(headers, at), counts)


# The health of targets


class Circuit(Struct, frozen=True):
    """What one reason did to one target. Closed while `until` is 0, open before `until`, half-open after it:
    then one probe may go there, until `probing` at most. `opened` counts openings in a row. `caller`: a digest
    of who met it last, of failures that count with others only; `shared`: somebody else had met it before."""

    failures: int = 0
    opened: int = 0
    until: float = 0.0
    probing: float = 0.0
    caller: str = ""
    shared: bool = False


Circuits: TypeAlias = Mapping[Reason, Circuit]


class CircuitStore(Protocol):
    """Where circuits are kept: a process's memory, or something that several processes share."""

    def get(self, target: str) -> Circuits:
        """The circuits of a target, none for an unknown one. Called for every call: it must not wait."""
        ...

    def put(self, target: str, circuits: Circuits) -> None:
        """Replaces them; none at all: forget the target."""
        ...


class CircuitMemory:
    """Circuits of one process, in a bounded table: the target that was put first is forgotten first."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._circuits: dict[str, Circuits] = {}

    def get(self, target: str) -> Circuits:
        return self._circuits.get(target, {})

    def put(self, target: str, circuits: Circuits) -> None:
        if not circuits:
            self._circuits.pop(target, None)
            return
        if target not in self._circuits and len(self._circuits) >= self._most:
            self._circuits.pop(next(iter(self._circuits)), None)
        self._circuits[target] = circuits


class _Cooling(Struct, frozen=True):
    """After how many failures in a row a circuit opens, and for how long: first, and at most."""

    failures: int
    first: float
    most: float


_COOLING: dict[Reason, _Cooling] = {
    "unreachable": _Cooling(3, 2.0, 60.0),
    "timeout": _Cooling(3, 5.0, 60.0),
    "overloaded": _Cooling(3, 2.0, 15.0),  # a spike is short, and must not grow into an hour (PITFALLS H6)
    "rate_limited": _Cooling(5, 2.0, 30.0),
    "failed": _Cooling(5, 2.0, 60.0),
    "exhausted": _Cooling(1, 3600.0, 3600.0),  # where no date is named
}

_PROBE_SECONDS = 60.0
"""After this a probe that nobody heard of again no longer keeps others away."""


class Health:
    """Opens and closes circuits, and says who may go where. `lock`: what threads of one process share, each
    with an event loop of its own; a circuit is read and written under it. Without threads none is needed."""

    def __init__(self, store: CircuitStore, lock: AbstractContextManager[Any] | None = None) -> None:
        self._store = store
        self._lock: AbstractContextManager[Any] = nullcontext() if lock is None else lock

    def reopens(self, target: str) -> float:
        """When the target may be tried; a time that has passed where that is at once."""
        with self._lock:
            circuits = self._store.get(target)
        return max((max(it.until, it.probing) for it in circuits.values()), default=0.0) if circuits else 0.0

    def enter(self, target: str, now: float) -> None:
        """A call goes there. Where a circuit is half-open it is the probe, and others stay away."""
        with self._lock:
            circuits = self._store.get(target)
            if circuits and any(it.until for it in circuits.values()):
                probing: dict[Reason, Circuit] = {
                    reason: replace(it, probing=now + _PROBE_SECONDS) if 0 < it.until <= now else it
                    for reason, it in circuits.items()
                }
                self._store.put(target, probing)

    def succeeded(self, target: str, now: float) -> None:
        """The target served: what was counted is forgotten. A circuit that is open stays so until its time."""
        with self._lock:
            circuits = self._store.get(target)
            if circuits:
                self._store.put(target, {reason: it for reason, it in circuits.items() if it.until > now})

    def abandoned(self, target: str) -> None:
        """The call ended without telling anything about the target: another may probe."""
        with self._lock:
            circuits = self._store.get(target)
            if circuits:
                self._store.put(target, {reason: replace(it, probing=0.0) for reason, it in circuits.items()})

    def failed(self, target: str, failure: Failure, now: float, *, stated: bool, caller: str = "") -> None:
        """Counts a failure. `stated`: the upstream's own wait is longer than anybody waits, so it counts.
        `caller`: who met it, "" for somebody who cannot be told from others."""
        with self._lock:
            before = self._store.get(target)
            circuits: dict[Reason, Circuit] = {name: replace(it, probing=0.0) for name, it in before.items()}
            it = circuits.get(failure.reason, Circuit())
            rule = _COOLING[failure.reason]
            who = _digest(caller)
            others = failure.counts is Counts.ALWAYS or not who or it.caller not in ("", who)
            if it.until == 0:
                it = replace(it, failures=it.failures + 1, shared=it.shared or others)
            opens = it.failures >= rule.failures and it.shared if it.until == 0 else it.until <= now and others
            it = replace(it, caller=who or it.caller)
            if opens:
                seconds = min(rule.first * 2 ** min(it.opened, 30), rule.most)
                it = replace(it, opened=it.opened + 1, until=now + seconds)
            if failure.reason == "exhausted" and failure.wait is not None:
                it = replace(it, until=now + failure.wait)
            elif stated and failure.wait is not None:
                it = replace(it, until=max(it.until, now + failure.wait))
            self._store.put(target, {**circuits, failure.reason: it})


def _digest(caller: str) -> str:
    """What a circuit remembers of a caller: 16 characters, whatever its id is, and no key."""
    return blake2b(caller.encode(errors="replace"), digest_size=8).hexdigest() if caller else ""


# The course of one call


class Step(Struct, frozen=True):
    """The next attempt: which target, and not before when."""

    target: Target
    at: float


class Plan:
    """Which target a call goes to next, within one budget of attempts and one deadline.

    `spent`: attempts that the client has made before this one (`x-stainless-retry-count`). `jitter`: a number
    from 0 to 1 that keeps calls which failed together apart. `caller`: who calls, "" where nobody knows.
    `health` None: the call neither heeds the health of targets nor says anything about it.
    """

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
        self._targets = list(targets)  # those not tried yet
        self._policy = policy
        self._health = health
        self._model = model
        self._caller = caller
        attempts = policy.attempts or max(_ATTEMPTS, len(self._targets))
        self._left = max(1, attempts - spent)
        self._spread = 0.5 + jitter / 2
        self._waits = 0
        self._cooling: list[Target] = []  # left out, because they cool down
        self._current: Target | None = None
        self._last_resort = False

    def first(self, now: float) -> Step:
        """The first target that may be tried; where all cool down, the one that is ready first. A call is
        never refused for the health of its targets: the upstream's own answer says more."""
        index = 0
        if self._reopens(self._targets[0]) > now:
            times = [max(self._reopens(target), now) for target in self._targets]
            index = times.index(min(times))
            self._last_resort = times[index] > now
        self._cooling, ready = self._targets[:index], self._targets[index]
        del self._targets[: index + 1]
        return self._enter(ready, now, now)

    def after(self, failure: Failure, now: float) -> Step | None:
        """What follows a failed attempt; None: nothing does, and the failure is the answer."""
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
        """The next target in order that does not cool down; None where there is none."""
        self._abandon()
        while self._targets and self._left > 0:
            target = self._targets.pop(0)
            if self._reopens(target) <= now:
                return self._enter(target, now, now)
        return None

    def once_more(self, now: float) -> Step | None:
        """The same target at once, for a request that has been changed since; None: the budget is spent."""
        if self._current is None or self._left <= 0 or now >= self.deadline:
            return None
        return self._enter(self._current, now, now)

    def instead(self, now: float, *, failed: bool) -> Step | None:
        """The last step's target could not carry the call, which has cost no attempt. After a failure the next
        target takes its place; before one, a target that had been left out because it cools down."""
        self._left += 1
        if failed:
            return self.next(now)
        self._abandon()
        if not self._cooling:
            return None
        self._last_resort = True
        return self._enter(self._cooling.pop(0), now, now)

    def served(self, now: float) -> None:
        """The target has begun an answer, or refused the call for what the caller wrote."""
        if self._health is not None and self._current is not None:
            self._health.succeeded(self._key(self._current), now)

    def broke(self, failure: Failure, now: float) -> None:
        """The answer broke off after its first byte."""
        self._count(failure, now)

    def abandoned(self) -> None:
        """The client has left, or the gateway ended the call."""
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
        own_limit = failure.reason in ("rate_limited", "exhausted") and target.upstream.api_key is None
        if own_limit or failure.counts is Counts.NEVER:
            self._abandon()  # it says nothing to anybody else
        else:
            stated = failure.wait is not None and failure.wait > self._policy.max_wait
            self._health.failed(self._key(target), failure, now, stated=stated, caller=self._caller)

    def _reopens(self, target: Target) -> float:
        return self._health.reopens(self._key(target)) if self._health is not None else 0.0

    def _key(self, target: Target) -> str:
        return f"{target.upstream.name}/{target.model or self._model}"

    def _backoff(self) -> float:
        return float(self._policy.backoff * 2**self._waits * self._spread)
