"""The wire to a store: one round trip for a hold or a settlement, and answers that are lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from nexusflow_asgi.stores import CapStore
from nexusflow_core.budgets import Balance, Charge, Claim, Hold
from tests.asgi.stores.services import fresh, opened
from tests.asgi.stores.worker import NOW, WINDOWS


@pytest.fixture(params=["postgresql", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh(request.param, tmp_path) as found:
        yield found


class Wire:
    """A proxy that counts how often the client speaks after the server has answered."""

    def __init__(self, host: str, port: int) -> None:
        self.target = host, port
        self.trips = 0
        self.loses_next_answer = False
        self._speaks = False

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self.target)
        await asyncio.gather(self._pass(reader, back, True), self._pass(there, writer, False))

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, client: bool) -> None:
        while data := await source.read(65536):
            if client and not self._speaks:
                self.trips += 1
            self._speaks = client
            if self.loses_next_answer and not client:  # the server has done the work
                self.loses_next_answer = False
                sink.transport.abort()
                break
            sink.write(data)
            await sink.drain()
        sink.close()


async def through_a_wire(place: str) -> tuple[Wire, asyncio.Server, CapStore]:
    """Returns a proxy before the store's server, and a store that goes through it."""
    parts = urlsplit(place.partition("#")[0])
    wire = Wire(parts.hostname or "", parts.port or 0)
    server = await asyncio.start_server(wire, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    return wire, server, opened(place.replace(f":{parts.port}", f":{port}", 1))


def test_one_round_trip_each(place: str) -> None:
    """Once the connection, its statements and the windows are known."""

    async def main() -> list[int]:
        wire, server, store = await through_a_wire(place)
        claims = [Claim(window, 10, 1000) for window in WINDOWS]
        trips: list[int] = []
        for number in range(4):
            await asyncio.sleep(0)
            before = wire.trips
            await store.hold(f"r{number}", claims, now=NOW, expires_at=NOW + 60)
            between = wire.trips
            await store.settle(f"r{number}", [Charge(window.key, 5) for window in WINDOWS])
            trips = [between - before, wire.trips - between]
        await store.aclose()
        server.close()
        return trips

    assert asyncio.run(main()) == [1, 1]


def test_a_lost_answer_is_asked_for_again(place: str) -> None:
    """The connection breaks after the server has done the work. The store repeats it; nothing counts twice."""

    async def main() -> list[Balance]:
        wire, server, store = await through_a_wire(place)
        claims = [Claim(window, 10, 1000) for window in WINDOWS]
        charges = [Charge(window.key, 7, 1) for window in WINDOWS]
        await store.hold("first", claims, now=NOW, expires_at=NOW + 60)
        await store.settle("first", charges)
        wire.loses_next_answer = True
        assert isinstance(await store.hold("second", claims, now=NOW, expires_at=NOW + 60), Hold)
        assert not wire.loses_next_answer
        wire.loses_next_answer = True
        await store.settle("second", charges)
        assert not wire.loses_next_answer
        found = await store.windows(now=NOW)
        await store.aclose()
        server.close()
        return [one.balance for one in found]

    assert asyncio.run(main()) == [Balance(14, 0, 2)] * 2
