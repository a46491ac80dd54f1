# pyright: basic, reportArgumentType=false, reportAssignmentType=false
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
"""DjangoStore: windows and holds in the host's database, through Django's ORM.

Each step is one `transaction.atomic`, and begins with a write.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from django.db import IntegrityError, OperationalError, close_old_connections, transaction
from django.db.models import F, Q

from nexusflow_asgi.contrib.django.models import Hold as HoldRow
from nexusflow_asgi.contrib.django.models import Window as WindowRow
from nexusflow_asgi.stores import Lost, OpenWindow
from nexusflow_asgi.stores.protocol import (
    ARMED,
    KEPT_SECONDS,
    SWEPT_AT_ONCE,
    TRIES,
    MissingWindowError,
    RefusedError,
    balance_before,
    pause_after,
)
from nexusflow_core.budgets import Balance, Charge, Claim, Hold, Refusal, Settled, Window, decide
from nexusflow_core.budgets.holds import EMPTY

__all__ = ["DjangoStore", "Steps"]

T = TypeVar("T")

_THREADS = 8


class Steps:
    """What the stores on the ORM share. `using`: the name of a database in Django's DATABASES.

    A step may be repeated, so what belongs together stands in one `transaction.atomic`. On SQLite such a
    transaction begins with a write: one that reads first cannot wait for another writer.
    """

    def __init__(self, using: str = "default") -> None:
        self._using = using
        self._threads = anyio.CapacityLimiter(_THREADS)

    async def aclose(self) -> None:
        """Does nothing: Django closes its connections."""

    async def _run(self, step: Callable[..., T], *arguments: Any, again: tuple[type[Exception], ...] = ()) -> T:
        """Runs a step in a thread, with a connection that is closed as Django's settings say.

        Repeats it after a deadlock, a busy file or a lost connection, and after the errors in `again`.
        """
        work = partial(self._repeated, (OperationalError, *again), step, *arguments)
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._threads)

    def _repeated(self, passing: tuple[type[Exception], ...], step: Callable[..., T], *arguments: Any) -> T:
        for tried in range(TRIES):
            close_old_connections()
            try:
                return step(*arguments)
            except passing:
                if tried + 1 == TRIES:
                    raise
                time.sleep(pause_after(tried))
            finally:
                close_old_connections()
        raise AssertionError("unreachable")


class DjangoStore(Steps):
    """A CapStore in one of Django's databases: `NexusFlow(..., store=DjangoStore())`."""

    async def hold(
        self, request_id: str, claims: Sequence[Claim], *, now: int, expires_at: int
    ) -> Hold | Refusal:
        claims = sorted(claims, key=lambda claim: claim.window.key)
        for _ in range(TRIES):
            try:
                return await self._run(self._hold, request_id, claims, expires_at)
            except RefusedError as error:
                return error.refusal
            except MissingWindowError:
                await self._run(self._add_windows, [claim.window for claim in claims])
        raise RuntimeError("the rows of windows disappear as soon as they are written")

    async def settle(self, request_id: str, charges: Sequence[Charge]) -> list[Settled]:
        return await self._run(self._settle, request_id, charges)

    async def renew(self, request_ids: Sequence[str], *, expires_at: int) -> None:
        def step() -> None:
            self._holds.filter(request_id__in=request_ids, lost=False).update(expires_at=expires_at)

        await self._run(step)

    async def sweep(self, *, now: int) -> list[Lost]:
        return await self._run(self._sweep, now)

    async def arm(self, meter: str, seconds: int, *, now: int) -> int:
        return await self._run(self._arm, f"{meter}|{ARMED}", seconds, now)

    async def windows(self, *, now: int, scope: str | None = None, limit: int = 1000) -> list[OpenWindow]:
        def step() -> list[OpenWindow]:
            rows = self._windows.filter(Q(ends_at=None) | Q(ends_at__gt=now)).exclude(unit=ARMED)
            if scope is not None:
                rows = rows.filter(scope=scope)
            return [_open(row) for row in rows.order_by("key")[:limit]]

        return await self._run(step)

    # What each does inside its transaction

    @property
    def _windows(self) -> Any:
        return WindowRow.objects.using(self._using)

    @property
    def _holds(self) -> Any:
        return HoldRow.objects.using(self._using)

    def _hold(self, request_id: str, claims: Sequence[Claim], expires_at: int) -> Hold:
        rows = [
            HoldRow(request_id=request_id, window=claim.window.key, amount=claim.amount, expires_at=expires_at)
            for claim in claims
        ]
        try:
            with transaction.atomic(using=self._using):
                self._holds.bulk_create(rows)
                self._raise_held(claims)
                after = self._balances(claims)
        except IntegrityError:  # held before, by a try whose answer was lost
            before = self._balances(claims)
            found = tuple(before.get(claim.window.key, EMPTY) for claim in claims)
            return Hold(request_id, tuple(claims), found, expires_at)
        found = tuple(balance_before(after[claim.window.key], held=claim.amount) for claim in claims)
        return Hold(request_id, tuple(claims), found, expires_at)

    def _raise_held(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            rows = self._windows.filter(key=claim.window.key)
            if claim.limit is not None:
                rows = rows.filter(used__lt=claim.limit - F("held"))
            if not rows.update(held=F("held") + claim.amount):
                balances = self._balances([claim])
                refusal = decide([claim], balances) if balances else None
                raise RefusedError(refusal) if refusal is not None else MissingWindowError

    def _settle(self, request_id: str, charges: Sequence[Charge]) -> list[Settled]:
        charged = {charge.window: charge for charge in charges}
        done: list[Settled] = []
        with transaction.atomic(using=self._using):
            mine = self._holds.filter(request_id=request_id)
            if not mine.update(amount=F("amount")):  # takes the locks
                return []
            held = list(mine.order_by("window").values_list("window", "amount", "lost"))
            mine.delete()
            for window, amount, lost in held:
                charge = charged.get(window, Charge(window, 0))
                used, less = (charge.amount - amount, 0) if lost else (charge.amount, -amount)
                rows = self._windows.filter(key=window)
                rows.update(used=F("used") + used, rest=F("rest") + charge.rest, held=F("held") + less)
                for row in rows:
                    after = Balance(row.used, row.held, row.rest)
                    done.append(Settled(window, balance_before(after, used, less, charge.rest), after))
        return done

    def _sweep(self, now: int) -> list[Lost]:
        expired = self._holds.filter(expires_at__lte=now, lost=False)
        found = list(expired.values_list("pk", "request_id", "window", "amount")[:SWEPT_AT_ONCE])
        lost: list[Lost] = []
        for pk, request_id, window, amount in found:
            with transaction.atomic(using=self._using):
                if expired.filter(pk=pk).update(lost=True):
                    rows = self._windows.filter(key=window)
                    rows.update(used=F("used") + amount, held=F("held") - amount)
                    lost.append(Lost(request_id, window, amount))
        self._holds.filter(lost=True, expires_at__lte=now - KEPT_SECONDS).delete()
        self._windows.filter(ends_at__lte=now - KEPT_SECONDS, held=0).delete()
        return lost

    def _arm(self, key: str, seconds: int, now: int) -> int:
        start = {"starts_at": now, "ends_at": now + seconds}
        row = WindowRow(key=key, scope="", unit=ARMED, period=str(seconds), **start)
        self._windows.bulk_create([row], ignore_conflicts=True)
        self._windows.filter(key=key, ends_at__lte=now).update(**start)
        return int(self._windows.get(key=key).starts_at)

    def _add_windows(self, windows: Sequence[Window]) -> None:
        """Writes rows for new windows. Another process may do the same at the same moment."""
        rows = [
            WindowRow(
                key=window.key,
                scope=window.scope,
                unit=window.unit,
                period=window.period,
                starts_at=window.starts_at,
                ends_at=window.ends_at,
            )
            for window in windows
        ]
        self._windows.bulk_create(rows, ignore_conflicts=True)

    def _balances(self, claims: Sequence[Claim]) -> dict[str, Balance]:
        rows = self._windows.filter(key__in=[claim.window.key for claim in claims])
        return {row.key: Balance(row.used, row.held, row.rest) for row in rows}


def _open(row: Any) -> OpenWindow:
    window = Window(row.key, row.scope, row.unit, row.period, row.starts_at, row.ends_at)
    return OpenWindow(window, Balance(row.used, row.held, row.rest))
