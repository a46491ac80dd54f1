"""Several processes at one store: no call too many, and the books balance after a kill at any step."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from nexusflow_core.budgets import Balance, Charge, Claim, Hold
from tests.asgi.stores.services import fresh, opened
from tests.asgi.stores.worker import AMOUNT, NOW, WINDOWS

ROOT = Path(__file__).parents[3]
SHARED = ["sqlite", "postgresql", "mariadb", "redis"]  # memory is of one process
LONG = {"mariadb", "redis"}
"""Processes start slowly, so the plain suite takes two stores. `-m matrix` takes the others too."""

PARAMS = [pytest.param(kind, marks=pytest.mark.matrix if kind in LONG else ()) for kind in SHARED]


@pytest.fixture(params=PARAMS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh(request.param, tmp_path) as found:
        yield found


def begin(place: str, name: str, calls: int, limit: int, step: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.asgi.stores.worker", place, name, str(calls), str(limit)]
    return subprocess.Popen(
        [*command, *([step] if step else [])],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def balances(place: str) -> list[Balance]:
    async def main() -> list[Balance]:
        store = opened(place)
        found = await store.windows(now=NOW)
        await store.aclose()
        return [one.balance for one in found]

    return anyio.run(main)


def race(place: str, processes: int, calls: int, allowed: int) -> None:
    """All processes start at once. Together they make more calls than the cap allows."""
    workers = [begin(place, f"p{n}", calls, allowed * AMOUNT) for n in range(processes)]
    lines: list[str] = []
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        for worker in workers:
            out, _ = worker.communicate(timeout=120)
            lines += out.splitlines()
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    assert len(lines) == processes * calls
    assert sum(line.startswith("passed") for line in lines) == allowed
    assert balances(place) == [Balance(allowed * AMOUNT, 0, allowed)] * 2


def test_parallel_calls_of_four_processes(place: str) -> None:
    """Twenty calls against a cap for ten, in the windows of two scopes: exactly ten pass."""
    race(place, 4, 5, 10)


@pytest.mark.matrix
def test_parallel_calls_of_sixteen_processes(place: str) -> None:
    """320 calls against a cap for 150."""
    race(place, 16, 20, 150)


@pytest.mark.parametrize(
    ("step", "used", "rest"), [("before", 0, 0), ("held", AMOUNT, 0), ("settled", AMOUNT, 1)]
)
def test_a_kill_at_each_step(place: str, step: str, used: int, rest: int) -> None:
    """The next process finds nothing held after the sweep, and goes on with what was used."""
    worker = begin(place, "killed", 1, 1000, step)
    assert worker.stdout is not None
    while worker.stdout.readline() not in (f"at {step}\n", ""):
        pass
    worker.kill()
    worker.communicate()

    async def main() -> None:
        store = opened(place)
        lost = await store.sweep(now=NOW + 61)
        assert len(lost) == (2 if step == "held" else 0)
        assert await store.sweep(now=NOW + 61) == []
        claims = [Claim(window, AMOUNT, 1000) for window in WINDOWS]
        assert isinstance(await store.hold("next", claims, now=NOW, expires_at=NOW + 200), Hold)
        await store.settle("next", [Charge(window.key, 3) for window in WINDOWS])
        await store.aclose()

    anyio.run(main)
    assert balances(place) == [Balance(used + 3, 0, rest)] * 2
