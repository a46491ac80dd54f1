"""What every store of caps guarantees, on each store that this machine has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

from nexusflow_asgi.stores import CapStore
from nexusflow_asgi.stores.redis import RedisStore
from nexusflow_core.budgets import Balance, Charge, Claim, Hold, Meter, Refusal, RefusalCause, Window
from tests.asgi.stores.services import KINDS, fresh, opened, parameters

NOW = 1_790_000_000
LATER = NOW + 120


def window(scope: str = "user:u1", *, ends_at: int | None = NOW + 3600) -> Window:
    return Window(f"{scope}|usd|hour|{NOW}", scope, "usd", "hour", NOW, ends_at)


def claim(amount: int = 10, limit: int | None = 100, scope: str = "user:u1") -> Claim:
    return Claim(window(scope), amount, limit)


def charge(amount: int, rest: int = 0, scope: str = "user:u1") -> Charge:
    return Charge(window(scope).key, amount, rest)


@pytest.fixture(params=parameters(*KINDS))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh(request.param, tmp_path) as found:
        yield found


@pytest.fixture
async def store(place: str) -> AsyncIterator[CapStore]:
    made = opened(place)
    yield made
    await made.aclose()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


pytestmark = pytest.mark.anyio


async def take(store: CapStore, id: str, *claims: Claim, now: int = NOW, until: int = LATER) -> Hold | Refusal:
    return await store.hold(id, claims or (claim(),), now=now, expires_at=until)


async def balance(store: CapStore, scope: str = "user:u1", *, now: int = NOW) -> Balance:
    [found] = await store.windows(now=now, scope=scope)
    return found.balance


async def test_a_hold_is_replaced_by_the_actual_amount(store: CapStore) -> None:
    """What was expected is set aside, then what was used is counted, to the femto-dollar."""
    held = await take(store, "r1")
    assert isinstance(held, Hold)
    assert held.balances == (Balance(),)
    assert await balance(store) == Balance(0, 10)
    [settled] = await store.settle("r1", [charge(7, 5)])
    assert (settled.before, settled.after) == (Balance(0, 10), Balance(7, 0, 5))
    assert await balance(store) == Balance(7, 0, 5)
    assert (await balance(store)).femto_usd == 7_000_005


async def test_a_hold_is_repeated_without_effect(store: CapStore) -> None:
    """A retry after a lost answer holds once."""
    for _ in range(3):
        assert isinstance(await take(store, "r1"), Hold)
    assert await balance(store) == Balance(0, 10)


async def test_a_settlement_is_repeated_without_effect(store: CapStore) -> None:
    """A retry after a lost answer charges once."""
    await take(store, "r1")
    assert len(await store.settle("r1", [charge(7)])) == 1
    assert await store.settle("r1", [charge(7)]) == []
    assert await balance(store) == Balance(7)


async def test_what_was_never_held_settles_nothing(store: CapStore) -> None:
    """A call that was refused, or that another store held."""
    assert await store.settle("unknown", [charge(7)]) == []
    assert await store.windows(now=NOW) == []


async def test_a_call_that_used_nothing_is_released(store: CapStore) -> None:
    """A window without a charge gives back what it held."""
    await take(store, "r1")
    await store.settle("r1", [])
    assert await balance(store) == Balance()


async def test_a_used_cap_refuses_and_says_so(store: CapStore) -> None:
    """The last call may exceed the cap; the next one is refused."""
    await take(store, "r1", claim(10, 100))
    await store.settle("r1", [charge(130)])
    refused = await take(store, "r2", claim(10, 100))
    assert isinstance(refused, Refusal)
    assert (refused.cause, refused.balance) == (RefusalCause.SPENT, Balance(130))
    assert refused.claim.window == window()
    assert await balance(store) == Balance(130)


async def test_running_calls_fill_a_cap_and_the_refusal_says_so(store: CapStore) -> None:
    """The sum of holds is bounded by the cap and one call."""
    taken = [await take(store, f"r{n}", claim(10, 35)) for n in range(6)]
    assert [isinstance(one, Hold) for one in taken] == [True] * 4 + [False] * 2
    assert isinstance(taken[5], Refusal)
    assert (taken[5].cause, taken[5].balance) == (RefusalCause.HELD, Balance(0, 40))


async def test_all_claims_are_held_or_none(store: CapStore) -> None:
    """A call that one scope refuses leaves nothing behind in the others."""
    await take(store, "r1", claim(10, 10, "team:red"))
    both = claim(10, 100, "user:u1"), claim(10, 10, "team:red"), claim(10, 100, "user:u2")
    refused = await take(store, "r2", *both)
    assert isinstance(refused, Refusal)
    assert refused.claim.window.scope == "team:red"
    found = {one.window.scope: one.balance for one in await store.windows(now=NOW)}
    assert {scope: one for scope, one in found.items() if one != Balance()} == {"team:red": Balance(0, 10)}
    assert await store.settle("r2", [charge(5)]) == []


async def test_a_claim_without_a_limit_counts_and_never_refuses(store: CapStore) -> None:
    """A soft cap."""
    for n in range(5):
        assert isinstance(await take(store, f"r{n}", claim(100, None)), Hold)
    assert await balance(store) == Balance(0, 500)


async def test_names_that_a_database_may_confuse_are_apart(store: CapStore) -> None:
    """Case, accents and trailing spaces make another scope."""
    scopes = ["user:a", "user:A", "user:ä", "user:a ", "user:\U0001f600"]
    for n, scope in enumerate(scopes):
        assert isinstance(await take(store, f"r{n}", claim(10, 10, scope)), Hold), scope
    assert sorted(one.window.scope for one in await store.windows(now=NOW)) == sorted(scopes)


async def test_an_expired_hold_is_charged_once(store: CapStore) -> None:
    """The process died: what it held counts as used, and is reported."""
    await take(store, "r1", claim(10), until=NOW + 60)
    assert await store.sweep(now=NOW + 59) == []
    [lost] = await store.sweep(now=NOW + 60)
    assert (lost.request_id, lost.window, lost.amount) == ("r1", window().key, 10)
    assert await store.sweep(now=NOW + 61) == []
    assert await balance(store) == Balance(10)


async def test_a_swept_hold_that_settles_after_all_is_corrected(store: CapStore) -> None:
    """The process was only slow, or its clock was behind."""
    await take(store, "r1", claim(10), until=NOW + 60)
    await store.sweep(now=NOW + 60)
    [settled] = await store.settle("r1", [charge(3, 1)])
    assert settled.after == Balance(3, 0, 1)
    assert await store.settle("r1", [charge(3, 1)]) == []
    assert await balance(store) == Balance(3, 0, 1)


async def test_a_running_call_renews_its_hold(store: CapStore) -> None:
    """A stream may last for hours."""
    await take(store, "r1", until=NOW + 60)
    await take(store, "r2", until=NOW + 60)
    await store.renew(["r1", "gone"], expires_at=NOW + 200)
    assert [one.request_id for one in await store.sweep(now=NOW + 100)] == ["r2"]
    assert await balance(store) == Balance(10, 10)


async def test_a_window_that_begins_with_its_first_call(store: CapStore) -> None:
    """Its start stays until it is over, whoever asks."""
    meter = Meter("user:u1", "requests", 60).key
    assert await store.arm(meter, 60, now=NOW) == NOW
    assert await store.arm(meter, 60, now=NOW + 59) == NOW
    assert await store.arm(meter, 60, now=NOW - 5) == NOW, "a gateway whose clock is behind"
    assert await store.arm(meter, 60, now=NOW + 75) == NOW + 75
    assert await store.arm("another", 60, now=NOW + 80) == NOW + 80


async def test_windows_that_have_ended_are_not_listed(store: CapStore) -> None:
    """And a call of an ended window still settles there."""
    await take(store, "r1")
    assert await store.windows(now=NOW + 3600) == []
    assert len(await store.settle("r1", [charge(7)])) == 1
    assert await balance(store) == Balance(7)


async def test_a_window_is_forgotten_long_after_its_end(store: CapStore) -> None:
    """Tables do not grow for ever; one that a call still holds stays."""
    await take(store, "r1", claim(10, 100, "user:u1"), until=NOW + 10**9)
    await take(store, "r2", claim(10, 100, "user:u2"))
    await store.settle("r2", [charge(7, scope="user:u2")])
    await store.sweep(now=NOW + 400 * 86400)
    if isinstance(store, RedisStore):  # keys expire by the clock of Redis
        client, _ = store._client()
        [key] = [key async for key in client.scan_iter(match=f"{store._prefix}window:user:u2*")]
        assert 0 < await client.ttl(key) <= 3600 + 35 * 86400
        return
    assert [one.window.scope for one in await store.windows(now=NOW)] == ["user:u1"]


async def test_twenty_parallel_calls_against_a_cap_for_ten(store: CapStore) -> None:
    """Exactly ten go on while all of them run."""
    answers: list[Hold | Refusal] = []

    async def call(n: int) -> None:
        answers.append(await take(store, f"r{n}", claim(10, 100), claim(10, 10**6, "team:red")))

    async with anyio.create_task_group() as group:
        for n in range(20):
            group.start_soon(call, n)
    assert sum(isinstance(one, Hold) for one in answers) == 10
    assert await balance(store) == Balance(0, 100)
