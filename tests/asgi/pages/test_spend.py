"""The spend page: its numbers are those of the ledger and the caps, and nothing in them becomes markup."""

from __future__ import annotations

import asyncio
import html
import re
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.pages.spend import SpendPage
from nexusflow_asgi.stores import open_store
from nexusflow_asgi.stores.key_store import KeyOptions, create, rotate
from nexusflow_asgi.stores.opening import open_key_store, open_ledger
from nexusflow_core import ConfigError
from nexusflow_core.budgets import Cap, Charge, Claim, Window
from nexusflow_core.config import decode_config
from nexusflow_core.ledger import row_of
from tests.asgi.asking import OFFLINE, Answer, ask
from tests.core.ledger.test_ledger import record

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
EVIL = "<script>alert('1')</script>&\"x"
MONTH = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp()), int(datetime(2026, 12, 1, tzinfo=UTC).timestamp())


@pytest.fixture
def page(tmp_path: Path) -> Any:
    """A host with the page under /spend: 12 calls of two teams, a refusal, and a cap that is used in part."""
    url = f"sqlite:///{tmp_path}/nexusflow.db"
    records = [
        record(
            request_id=f"req_{n:02}",
            started_at=NOW - timedelta(days=n),
            cost_usd="0.100000000000001",
            scopes=("team:red" if n % 2 else EVIL,),
            principal=EVIL,
        )
        for n in range(12)
    ]
    refused = {
        "ending": "refused",
        "status": 429,
        "error_type": "billing_error",
        "usage": None,
        "cost_usd": None,
    }
    records.append(record(request_id="req_no", started_at=NOW, model=EVIL, principal=EVIL, **refused))

    async def fill() -> None:
        ledger, caps = open_ledger(url), open_store(url)
        await ledger.write([row_of(it) for it in records])
        window = Window(f"team:red|usd|month|{MONTH[0]}", "team:red", "usd", "month", *MONTH)
        now = int(NOW.timestamp())
        await caps.hold("a", [Claim(window, 1)], now=now, expires_at=now + 60)
        await caps.settle("a", [Charge(window.key, 7_500_000_000)])
        await caps.hold("b", [Claim(window, 500_000_000)], now=now, expires_at=now + 60)
        await ledger.aclose()
        await caps.aclose()

    asyncio.run(fill())
    cap = '[[caps]]\nscope = "team:*"\nwindow = "month"\nusd = "10"\n'
    config = decode_config(OFFLINE + f'[ledger]\nurl = "{url}"\n{cap}'.encode())
    config.resolve({"SIM_KEY": "sk-ant-simulated"})
    gateway = NexusFlow(config=config, transport="offline")
    return Starlette(routes=[Mount("/spend", SpendPage(gateway, clock=NOW.timestamp)), Mount("/llm", gateway)])


def got(page: Any, path: str = "/spend/", query: str = "", method: str = "GET") -> Answer:
    return anyio.run(lambda: _asked(page, path, query, method))


async def _asked(page: Any, path: str, query: str, method: str) -> Answer:
    """Asks, and closes what the event loop has opened."""
    spend = page.routes[0].app if isinstance(page, Starlette) else page
    try:
        return await ask(page, path, method=method, query=query.encode())
    finally:
        await spend._gateway.aclose()


def test_the_numbers(page: Any) -> None:
    """Exact decimal text; every day of the span is there."""
    usage = got(page, "/spend/usage.json").json
    assert usage["total"]["cost_usd"] == "1.200000000000012"
    assert (usage["total"]["calls"], usage["total"]["refused"]) == (13, 1)
    assert [day["day"] for day in usage["days"]][::29] == ["2026-10-31", "2026-11-29"]
    assert sum(Decimal(day["cost_usd"]) for day in usage["days"]) == Decimal("1.200000000000012")
    assert [(one["model"], one["calls"]) for one in usage["models"]] == [("claude-haiku-4-5", 12), (None, 1)]
    assert {one["scope"]: one["calls"] for one in usage["scopes"]} == {EVIL: 6, "team:red": 7, "caller:u1": 1}
    [refusal] = usage["refusals"]
    assert (refusal["status"], refusal["type"], refusal["request_id"]) == (429, "billing_error", "req_no")


def test_caps_and_their_balance(page: Any) -> None:
    """What is used and held of the limit, and when the window ends."""
    [cap] = got(page, "/spend/usage.json").json["caps"]
    assert (cap["scope"], cap["window"], cap["hard"]) == ("team:red", "month", True)
    assert (cap["used"], cap["held"], cap["limit"]) == ("7.5", "0.5", "10")
    assert (cap["used_share"], cap["held_share"]) == (0.75, 0.05)
    assert cap["ends_at"] == "2026-12-01T00:00:00Z"
    assert "$7.50 of $10.00" in got(page).body.decode()


def test_a_cap_that_belongs_to_a_key(tmp_path: Path) -> None:
    """Its limit stands in the key, also after a rotation and in a process that has served no call."""
    config = decode_config(OFFLINE + f'[ledger]\nurl = "sqlite:///{tmp_path}/keys.db"\n'.encode())
    config.resolve({"SIM_KEY": "sk-ant-simulated"})
    now = int(time.time())

    async def calls() -> None:
        keys = open_key_store(f"sqlite:///{tmp_path}/keys.db")
        cap = Cap(scope="key:", window=1800, requests=4)
        old = await create(keys, KeyOptions(name="ci", caps=(cap,)), now=now)
        new = await rotate(keys, old.key.id, overlap=60, now=now)
        gateway = NexusFlow(config=config, transport="offline")
        for made in (old, new):
            assert (await ask(gateway, headers=[(b"x-api-key", made.text.encode())])).status == 200
        await gateway.aclose()
        await keys.aclose()

    asyncio.run(calls())
    page = SpendPage(NexusFlow(config=config, transport="offline"))
    [cap] = got(page, "/usage.json").json["caps"]
    assert (cap["text"], cap["limit"], cap["hard"]) == ("2 requests of 4 requests", "4", True)
    assert "2 requests of 4 requests" in got(page, "/").body.decode()


def test_one_scope_and_another_span(page: Any) -> None:
    """The links on the page lead to these."""
    usage = got(page, "/spend/usage.json", "scope=team:red&days=7").json
    assert (usage["scope"], usage["total"]["calls"], usage["scopes"]) == ("team:red", 4, [])
    body = got(page, "/spend/", "scope=team:red&days=7").body.decode()
    assert "<title>Spending: team:red</title>" in body
    links = re.findall(r'href="([^"]*)"', got(page).body.decode())
    assert "?scope=team%3Ared&amp;days=30" in links
    for link in links:
        path, _, query = html.unescape(link).partition("?")
        assert got(page, f"/spend/{path}", query).status == 200


def test_nothing_becomes_markup(page: Any) -> None:
    """Callers, models and scopes are text, in attributes too. The browser would run no script anyway."""
    for query in ("", f"scope={EVIL}".replace("&", "%26")):
        answer = got(page, "/spend/", query)
        body = answer.body.decode()
        assert "<script" not in body
        assert html.escape(EVIL).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in body
        policy = (answer.value(b"content-security-policy") or b"").decode()
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "unsafe" not in policy
        assert (answer.value(b"cache-control"), answer.value(b"x-frame-options")) == (b"no-store", b"DENY")
    assert " src=" not in body, "it loads nothing"


@pytest.mark.parametrize(
    ("path", "query", "status", "why"),
    [
        ("/spend/", "days=0", 400, b"days: a number from 1 to 366"),
        ("/spend/", "days=999", 400, b"days:"),
        ("/spend/", "days=%C2%B2", 400, b"days:"),
        ("/spend/", "scope=" + "a" * 101, 400, b"scope:"),
        ("/spend/", "scope=%00", 400, b"scope:"),
        ("/spend/other", "", 404, b"usage.json"),
    ],
)
def test_other_questions(path: str, query: str, status: int, why: bytes, page: Any) -> None:
    """A plain reason, and no page."""
    answer = got(page, path, query)
    assert answer.status == status
    assert why in answer.body


def test_only_reading(page: Any) -> None:
    """It changes nothing."""
    assert got(page, method="POST").status == 405
    answer = got(page.routes[0].app, "/at", "days=7")
    assert answer.status == 404, "only its root, wherever that is"


def test_a_database_that_fails(page: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The reader gets no word of the driver, which may hold a password."""

    class Broken:
        async def spending(self, **_: Any) -> Any:
            raise OSError("sk-password-of-the-database")

        async def aclose(self) -> None:
            pass

    spend: Any = page.routes[0].app
    spend._ledger = Broken()
    answer = got(page)
    assert answer.status == 503
    assert b"password" not in answer.body
    assert "OSError" in caplog.text


def test_an_empty_ledger_has_a_page(tmp_path: Path) -> None:
    """Before the first call."""
    config = decode_config(OFFLINE + f'[ledger]\nurl = "sqlite:///{tmp_path}/new.db"\n'.encode())
    config.resolve({"SIM_KEY": "sk-ant-simulated"})
    page = SpendPage(NexusFlow(config=config, transport="offline"))
    body = got(page, "/").body
    assert b"Nothing in these days" in body
    assert b"$0.00" in body


def test_without_a_ledger_there_is_no_page() -> None:
    """The error says what to set."""
    config = decode_config(OFFLINE)
    config.resolve({"SIM_KEY": "sk-ant-simulated"})
    with pytest.raises(ConfigError, match=r"ledger\.url: is not set"):
        SpendPage(NexusFlow(config=config, transport="offline"))
