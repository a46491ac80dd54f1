"""SqlLedger: the rows of the ledger in a database. Rows and sums are written in one transaction."""

from collections.abc import Sequence
from typing import Any, cast

import msgspec
from msgspec.structs import replace
from sqlalchemy import Select, desc, func, insert, literal, select
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from nexusflow_asgi.stores.database import Database
from nexusflow_asgi.stores.protocol import MOST_SCOPES, LedgerPage
from nexusflow_core.ledger import EVERYTHING, SUMS, LedgerRow, Spend, spends_of

__all__ = ["SqlLedger"]

_TRIES = 5


class SqlLedger:
    """A LedgerStore in a database. `open_ledger(url or engine)` makes one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._calls, self._spending = database.tables.calls, database.tables.spending

    async def write(self, rows: Sequence[LedgerRow]) -> int:
        unique = {row.request_id: row for row in rows}
        for tried in range(_TRIES):
            try:
                return await self._database.run(self._write, unique)
            except IntegrityError:  # another process wrote one of these rows at the same moment
                if tried + 1 == _TRIES:
                    raise
        raise AssertionError("unreachable")

    async def rows(self, page: LedgerPage) -> list[LedgerRow]:
        async def step(connection: AsyncConnection) -> list[LedgerRow]:
            wanted = self._page(page, connection.dialect.name)
            return [_row(row) for row in await connection.execute(wanted)]

        return await self._database.run(step)

    async def spending(self, *, since: int, until: int, scope: str | None = EVERYTHING) -> list[Spend]:
        columns = self._spending.c
        wanted: Select[Any] = select(self._spending).where(columns.day >= since, columns.day < until)
        if scope is not None:
            wanted = wanted.where(columns.scope == scope).order_by(columns.day, columns.model)
        else:
            wanted = self._by_scope(since, until)

        async def step(connection: AsyncConnection) -> list[Spend]:
            found = await connection.execute(wanted)
            return [
                Spend(**{name: _whole(value) for name, value in row._mapping.items()})
                for row in cast(Any, found)
            ]

        return await self._database.run(step)

    async def aclose(self) -> None:
        await self._database.aclose()

    async def _write(self, connection: AsyncConnection, rows: dict[str, LedgerRow]) -> int:
        ids = select(self._calls.c.request_id).where(self._calls.c.request_id.in_(list(rows)))
        known = set(await connection.scalars(ids))
        new = [row for id, row in sorted(rows.items()) if id not in known]
        if not new:
            return 0
        new = await self._with_expected_costs(connection, new)
        await connection.execute(insert(self._calls), [msgspec.structs.asdict(row) for row in new])
        spends = [msgspec.structs.asdict(spend) for spend in spends_of(new)]
        await connection.execute(self._adding(connection.dialect.name), spends)
        return len(new)

    async def _with_expected_costs(self, connection: AsyncConnection, rows: list[LedgerRow]) -> list[LedgerRow]:
        """Returns lost calls with the cost that was held for them, flagged: their caps are charged the same."""
        lost = [row.request_id for row in rows if row.ending == "lost" and row.cost_nano is None]
        if not lost:
            return rows
        holds, windows = self._database.tables.holds, self._database.tables.windows
        held = (
            select(holds.c.request_id, func.max(holds.c.amount))
            .join(windows, windows.c.key == holds.c.window)
            .where(holds.c.request_id.in_(lost), windows.c.unit == "usd")
            .group_by(holds.c.request_id)
        )
        expected = {id: int(amount) for id, amount in await connection.execute(held)}
        return [
            replace(row, cost_nano=expected[row.request_id], cost_rest=0, cost_flags="expected_cost")
            if row.request_id in expected
            else row
            for row in rows
        ]

    def _adding(self, dialect: str) -> Any:
        """Returns the statement that adds to a sum, or begins it."""
        table = self._spending
        if dialect in ("mysql", "mariadb"):
            new = mysql.insert(table)
            return new.on_duplicate_key_update({name: table.c[name] + new.inserted[name] for name in SUMS})
        kind: Any = postgresql.insert if dialect == "postgresql" else sqlite.insert
        new = kind(table)
        sums = {name: table.c[name] + new.excluded[name] for name in SUMS}
        return new.on_conflict_do_update(index_elements=["day", "scope", "model"], set_=sums)

    def _page(self, page: LedgerPage, dialect: str) -> Select[Any]:
        columns = self._calls.c
        wanted = select(self._calls).where(columns.started_ms >= page.since)
        if page.until is not None:
            wanted = wanted.where(columns.started_ms < page.until)
        if page.ending is not None:
            wanted = wanted.where(columns.ending == page.ending)
        if page.scope is not None:
            find = func.strpos if dialect == "postgresql" else func.instr  # LIKE would ignore case
            lines = literal("\n") + columns.scopes + literal("\n")
            wanted = wanted.where(find(lines, f"\n{page.scope}\n") > 0)
        if page.behind is not None:  # MariaDB finds no index for a comparison of two columns at once
            at, id = page.behind
            if page.oldest_first:
                after = (columns.started_ms > at) | (columns.request_id > id)
                wanted = wanted.where(columns.started_ms >= at, after)
            else:
                before = (columns.started_ms < at) | (columns.request_id < id)
                wanted = wanted.where(columns.started_ms <= at, before)
        order = (columns.started_ms, columns.request_id)
        return wanted.order_by(*(order if page.oldest_first else map(desc, order))).limit(page.limit)

    def _by_scope(self, since: int, until: int) -> Select[Any]:
        """Returns the sums of the scopes with the most cost."""
        columns = self._spending.c
        sums = [func.sum(columns[name]).label(name) for name in SUMS]
        day, model = func.min(columns.day).label("day"), func.min("").label("model")
        wanted = select(day, columns.scope, model, *sums).where(columns.day >= since, columns.day < until)
        grouped = wanted.where(columns.scope != EVERYTHING).group_by(columns.scope)
        return grouped.order_by(func.sum(columns.cost_nano).desc(), columns.scope).limit(MOST_SCOPES)


def _row(row: Any) -> LedgerRow:
    members = dict(row._mapping)
    members["stream"] = bool(members["stream"])
    return LedgerRow(**members)


def _whole(value: Any) -> Any:
    """Returns a sum as int: databases add up integers as decimals."""
    return value if isinstance(value, str) else int(value)
