"""Memory after calls that were refused or failed: it is back at once, without the garbage collector."""

from __future__ import annotations

import contextlib
import gc
import json
import tracemalloc
from collections.abc import Iterator

import anyio
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_core.config import decode_config
from tests.asgi.asking import ask
from tests.asgi.transports import without_proxies
from tests.servers import JSON, Received, ScriptedUpstream, Step, answer, refusing_port

CONFIG = """
[upstreams.claude]
dialect = "anthropic"
base_url = "{url}"
auth = "none"
[upstreams.chat]
dialect = "openai-chat"
base_url = "{url}"
auth = "none"
[[routes]]
model = "relayed"
targets = ["claude"]
[[routes]]
model = "translated"
targets = ["chat"]
[retry]
attempts = 2
backoff = 0
[auth]
anonymous = true
"""
CALLS = 125
"""Of each of the four kinds below: 500 in all."""
SIZE = 20_000
"""Bytes of a body, which takes several times as much where it is decoded."""
FEW_BODIES = 10 * SIZE
"""What the loop and Python's free lists may keep of them all."""

REFUSED = json.dumps({"error": {"type": "invalid_request_error", "message": "no"}}).encode()


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No proxy, and no collection of cycles."""
    without_proxies(monkeypatch)
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def body(model: str, **more: object) -> bytes:
    turns = [{"role": "user", "content": f"turn {number}"} for number in range(SIZE // 40)]
    return json.dumps({"model": model, "max_tokens": 9, "messages": turns, **more}).encode()


def growth(transport: str, url: str, given: bytes, status: int, calls: int) -> int:
    """Bytes that so many calls leave behind, beyond what the first few did."""
    gateway = NexusFlow(config=decode_config(CONFIG.format(url=url).encode()), transport=transport)

    async def main() -> int:
        async def some(count: int) -> None:
            for _ in range(count):
                assert (await ask(gateway, body=given)).status == status
            await anyio.sleep(0.01)  # what the loop still holds of the last ones is let go

        await some(5)
        tracemalloc.start()
        try:
            await some(2)
            before = tracemalloc.get_traced_memory()[0]
            await some(calls)
            return tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
            await gateway.aclose()

    return anyio.run(main)


@contextlib.contextmanager
def forgetful(steps: list[Step]) -> Iterator[ScriptedUpstream]:
    """An upstream that answers every call alike and keeps no request."""

    def answered(received: Received) -> list[Step]:
        upstream._requests.clear()
        return steps

    upstream = ScriptedUpstream(answered)
    with upstream:
        yield upstream


each_transport = pytest.mark.parametrize("transport", ["h1", "httpx", "aiohttp"])


def test_refused_calls_leave_nothing() -> None:
    """A translated route refuses what it cannot carry, after it has decoded all of it."""
    given = body("translated", container={"id": "c"})
    assert growth("httpx", "http://nowhere", given, 400, CALLS) < FEW_BODIES


@each_transport
@pytest.mark.parametrize("model", ["relayed", "translated"])
def test_calls_without_a_connection_leave_nothing(transport: str, model: str) -> None:
    """Every attempt is refused by the upstream's host: 502."""
    with refusing_port() as port:
        assert growth(transport, f"http://127.0.0.1:{port}", body(model), 502, CALLS // 2) < FEW_BODIES


@each_transport
@pytest.mark.parametrize("model", ["relayed", "translated"])
def test_error_answers_leave_nothing(transport: str, model: str) -> None:
    """The upstream answers each call with an error of its own."""
    with forgetful(answer(400, JSON, [REFUSED])) as upstream:
        assert growth(transport, upstream.url, body(model), 400, CALLS // 2) < FEW_BODIES


@each_transport
def test_broken_answers_leave_nothing(transport: str) -> None:
    """The upstream's answer is no JSON: 502."""
    with forgetful(answer(200, JSON, [b"nope"])) as upstream:
        assert growth(transport, upstream.url, body("translated"), 502, CALLS // 2) < FEW_BODIES
