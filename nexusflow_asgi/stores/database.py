"""Database: transactions in SQLite, MariaDB or PostgreSQL through SQLAlchemy's async engines. For asyncio."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import MetaData, event
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from nexusflow_asgi.stores.tables import Tables

__all__ = ["Database"]

T = TypeVar("T")

_TRIES = 6
_PAUSE = 0.01


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

    async def run(self, step: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Runs `step(connection, ...)` in a transaction. Repeats it after a deadlock or a lost connection.

        Raises SQLAlchemy's errors.
        """
        for tried in range(_TRIES):
            try:
                async with (await self._ready()).begin() as connection:
                    return await step(connection, *arguments)
            except DBAPIError as error:
                if tried + 1 == _TRIES or isinstance(error, ProgrammingError | IntegrityError):
                    raise
            await asyncio.sleep(random.uniform(0, _PAUSE * 2**tried))  # noqa: S311 - only a pause
        raise AssertionError("unreachable")

    async def aclose(self) -> None:
        """Closes this event loop's own engine. A host's engine stays open."""
        engine = self._engines.pop(asyncio.get_running_loop(), None)
        if engine is not None:
            await engine.dispose()

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
                await asyncio.sleep(_PAUSE)
                await self._create(engine)
            self._created = True
        return engine

    async def _create(self, engine: AsyncEngine) -> None:
        async with engine.begin() as connection:
            await connection.run_sync(self.tables.metadata.create_all)


def _engine(url: str) -> AsyncEngine:
    """Returns an engine of our own. SQLite waits for other writers instead of failing at once."""
    if not url.startswith("sqlite"):
        return create_async_engine(url, pool_size=5, max_overflow=10, pool_pre_ping=True)
    engine = create_async_engine(url, connect_args={"timeout": 10})
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
