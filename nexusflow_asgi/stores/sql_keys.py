"""SqlKeyStore: gateway keys in a database."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from nexusflow_asgi.stores.database import Database
from nexusflow_asgi.stores.key_store import columns_of_key, key_of_columns
from nexusflow_core.keys import Key

__all__ = ["SqlKeyStore"]


class SqlKeyStore:
    """A KeyStore in a database. `open_key_store(url or engine)` makes one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table = database.tables.keys

    async def find(self, id: str) -> Key | None:
        async def step(connection: AsyncConnection) -> Key | None:
            rows: Any = await connection.execute(select(self._table).where(self._table.c.id == id))
            row = rows.mappings().one_or_none()
            return None if row is None else key_of_columns(row)

        return await self._database.run(step)

    async def add(self, key: Key) -> None:
        row = columns_of_key(key)

        async def step(connection: AsyncConnection) -> None:
            await connection.execute(insert(self._table).values(row))

        await self._database.run(step)

    async def end(self, id: str, *, expires_at: int | None = None, revoked_at: int | None = None) -> bool:
        times = {"expires_at": expires_at, "revoked_at": revoked_at}
        values = {name: at for name, at in times.items() if at is not None}
        if not values:
            return await self.find(id) is not None
        return await self._change(self._table.c.id == id, values)

    async def replaced(self, id: str, by: str, *, expires_at: int | None) -> bool:
        which = (self._table.c.id == id) & self._table.c.replaced_by.is_(None)
        return await self._change(which, {"replaced_by": by, "expires_at": expires_at})

    async def list(self, *, after: str = "", limit: int = 1000) -> Sequence[Key]:
        async def step(connection: AsyncConnection) -> list[Key]:
            columns = self._table.c
            wanted = select(self._table).where(columns.id > after).order_by(columns.id).limit(limit)
            rows: Any = await connection.execute(wanted)
            return [key_of_columns(row) for row in rows.mappings()]

        return await self._database.run(step)

    async def aclose(self) -> None:
        await self._database.aclose()

    async def _change(self, which: Any, values: dict[str, Any]) -> bool:
        async def step(connection: AsyncConnection) -> bool:
            return (await connection.execute(update(self._table).where(which).values(values))).rowcount == 1

        return await self._database.run(step)
