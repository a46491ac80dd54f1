"""SqlStore: windows and holds in SQLite, MariaDB or PostgreSQL, through SQLAlchemy's async engines."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table, and_, delete, insert, select, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from nexusflow_asgi.stores.database import Database
from nexusflow_asgi.stores.protocol import (
    ARMED,
    KEPT_SECONDS,
    SWEPT_AT_ONCE,
    TRIES,
    Lost,
    MissingWindowError,
    OpenWindow,
    RefusedError,
    balance_before,
)
from nexusflow_asgi.stores.tables import Tables
from nexusflow_core.budgets import Balance, Charge, Claim, Hold, Refusal, Settled, Window, decide
from nexusflow_core.budgets.holds import EMPTY

__all__ = ["SqlStore"]


class SqlStore:
    """A CapStore in a database: each step is one transaction that begins with a write. For asyncio.

    `where`: the host's engine, whose migrations create `tables`; or a URL such as `sqlite:///nexusflow.db`. For
    a URL the store makes engines and tables itself. `open_store` chooses the class for a database.
    """

    one_statement = False
    """True where a hold is one statement, and a settlement is one."""

    def __init__(self, where: AsyncEngine | str, tables: Tables | None = None) -> None:
        self._database = Database(where, tables)
        self.tables = self._database.tables
        self._run = self._database.run

    # The steps of CapStore

    async def hold(
        self, request_id: str, claims: Sequence[Claim], *, now: int, expires_at: int
    ) -> Hold | Refusal:
        claims = sorted(claims, key=lambda claim: claim.window.key)
        for _ in range(TRIES):
            try:
                return await self._run(
                    self._hold, request_id, claims, expires_at, one_statement=self.one_statement
                )
            except RefusedError as error:
                return error.refusal
            except IntegrityError:  # held before, by a try whose answer was lost
                before = await self._run(self._balances, claims)
                found = tuple(before.get(claim.window.key, EMPTY) for claim in claims)
                return Hold(request_id, tuple(claims), found, expires_at)
            except MissingWindowError:
                await self._run(self._add_windows, [claim.window for claim in claims])
        raise RuntimeError("the rows of windows disappear as soon as they are written")

    async def settle(self, request_id: str, charges: Sequence[Charge]) -> list[Settled]:
        return await self._run(self._settle, request_id, charges, one_statement=self.one_statement)

    async def renew(self, request_ids: Sequence[str], *, expires_at: int) -> None:
        holds = self.tables.holds.c

        async def step(connection: AsyncConnection) -> None:
            which = and_(holds.request_id.in_(request_ids), holds.lost.is_(False))
            await connection.execute(update(self.tables.holds).where(which).values(expires_at=expires_at))

        await self._run(step)

    async def sweep(self, *, now: int) -> list[Lost]:
        found = await self._run(self._expired, now)
        lost = [one for one in found if await self._run(self._lose, one, now)]
        await self._run(self._forget, now - KEPT_SECONDS)
        return lost

    async def arm(self, meter: str, seconds: int, *, now: int) -> int:
        windows = self.tables.windows.c
        key = f"{meter}|{ARMED}"
        row = Window(key, "", ARMED, str(seconds), now, now + seconds)  # type: ignore[arg-type]

        async def step(connection: AsyncConnection) -> int | None:
            over = and_(windows.key == key, windows.ends_at <= now)
            anew = {"starts_at": now, "ends_at": now + seconds}
            await connection.execute(update(self.tables.windows).where(over).values(anew))
            return await connection.scalar(select(windows.starts_at).where(windows.key == key))

        while (start := await self._run(step)) is None:
            await self._run(self._add_windows, [row])
        return start

    async def windows(self, *, now: int, scope: str | None = None, limit: int = 1000) -> list[OpenWindow]:
        table, columns = self.tables.windows, self.tables.windows.c
        wanted = and_((columns.ends_at.is_(None)) | (columns.ends_at > now), columns.unit != ARMED)
        if scope is not None:
            wanted = and_(wanted, columns.scope == scope)

        async def step(connection: AsyncConnection) -> list[OpenWindow]:
            rows = await connection.execute(select(table).where(wanted).order_by(columns.key).limit(limit))
            return [
                OpenWindow(
                    Window(row.key, row.scope, row.unit, row.period, row.starts_at, row.ends_at),
                    Balance(row.used, row.held, row.rest),
                )
                for row in rows
            ]

        return await self._run(step)

    async def aclose(self) -> None:
        """Closes the engine of this event loop that the store has made. A host's engine stays open."""
        await self._database.aclose()

    # What each does inside its transaction

    async def _hold(
        self, connection: AsyncConnection, request_id: str, claims: list[Claim], expires_at: int
    ) -> Hold:
        windows = self.tables.windows.c
        rows = [
            {
                "request_id": request_id,
                "window": claim.window.key,
                "amount": claim.amount,
                "expires_at": expires_at,
                "lost": False,
            }
            for claim in claims
        ]
        await connection.execute(insert(self.tables.holds), rows)
        for claim in claims:
            fits = windows.key == claim.window.key
            if claim.limit is not None:
                fits = and_(fits, windows.used + windows.held < claim.limit)
            raised = update(self.tables.windows).where(fits).values(held=windows.held + claim.amount)
            if (await connection.execute(raised)).rowcount == 0:
                balances = await self._balances(connection, [claim])
                refusal = decide([claim], balances) if balances else None
                raise RefusedError(refusal) if refusal is not None else MissingWindowError
        after = await self._balances(connection, claims)
        found = tuple(balance_before(after[claim.window.key], held=claim.amount) for claim in claims)
        return Hold(request_id, tuple(claims), found, expires_at)

    async def _settle(
        self, connection: AsyncConnection, request_id: str, charges: Sequence[Charge]
    ) -> list[Settled]:
        holds, windows = self.tables.holds.c, self.tables.windows.c
        given = delete(self.tables.holds).where(holds.request_id == request_id)
        rows = (await connection.execute(given.returning(holds.window, holds.amount, holds.lost))).all()
        charged = {charge.window: charge for charge in charges}
        done: list[Settled] = []
        for window, amount, lost in sorted(rows):
            charge = charged.get(window, Charge(window, 0))
            used, held = (charge.amount - amount, 0) if lost else (charge.amount, -amount)
            change = {
                "used": windows.used + used,
                "rest": windows.rest + charge.rest,
                "held": windows.held + held,
            }
            await connection.execute(update(self.tables.windows).where(windows.key == window).values(change))
            after = (await self._balance_rows(connection, [window])).get(window)
            if after is not None:
                done.append(Settled(window, balance_before(after, used, held, charge.rest), after))
        return done

    async def _expired(self, connection: AsyncConnection, now: int) -> list[Lost]:
        holds = self.tables.holds.c
        expired = and_(holds.expires_at <= now, holds.lost.is_(False))
        rows = await connection.execute(
            select(holds.request_id, holds.window, holds.amount).where(expired).limit(SWEPT_AT_ONCE)
        )
        return [Lost(*row) for row in rows]

    async def _lose(self, connection: AsyncConnection, lost: Lost, now: int) -> bool:
        """Charges one expired hold. Returns False if another process did, or its call has ended."""
        holds, windows = self.tables.holds.c, self.tables.windows.c
        which = and_(holds.request_id == lost.request_id, holds.window == lost.window)
        still = and_(which, holds.lost.is_(False), holds.expires_at <= now)
        marked = await connection.execute(update(self.tables.holds).where(still).values(lost=True))
        if marked.rowcount == 0:
            return False
        change = {"used": windows.used + lost.amount, "held": windows.held - lost.amount}
        await connection.execute(update(self.tables.windows).where(windows.key == lost.window).values(change))
        return True

    async def _forget(self, connection: AsyncConnection, before: int) -> None:
        holds, windows = self.tables.holds.c, self.tables.windows.c
        await connection.execute(
            delete(self.tables.holds).where(and_(holds.lost.is_(True), holds.expires_at <= before))
        )
        await connection.execute(
            delete(self.tables.windows).where(and_(windows.ends_at <= before, windows.held == 0))
        )

    async def _add_windows(self, connection: AsyncConnection, windows: Sequence[Window]) -> None:
        """Writes rows for new windows. Another process may do the same at the same moment."""
        for window in windows:
            row: dict[str, Any] = {
                "key": window.key,
                "scope": window.scope,
                "unit": window.unit,
                "period": window.period,
                "starts_at": window.starts_at,
                "ends_at": window.ends_at,
                "used": 0,
                "rest": 0,
                "held": 0,
            }
            await connection.execute(self._insert_if_new(self.tables.windows, row, connection.dialect.name))

    def _insert_if_new(self, table: Table, row: dict[str, Any], dialect: str) -> Any:
        if dialect == "sqlite":
            return sqlite.insert(table).values(row).on_conflict_do_nothing()
        key = table.c.key
        return mysql.insert(table).values(row).on_duplicate_key_update(key=key)

    async def _balances(self, connection: AsyncConnection, claims: Sequence[Claim]) -> dict[str, Balance]:
        return await self._balance_rows(connection, [claim.window.key for claim in claims])

    async def _balance_rows(self, connection: AsyncConnection, keys: Sequence[str]) -> dict[str, Balance]:
        windows = self.tables.windows.c
        wanted = select(windows.key, windows.used, windows.held, windows.rest).where(windows.key.in_(keys))
        return {key: Balance(*amounts) for key, *amounts in await connection.execute(wanted)}
