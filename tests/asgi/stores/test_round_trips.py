"""A hold and a settlement are one round trip each, where the store promises that."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from nexusflow_core.budgets import Charge, Claim
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
        self._speaks = False

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self.target)
        await asyncio.gather(self._pass(reader, back, True), self._pass(there, writer, False))

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, client: bool) -> None:
        while data := await source.read(65536):
            if client and not self._speaks:
                self.trips += 1
            self._speaks = client
            sink.write(data)
            await sink.drain()
        sink.close()


def test_one_round_trip_each(place: str) -> None:
    """Once the connection, its statements and the windows are known."""

    async def main() -> list[int]:
        parts = urlsplit(place.partition("#")[0])
        wire = Wire(parts.hostname or "", parts.port or 0)
        server = await asyncio.start_server(wire, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        store = opened(place.replace(f":{parts.port}", f":{port}", 1))
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
