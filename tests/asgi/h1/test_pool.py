"""The pool: who waits longest is served first, and no more connections are open than places."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from nexusflow_asgi.transports.h1 import H1Transport, pool
from nexusflow_core import Upstream
from tests.asgi.transports import OK, a_request, at, exchange, without_proxies
from tests.servers import LIMIT, Gate, ScriptedUpstream


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy but those that a test sets."""
    without_proxies(monkeypatch)


async def call(transport: H1Transport, upstream: Upstream, number: int, where: str = "") -> None:
    await exchange(transport, a_request(upstream if not where else at(where), body=b"%d" % number))


@pytest.mark.parametrize("leaving", [None, 2, 4], ids=["all stay", "the second leaves", "the last leaves"])
def test_first_come_first_served(leaving: int | None) -> None:
    """Calls get the only place in the order in which they came; one that is cancelled holds up nobody."""
    gate = Gate()

    async def main() -> None:
        transport = H1Transport(upstream)
        scopes = {number: anyio.CancelScope() for number in range(5)}

        async def one(number: int) -> None:
            with scopes[number]:
                await call(transport, upstream, number)

        with anyio.fail_after(LIMIT):
            async with anyio.create_task_group() as group:
                group.start_soon(one, 0)
                await anyio.to_thread.run_sync(server.wait_requests, 1)
                for number in range(1, 5):
                    group.start_soon(one, number)
                    await anyio.sleep(0)
                if leaving is not None:
                    scopes[leaving].cancel()
                    await anyio.sleep(0)
                gate.open()
        await transport.aclose()

    with ScriptedUpstream(lambda _: [gate, *OK]) as server:
        upstream = at(server.url, connections=1)
        anyio.run(main)
        assert server.accepted == 1
        assert [int(received.body) for received in server.requests] == [
            number for number in range(5) if number != leaving
        ]


def test_a_place_that_is_given_to_a_cancelled_call() -> None:
    """The call that waits is cancelled in the moment in which it gets its place: the next one gets it."""

    async def main() -> None:
        transport = H1Transport(upstream)
        first = await transport.send(a_request(upstream))
        assert await first.read() == b"{}"
        waiting = [asyncio.ensure_future(call(transport, upstream, number)) for number in (1, 2)]
        await asyncio.sleep(0)
        await first.aclose()  # gives the place away
        waiting[0].cancel()
        async with asyncio.timeout(LIMIT):
            await waiting[1]
            await call(transport, upstream, 3)
        assert waiting[0].cancelled()
        await transport.aclose()

    with ScriptedUpstream(lambda _: OK) as server:
        upstream = at(server.url, connections=1)
        anyio.run(main)
        assert [received.body for received in server.requests] == [b"{}", b"2", b"3"]


def test_two_servers_share_the_places() -> None:
    """An idle connection to one is closed where the other needs its place."""

    async def main() -> None:
        transport = H1Transport(upstream)
        for number in range(3):
            await call(transport, upstream, number)
            await call(transport, upstream, number, other.url)
            assert await anyio.to_thread.run_sync(server.wait_open, 0)
        await transport.aclose()

    with ScriptedUpstream(lambda _: OK) as server, ScriptedUpstream(lambda _: OK) as other:
        upstream = at(server.url, connections=1)
        anyio.run(main)
        assert (server.accepted, other.accepted) == (3, 3)


def test_an_old_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was idle for long is closed instead of used: something on the way may have dropped it."""
    monkeypatch.setattr(pool, "_KEEP_SECONDS", 0.0)

    async def main() -> None:
        transport = H1Transport(upstream)
        for number in range(3):
            await call(transport, upstream, number)
        assert await anyio.to_thread.run_sync(server.wait_open, 1)
        await transport.aclose()

    with ScriptedUpstream(lambda _: OK) as server:
        upstream = at(server.url)
        anyio.run(main)
        assert server.accepted == 3


def test_closing_ends_what_is_open() -> None:
    """Calls in flight too: their sockets are closed at once."""

    async def main() -> None:
        transport = H1Transport(upstream)
        answers = [await transport.send(a_request(upstream)) for _ in range(3)]
        await transport.aclose()
        assert await anyio.to_thread.run_sync(server.wait_open, 0)
        for it in answers:
            await it.aclose()

    with ScriptedUpstream(lambda _: [OK[0], Gate()]) as server:
        upstream = at(server.url)
        anyio.run(main)
