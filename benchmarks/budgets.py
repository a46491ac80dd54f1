"""What caps and the ledger cost in each store: a hold and its settlement, and a page over a million rows.

The stores are those of the tests: `NEXUSFLOW_TEST_POSTGRESQL`, `NEXUSFLOW_TEST_MARIADB` and
`NEXUSFLOW_TEST_REDIS` name other addresses than the usual ones on loopback. One that does not answer is named
as skipped.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Select, func, insert, literal, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from benchmarks.report import Figure, Row, Table
from nexusflow_asgi.pages.usage import Asked, Limits, usage_of
from nexusflow_asgi.stores.database import Database
from nexusflow_asgi.stores.opening import open_database
from nexusflow_asgi.stores.protocol import LedgerPage
from nexusflow_asgi.stores.sql_ledger import SqlLedger
from nexusflow_core.budgets import Charge, Claim, Window
from nexusflow_core.ledger import SUMS, LedgerRow
from tests.asgi.stores.services import fresh, opened

__all__ = ["SCOPES", "add_rows", "run"]

CALLS_A_SECOND = 200
ROWS = 1_024_000
SCOPES = 200
_DAYS = 90
_NOW = int(datetime(2026, 11, 29, 12, tzinfo=UTC).timestamp())
_BASE = 1000
_MODELS = ("claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-5")


def run(quick: bool) -> tuple[str, list[Table]]:
    """Measures both. A quick run has few calls and few rows, and needs no server."""
    calls, rows = (20, _BASE) if quick else (2000, ROWS)
    servers = () if quick else ("postgresql", "mariadb")
    holding = Table(
        f"hold and settle, {calls} calls at {CALLS_A_SECOND} a second, two windows each",
        ["store", "median ms", "90% ms"],
        *_each(
            ("memory", "sqlite", *servers, *(() if quick else ("redis",))), lambda place: _held(place, calls)
        ),
    )
    reading = Table(
        f"the numbers of the spend page, {rows:,} rows of {SCOPES} scopes in {_DAYS} days",
        ["database", "30 days, everything: ms", "30 days, one scope: ms", "a page of rows: ms"],
        *_each(("sqlite", *servers), lambda place: _read(place, rows)),
    )
    return "Each store is on this machine. The times are those of the whole step, its wait included.", [
        holding,
        reading,
    ]


def _each(
    kinds: Sequence[str], measured: Callable[[str], Coroutine[Any, Any, list[Figure | str | None]]]
) -> tuple[list[Row], list[str]]:
    """The rows of a table, and a note for each store that is not there."""
    rows: list[Row] = []
    notes: list[str] = []
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            try:
                with fresh(kind, Path(folder)) as place:
                    rows.append(Row(kind, asyncio.run(measured(place))))
            except pytest.skip.Exception as skipped:
                notes.append(f"{kind}: skipped, {skipped.msg}")
    return rows, notes


async def _held(place: str, calls: int) -> list[Figure | str | None]:
    """Calls begin at a fixed rate, whether the ones before have ended or not."""
    store = opened(place)
    windows = [
        Window(f"{scope}|usd|day|{_NOW}", scope, "usd", "day", _NOW, _NOW + 86400) for scope in ("u", "t")
    ]
    claims = [Claim(window, 10, 10**12) for window in windows]
    charges = [Charge(window.key, 7, 1) for window in windows]
    taken: list[float] = []

    async def call(number: int) -> None:
        begun = time.perf_counter()
        await store.hold(f"r{number}", claims, now=_NOW, expires_at=_NOW + 120)
        await store.settle(f"r{number}", charges)
        taken.append((time.perf_counter() - begun) * 1000)

    for number in range(10):
        await call(-1 - number)  # connections, statements and windows are there
    taken.clear()
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(calls):
            await asyncio.sleep(max(0.0, begun + number / CALLS_A_SECOND - time.perf_counter()))
            group.create_task(call(number))
    await store.aclose()
    return [Figure.of([statistics.median(taken)]), Figure.of([statistics.quantiles(taken, n=10)[-1]])]


async def _read(place: str, rows: int) -> list[Figure | str | None]:
    database = open_database(place)
    await add_rows(database, rows)
    ledger = SqlLedger(database)

    async def timed(asked: Asked) -> float:
        begun = time.perf_counter()
        usage = await usage_of(asked, ledger, Limits(None), now=_NOW)
        assert usage["total"]["calls"] > 0
        return (time.perf_counter() - begun) * 1000

    async def paged() -> float:
        begun = time.perf_counter()
        middle = ((_NOW - 45 * 86400) * 1000, "")
        assert await ledger.rows(LedgerPage(behind=middle, limit=100))
        return (time.perf_counter() - begun) * 1000

    figures: list[Figure | str | None] = []
    for step in (lambda: timed(Asked("", 30)), lambda: timed(Asked("user:7", 30)), paged):
        await step()
        figures.append(Figure.of([await step() for _ in range(5)]))
    await ledger.aclose()
    return figures


async def add_rows(database: Database, number: int) -> None:
    """Fills a ledger: a thousand rows are inserted, and doubled inside the database; then the sums are made."""
    calls, spending = database.tables.calls, database.tables.spending

    async def begin(connection: AsyncConnection) -> None:
        await connection.execute(insert(calls), [_row(at) for at in range(_BASE)])

    await database.run(begin)
    names = list(calls.c.keys())
    have, turn = _BASE, 0
    while have < number:
        turn += 1
        changed = {
            "request_id": calls.c.request_id + literal(f"-{turn}"),
            "started_ms": calls.c.started_ms + 2**turn * 7,
        }
        columns = [changed.get(name, calls.c[name]) for name in names]
        await database.run(_inserting(calls, names, select(*columns)))
        have *= 2
    milliseconds, thousand = literal_column("86400000"), literal_column("1000")
    day = (calls.c.started_ms - calls.c.started_ms % milliseconds) // thousand
    sums = [func.sum(func.coalesce(getattr(calls.c, name, literal_column("0")), 0)) for name in SUMS]
    sums[0] = func.count()  # of calls
    for scope, groups in ((literal_column("''"), [day]), (calls.c.scopes, [day, calls.c.scopes])):
        wanted = select(day, scope, calls.c.model, *sums).group_by(*groups, calls.c.model)
        await database.run(_inserting(spending, ["day", "scope", "model", *SUMS], wanted))


def _inserting(table: Any, names: Sequence[str], rows: Select[Any]) -> Any:
    async def step(connection: AsyncConnection) -> None:
        await connection.execute(insert(table).from_select(list(names), rows))

    return step


def _row(at: int) -> dict[str, Any]:
    """One call of a base of a thousand, spread over the days."""
    given: dict[str, Any] = {
        "request_id": f"req_{at:05}",
        "started_ms": (_NOW - _DAYS * 86400 * at // _BASE) * 1000,
        "model": _MODELS[at % 3],
        "scopes": f"user:{at % SCOPES}",
        "principal": f"u{at % SCOPES}",
        "ending": "refused" if at % 20 == 0 else "complete",
        "cost_nano": 12_345_678,
        "cost_rest": 1,
    }
    numbers = ("duration_ms", "attempts", "input_tokens", "output_tokens")
    texts = ("endpoint", "metadata", "usage_source", "cost_flags", "details")
    return (
        dict.fromkeys(LedgerRow.__struct_fields__)
        | {"stream": True}
        | dict.fromkeys(numbers, 100)
        | dict.fromkeys(texts, "")
        | given
    )
