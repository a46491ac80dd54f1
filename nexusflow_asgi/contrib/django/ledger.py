# pyright: basic, reportArgumentType=false, reportAssignmentType=false
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
"""DjangoLedger and DjangoKeyStore: the ledger and gateway keys in the host's database, through Django's ORM."""

from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Max, Min, Q, Sum, Value
from django.db.models.functions import Concat, StrIndex
from msgspec.structs import asdict, replace

from nexusflow_asgi.contrib.django.models import Call, ExactTextField, Hold, Spending, Window
from nexusflow_asgi.contrib.django.models import Key as KeyRow
from nexusflow_asgi.contrib.django.store import Steps
from nexusflow_asgi.stores.key_store import columns_of_key, key_of_columns
from nexusflow_asgi.stores.protocol import MOST_SCOPES, LedgerPage
from nexusflow_core.keys import Key
from nexusflow_core.ledger import EVERYTHING, SUMS, LedgerRow, Spend, spends_of

__all__ = ["DjangoKeyStore", "DjangoLedger"]

_COLUMNS = LedgerRow.__struct_fields__


class DjangoLedger(Steps):
    """A LedgerStore in one of Django's databases: `NexusFlow(..., hooks=[Ledger(DjangoLedger)])`.

    `Ledger` is the hook of `nexusflow_asgi.ledger`. Rows and sums are written in one transaction.
    """

    async def write(self, rows: Sequence[LedgerRow]) -> int:
        unique = {row.request_id: row for row in rows}
        # a row that another process wrote at the same moment is seen at the next try
        return await self._run(self._write, unique, again=(IntegrityError,))

    async def rows(self, page: LedgerPage) -> list[LedgerRow]:
        def step() -> list[LedgerRow]:
            return [LedgerRow(**row) for row in self._page(page).values(*_COLUMNS)[: page.limit]]

        return await self._run(step)

    async def spending(self, *, since: int, until: int, scope: str | None = EVERYTHING) -> list[Spend]:
        def step() -> list[Spend]:
            days = Spending.objects.using(self._using).filter(day__gte=since, day__lt=until)
            if scope is None:
                return _by_scope(days)
            rows = days.filter(scope=scope).order_by("day", "model")
            return [Spend(**row) for row in rows.values(*Spend.__struct_fields__)]

        return await self._run(step)

    # What each does inside its transaction

    def _write(self, rows: dict[str, LedgerRow]) -> int:
        calls, sums = Call.objects.using(self._using), Spending.objects.using(self._using)
        known = set(calls.filter(request_id__in=list(rows)).values_list("request_id", flat=True))
        new = self._with_expected_costs([row for id, row in sorted(rows.items()) if id not in known])
        with transaction.atomic(using=self._using):
            calls.bulk_create([Call(**asdict(row)) for row in new])
            for spend in spends_of(new):
                which = {"day": spend.day, "scope": spend.scope, "model": spend.model}
                more = {name: F(name) + getattr(spend, name) for name in SUMS}
                if not sums.filter(**which).update(**more):
                    sums.bulk_create([Spending(**which)], ignore_conflicts=True)
                    sums.filter(**which).update(**more)
        return len(new)

    def _with_expected_costs(self, rows: list[LedgerRow]) -> list[LedgerRow]:
        """Returns lost calls with the cost that was held for them, flagged: their caps are charged the same."""
        lost = [row.request_id for row in rows if row.ending == "lost" and row.cost_nano is None]
        if not lost:
            return rows
        usd = Window.objects.using(self._using).filter(unit="usd").values("key")
        holds = Hold.objects.using(self._using).filter(request_id__in=lost, window__in=usd)
        expected = dict(holds.values_list("request_id").annotate(most=Max("amount")))
        return [
            replace(row, cost_nano=expected[row.request_id], cost_rest=0, cost_flags="expected_cost")
            if row.request_id in expected
            else row
            for row in rows
        ]

    def _page(self, page: LedgerPage) -> Any:
        wanted = Call.objects.using(self._using).filter(started_ms__gte=page.since)
        if page.until is not None:
            wanted = wanted.filter(started_ms__lt=page.until)
        if page.ending is not None:
            wanted = wanted.filter(ending=page.ending)
        if page.scope is not None:  # LIKE would ignore case
            end = Value("\n", ExactTextField())
            lines = Concat(end, "scopes", end)
            wanted = wanted.annotate(at=StrIndex(lines, Value(f"\n{page.scope}\n"))).filter(at__gt=0)
        if page.behind is not None:  # the first condition is a range of an index
            at, id = page.behind
            if page.oldest_first:
                later = Q(started_ms__gt=at) | Q(request_id__gt=id)
                wanted = wanted.filter(later, started_ms__gte=at)
            else:
                earlier = Q(started_ms__lt=at) | Q(request_id__lt=id)
                wanted = wanted.filter(earlier, started_ms__lte=at)
        order = ("started_ms", "request_id")
        return wanted.order_by(*(order if page.oldest_first else (f"-{name}" for name in order)))


def _by_scope(days: Any) -> list[Spend]:
    """Returns the sums of the scopes with the most cost."""
    sums = {f"sum_{name}": Sum(name) for name in SUMS}
    rows = days.exclude(scope=EVERYTHING).values("scope").annotate(first=Min("day"), **sums)
    return [
        Spend(
            day=row["first"], scope=row["scope"], model="", **{name: int(row[f"sum_{name}"]) for name in SUMS}
        )
        for row in rows.order_by("-sum_cost_nano", "scope")[:MOST_SCOPES]
    ]


class DjangoKeyStore(Steps):
    """A KeyStore in one of Django's databases: `NexusFlow(..., keys=DjangoKeyStore())`."""

    async def find(self, id: str) -> Key | None:
        def step() -> Key | None:
            row = self._keys.filter(id=id).values().first()
            return None if row is None else key_of_columns(row)

        return await self._run(step)

    async def add(self, key: Key) -> None:
        await self._run(lambda: self._keys.create(**columns_of_key(key)))

    async def end(self, id: str, *, expires_at: int | None = None, revoked_at: int | None = None) -> bool:
        times = {"expires_at": expires_at, "revoked_at": revoked_at}
        values = {name: at for name, at in times.items() if at is not None}
        if not values:
            return await self.find(id) is not None
        return bool(await self._run(lambda: self._keys.filter(id=id).update(**values)))

    async def replaced(self, id: str, by: str, *, expires_at: int | None) -> bool:
        def step() -> bool:
            old = self._keys.filter(id=id, replaced_by=None)
            return bool(old.update(replaced_by=by, expires_at=expires_at))

        return await self._run(step)

    async def list(self, *, after: str = "", limit: int = 1000) -> Sequence[Key]:
        def step() -> Sequence[Key]:
            return [
                key_of_columns(row) for row in self._keys.filter(id__gt=after).order_by("id")[:limit].values()
            ]

        return await self._run(step)

    @property
    def _keys(self) -> Any:
        return KeyRow.objects.using(self._using)
