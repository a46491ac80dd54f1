"""The transport without a network: the simulator, in this process."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cached_property
from typing import TypeAlias
from urllib.parse import urlsplit

import anyio.lowlevel

from nexusflow_core.dialects.anthropic.door_offline import framed, opened
from nexusflow_core.errors import UpstreamStatusError
from nexusflow_core.simulator import SimulatedCache, SimulatedResponse, simulate
from nexusflow_core.simulator.anthropic import SERVICE
from nexusflow_core.upstream import Headers, UpstreamRequest

__all__ = ["OfflineTransport"]

_PLACEHOLDER = (b"authorization", b"Bearer offline")
"""The simulated services all want a credential, and an upstream of `auth = "none"` sends none."""


Simulator: TypeAlias = Callable[[str, Headers, bytes, SimulatedCache, datetime], SimulatedResponse]


class OfflineTransport:
    """Answers an upstream's requests by `simulate`: path, headers and body in, a whole answer out.

    It remembers prompts as the upstream's prompt cache does.
    """

    simulate: Simulator = staticmethod(simulate)

    @cached_property
    def _cache(self) -> SimulatedCache:
        return SimulatedCache()

    async def send(self, request: UpstreamRequest) -> "_Response":
        await anyio.lowlevel.checkpoint()
        headers, now = request.headers, datetime.now(UTC)
        if request.upstream.door is not None:
            return _Response(self._behind_door(request, now))
        if request.upstream.auth == "none":
            headers = [*headers, _PLACEHOLDER]
        return _Response(self.simulate(urlsplit(request.url).path, headers, request.body, self._cache, now))

    def _behind_door(self, request: UpstreamRequest, now: datetime) -> SimulatedResponse:
        """Returns a cloud's answer: the request is checked as there, and a stream framed as there."""
        try:
            asked = opened(request, now)
        except UpstreamStatusError as error:
            return SERVICE.refuse(error, request.body)
        answer = self.simulate(asked.path, asked.headers, asked.body, self._cache, now)
        headers, chunks = framed(asked, answer.status, answer.headers, answer.chunks)
        return SimulatedResponse(answer.status, headers, chunks)

    async def aclose(self) -> None:
        return None


class _Response:
    def __init__(self, simulated: SimulatedResponse) -> None:
        self.status: int = simulated.status
        self.headers: Headers = simulated.headers
        self._chunks: Iterator[bytes] = iter(simulated.chunks)

    async def read(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        return next(self._chunks, b"")

    async def aclose(self) -> None:
        return None
