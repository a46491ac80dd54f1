"""The health of targets: circuits open after failures and close again. `now` is in seconds of one clock."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from hashlib import blake2b
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from nexusflow_core.resilience.failures import Counts, Failure, Reason

__all__ = ["Circuit", "CircuitMemory", "Circuits", "Health"]


class Circuit(Struct, frozen=True):
    """Failures of one target for one reason. Closed: `until` is 0. Open: before `until`. Half-open: after it.

    While half-open one probe goes through; others wait until `probing`. `opened` counts openings in a row.
    `caller`: digest of the last caller that met a WITH_OTHERS failure. `shared`: another one met it before.
    """

    failures: int = 0
    opened: int = 0
    until: float = 0.0
    probing: float = 0.0
    caller: str = ""
    shared: bool = False


Circuits: TypeAlias = Mapping[Reason, Circuit]


class CircuitMemory:
    """The circuits of one process, in a bounded table. If it is full, the oldest target is forgotten."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._circuits: dict[str, Circuits] = {}

    def get(self, target: str) -> Circuits:
        """Returns the circuits of a target, empty if it is unknown."""
        return self._circuits.get(target, {})

    def put(self, target: str, circuits: Circuits) -> None:
        """Replaces a target's circuits. Empty: forgets the target."""
        if not circuits:
            self._circuits.pop(target, None)
            return
        if target not in self._circuits and len(self._circuits) >= self._most:
            self._circuits.pop(next(iter(self._circuits)), None)
        self._circuits[target] = circuits

    @property
    def empty(self) -> bool:
        """True if no target has a circuit."""
        return not self._circuits

    def all(self) -> dict[str, Circuits]:
        """Returns the circuits of every known target."""
        return dict(self._circuits)


class _Cooling(Struct, frozen=True):
    """Failures in a row that open a circuit, and the seconds it stays open: first, and at most."""

    failures: int
    first: float
    most: float


_COOLING: dict[Reason, _Cooling] = {
    "unreachable": _Cooling(3, 2.0, 60.0),
    "timeout": _Cooling(3, 5.0, 60.0),
    "overloaded": _Cooling(3, 2.0, 15.0),  # overload is short, so the wait stays short
    "rate_limited": _Cooling(5, 2.0, 30.0),
    "failed": _Cooling(5, 2.0, 60.0),
    "exhausted": _Cooling(1, 3600.0, 3600.0),  # if the error names no date
}

_PROBE_SECONDS = 60.0
"""A probe without a result no longer blocks other calls after this many seconds."""


class Health:
    """Opens and closes circuits. Times are seconds of the caller's clock.

    `lock` guards circuits if several threads, each with its own event loop, share them; None without threads.
    """

    def __init__(self, store: CircuitMemory, lock: AbstractContextManager[Any] | None = None) -> None:
        self._store = store
        self._lock: AbstractContextManager[Any] = nullcontext() if lock is None else lock

    @property
    def calm(self) -> bool:
        """True if no target is known to have failed: there is nothing to ask, and nothing to reset.

        It takes no lock. A failure at the same moment counts as one just after it.
        """
        return self._store.empty

    def reopens(self, target: str) -> float:
        """Returns the time from which the target may be tried; a past time if it may be tried now."""
        with self._lock:
            circuits = self._store.get(target)
        return (
            max((max(circuit.until, circuit.probing) for circuit in circuits.values()), default=0.0)
            if circuits
            else 0.0
        )

    def open_targets(self, now: float) -> list[str]:
        """Returns the targets that may not be tried at this time."""
        with self._lock:
            every = self._store.all()
        return [name for name, circuits in every.items() if any(it.until > now for it in circuits.values())]

    def enter(self, target: str, now: float) -> None:
        """Notes that a call goes to the target. If a circuit is half-open, the call is its probe."""
        with self._lock:
            circuits = self._store.get(target)
            if circuits and any(circuit.until for circuit in circuits.values()):
                probing: dict[Reason, Circuit] = {
                    reason: replace(circuit, probing=now + _PROBE_SECONDS)
                    if 0 < circuit.until <= now
                    else circuit
                    for reason, circuit in circuits.items()
                }
                self._store.put(target, probing)

    def succeeded(self, target: str, now: float) -> None:
        """Notes that the target served: resets its counts. An open circuit stays open until its time."""
        with self._lock:
            circuits = self._store.get(target)
            if circuits:
                self._store.put(
                    target, {reason: circuit for reason, circuit in circuits.items() if circuit.until > now}
                )

    def abandoned(self, target: str) -> None:
        """Notes that the call ended without a result for the target: another call may probe."""
        with self._lock:
            circuits = self._store.get(target)
            if circuits:
                self._store.put(
                    target, {reason: replace(circuit, probing=0.0) for reason, circuit in circuits.items()}
                )

    def failed(self, target: str, failure: Failure, now: float, *, stated: bool, caller: str = "") -> None:
        """Counts a failure. `stated`: retry-after exceeds `max_wait`, so the target cools down that long.

        `caller`: the caller that met it, "" if unknown.
        """
        with self._lock:
            before = self._store.get(target)
            circuits: dict[Reason, Circuit] = {
                name: replace(circuit, probing=0.0) for name, circuit in before.items()
            }
            circuit = circuits.get(failure.reason, Circuit())
            rule = _COOLING[failure.reason]
            who = _digest(caller)
            others = failure.counts is Counts.ALWAYS or not who or circuit.caller not in ("", who)
            if circuit.until == 0:
                circuit = replace(circuit, failures=circuit.failures + 1, shared=circuit.shared or others)
            opens = (
                circuit.failures >= rule.failures and circuit.shared
                if circuit.until == 0
                else circuit.until <= now and others
            )
            circuit = replace(circuit, caller=who or circuit.caller)
            if opens:
                seconds = min(rule.first * 2 ** min(circuit.opened, 30), rule.most)
                circuit = replace(circuit, opened=circuit.opened + 1, until=now + seconds)
            if failure.reason == "exhausted" and failure.wait is not None:
                circuit = replace(circuit, until=now + failure.wait)
            elif stated and failure.wait is not None:
                circuit = replace(circuit, until=max(circuit.until, now + failure.wait))
            self._store.put(target, {**circuits, failure.reason: circuit})


def _digest(caller: str) -> str:
    """Returns 16 characters that identify a caller without revealing it; "" for an unknown one."""
    return blake2b(caller.encode(errors="replace"), digest_size=8).hexdigest() if caller else ""
