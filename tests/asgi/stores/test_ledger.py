"""The ledger in real databases: rows once, sums with them, pages of them; and the hook that writes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from sqlalchemy import MetaData, NullPool
from sqlalchemy.ext.asyncio import create_async_engine

import nexusflow_asgi.ledger
from nexusflow_asgi import NexusFlow
from nexusflow_asgi.ledger import Ledger
from nexusflow_asgi.stores.opening import open_ledger
from nexusflow_asgi.stores.protocol import LedgerPage, LedgerStore
from nexusflow_asgi.stores.tables import Tables
from nexusflow_asgi.unsaved import Unsaved
from nexusflow_core import CallRecord
from nexusflow_core.budgets import Claim, Window
from nexusflow_core.config import decode_config
from nexusflow_core.ledger import LedgerRow, row_of
from tests.asgi.asking import OFFLINE, ask
from tests.asgi.stores.services import DJANGO, fresh, opened, opened_ledger, parameters
from tests.core.ledger.test_ledger import record

Run = Callable[[Callable[[LedgerStore], Awaitable[Any]]], Any]
DAY = int(datetime(2026, 11, 22, tzinfo=UTC).timestamp())


@pytest.fixture(params=parameters("sqlite", "postgresql", "mariadb", *DJANGO))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of each kind."""
    with fresh(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def run(place: str) -> Run:
    """Runs a coroutine with a ledger in it."""

    def run_in(step: Callable[[LedgerStore], Awaitable[Any]]) -> Any:
        async def whole() -> Any:
            store = opened_ledger(place)
            try:
                return await step(store)
            finally:
                await store.aclose()

        return asyncio.run(whole())

    return run_in


def rows(number: int, **changes: Any) -> list[LedgerRow]:
    begun = datetime(2026, 11, 22, 12, tzinfo=UTC)
    return [
        row_of(record(request_id=f"req_{n:04}", started_at=begun + timedelta(seconds=n), **changes))
        for n in range(number)
    ]


def test_a_row_is_written_once(run: Run) -> None:
    """However often it comes; the sums count it once, and it comes back as it was."""

    async def life(store: LedgerStore) -> None:
        some = rows(5, metadata={"note": "ünïcode 'n' \\"})
        assert await store.write(some[:3]) == 3
        assert await store.write([*some, *some]) == 2
        assert await store.write(some) == 0
        found = await store.rows(LedgerPage())
        assert found == some[::-1]
        [spend] = await store.spending(since=DAY, until=DAY + 86400)
        assert (spend.calls, spend.day, spend.model) == (5, DAY, "claude-haiku-4-5")
        assert spend.cost_femto == 5 * 2_550_000_000_001

    run(life)


def test_writers_at_once_count_each_row_once(run: Run) -> None:
    """As two processes that recover the same calls would."""

    async def life(store: LedgerStore) -> None:
        some = rows(40)
        parts = [some[start : start + 20] for start in (0, 10, 20, 5, 15)]
        assert sum(await asyncio.gather(*[store.write(part) for part in parts])) == 40
        [spend] = await store.spending(since=DAY, until=DAY + 86400)
        assert spend.calls == len(await store.rows(LedgerPage())) == 40

    run(life)


def test_pages_of_rows(run: Run) -> None:
    """Newest first, by time and id, with an end, a scope or an ending."""

    async def life(store: LedgerStore) -> None:
        some = rows(6)
        refused = rows(9, ending="refused", status=429, usage=None, cost_usd=None, scopes=("team:a_b",))[6:]
        await store.write([*some, *refused])
        first = await store.rows(LedgerPage(limit=4))
        last = first[-1]
        rest = await store.rows(LedgerPage(behind=(last.started_ms, last.request_id)))
        assert [*first, *rest] == [*some, *refused][::-1]
        oldest = await store.rows(LedgerPage(oldest_first=True, behind=(last.started_ms, last.request_id)))
        assert oldest == first[:3][::-1]
        assert len(await store.rows(LedgerPage(ending="refused"))) == 3
        assert len(await store.rows(LedgerPage(scope="team:red"))) == 6
        assert len(await store.rows(LedgerPage(scope="team:a_b"))) == 3
        for none in ("team:re", "eam:red", "team:aXb", "team:%", "Team:red"):
            assert await store.rows(LedgerPage(scope=none)) == []
        since = some[2].started_ms
        assert len(await store.rows(LedgerPage(since=since, until=since + 2000))) == 2

    run(life)


def test_spending_by_scope(run: Run) -> None:
    """Of one scope by day and model, or of every scope, the dearest first."""

    async def life(store: LedgerStore) -> None:
        await store.write(rows(2, scopes=("caller:a",), cost_usd="9000000.000000000000001"))
        other = [msgspec.structs.replace(row, request_id=f"o{row.request_id}") for row in rows(3)]
        await store.write(other)
        found = await store.spending(since=DAY, until=DAY + 86400, scope=None)
        assert [(spend.scope, spend.calls) for spend in found] == [
            ("caller:a", 2),
            ("caller:u1", 3),
            ("team:red", 3),
        ]
        assert found[0].cost_femto == 2 * (9_000_000 * 10**15 + 1)
        assert await store.spending(since=DAY + 86400, until=DAY + 2 * 86400, scope=None) == []
        [mine] = await store.spending(since=DAY, until=DAY + 86400, scope="team:red")
        assert mine.calls == 3

    run(life)


def test_a_lost_call_costs_what_was_held_for_it(place: str, run: Run) -> None:
    """As its cap is charged; the row says that the cost is an expected one."""
    window = Window("team:red|usd|day|1", "team:red", "usd", "day", DAY, DAY + 86400)

    async def hold() -> None:
        store = opened(place)
        await store.hold("req_0000", [Claim(window, 5_000_000)], now=DAY, expires_at=DAY + 60)
        await store.aclose()

    async def life(store: LedgerStore) -> None:
        lost, other = rows(2, ending="lost", cost_usd=None, usage=None, status=None)
        await store.write([lost, other])
        second, first = await store.rows(LedgerPage())
        assert (first.cost_nano, first.cost_flags) == (5_000_000, "expected_cost")
        assert second.cost_nano is None

    asyncio.run(hold())
    run(life)


def test_the_gateway_writes_its_ledger(tmp_path: Path) -> None:
    """`[ledger] url` is all it takes. A clean end loses nothing, whoever called."""
    url = f"sqlite:///{tmp_path}/nexusflow.db"
    config = decode_config(OFFLINE + f'[ledger]\nurl = "{url}"\n'.encode())
    config.resolve({"SIM_KEY": "sk-ant-simulated"})
    records: list[CallRecord] = []

    class Hook:
        def after(self, it: CallRecord) -> None:
            records.append(it)

    async def calls() -> None:
        async with NexusFlow(config=config, transport="offline", hooks=[Hook()]) as app:
            for _ in range(30):
                assert (await ask(app)).status == 200
            assert (await ask(app, body=b"{")).status == 400

    anyio.run(calls)
    found = _read(url)
    assert {row.request_id for row in found} == {it.request_id for it in records}
    assert len(found) == 31


@pytest.mark.matrix
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_the_ledger_in_the_hosts_own_engine(kind: str, tmp_path: Path) -> None:
    """The host's loop and the ledger's thread use one engine at once. It keeps no connections between them."""
    tables = Tables(MetaData(), prefix="shop_")
    config = decode_config(OFFLINE)
    config.resolve({"SIM_KEY": "sk-ant-simulated"})

    async def host(url: str) -> None:
        engine = create_async_engine(url, poolclass=NullPool)
        async with engine.begin() as connection:
            await connection.run_sync(tables.metadata.create_all)
        store = open_ledger(engine, tables)
        hook = Ledger(lambda: open_ledger(engine, tables))
        async with NexusFlow(config=config, transport="offline", hooks=[hook]) as app:
            for _ in range(5):
                assert (await ask(app)).status == 200
                await store.rows(LedgerPage())
        assert len(await store.rows(LedgerPage())) == 5
        await engine.dispose()

    with fresh(kind, tmp_path) as url:
        asyncio.run(host(url))


def _read(url: str) -> list[LedgerRow]:
    async def read() -> list[LedgerRow]:
        store = open_ledger(url)
        found = await store.rows(LedgerPage(limit=10_000))
        await store.aclose()
        return found

    return asyncio.run(read())


class Flaky:
    """A store that fails until it is told not to."""

    def __init__(self, *, failing: bool) -> None:
        self.failing, self.rows = failing, dict[str, LedgerRow]()

    async def write(self, rows: Sequence[LedgerRow]) -> int:
        if self.failing:
            raise OSError("sk-password-in-a-url")
        self.rows |= {row.request_id: row for row in rows}
        return len(rows)

    async def aclose(self) -> None:
        pass


def test_rows_wait_while_the_database_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They are written once it answers again; the log says it once, without the driver's words."""
    monkeypatch.setattr(nexusflow_asgi.ledger, "_PAUSE_SECONDS", 0.02)
    store: Any = Flaky(failing=True)
    ledger = Ledger(lambda: store)
    for number in range(3):
        ledger.after(record(request_id=f"req_{number}"))
    end = time.monotonic() + 20
    while not ledger.failing:
        assert time.monotonic() < end
        time.sleep(0.01)
    store.failing = False
    ledger.close()
    assert sorted(store.rows) == ["req_0", "req_1", "req_2"]
    assert [it.levelname for it in caplog.records] == ["ERROR"]


def test_what_a_failing_database_did_not_take_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Beside the durable call log, for the next start. Without one, the log says how many are missing."""
    monkeypatch.setattr(nexusflow_asgi.ledger, "CLOSING_SECONDS", 0.05)
    monkeypatch.setattr(nexusflow_asgi.ledger, "_PAUSE_SECONDS", 0.02)
    store: Any = Flaky(failing=True)
    for log in (None, tmp_path / "calls.jsonl"):
        ledger = Ledger(lambda: store, log=log)
        for number in range(3):
            ledger.after(record(request_id=f"req_{number}"))
        ledger.close()
    assert "3 records could not be written and are lost to it" in caplog.text
    assert "3 records could not be written and are kept beside the call log" in caplog.text
    store.failing = False
    ledger = Ledger(lambda: store, log=tmp_path / "calls.jsonl")
    ledger.start()
    ledger.close()
    assert sorted(store.rows) == ["req_0", "req_1", "req_2"]
    assert list(tmp_path.iterdir()) == []


def test_more_records_than_may_wait_are_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls never wait for the database."""
    monkeypatch.setattr(nexusflow_asgi.ledger, "MAX_WAITING", 2)
    store: Any = Flaky(failing=False)
    ledger = Ledger(lambda: store)
    monkeypatch.setattr(ledger, "start", lambda: None)
    for number in range(5):
        ledger.after(record(request_id=f"req_{number}"))
    monkeypatch.undo()
    ledger.start()
    ledger.close()
    assert len(store.rows) == 2
    assert "3 records dropped" in caplog.text


def test_a_damaged_file_of_unsaved_records(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its readable lines count. A file that is still read is not removed."""
    unsaved = Unsaved(tmp_path / "calls.jsonl")
    lines = [msgspec.json.encode(record(request_id=f"req_{n}")) + b"\n" for n in range(3)]
    unsaved.keep([*lines, b'{"torn'])
    batches = unsaved.batches(2)
    assert [it.request_id for it in next(batches)] == ["req_0", "req_1"]
    batches.close()
    assert len(list(tmp_path.iterdir())) == 1
    assert [[it.request_id for it in batch] for batch in unsaved.batches(2)] == [["req_0", "req_1"], ["req_2"]]
    assert list(tmp_path.iterdir()) == []
    assert "cannot be read" in caplog.text


KILLED = """
import os, sys, anyio
from pathlib import Path
from nexusflow_asgi import NexusFlow
from nexusflow_asgi.transports.offline import OfflineTransport
from nexusflow_core.config import decode_config
from tests.asgi.asking import ask

class Hangs(OfflineTransport):
    hang = False
    async def send(self, request):
        if self.hang:
            print("begun", flush=True)
            await anyio.sleep(60)
        return await super().send(request)

async def main():
    config = decode_config(Path(sys.argv[1]).read_bytes())
    transport = Hangs()
    app = NexusFlow(config=config, transport=transport)
    for _ in range(20):
        assert (await ask(app)).status == 200
    transport.hang = True
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(ask, app)

os.environ["SIM_KEY"] = "sk-ant-simulated"
anyio.run(main)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a durable log needs the file locks of POSIX")
def test_after_a_kill_everything_begun_is_accounted_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The durable log is the write-ahead log: its finished calls and its lost ones are in the ledger, once."""
    url = f"sqlite:///{tmp_path}/nexusflow.db"
    file = tmp_path / "nexusflow.toml"
    log = f'[log]\ncalls = "{tmp_path}/calls.jsonl"\ndurable = true\n'
    text = f'{OFFLINE.decode()}\n{log}[ledger]\nurl = "{url}"\n'
    file.write_text(text)
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(file)], stdout=subprocess.PIPE, env=environ
    )
    assert process.stdout is not None
    for _ in range(3):
        assert process.stdout.readline() == b"begun\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL

    monkeypatch.setenv("SIM_KEY", "sk-ant-simulated")

    async def again() -> None:
        async with NexusFlow(config=decode_config(file.read_bytes()), transport="offline") as app:
            assert (await ask(app)).status == 200

    anyio.run(again)
    found = _read(url)
    assert sorted([row.ending for row in found]) == ["complete"] * 21 + ["lost"] * 3
    assert list(tmp_path.glob("*.unsaved")) == []
    anyio.run(again)
    assert len(_read(url)) == 25
