"""Budgets when something fails: the store hangs or refuses, clients leave, clocks differ, streams last."""

from __future__ import annotations

import json
import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexusflow_asgi.budgets import keeper as keeping
from nexusflow_asgi.stores import MemoryStore, open_store
from nexusflow_asgi.stores.opening import open_ledger
from nexusflow_asgi.stores.protocol import LedgerPage
from nexusflow_core.budgets import Balance
from tests.asgi.asking import BODY, LIMIT, Answer, ask, http_scope
from tests.asgi.test_budgets import Kept, balances, both_backends, cap, gateway

DAY = cap(scope="user:*", window="day", usd="1.00")


class Failing(MemoryStore):
    """Hangs, or raises, while `fails` says so. Counts what it was asked."""

    def __init__(self, how: str = "raises") -> None:
        super().__init__()
        self.how = how
        self.fails = True
        self.asked: list[str] = []

    async def _step(self, name: str) -> None:
        self.asked.append(name)
        if self.fails and self.how == "hangs":
            await anyio.sleep_forever()
        if self.fails:
            raise OSError("connection refused")

    async def hold(self, *arguments: Any, **more: Any) -> Any:
        await self._step("hold")
        return await super().hold(*arguments, **more)

    async def settle(self, *arguments: Any) -> Any:
        await self._step("settle")
        return await super().settle(*arguments)


def failing(how: str, on_failure: str, caplog: Any, backend: str = "asyncio") -> tuple[list[Answer], Failing]:
    """Two calls while the store fails; the store comes back before the gateway closes."""

    async def main() -> tuple[list[Answer], Failing]:
        store = Failing(how)
        text = f'{DAY}\n[budgets]\non_failure = "{on_failure}"\ndeadline = 0.05\n'
        app = gateway(text, store=store)
        answers = [await ask(app), await ask(app)]
        store.fails = False
        await app.aclose()
        return answers, store

    with caplog.at_level(logging.ERROR, "nexusflow"):
        return anyio.run(main, backend=backend)


@both_backends
@pytest.mark.parametrize("how", ["hangs", "raises"])
def test_a_store_that_fails_closed(how: str, backend: str, caplog: pytest.LogCaptureFixture) -> None:
    """529 within the deadline, in Anthropic's shape, and the log says why. The second call asks nothing."""
    answers, store = failing(how, "refuse", caplog, backend)
    assert [(one.status, one.error) for one in answers] == [(529, "overloaded_error")] * 2
    assert "budgets cannot be checked" in answers[0].json["error"]["message"]
    assert answers[0].value(b"retry-after") == b"5"
    assert store.asked.count("hold") == 1
    assert "its budgets could not be checked" in caplog.text


@pytest.mark.parametrize("how", ["hangs", "raises"])
def test_a_store_that_fails_open(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """By setting, calls go on, and the log has an error for each cause."""
    answers, _ = failing(how, "allow", caplog)
    assert [one.status for one in answers] == [200, 200]
    assert "its budgets could not be checked" in caplog.text


def test_a_settlement_waits_for_the_store(caplog: pytest.LogCaptureFixture) -> None:
    """Settling never fails: what the store could not take is charged when it is back."""

    async def main() -> None:
        store, kept = Failing(), Kept()
        store.fails = False
        app = gateway(DAY, store=store, hooks=[kept])
        assert (await ask(app)).status == 200
        used = (await balances(store))["user:u1|usd|day"]
        body = BODY.replace(b"hello", b"hello again")
        original = store.hold

        async def hold_then_fail(*arguments: Any, **more: Any) -> Any:
            found = await original(*arguments, **more)
            store.fails = True
            return found

        store.hold = hold_then_fail  # type: ignore[method-assign]
        assert (await ask(app, body=body)).status == 200
        held = (await balances(store))["user:u1|usd|day"]
        assert (held.used, held.held > 0) == (used.used, True)
        store.fails = False
        await app.aclose()
        total = sum(int(Decimal(record.cost_usd or 0) * 10**15) for record in kept.records)
        left = (await balances(store))["user:u1|usd|day"]
        assert (left.femto_usd, left.held) == (total, 0)

    anyio.run(main)
    assert "will be settled later" in caplog.text


@both_backends
def test_a_client_that_leaves_releases_its_hold(backend: str) -> None:
    """In the middle of its body, or of its answer: nothing stays held."""

    async def leave(app: Any, after: int) -> None:
        """Receives so many messages of the answer, and leaves."""
        scope, sent = http_scope(), 0
        body = json.loads(BODY) | {"stream": True}
        incoming: list[Any] = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]
        gone = anyio.Event()

        async def receive() -> Any:
            if incoming:
                return incoming.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal sent
            sent += 1
            if sent >= after:
                gone.set()
                raise OSError("gone")

        with anyio.fail_after(LIMIT):
            await app(scope, receive, send)

    async def main() -> None:
        store, kept = MemoryStore(), Kept()
        app = gateway(DAY, store=store, hooks=[kept])
        for after in (1, 2, 3):
            await leave(app, after)
        await app.aclose()
        assert all(record.ending == "client_gone" for record in kept.records)
        left = (await balances(store))["user:u1|usd|day"]
        assert left.held == 0
        assert left.used > 0, "an answer that began is not free"

    anyio.run(main, backend=backend)


def test_a_cancelled_call_gives_its_hold_back() -> None:
    """The host ends the task while the store is being asked; the hold was made all the same."""

    async def main() -> None:
        store = Failing("hangs")
        app = gateway(DAY, store=store)
        original = MemoryStore.hold

        async def hold_and_hang(*arguments: Any, **more: Any) -> Any:
            await original(store, *arguments, **more)
            await anyio.sleep_forever()

        store.hold = hold_and_hang  # type: ignore[method-assign]
        with anyio.move_on_after(0.05):
            await ask(app)
        assert (await balances(store))["user:u1|usd|day"].held > 0
        store.fails = False
        await app.aclose()
        assert (await balances(store))["user:u1|usd|day"] == Balance()

    anyio.run(main)


def test_a_running_stream_keeps_its_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """It outlasts the expiry, because it is renewed; another gateway's sweep leaves it alone."""
    monkeypatch.setattr(keeping, "RENEW_SECONDS", 0.01)

    async def main() -> None:
        store, now = MemoryStore(), [1_790_000_000.0]
        app = gateway(DAY, store=store)
        app._budgets._clock = lambda: now[0]
        renewed = anyio.Event()
        original = store.renew

        async def renew(ids: Any, *, expires_at: int) -> None:
            await original(ids, expires_at=expires_at)
            if expires_at >= now[0] + keeping.HOLD_SECONDS:
                renewed.set()

        store.renew = renew  # type: ignore[method-assign]
        inside, go = anyio.Event(), anyio.Event()

        class Waiting:
            async def before(self, call: Any) -> None:
                inside.set()
                await go.wait()

        app.add_hook(Waiting())
        async with anyio.create_task_group() as group:
            group.start_soon(ask, app)
            await inside.wait()
            for _ in range(5):
                now[0] += keeping.HOLD_SECONDS - 30
                renewed = anyio.Event()
                await renewed.wait()
                assert await store.sweep(now=int(now[0])) == []
            go.set()
        [left] = (await balances(store)).values()
        assert (left.held, left.used > 0) == (0, True)
        await app.aclose()

    anyio.run(main)


def test_two_gateways_with_different_clocks() -> None:
    """One is a minute ahead, over the end of a day: each counts in its window, and nothing counts twice."""

    async def main() -> None:
        store = MemoryStore()
        end = 1_790_035_200 // 86400 * 86400
        first, second = gateway(DAY, store=store), gateway(DAY, store=store)
        first._budgets._clock = lambda: end - 30.0
        second._budgets._clock = lambda: end + 30.0
        for app in (first, second, first):
            assert (await ask(app)).status == 200
        found = {one.window.starts_at: one.balance for one in await store.windows(now=0)}
        assert sorted(found) == [end - 86400, end]
        assert all(balance.held == 0 for balance in found.values())
        assert found[end - 86400].used == 2 * found[end].used > 0
        await first.aclose()
        await second.aclose()

    anyio.run(main)


@settings(max_examples=25)
@given(st.lists(st.sampled_from(["hello", "say 20 tokens", "simulate error api_error", "simulate truncation"])))
def test_windows_have_the_sum_of_the_records(texts: list[str]) -> None:
    """Whatever happens to the calls: the cost of all records is what the windows of every scope hold."""

    async def main() -> None:
        store, kept = MemoryStore(), Kept()
        caps = (
            DAY + cap(scope="team:*", window="month", usd="1") + cap(scope="team:*", window=60, requests=10**6)
        )
        app = gateway(caps + "\n[retry]\nattempts = 1\n", store=store, hooks=[kept])
        for text in texts:
            for stream in (False, True):
                body = json.loads(BODY) | {"stream": stream}
                body["messages"][0]["content"] = text
                await ask(app, body=json.dumps(body).encode())
        await app.aclose()
        total = sum(int(Decimal(record.cost_usd or 0) * 10**15) for record in kept.records)
        for key, balance in (await balances(store)).items():
            assert balance.held == 0
            expected = len(kept.records) if "requests" in key else total
            assert (balance.used if "requests" in key else balance.femto_usd) == expected

    anyio.run(main)


def test_the_ledger_the_records_and_the_windows_agree(tmp_path: Path) -> None:
    """One database has the sum of all calls three times, to the femto-dollar."""
    url = f"sqlite:///{tmp_path}/books.db"

    async def main() -> None:
        kept = Kept()
        app = gateway(f'{DAY}\n[ledger]\nurl = "{url}"\n', hooks=[kept])
        for text in ("hello", "simulate error invalid_request_error", "say 20 tokens", "simulate truncation"):
            await ask(app, body=BODY.replace(b"hello", text.encode()))
        await app.aclose()
        total = sum(int(Decimal(record.cost_usd or 0) * 10**15) for record in kept.records)
        store, ledger = open_store(url), open_ledger(url)
        [window] = await store.windows(now=0)
        rows = await ledger.rows(LedgerPage(since=0))
        await store.aclose()
        await ledger.aclose()
        assert len(rows) == len(kept.records) == 4
        assert sum((row.cost_nano or 0) * 10**6 + (row.cost_rest or 0) for row in rows) == total > 0
        assert (window.balance.femto_usd, window.balance.held) == (total, 0)

    anyio.run(main)
