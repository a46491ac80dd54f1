"""RedisStore: windows and holds in Redis. Each step is one Lua script, which Redis runs alone."""

import asyncio
import importlib.resources
from collections.abc import Sequence
from typing import Any, cast
from weakref import WeakKeyDictionary

import msgspec
from redis import ConnectionError
from redis.asyncio import BlockingConnectionPool, Redis

from nexusflow_asgi.stores.protocol import KEPT_SECONDS, SWEPT_AT_ONCE, Lost, OpenWindow
from nexusflow_core.budgets import Balance, Charge, Claim, Hold, Refusal, Settled, Window, decide
from nexusflow_core.budgets.holds import EMPTY

__all__ = ["RedisStore"]

_SESSION_SECONDS = 35 * 86400
"""A window without an end is forgotten this long after its last call."""

_TRIES = 3
_PAUSE = 0.02

_CONNECTIONS = 20
"""More calls at once wait for a connection, within the deadline of each step."""


class RedisStore:
    """A CapStore in Redis 7 or later, for asyncio. Keys begin with `prefix`; its braces keep them together.

    `where`: a URL such as `redis://host:6379/0`, or the host's own client. Numbers are exact up to 2^53.
    Redis must not evict keys of this prefix, and is as durable as its own settings say.
    """

    def __init__(self, where: "str | Redis", prefix: str = "{nexusflow}:") -> None:
        self._where = where
        self._prefix = prefix
        self._clients: WeakKeyDictionary[object, tuple[Any, Any]] = WeakKeyDictionary()

    async def hold(
        self, request_id: str, claims: Sequence[Claim], *, now: int, expires_at: int
    ) -> Hold | Refusal:
        claims = sorted(claims, key=lambda claim: claim.window.key)
        members: list[Any] = [request_id, expires_at]
        for claim in claims:
            window = claim.window
            keep = _SESSION_SECONDS if window.ends_at is None else max(1, window.ends_at - now) + KEPT_SECONDS
            limit = -1 if claim.limit is None else claim.limit
            members += [window.key, claim.amount, limit, keep, msgspec.json.encode(window)]
        done, *found = await self._run("hold", members)
        balances = [Balance(*map(int, found[at : at + 3])) for at in range(0, len(found), 3)]
        if not done:
            by_key = {claim.window.key: balance for claim, balance in zip(claims, balances, strict=True)}
            refusal = decide(claims, by_key)
            if refusal is not None:
                return refusal
        return Hold(request_id, tuple(claims), tuple(balances), expires_at)

    async def settle(self, request_id: str, charges: Sequence[Charge]) -> list[Settled]:
        members: list[Any] = [request_id]
        for charge in charges:
            members += [charge.window, charge.amount, charge.rest]
        found = await self._run("settle", members)
        settled: list[Settled] = []
        for at in range(0, len(found), 7):
            key, *numbers = found[at : at + 7]
            before, after = numbers[:3], numbers[3:]
            settled.append(Settled(key.decode(), Balance(*map(int, before)), Balance(*map(int, after))))
        return sorted(settled, key=lambda one: one.window)

    async def renew(self, request_ids: Sequence[str], *, expires_at: int) -> None:
        await self._run("renew", [expires_at, *request_ids])

    async def sweep(self, *, now: int) -> list[Lost]:
        found = await self._run("sweep", [now, KEPT_SECONDS, SWEPT_AT_ONCE])
        return [
            Lost(found[at].decode(), found[at + 1].decode(), int(found[at + 2]))
            for at in range(0, len(found), 3)
        ]

    async def arm(self, meter: str, seconds: int, *, now: int) -> int:
        return int((await self._run("arm", [meter, seconds, now]))[0])

    async def windows(self, *, now: int, scope: str | None = None, limit: int = 1000) -> list[OpenWindow]:
        client, _ = self._client()
        found: list[OpenWindow] = []
        async for key in client.scan_iter(match=f"{self._prefix}window:*", count=1000):
            about, used, held, rest = await client.hmget(key, "about", "used", "held", "rest")
            if about is None:
                continue
            window = msgspec.json.decode(about, type=Window)
            if (window.ends_at is None or window.ends_at > now) and scope in (None, window.scope):
                found.append(OpenWindow(window, Balance(int(used), int(held), int(rest)) if used else EMPTY))
        return sorted(found, key=lambda one: one.window.key)[:limit]

    async def aclose(self) -> None:
        """Closes the client of this event loop that the store has made. A host's client stays open."""
        client, _ = self._clients.pop(asyncio.get_running_loop(), (None, None))
        if client is not None and isinstance(self._where, str):
            await client.aclose()

    async def _run(self, step: str, members: Sequence[Any]) -> list[Any]:
        """Returns the script's answer. Runs it again after a lost connection: each step may be repeated."""
        _, script = self._client()
        for tried in range(_TRIES):
            try:
                found: list[Any] = await script(keys=[self._prefix], args=[step, *members])
                return found
            except ConnectionError:
                if tried + 1 == _TRIES:
                    raise
            await asyncio.sleep(_PAUSE * 2**tried)
        raise AssertionError("unreachable")

    def _client(self) -> tuple[Any, Any]:
        """Returns the client of this event loop, and the script registered with it."""
        loop = asyncio.get_running_loop()
        found = self._clients.get(loop)
        if found is None:
            client: Any = self._where
            if isinstance(client, str):
                pool = cast(Any, BlockingConnectionPool).from_url(
                    client, max_connections=_CONNECTIONS, timeout=None
                )
                client = Redis.from_pool(pool)
            text = importlib.resources.files("nexusflow_asgi.stores").joinpath("redis.lua").read_text()
            found = self._clients[loop] = client, client.register_script(text)
        return found
