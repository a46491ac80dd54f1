"""`nexusflow serve` with `[pages]`: behind a key, with one worker and several, and after a reload."""

from __future__ import annotations

import asyncio
import base64
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.stores import open_store
from nexusflow_core import ConfigError
from nexusflow_core.budgets import Balance
from nexusflow_core.config import decode_config
from tests.asgi.asking import BODY, OFFLINE
from tests.asgi.serving import LIMIT, serving

KEY = "sk-pages-key"
PAGES = (
    '[pages]\nkey = "env:PAGES_KEY"\nspend = true\nmetrics = true\n[ledger]\nurl = "sqlite:///{folder}/n.db"\n'
)
CLIENT = httpx2.Client(timeout=3 * LIMIT)  # the workers of a busy machine start slowly
ENVIRONMENT = {"PAGES_KEY": KEY, "SIM_KEY": "sk-ant-simulated"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "nexusflow.toml"
    path.write_text(OFFLINE.decode() + PAGES.format(folder=tmp_path))
    return path


def call(url: str) -> None:
    answer = CLIENT.post(f"{url}/v1/messages", content=BODY, headers={"content-type": "application/json"})
    assert answer.status_code == 200


def test_pages_need_their_key(file: Path) -> None:
    """A bearer token for Prometheus, a password for a browser; nothing else. A reload changes nothing."""
    basic = base64.b64encode(f"anyone:{KEY}".encode()).decode()
    with serving("--offline", "--config", file, env=ENVIRONMENT) as running:
        assert f"as the password: {running.url}/spend/, {running.url}/metrics\n" in running.greeting
        call(running.url)
        for headers in ({"authorization": f"Bearer {KEY}"}, {"authorization": f"Basic {basic}"}):
            metrics = CLIENT.get(f"{running.url}/metrics", headers=headers)
            assert metrics.status_code == 200
            assert "nexusflow_calls_total{" in metrics.text
            page = CLIENT.get(f"{running.url}/spend", headers=headers, follow_redirects=True)
            assert (page.status_code, page.url.path) == (200, "/spend/")
            assert "<h1>Spending</h1>" in page.text
            end = time.monotonic() + LIMIT
            while CLIENT.get(f"{running.url}/spend/usage.json", headers=headers).json()["total"]["calls"] != 1:
                assert time.monotonic() < end, "the call is not in the ledger"
                time.sleep(0.05)
        wrong = [None, "Bearer sk-other", "Basic !!!", "Basic " + base64.b64encode(b"sk-other").decode()]
        for value in wrong:
            headers = {} if value is None else {"authorization": value}
            for path in ("/metrics", "/spend/", "/spend/usage.json"):
                answer = CLIENT.get(running.url + path, headers=headers)
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"].startswith("Basic ")
        assert CLIENT.get(f"{running.url}/spending").status_code == 404, "a path of the gateway's own"
        running.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        call(running.url)
        text = CLIENT.get(f"{running.url}/metrics", headers={"authorization": f"Bearer {KEY}"}).text
        [line] = [line for line in text.splitlines() if line.startswith("nexusflow_calls_total{")]
        assert line.endswith(" 2.0"), "counts go on after a reload"


@pytest.mark.matrix
def test_workers_add_up(file: Path) -> None:
    """Whichever worker answers the scrape."""
    headers = {"authorization": f"Bearer {KEY}"}
    with serving("--offline", "--config", file, "--workers", "2", env=ENVIRONMENT) as running:
        for _ in range(6):
            call(running.url)
        found = set()
        for _ in range(4):
            text = CLIENT.get(f"{running.url}/metrics", headers=headers).text
            lines = [line for line in text.splitlines() if line.startswith("nexusflow_calls_total{")]
            found.add(sum(float(line.rpartition(" ")[2]) for line in lines))
        assert found == {6.0}


def test_a_mounted_gateway_has_no_pages(file: Path) -> None:
    """`[pages]` would have no effect there: the error says what to mount instead."""
    config = decode_config(file.read_bytes())
    with pytest.raises(ConfigError, match=r"pages: .*`nexusflow serve` alone.* mount SpendPage\(gateway\)"):
        NexusFlow(config=config, transport="offline")


@pytest.mark.matrix
@pytest.mark.parametrize(("limit", "most"), [("requests = 10", 10), ('usd = "0.000060"', 60_000)])
def test_workers_share_a_cap(limit: str, most: int, tmp_path: Path) -> None:
    """Two workers on one SQLite: together never more than the cap and one call, and nothing stays held."""
    path, url = tmp_path / "nexusflow.toml", f"sqlite:///{tmp_path}/caps.db"
    cap = f'[[caps]]\nscope = "caller:*"\nwindow = "month"\n{limit}\n'
    key = OFFLINE.replace(b"anonymous = true", b'keys = ["env:PAGES_KEY"]').decode()
    path.write_text(f'{key}{cap}[ledger]\nurl = "{url}"\n[budgets]\ndeadline = 60.0\n')
    headers = {"content-type": "application/json", "x-api-key": KEY}

    def ask(address: str) -> int:
        with httpx2.Client(timeout=3 * LIMIT) as client:  # a connection of its own, so both workers get some
            return int(client.post(f"{address}/v1/messages", content=BODY, headers=headers).status_code)

    with serving("--offline", "--config", path, "--workers", "2", env=ENVIRONMENT) as running:
        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(ask, [running.url] * 24))
        while statuses[-1] == 200 or statuses.count(429) < 2 or len(statuses) < 26:
            statuses.append(ask(running.url))  # what parallel calls held is free again
    passed = statuses.count(200)
    assert set(statuses) == {200, 429}

    async def left() -> list[Balance]:
        store = open_store(url)
        found = await store.windows(now=0)
        await store.aclose()
        return [one.balance for one in found]

    [balance] = asyncio.run(left())
    assert balance.held == 0
    assert most <= balance.used < most + balance.used / passed, "the cap, and less than one call above it"


@pytest.mark.parametrize(
    ("pages", "why"),
    [
        ("spend = true", r"pages\.key: is missing"),
        ('key = "env:K"', r"pages\.key: has no effect"),
        ('key = "env:K"\nspend = true', r"pages\.spend: needs the ledger"),
        ('key = "sk-plain"\nmetrics = true', r"pages\.key"),
        ("mistake = true", "pages.*mistake"),
    ],
)
def test_settings_without_effect(pages: str, why: str) -> None:
    """Each is refused with its place."""
    with pytest.raises(ConfigError, match=why):
        decode_config(OFFLINE + f"[pages]\n{pages}\n".encode())
