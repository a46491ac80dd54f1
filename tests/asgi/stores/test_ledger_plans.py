"""What the spend page asks a database is found by an index, however many rows there are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, event, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from nexusflow_asgi.pages.usage import Asked, Limits, usage_of
from nexusflow_asgi.stores.opening import open_ledger, open_store
from nexusflow_asgi.stores.protocol import LedgerPage
from nexusflow_asgi.stores.tables import Tables
from tests.asgi.stores.services import fresh
from tests.asgi.stores.test_ledger import rows

NOW = 1_795_953_600


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind, by a URL of SQLAlchemy's."""
    with fresh(request.param, tmp_path) as place:
        yield place.replace("sqlite:", "sqlite+aiosqlite:")


async def asked(engine: AsyncEngine) -> list[tuple[str, Any]]:
    """Returns the statements of the page for everything and for a scope, and of later pages of rows."""
    tables = Tables(MetaData(), prefix="shop_")
    async with engine.begin() as connection:
        await connection.run_sync(tables.metadata.create_all)
    ledger, store = open_ledger(engine, tables), open_store(engine, tables)
    await ledger.write(rows(200))
    found: list[tuple[str, Any]] = []

    def keep(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        found.append((statement, parameters))

    event.listen(engine.sync_engine, "before_cursor_execute", keep)
    for scope in ("", "team:red"):
        usage = await usage_of(Asked(scope, 30), ledger, Limits(store), now=NOW)
        assert usage["total"]["calls"] == 200
    newest, oldest = ((row.started_ms, row.request_id) for row in (rows(200)[190], rows(200)[10]))
    for behind, oldest_first in ((oldest, False), (newest, True)):  # a tenth of the rows
        page = LedgerPage(behind=behind, oldest_first=oldest_first, limit=5)
        assert len(await ledger.rows(page)) == 5
    event.remove(engine.sync_engine, "before_cursor_execute", keep)
    return found


async def plan(connection: AsyncConnection, statement: str, parameters: Any) -> str:
    """Returns how the database would look for the rows if there were many."""
    dialect = connection.dialect.name
    if dialect == "postgresql":  # with few rows it reads the whole table, so that is forbidden
        await connection.execute(text("SET LOCAL enable_seqscan = off"))
    words = "EXPLAIN QUERY PLAN " if dialect == "sqlite" else "EXPLAIN "
    lines = (await connection.exec_driver_sql(words + statement, parameters)).mappings()
    return "\n".join(str(dict(line)) for line in lines)


def whole_tables(dialect: str, shown: str) -> bool:
    """True if a table is read from end to end."""
    if dialect == "sqlite":
        return any("SCAN shop_" in line and "INDEX" not in line for line in shown.splitlines())
    if dialect == "postgresql":
        return "Seq Scan" in shown
    return "'type': 'ALL'" in shown


def test_every_question_has_an_index(url: str) -> None:
    """Sums of days, of a scope, of all scopes; recent refusals; pages of rows; windows of a scope.

    The engine is the host's own, and so is the prefix of the tables.
    """

    async def main() -> list[str]:
        engine = create_async_engine(url)
        try:
            statements = await asked(engine)
            assert len(statements) >= 8
            found: list[str] = []
            for statement, parameters in statements:
                async with engine.begin() as connection:
                    shown = await plan(connection, statement, parameters)
                    every_window = "shop_windows" in statement and "scope =" not in statement
                    if whole_tables(connection.dialect.name, shown) and not every_window:
                        found.append(f"{statement}\n{shown}")
            return found
        finally:
            await engine.dispose()

    assert asyncio.run(main()) == []
