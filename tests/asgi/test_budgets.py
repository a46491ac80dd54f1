"""Caps around a call: held before the upstream is asked, settled at every end, refused in Anthropic's words."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import anyio
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.stores import MemoryStore
from nexusflow_core import CallRecord, Principal
from nexusflow_core.budgets import Balance, Cap
from nexusflow_core.config import decode_config
from tests.asgi.asking import BODY, MODEL, OFFLINE, Answer, ask

both_backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])
COST = Decimal("0.000012")


class Kept:
    def __init__(self) -> None:
        self.records: list[CallRecord] = []

    def after(self, record: CallRecord) -> None:
        self.records.append(record)


def gateway(caps: str, *, scopes: Sequence[str] = ("user:u1", "team:red"), **options: Any) -> NexusFlow:
    config = decode_config(OFFLINE + caps.encode())
    config.resolve({"SIM_KEY": "sk-ant-simulated"})
    return NexusFlow(
        config=config,
        transport="offline",
        authenticate=lambda scope: Principal("u1", scopes=tuple(scopes)),
        **options,
    )


async def balances(store: MemoryStore) -> dict[str, Balance]:
    return {one.window.key.rpartition("|")[0]: one.balance for one in await store.windows(now=0)}


def cap(**settings: Any) -> str:
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items())
    return f"\n[[caps]]\n{lines}\n"


@both_backends
def test_a_call_is_settled_at_its_cost(backend: str) -> None:
    """The window has what the record says, to the femto-dollar, and nothing is held any more."""

    async def main() -> None:
        store, kept = MemoryStore(), Kept()
        app = gateway(cap(scope="user:*", window="day", usd="1.00"), store=store, hooks=[kept])
        assert (await ask(app)).status == 200
        [record] = kept.records
        assert record.cost_usd is not None
        [balance] = (await balances(store)).values()
        assert balance.held == 0
        assert balance.femto_usd == int(Decimal(record.cost_usd) * 10**15) > 0
        await app.aclose()

    anyio.run(main, backend=backend)


@both_backends
def test_a_used_cap_refuses_in_words(backend: str) -> None:
    """429, billing_error, no retry, until when; the message has scope, window and time."""

    async def main() -> list[Answer]:
        app = gateway(cap(scope="user:*", window="day", requests=2))
        answers = [await ask(app) for _ in range(3)]
        await app.aclose()
        return answers

    *passed, refused = anyio.run(main, backend=backend)
    assert [one.status for one in passed] == [200, 200]
    assert (refused.status, refused.error) == (429, "billing_error")
    assert refused.value(b"x-should-retry") == b"false"
    assert 0 < int(refused.value(b"retry-after") or b"0") <= 86400
    message = refused.json["error"]["message"]
    words = "The budget of user:u1 today is used up: 2 requests of 2 requests. It returns at "
    assert re.fullmatch(re.escape(words) + r"\d{4}-\d\d-\d\d 00:00:00 UTC\.", message)


def test_running_calls_may_be_waited_for() -> None:
    """A cap that only running calls fill asks for a retry, soon."""

    async def main() -> Answer:
        store = MemoryStore()
        app = gateway(cap(scope="user:*", window="day", requests=1), store=store)
        slow = BODY.replace(b"hello", b"please wait: simulate delay 2")
        async with anyio.create_task_group() as group:

            async def first() -> None:
                await ask(app, body=slow)

            held = Blocked(store)
            app._budgets._store = held
            group.start_soon(first)
            await held.holding.wait()
            refused = await ask(app)
            held.go.set()
        await app.aclose()
        return refused

    refused = anyio.run(main)
    assert (refused.status, refused.error) == (429, "billing_error")
    assert (refused.value(b"x-should-retry"), refused.value(b"retry-after")) == (b"true", b"5")
    assert "running calls may need the rest" in refused.json["error"]["message"]


class Blocked(MemoryStore):
    """Makes the first hold, and answers it only when told to."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__()
        self._store = store
        self.holding, self.go = anyio.Event(), anyio.Event()

    async def hold(self, *arguments: Any, **more: Any) -> Any:
        found = await self._store.hold(*arguments, **more)
        if not self.holding.is_set():
            self.holding.set()
            await self.go.wait()
        return found

    async def settle(self, *arguments: Any) -> Any:
        return await self._store.settle(*arguments)

    async def sweep(self, **more: Any) -> Any:
        return await self._store.sweep(**more)

    async def renew(self, *arguments: Any, **more: Any) -> None:
        await self._store.renew(*arguments, **more)


def test_counting_tokens_is_free() -> None:
    """A used cap does not refuse count_tokens, and it counts nothing."""

    async def main() -> tuple[Answer, Answer]:
        app = gateway(cap(scope="user:*", window="day", requests=0))
        counted = await ask(app, "/v1/messages/count_tokens")
        refused = await ask(app)
        await app.aclose()
        return counted, refused

    counted, refused = anyio.run(main)
    assert (counted.status, refused.status) == (200, 429)


def test_every_scope_must_pass() -> None:
    """The team's cap refuses although the user's has room; nothing stays held."""

    async def main() -> None:
        store = MemoryStore()
        caps = cap(scope="user:*", window="day", requests=9) + cap(scope="team:*", window="day", requests=1)
        app = gateway(caps, store=store)
        assert [(await ask(app)).status for _ in range(2)] == [200, 429]
        assert await balances(store) == {
            "team:red|requests|day": Balance(1),
            "user:u1|requests|day": Balance(1),
        }
        await app.aclose()

    anyio.run(main)


def test_a_pool_counts_all_its_scopes_together() -> None:
    """And a call with two scopes of the pool counts once."""

    async def main() -> None:
        store = MemoryStore()
        caps = cap(scope="team:*", window="month", requests=5, per="pool")
        app = gateway(caps, store=store, scopes=("team:red", "team:blue"))
        assert (await ask(app)).status == 200
        assert await balances(store) == {"pool:team:*|requests|month": Balance(1)}
        await app.aclose()

    anyio.run(main)


def test_an_upstream_that_refuses_costs_nothing() -> None:
    """The hold is released at every exit; the request counts as a request."""

    async def main() -> None:
        store = MemoryStore()
        caps = cap(scope="user:*", window="day", usd="1") + cap(scope="user:*", window="day", requests=5)
        app = gateway(caps, store=store)
        broken = BODY.replace(b"hello", b"simulate error invalid_request_error")
        assert (await ask(app, body=broken)).status >= 400
        assert await balances(store) == {"user:u1|usd|day": Balance(), "user:u1|requests|day": Balance(1)}
        unknown = BODY.replace(MODEL.encode(), b"unknown-model")
        assert (await ask(app, body=unknown)).status == 404
        assert await balances(store) == {"user:u1|usd|day": Balance(), "user:u1|requests|day": Balance(1)}
        await app.aclose()

    anyio.run(main)


def test_tokens_of_the_chosen_kinds_count() -> None:
    """Cache reads are free unless the cap says otherwise."""

    async def main() -> None:
        store, kept = MemoryStore(), Kept()
        caps = cap(scope="user:*", window="hour", tokens=10**6, counts=["output"])
        app = gateway(caps, store=store, hooks=[kept])
        await ask(app)
        usage = kept.records[0].usage or {}
        assert await balances(store) == {"user:u1|tokens:output|hour": Balance(usage["output_tokens"])}
        await app.aclose()

    anyio.run(main)


def test_a_soft_cap_tells_once_and_degrades() -> None:
    """Each threshold is told once. Above the limit the cheaper model serves, and the record names its route."""
    told: list[tuple[str, Any, int]] = []

    async def on_threshold(scope: str, used: Any, cap: Cap) -> None:
        told.append((scope, used, cap.limit))

    async def main() -> list[CallRecord]:
        kept = Kept()
        caps = cap(
            scope="user:*",
            window="day",
            requests=2,
            hard=False,
            thresholds=[50, 100],
            degrade_to="claude-haiku-4-5",
        )
        app = gateway(caps, hooks=[kept], on_threshold=on_threshold)
        body = BODY.replace(MODEL.encode(), b"claude-opus-4-7")
        for _ in range(4):
            assert (await ask(app, body=body)).status == 200
        await app.aclose()
        return kept.records

    records = anyio.run(main)
    assert told == [("user:u1", 1, 2), ("user:u1", 2, 2)]
    assert [one.model for one in records] == ["claude-opus-4-7"] * 4
    models = [one.attempts[-1].model for one in records]
    assert models == ["claude-opus-4-7"] * 2 + ["claude-haiku-4-5"] * 2
    assert [one.route for one in records] == ["claude-*"] * 2 + ["claude-haiku-4-5"] * 2
    assert "model" in records[3].edits


def test_a_session_has_a_budget_of_its_own() -> None:
    """By Claude Code's header. A call without one is not counted per session."""

    async def main() -> list[int]:
        app = gateway(cap(scope="user:*", window="session", requests=1))
        sessions = [b"s1", b"s1", b"s2", None, None]
        headers = [[(b"x-claude-code-session-id", one)] if one else [] for one in sessions]
        found = [(await ask(app, headers=one)).status for one in headers]
        await app.aclose()
        return found

    assert anyio.run(main) == [200, 429, 200, 200, 200]


@pytest.mark.parametrize(
    ("settings", "status"),
    [({}, 429), ({"unpriced": "free"}, 200), ({"unpriced": "assume 15"}, 200), ({"hard": False}, 200)],
)
def test_a_model_without_a_price(settings: dict[str, Any], status: int) -> None:
    """A hard cap in USD refuses it unless the operator decides otherwise."""

    async def main() -> tuple[Answer, Balance]:
        store = MemoryStore()
        app = gateway(cap(scope="user:*", window="day", usd="1", **settings), store=store)
        answer = await ask(app, body=BODY.replace(MODEL.encode(), b"claude-nobody-knows"))
        await app.aclose()
        found = list((await balances(store)).values())
        return answer, found[0] if found else Balance()

    answer, balance = anyio.run(main)
    assert answer.status == status
    if status == 429:
        assert answer.error == "billing_error"
        assert "price of claude-nobody-knows is unknown" in answer.json["error"]["message"]
    assert (balance.used > 0) == (settings.get("unpriced") == "assume 15")
    assert balance.held == 0


def test_without_caps_nothing_is_asked() -> None:
    """A gateway without caps has no budgets, and a store that is handed in stays unused."""

    async def main() -> None:
        store = MemoryStore()
        app = gateway("", store=store)
        assert (await ask(app)).status == 200
        assert app._budgets._held == {}
        assert await balances(store) == {}
        await app.aclose()

    anyio.run(main)


@pytest.mark.parametrize(
    "scopes", ["team:red", ["team:red"], (1,), ("",), ("a" * 101,), ("a\n",), ("\ud800",), ("a",) * 17]
)
def test_scopes_that_cannot_be_kept(scopes: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A host's mistake is a 500, and the log says what is wrong: a scope is a key in a database."""

    async def main() -> Answer:
        config = decode_config(OFFLINE)
        config.resolve({"SIM_KEY": "sk-ant-simulated"})
        who = Principal("u1", scopes=scopes)
        return await ask(NexusFlow(config=config, transport="offline", authenticate=lambda scope: who))

    assert anyio.run(main).status == 500
    assert "the principal's 'scopes" in caplog.text


def test_keys_of_the_configuration_have_scopes(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name of their variable. The record lists them, and caps count them."""
    monkeypatch.setenv("SIM_KEY", "sk-ant-simulated")
    monkeypatch.setenv("ANN_KEY", "sk-ann-key")

    async def main() -> tuple[list[int], CallRecord]:
        kept = Kept()
        keys = b'[auth]\nkeys = ["env:ANN_KEY"]\nscopes.ANN_KEY = ["team:red"]\n'
        text = OFFLINE.replace(b"[auth]\nanonymous = true\n", keys)
        text += cap(scope="team:red", window="day", requests=1).encode()
        app = NexusFlow(config=decode_config(text), transport="offline", hooks=[kept])
        found = [(await ask(app, headers=[(b"x-api-key", b"sk-ann-key")])).status for _ in range(2)]
        await app.aclose()
        return found, kept.records[0]

    statuses, record = anyio.run(main)
    assert statuses == [200, 429]
    assert record.scopes == ("caller:ANN_KEY", "team:red")
