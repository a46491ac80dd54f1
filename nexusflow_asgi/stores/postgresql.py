"""PostgresStore: holds and settles in one statement each, so in one round trip."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Table, Text, bindparam, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from nexusflow_asgi.stores.protocol import MissingWindowError, RefusedError
from nexusflow_asgi.stores.sqlalchemy import SqlStore
from nexusflow_asgi.stores.tables import Tables
from nexusflow_core.budgets import Balance, Charge, Claim, Hold, Settled, decide

__all__ = ["PostgresStore"]

_HOLD = """
WITH claim AS (
    SELECT * FROM unnest(:keys, :amounts, :limits) AS c(key, amount, most)
), locked AS (
    SELECT w.key, w.used, w.held, w.rest, c.amount, c.most
    FROM {windows} w JOIN claim c ON c.key = w.key ORDER BY w.key FOR UPDATE OF w
), verdict AS (
    SELECT count(*) = :count AND coalesce(bool_and(most IS NULL OR used + held < most), false) AS ok FROM locked
), raised AS (
    UPDATE {windows} w SET held = w.held + l.amount FROM locked l, verdict v WHERE w.key = l.key AND v.ok
), noted AS (
    INSERT INTO {holds} (request_id, "window", amount, expires_at, lost)
    SELECT :request_id, l.key, l.amount, :expires_at, false FROM locked l, verdict v WHERE v.ok
)
SELECT l.key, l.used, l.held, l.rest, v.ok FROM locked l, verdict v
"""
"""Row locks are taken in the order of the keys, so two calls cannot wait for each other. A row that another
call has just changed is read again after the wait."""

_SETTLE = """
WITH given AS (
    DELETE FROM {holds} WHERE request_id = :request_id RETURNING "window" AS key, amount, lost
), change AS (
    SELECT g.key, coalesce(c.used, 0) - CASE WHEN g.lost THEN g.amount ELSE 0 END AS used,
           coalesce(c.rest, 0) AS rest, CASE WHEN g.lost THEN 0 ELSE -g.amount END AS held
    FROM given g LEFT JOIN unnest(:keys, :used, :rest) AS c(key, used, rest) ON c.key = g.key
), locked AS (
    SELECT w.key FROM {windows} w JOIN change c ON c.key = w.key ORDER BY w.key FOR UPDATE OF w
)
UPDATE {windows} w SET used = w.used + c.used, rest = w.rest + c.rest, held = w.held + c.held
FROM change c, locked l WHERE w.key = c.key AND w.key = l.key
RETURNING w.key, w.used, w.held, w.rest, c.used AS more_used, c.held AS more_held, c.rest AS more_rest
"""

_KEYS = bindparam("keys", type_=ARRAY(Text))


class PostgresStore(SqlStore):
    """A SqlStore on PostgreSQL. Its statements commit by themselves."""

    one_statement = True

    def __init__(self, where: AsyncEngine | str, tables: Tables | None = None) -> None:
        super().__init__(where, tables)
        amounts, limits, used, rest = (
            bindparam(name, type_=ARRAY(BigInteger)) for name in ("amounts", "limits", "used", "rest")
        )
        numbers = (bindparam(name, type_=BigInteger) for name in ("count", "expires_at"))
        self._hold_statement = self._statement(_HOLD, _KEYS, amounts, limits, *numbers)
        self._settle_statement = self._statement(_SETTLE, _KEYS, used, rest)

    async def _hold(
        self, connection: AsyncConnection, request_id: str, claims: list[Claim], expires_at: int
    ) -> Hold:
        values = {
            "keys": [claim.window.key for claim in claims],
            "amounts": [claim.amount for claim in claims],
            "limits": [claim.limit for claim in claims],
            "count": len(claims),
            "request_id": request_id,
            "expires_at": expires_at,
        }
        rows: Any = (await connection.execute(self._hold_statement, values)).all()
        found = {str(row.key): Balance(row.used, row.held, row.rest) for row in rows}
        if len(found) < len(claims):
            raise MissingWindowError
        if not rows[0].ok and (refusal := decide(claims, found)) is not None:
            raise RefusedError(refusal)
        balances = tuple(found[claim.window.key] for claim in claims)
        return Hold(request_id, tuple(claims), balances, expires_at)

    async def _settle(
        self, connection: AsyncConnection, request_id: str, charges: Sequence[Charge]
    ) -> list[Settled]:
        values = {
            "request_id": request_id,
            "keys": [charge.window for charge in charges],
            "used": [charge.amount for charge in charges],
            "rest": [charge.rest for charge in charges],
        }
        rows: Any = await connection.execute(self._settle_statement, values)
        done: list[Settled] = []
        for row in rows:
            after = Balance(row.used, row.held, row.rest)
            before = Balance(row.used - row.more_used, row.held - row.more_held, row.rest - row.more_rest)
            done.append(Settled(row.key, before, after))
        return sorted(done, key=lambda one: one.window)

    def _insert_if_new(self, table: Table, row: dict[str, Any], dialect: str) -> Any:
        return postgresql.insert(table).values(row).on_conflict_do_nothing()

    def _statement(self, sql: str, *parameters: Any) -> Any:
        windows, holds = self.tables.windows, self.tables.holds
        quoted = postgresql.dialect().identifier_preparer.format_table  # type: ignore[no-untyped-call]
        named = sql.format(windows=quoted(windows), holds=quoted(holds))
        return text(named).bindparams(*parameters)
