"""Keys in each kind of store, on real databases: their whole life, and calls with them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.stored_keys import StoredKeys
from nexusflow_asgi.stores.key_store import KeyOptions, KeyStore, MemoryKeyStore, create, mint, rotate
from nexusflow_core import CallRecord, ConfigError, OverloadedError, Principal
from nexusflow_core.budgets import Cap
from nexusflow_core.config import decode_config
from tests.asgi.asking import BODY, MODEL, OFFLINE, Answer, ask
from tests.asgi.stores.services import DJANGO, fresh, opened_keys, parameters

T = TypeVar("T")

Run = Callable[[Callable[[KeyStore], Awaitable[T]]], T]


@pytest.fixture(params=parameters("memory", "sqlite", "postgresql", "mariadb", *DJANGO))
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Run[Any]]:
    """Runs a coroutine with an empty store of each kind."""
    with fresh(request.param, tmp_path) as place:

        def run_in(step: Callable[[KeyStore], Awaitable[Any]]) -> Any:
            async def whole() -> Any:
                store = opened_keys(place)
                try:
                    return await step(store)
                finally:
                    await store.aclose()

            return asyncio.run(whole())

        yield run_in


OPTIONS = KeyOptions(
    name="ci of ünïcode",
    ttl=1000,
    models=("claude-haiku-*",),
    scopes=("team:red",),
    caps=(Cap(scope="key:", window="month", usd="20.5"), Cap(scope="key:", window=60, requests=5, hard=False)),
    metadata={"team": "red", "note": 'a"b'},
)


def test_a_key_comes_back_whole(run: Run[Any]) -> None:
    """What was given, with the caps on its own scope; nothing of its text."""

    async def life(store: KeyStore) -> None:
        made = await create(store, OPTIONS, now=100)
        found = await store.find(made.key.id)
        assert found == made.key
        assert found.expires_at == 1100
        assert {cap.scope for cap in found.caps} == {f"key:{found.id}"}
        assert found.matches(made.text.encode())
        assert await store.find("aaaaaaaa") is None
        with pytest.raises(Exception):  # noqa: B017 - each database has its own
            await store.add(made.key)

    run(life)


def test_expiry_and_revocation(run: Run[Any]) -> None:
    """Each is set once the store has it, and an unknown id is noticed."""

    async def life(store: KeyStore) -> None:
        made = await create(store, OPTIONS, now=100)
        assert await store.end(made.key.id, expires_at=150)
        assert await store.end(made.key.id, revoked_at=140)
        found = await store.find(made.key.id)
        assert found is not None
        assert (found.expires_at, found.revoked_at) == (150, 140)
        assert not await store.end("aaaaaaaa", revoked_at=1)

    run(life)


def test_the_list_has_pages(run: Run[Any]) -> None:
    """By id, so that no key is missed or repeated."""

    async def life(store: KeyStore) -> None:
        ids = sorted([(await create(store, KeyOptions(name=f"k{n}"), now=1)).key.id for n in range(5)])
        first = await store.list(limit=3)
        rest = await store.list(after=first[-1].id, limit=3)
        assert [key.id for key in [*first, *rest]] == ids

    run(life)


def test_a_rotation_overlaps(run: Run[Any]) -> None:
    """Both keys work for a while; rights, caps and the account stay, and it happens once."""

    async def life(store: KeyStore) -> None:
        old = await create(store, OPTIONS, now=100)
        new = await rotate(store, old.key.id, overlap=60, now=500)
        before, after = await store.find(old.key.id), await store.find(new.key.id)
        assert before is not None
        assert after is not None
        assert (before.expires_at, before.replaced_by) == (560, new.key.id)
        assert (after.expires_at, after.created_at) == (1500, 500), "it lives as long as the old one did"
        assert (after.caps, after.models, after.metadata) == (before.caps, before.models, before.metadata)
        assert before.principal().scopes == after.principal().scopes
        assert new.text != old.text
        with pytest.raises(ConfigError, match="has a successor already"):
            await rotate(store, old.key.id, overlap=60, now=501)
        third = await rotate(store, new.key.id, overlap=0, now=600)
        assert third.key.account == old.key.id

    run(life)


def test_two_rotations_at_once_leave_one_successor(run: Run[Any]) -> None:
    """The other one is told so, and its key is revoked at once."""

    async def life(store: KeyStore) -> None:
        old = await create(store, OPTIONS, now=100)
        tried = await asyncio.gather(
            *[rotate(store, old.key.id, overlap=60, now=500) for _ in range(4)], return_exceptions=True
        )
        assert len([one for one in tried if not isinstance(one, BaseException)]) == 1
        assert all(isinstance(one, ConfigError) for one in tried if isinstance(one, BaseException))
        assert len([key for key in await store.list() if key.state(500) == "active"]) == 2

    run(life)


def test_a_minted_key_is_within_its_parent(run: Run[Any]) -> None:
    """In time, models and money; it has the parent's scopes and metadata, and its own."""

    async def life(store: KeyStore) -> None:
        parent = await create(store, OPTIONS, now=100)
        cap = Cap(scope="key:", window=3600, usd="0.50")
        options = KeyOptions(name="job", ttl=5000, caps=(cap,), scopes=("job:1",), metadata={"job": "1"})
        child = (await mint(store, parent.key.id, options, now=200)).key
        assert child.expires_at == parent.key.expires_at
        assert child.models == ("claude-haiku-*",)
        assert child.scopes == ("team:red", "job:1")
        assert child.metadata == {"team": "red", "note": 'a"b', "job": "1"}
        who = child.principal([parent.key])
        assert who.scopes[:2] == (f"key:{child.id}", f"key:{parent.key.id}")
        assert [cap.scope for cap in who.caps] == [f"key:{child.id}", *[f"key:{parent.key.id}"] * 2]
        for wrong, why in (
            (KeyOptions(name="x"), "ttl"),
            (KeyOptions(name="x", ttl=10, models=("claude-*",)), "models"),
            (KeyOptions(name="", ttl=10), "name"),
            (KeyOptions(name="x", ttl=0), "ttl"),
            (KeyOptions(name="x", ttl=10, scopes=("key:other",)), "scopes"),
        ):
            with pytest.raises(ConfigError, match=why):
                await mint(store, parent.key.id, wrong, now=200)
        with pytest.raises(ConfigError, match="no active key"):
            await mint(store, parent.key.id, KeyOptions(name="x", ttl=10), now=1100)

    run(life)


def test_a_family_has_a_bound() -> None:
    """A key has at most three keys above it: each is looked up."""

    async def life() -> None:
        store = MemoryKeyStore()
        above = await create(store, KeyOptions(name="root"), now=0)
        for _ in range(3):
            above = await mint(store, above.key.id, KeyOptions(name="x", ttl=10), now=0)
        with pytest.raises(ConfigError, match="at most 3"):
            await mint(store, above.key.id, KeyOptions(name="x", ttl=10), now=0)

    asyncio.run(life())


class Keyed:
    """A gateway with a store of keys, and clocks that the test turns."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: KeyStore | None = None, **options: Any) -> None:
        self.now, self.records = 1000.0, list[CallRecord]()
        clocks = {"clock": lambda: self.now, "wall_clock": lambda: self.now}
        monkeypatch.setattr(StoredKeys.__init__, "__kwdefaults__", clocks)
        config = decode_config(options.pop("config", OFFLINE.replace(b"anonymous = true", b"")))
        config.resolve({"SIM_KEY": "sk-ant-simulated"})
        self.store = store or MemoryKeyStore()
        self.app = NexusFlow(config=config, transport="offline", keys=self.store, hooks=[self], **options)

    def after(self, record: CallRecord) -> None:
        self.records.append(record)

    def make(self, **options: Any) -> tuple[str, str]:
        made = anyio.run(lambda: create(self.store, KeyOptions(name="ci", **options), now=int(self.now)))
        return made.key.id, made.text

    def call(self, key: str | None, **options: Any) -> Answer:
        headers = [] if key is None else [(b"x-api-key", key.encode())]
        got = anyio.run(lambda: ask(self.app, headers=headers, **options))
        assert key is None or key.encode() not in got.body
        return got


def test_a_key_of_the_store_may_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name, scopes and metadata stand in the record, and the key does not."""
    keyed = Keyed(monkeypatch)
    id, text = keyed.make(scopes=("team:red",), metadata={"team": "red"})
    assert keyed.call(text).status == 200
    [record] = keyed.records
    assert (record.principal, record.metadata) == ("ci", {"team": "red"})
    assert record.scopes == ("caller:ci", f"key:{id}", "team:red")
    assert text not in repr(record)
    for wrong in (None, "nxf-other", text[:-1], text[:-1] + ("0" if text[-1] != "0" else "1")):
        got = keyed.call(wrong)
        assert (got.status, got.error) == (401, "authentication_error")


def test_a_revocation_counts_within_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then the key is remembered; its expiry counts at its second."""
    keyed = Keyed(monkeypatch)
    id, text = keyed.make(ttl=100)
    assert keyed.call(text).status == 200
    anyio.run(functools.partial(keyed.store.end, id, revoked_at=1000))
    assert keyed.call(text).status == 200
    keyed.now += 5.0
    assert keyed.call(text).status == 401
    _, text = keyed.make(ttl=3)
    assert keyed.call(text).status == 200
    keyed.now += 3.0
    assert keyed.call(text).status == 401


def test_a_child_ends_with_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A revoked parent takes its children along."""
    keyed = Keyed(monkeypatch)
    id, _ = keyed.make()
    child = anyio.run(lambda: mint(keyed.store, id, KeyOptions(name="job", ttl=100), now=1000))
    assert keyed.call(child.text).status == 200
    assert keyed.records[0].scopes == ("caller:job", f"key:{child.key.id}", f"key:{id}")
    anyio.run(functools.partial(keyed.store.end, id, revoked_at=1000))
    keyed.now += 5.0
    assert keyed.call(child.text).status == 401


def test_allowed_models_hold_and_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another model is a 403, and `GET /v1/models` shows only those that the key may use."""
    keyed = Keyed(monkeypatch)
    _, text = keyed.make(models=("claude-haiku-*",))
    assert keyed.call(text).status == 200
    got = keyed.call(text, body=BODY.replace(MODEL.encode(), b"claude-opus-4-7"))
    assert (got.status, got.error) == (403, "permission_error")
    listed = keyed.call(text, path="/v1/models", method="GET", body=b"").json["data"]
    assert listed
    assert all(model["id"].startswith("claude-haiku-") for model in listed)
    assert keyed.call(text, path=f"/v1/models/{MODEL}", method="GET").status == 200
    assert keyed.call(text, path="/v1/models/claude-opus-4-7", method="GET").status == 404


class Failing(MemoryKeyStore):
    """A store that fails or hangs when told to."""

    broken: str = ""

    async def find(self, id: str) -> Any:
        if self.broken == "fails":
            raise OSError("sk-connection-with-a-password")
        if self.broken == "hangs":
            await anyio.sleep(60)
        return await super().find(id)


@pytest.mark.parametrize("broken", ["fails", "hangs"])
def test_a_store_that_cannot_be_asked(
    broken: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A key seen a moment ago holds for five minutes; another one is refused with 529, within the deadline."""
    monkeypatch.setattr("nexusflow_asgi.stored_keys.DEADLINE_SECONDS", 0.05)
    store = Failing()
    keyed = Keyed(monkeypatch, store)
    (_, seen), (_, unseen) = keyed.make(), keyed.make()
    assert keyed.call(seen).status == 200
    store.broken = broken
    keyed.now += 10.0
    assert keyed.call(seen).status == 200
    got = keyed.call(unseen)
    assert (got.status, got.error) == (529, "overloaded_error")
    keyed.now += 300.0
    assert keyed.call(seen).status == 529
    assert "the store of keys cannot be asked" in caplog.text


def test_keys_beside_authenticate(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host's session and a key both may call; a revoked key alone is neither, and never goes upstream."""

    def who(scope: Any) -> Principal | None:
        return Principal("session-user") if dict(scope["headers"]).get(b"cookie") else None

    keyed = Keyed(monkeypatch, authenticate=who)
    id, text = keyed.make()
    assert keyed.call(text).status == 200
    assert keyed.call(None).status == 401
    anyio.run(functools.partial(keyed.store.end, id, revoked_at=1000))
    keyed.now += 5.0
    assert keyed.call(text).status == 401
    cookie = [(b"cookie", b"session"), (b"x-api-key", text.encode())]
    assert anyio.run(lambda: ask(keyed.app, headers=cookie)).status == 200
    assert [record.principal for record in keyed.records if record.status == 200] == ["ci", "session-user"]


def test_the_remembered_keys_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten."""
    monkeypatch.setattr("nexusflow_asgi.stored_keys.MOST", 2)

    async def life() -> None:
        store = Failing()
        keys = [await create(store, KeyOptions(name=f"k{n}"), now=0) for n in range(3)]
        stored = StoredKeys(store, clock=lambda: 0.0, wall_clock=lambda: 0.0)
        for made in keys:
            assert await stored.principal(made.text.encode())
        store.broken = "fails"
        assert await stored.principal(keys[2].text.encode())
        with pytest.raises(OverloadedError):
            await stored.principal(keys[0].text.encode())

    anyio.run(life)
