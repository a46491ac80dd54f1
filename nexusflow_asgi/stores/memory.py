"""MemoryStore: windows and holds of one process. They end with it."""

import heapq
import threading
from collections.abc import Sequence

from msgspec import Struct

from nexusflow_asgi.stores.protocol import Lost, OpenWindow
from nexusflow_core.budgets import Balance, Charge, Claim, Hold, Refusal, Settled, Window, decide
from nexusflow_core.budgets.holds import EMPTY

__all__ = ["KEPT_SECONDS", "MemoryStore"]

KEPT_SECONDS = 3600
"""Seconds that an ended window stays, for calls that end after it."""


class _Entry(Struct):
    """A window and its balance, changed in place."""

    window: Window
    used: int = 0
    held: int = 0
    rest: int = 0

    def balance(self) -> Balance:
        return Balance(self.used, self.held, self.rest)


class _Held(Struct):
    """The hold of one call: amounts by window. `lost`: the sweep has charged them."""

    amounts: dict[str, int]
    expires_at: int
    lost: bool = False


class MemoryStore:
    """A CapStore in memory, for one process. Threads with event loops of their own may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._holds: dict[str, _Held] = {}
        self._armed: dict[str, tuple[int, int]] = {}
        self._ends: list[tuple[int, str]] = []  # a heap, so that a sweep touches only what has ended

    async def hold(
        self, request_id: str, claims: Sequence[Claim], *, now: int, expires_at: int
    ) -> Hold | Refusal:
        with self._lock:
            entries = self._entries
            balances = {
                claim.window.key: entry.balance()
                for claim in claims
                if (entry := entries.get(claim.window.key)) is not None
            }
            before = tuple([balances.get(claim.window.key, EMPTY) for claim in claims])
            if request_id in self._holds:
                return Hold(request_id, tuple(claims), before, self._holds[request_id].expires_at)
            refusal = decide(claims, balances)
            if refusal is not None:
                return refusal
            for claim in claims:
                self._entry(claim.window).held += claim.amount
            amounts = {claim.window.key: claim.amount for claim in claims}
            self._holds[request_id] = _Held(amounts, expires_at)
        return Hold(request_id, tuple(claims), before, expires_at)

    async def settle(self, request_id: str, charges: Sequence[Charge]) -> list[Settled]:
        with self._lock:
            held = self._holds.pop(request_id, None)
            if held is None:
                return []
            charged = {charge.window: charge for charge in charges}
            done: list[Settled] = []
            for key, amount in held.amounts.items():
                entry = self._entries.get(key)
                if entry is None:  # the window ended long ago
                    continue
                before = entry.balance()
                charge = charged.get(key)
                if charge is not None:
                    entry.used += charge.amount
                    entry.rest += charge.rest
                if held.lost:
                    entry.used -= amount
                else:
                    entry.held -= amount
                done.append(Settled(key, before, entry.balance()))
            return done

    async def renew(self, request_ids: Sequence[str], *, expires_at: int) -> None:
        with self._lock:
            for request_id in request_ids:
                held = self._holds.get(request_id)
                if held is not None:
                    held.expires_at = expires_at

    async def sweep(self, *, now: int) -> list[Lost]:
        lost: list[Lost] = []
        with self._lock:
            for request_id, held in list(self._holds.items()):
                if held.expires_at > now:
                    continue
                if held.lost:
                    if held.expires_at + KEPT_SECONDS <= now:
                        del self._holds[request_id]
                    continue
                held.lost = True
                for key, amount in held.amounts.items():
                    entry = self._entries.get(key)
                    if entry is not None:
                        entry.used += amount
                        entry.held -= amount
                        lost.append(Lost(request_id, key, amount))
            while self._ends and self._ends[0][0] + KEPT_SECONDS <= now:
                self._forget(heapq.heappop(self._ends)[1], now)
        return lost

    async def arm(self, meter: str, seconds: int, *, now: int) -> int:
        with self._lock:
            start, end = self._armed.get(meter, (0, 0))
            if end <= now:
                start = now
                self._armed[meter] = now, now + seconds
            return start

    async def windows(self, *, now: int, scope: str | None = None, limit: int = 1000) -> list[OpenWindow]:
        with self._lock:
            found = [
                OpenWindow(entry.window, entry.balance())
                for entry in self._entries.values()
                if (entry.window.ends_at is None or entry.window.ends_at > now)
                and (scope is None or entry.window.scope == scope)
            ]
        return sorted(found, key=lambda one: one.window.key)[:limit]

    async def aclose(self) -> None:
        """Does nothing: there is nothing to close."""

    def _entry(self, window: Window) -> _Entry:
        entry = self._entries.get(window.key)
        if entry is None:
            entry = self._entries[window.key] = _Entry(window)
            if window.ends_at is not None:
                heapq.heappush(self._ends, (window.ends_at, window.key))
        return entry

    def _forget(self, key: str, now: int) -> None:
        """Forgets an ended window. One that running calls still hold is looked at again later."""
        entry = self._entries.get(key)
        if entry is not None and entry.held:
            heapq.heappush(self._ends, (now, key))
        elif entry is not None:
            del self._entries[key]
