"""The database, logger and HTTP client of the other examples' hosts."""

import contextlib
import logging
import sqlite3

import anyio.to_thread
import httpx2

from nexusflow_core import CallRecord

log = logging.getLogger("shop.llm")
log.setLevel(logging.INFO)
log.addHandler(logging.FileHandler("host.log"))
log.handlers[0].setFormatter(logging.Formatter(logging.BASIC_FORMAT))


class Ledger:
    """Writes each record into the host's database."""

    async def after(self, record: CallRecord) -> None:
        row = (record.request_id, record.principal, record.metadata.get("team"), record.cost_usd)
        await anyio.to_thread.run_sync(self._insert, row)

    def _insert(self, row: tuple[str | None, ...]) -> None:
        with contextlib.closing(sqlite3.connect("host.sqlite3")) as database, database:
            database.execute("CREATE TABLE IF NOT EXISTS calls (id, principal, team, cost_usd)")
            database.execute("INSERT INTO calls VALUES (?, ?, ?, ?)", row)


async def note(request: httpx2.Request) -> None:
    log.info("%s %s goes out", request.method, request.url.path)


client = httpx2.AsyncClient(event_hooks={"request": [note]})
