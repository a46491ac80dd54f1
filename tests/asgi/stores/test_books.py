"""The books balance: the ledger's rows, its sums, the records and the windows of caps have one total.

Calls are random: priced and unpriced, refused, broken off, left by their client, lost with their process, and
settled again after a lost answer.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.ledger import Ledger
from nexusflow_asgi.stores import CapStore
from nexusflow_asgi.stores.protocol import LedgerPage
from nexusflow_core import CallRecord, Principal
from nexusflow_core.budgets import Claim
from nexusflow_core.config import decode_config
from nexusflow_core.ledger import LedgerRow, row_of
from tests.asgi.asking import BODY, LIMIT, OFFLINE, http_scope
from tests.asgi.stores.services import KINDS, fresh, opened, opened_ledger
from tests.core.ledger.test_ledger import record

BEGUN = 1_790_000_000
LONG = set(KINDS) - {"memory", "sqlite"}
WITHOUT_ROWS = {"memory", "redis"}
"""Stores of caps alone. Their ledger is elsewhere, and cannot know what a lost call has held."""


@dataclass(frozen=True)
class Doing:
    """One call: what it asks for, how its client behaves, and what happens to its settlement."""

    text: str
    stream: bool
    model: str
    leaves_after: int | None
    settling: str


CALLS = st.builds(
    Doing,
    text=st.sampled_from(
        ["hello", "say 20 tokens", "simulate error api_error", "simulate truncation", "simulate cut 40"]
    ),
    stream=st.booleans(),
    model=st.sampled_from(["claude-haiku-4-5", "claude-haiku-4-5", "claude-of-no-price"]),
    leaves_after=st.sampled_from([None, None, None, 1, 2, 3]),
    settling=st.sampled_from(["once", "once", "twice", "answer lost", "process lost"]),
)


class Faulty:
    """A store whose settlement is repeated, or whose answer is lost on the way."""

    def __init__(self, store: CapStore) -> None:
        self._store = store
        self.settling = "once"

    async def settle(self, request_id: str, charges: Sequence[Any]) -> Any:
        settling, self.settling = self.settling, "once"
        found = await self._store.settle(request_id, charges)
        if settling == "answer lost":
            raise OSError("connection reset")
        if settling == "twice":
            assert await self._store.settle(request_id, charges) == []
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class Books:
    """A gateway whose caller has scopes of their own, so that one database serves many examples."""

    def __init__(self, kind: str, place: str, ledger_place: str, limit: str) -> None:
        who = uuid.uuid4().hex[:12]
        self.kind, self.scopes = kind, (f"user:{who}", f"team:{who}")
        windows = (("user:*", "day"), ("team:*", "month"))
        caps = "".join(
            f'[[caps]]\nscope = "{scope}"\nwindow = "{window}"\nusd = "{limit}"\nunpriced = "free"\n'
            for scope, window in windows
        )
        config = decode_config(OFFLINE + f"[retry]\nattempts = 1\n{caps}".encode())
        config.resolve({"SIM_KEY": "sk-ant-simulated"})
        self.records: list[CallRecord] = []
        self.store, self.ledger = Faulty(opened(place)), opened_ledger(ledger_place)
        self.app = NexusFlow(
            config=config,
            transport="offline",
            authenticate=lambda scope: Principal(who, scopes=self.scopes),
            store=self.store,  # type: ignore[arg-type]
            hooks=[self, Ledger(lambda: opened_ledger(ledger_place))],
        )
        self.now = BEGUN
        self.app._budgets._clock = lambda: self.now
        self.lost = 0

    def after(self, record: CallRecord) -> None:
        self.records.append(record)

    async def call(self, doing: Doing) -> None:
        self.now += 2  # a store that failed is asked again after a second
        if doing.settling == "process lost":
            await self._lose()
            return
        self.store.settling = doing.settling
        document = json.loads(BODY) | {"stream": doing.stream, "model": doing.model}
        document["messages"][0]["content"] = doing.text
        with anyio.fail_after(LIMIT):
            await self._ask(json.dumps(document).encode(), doing.leaves_after)
        self.store.settling = "once"

    async def _ask(self, body: bytes, leaves_after: int | None) -> None:
        incoming = [{"type": "http.request", "body": body, "more_body": False}]
        sent, gone = 0, anyio.Event()

        async def receive() -> Any:
            if incoming:
                return incoming.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal sent
            sent += 1
            if leaves_after is not None and sent >= leaves_after:
                gone.set()
                raise OSError("gone")

        await self.app(http_scope(), receive, send)

    async def _lose(self) -> None:
        """A process that holds and dies. Its durable log gives the ledger a row of the lost call."""
        amount, id = 17_000, f"req_{uuid.uuid4().hex}"
        at = datetime.fromtimestamp(self.now, UTC)
        budgets = self.app._budgets._budgets.of(self.scopes)
        claims = [Claim(budget.meter.window(at, started=0, session=None), amount) for budget in budgets]
        assert len(claims) == 2
        await self.store.hold(id, claims, now=self.now, expires_at=self.now)
        changes = {"ending": "lost", "cost_usd": None, "usage": None, "status": None}
        row = row_of(record(request_id=id, scopes=self.scopes, **changes))
        await self.ledger.write([row])
        await self.ledger.write([row])
        self.lost += amount

    async def check(self) -> None:
        await self.store.sweep(now=self.now)
        await self.app.aclose()
        total = sum(int(Decimal(it.cost_usd or 0) * 10**15) for it in self.records)
        lost = self.lost * 10**6
        known = total + (0 if self.kind in WITHOUT_ROWS else lost)
        for scope in self.scopes:
            rows = await self.ledger.rows(LedgerPage(scope=scope, limit=1000))
            assert sum(map(femto, rows)) == known
            spends = await self.ledger.spending(since=0, until=2**40, scope=scope)
            assert sum(spend.cost_femto for spend in spends) == known
            assert sum(spend.calls for spend in spends) == len(rows)
            windows = await self.store.windows(now=0, scope=scope)
            assert sum(one.balance.femto_usd for one in windows) == total + lost
            assert all(one.balance.held == 0 for one in windows)
        await self.store.aclose()
        await self.ledger.aclose()


def femto(row: LedgerRow) -> int:
    return (row.cost_nano or 0) * 10**6 + (row.cost_rest or 0)


@pytest.fixture(
    params=[pytest.param(kind, marks=pytest.mark.matrix if kind in LONG else ()) for kind in KINDS],
    scope="module",
)
def places(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str, str]]:
    """The kind, the address of a store of caps, and that of a ledger: the same database where it can be."""
    folder = tmp_path_factory.mktemp("books")
    with fresh(request.param, folder) as place:
        elsewhere = f"sqlite:///{folder}/ledger.db"
        yield request.param, place, elsewhere if request.param in WITHOUT_ROWS else place


@settings(max_examples=10)
@given(calls=st.lists(CALLS, min_size=1, max_size=8), limit=st.sampled_from(["1.00", "0.00005"]))
def test_one_total(places: tuple[str, str, str], calls: list[Doing], limit: str) -> None:
    """However the calls end: rows, sums, records and windows agree to the femto-dollar; nothing stays held."""

    async def main() -> None:
        books = Books(*places, limit)
        for doing in calls:
            await books.call(doing)
        await books.check()

    anyio.run(main)
