"""Database: transactions in SQLite, MariaDB or PostgreSQL through SQLAlchemy's async engines. For asyncio."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import MetaData, event
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from nexusflow_asgi.stores.protocol import PAUSE, TRIES, pause_after
from nexusflow_asgi.stores.tables import Tables

__all__ = ["Database"]

T = TypeVar("T")

_CONNECTIONS = 4
"""Connections of one process: a step takes a millisecond, and a server may have a hundred in all."""


class Database:
    """Runs steps in transactions, on any event loop of asyncio.

    `where`: the host's engine, whose migrations create `tables`; or a URL with a driver, for which it makes
    engines and tables itself. `open_database` knows the drivers.
    """

    def __init__(self, where: AsyncEngine | str, tables: Tables | None = None) -> None:
        self.tables = tables or Tables(MetaData())
        self._where = where
        self._engines: WeakKeyDictionary[object, AsyncEngine] = WeakKeyDictionary()
        self._created = not isinstance(where, str)
        self._autocommit: WeakKeyDictionary[AsyncEngine, AsyncEngine] = WeakKeyDictionary()

    async def run(self, step: Callable[..., Awaitable[T]], *arguments: Any, one_statement: bool = False) -> T:
        """Runs `step(connection, ...)` in a transaction. Repeats it after a deadlock or a lost connection.

        `one_statement`: the step is a single statement, which needs no BEGIN and no COMMIT of its own. Raises
        SQLAlchemy's errors.
        """
        for tried in range(TRIES):
            try:
                async with self._transaction(await self._ready(), one_statement) as connection:
                    return await step(connection, *arguments)
            except DBAPIError as error:
                if tried + 1 == TRIES or isinstance(error, ProgrammingError | IntegrityError):
                    raise
            await asyncio.sleep(pause_after(tried))
        raise AssertionError("unreachable")

    async def aclose(self) -> None:
        """Closes this event loop's own engine. A host's engine stays open."""
        engine = self._engines.pop(asyncio.get_running_loop(), None)
        if engine is not None:
            await engine.dispose()

    def _transaction(
        self, engine: AsyncEngine, one_statement: bool
    ) -> AbstractAsyncContextManager[AsyncConnection]:
        if not one_statement:
            return engine.begin()
        own = self._autocommit.get(engine)
        if own is None:
            own = self._autocommit[engine] = engine.execution_options(isolation_level="AUTOCOMMIT")
        return own.connect()

    async def _ready(self) -> AsyncEngine:
        """Returns the engine of this event loop."""
        if not isinstance(self._where, str):
            return self._where
        loop = asyncio.get_running_loop()
        engine = self._engines.get(loop)
        if engine is None:
            engine = self._engines[loop] = _engine(self._where)
        if not self._created:
            try:
                await self._create(engine)
            except DBAPIError:  # another process creates them at this moment
                await asyncio.sleep(PAUSE)
                await self._create(engine)
            self._created = True
        return engine

    async def _create(self, engine: AsyncEngine) -> None:
        async with engine.begin() as connection:
            await connection.run_sync(self.tables.metadata.create_all)


def _engine(url: str) -> AsyncEngine:
    """Returns an engine of our own. SQLite waits for other writers instead of failing at once."""
    if not url.startswith("sqlite"):
        return create_async_engine(url, pool_size=_CONNECTIONS, max_overflow=0)
    engine = create_async_engine(url, connect_args={"timeout": 10})
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
