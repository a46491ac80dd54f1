"""The health of targets: circuits open after failures and close again. `now` is in seconds of one clock."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from hashlib import blake2b
from typing import Any, Protocol, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from nexusflow_core.resilience.failures import Counts, Failure, Reason

__all__ = ["Circuit", "CircuitMemory", "CircuitStore", "Circuits", "Health"]


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
    "overloaded": _Cooling(3, 2.0, 15.0),  # a spike is short, and must not grow into an hour
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
