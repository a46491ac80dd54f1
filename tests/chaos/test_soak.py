"""Long: faults by the thousand in a row, and a thousand streams at once, measured from outside the process."""

from __future__ import annotations

import asyncio
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.faults import FAULTS, SPEAKS, Dialect, honest
from tests.chaos.process import GatewayProcess, gateway_process, settled
from tests.servers import (
    SSE,
    Gate,
    RawClient,
    Received,
    ScriptedUpstream,
    Step,
    Truncated,
    chunk,
    head,
    request,
)

pytestmark = pytest.mark.soak

CONFIG = """
[upstreams.anthropic]
dialect = "anthropic"
base_url = "{url}"
auth = "none"
connections = 2000
timeouts = {{ first_byte = 60, idle = 60, grace = 1 }}

[upstreams.chat]
dialect = "openai-chat"
base_url = "{url}"
auth = "none"
connections = 2000
timeouts = {{ first_byte = 60, idle = 60, grace = 1 }}

[[routes]]
model = "anthropic"
targets = ["anthropic"]
[[routes]]
model = "openai-chat"
targets = ["chat"]

[retry]
backoff = 0.001

[auth]
anonymous = true
"""
SLOW = {"an endless body", "a hundred thousand events", "byte by byte", "an endless header", "deep JSON"}
QUICK = sorted(
    name for name in FAULTS if "hangs" not in name and name not in SLOW and "retry-after" not in name
)
both_transports = pytest.mark.parametrize("transport", ["h1", "httpx", "aiohttp"])


def body(dialect: str, stream: bool, fault: str = "") -> bytes:
    return (
        b'{"model":"%s","max_tokens":9,"stream":%s,"metadata":{"user_id":"%s"},'
        b'"messages":[{"role":"user","content":"a"}]}'
        % (dialect.encode(), b"true" if stream else b"false", fault.encode())
    )


def misbehaving(received: Received) -> Any:
    """Three calls of four are served; the others meet the fault that their number picks."""
    dialect: Dialect = "openai-chat" if b"chat/completions" in received.line else "anthropic"
    stream = b'"stream":true' in received.body.replace(b" ", b"")
    number = random.randrange(4 * len(QUICK))
    if number < len(QUICK):
        return FAULTS[QUICK[number]].steps(SPEAKS[dialect], stream)
    return honest(SPEAKS[dialect], stream)


def calls(served: GatewayProcess, count: int, seed: int, problems: list[str]) -> None:
    """One client after the other; a tenth of them leave early."""
    rng = random.Random(seed)
    client = RawClient(served.port, echoes=True)
    for number in range(count):
        dialect, stream = rng.choice(("anthropic", "openai-chat")), rng.random() < 0.5
        try:
            client.post("/v1/messages", [], body(dialect, stream))
            if rng.random() < 0.1:
                client.close()
                client = RawClient(served.port, echoes=True)
                continue
            if client.head().status not in range(200, 600):
                problems.append(f"{seed}:{number}: no status")
            client.rest()
        except (Truncated, ConnectionError):  # a sync answer that broke off is cut off
            client.close()
            client = RawClient(served.port, echoes=True)
        except Exception as error:
            problems.append(f"{seed}:{number}: {error!r}")
            return
    client.close()


def run(served: GatewayProcess, upstream: ScriptedUpstream, count: int) -> None:
    problems: list[str] = []
    threads = [threading.Thread(target=calls, args=(served, count // 8, seed, problems)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(500)
    assert problems == []
    with upstream._changed:
        upstream._requests.clear()


@both_transports
def test_twenty_thousand_calls(transport: str, tmp_path: Path) -> None:
    """Served calls, faults and clients that leave, mixed: memory grows by less than 5 MB after
    the warm-up, descriptors come back, and no warning is on stderr."""
    random.seed(6)
    with ScriptedUpstream(misbehaving) as upstream:
        with gateway_process(CONFIG.format(url=upstream.url), transport, tmp_path) as served:
            run(served, upstream, 4000)
            at_rest, before = settled(served), served.memory()
            run(served, upstream, 20_000)
            after = served.memory()
            descriptors = settled(served)
    print(
        f"{transport}: {before / 1e6:.1f} MB, {after / 1e6:.1f} MB after 20,000; {at_rest}, {descriptors} fds"
    )
    assert after - before < 5_000_000
    assert descriptors <= at_rest + 16, "a pool may hold as many connections as there are clients"
    assert served.stderr == ""


both_dialects = pytest.mark.parametrize("dialect", ["anthropic", "openai-chat"])


@both_transports
@both_dialects
def test_a_thousand_slow_streams(dialect: Dialect, transport: str, tmp_path: Path) -> None:
    """All run at once, all finish, and each takes 40 kB at most above the idle process."""
    assert open_streams(1000, body(dialect, True), dialect, transport, tmp_path) <= 40_000


@both_transports
@both_dialects
def test_the_request_of_an_open_stream_is_let_go(dialect: Dialect, transport: str, tmp_path: Path) -> None:
    """A request of 200 kB is not held while its answer streams: each takes less than half of that."""
    large = body(dialect, True).replace(b'"content":"a"', b'"content":"%s"' % (b"word " * 40_000))
    assert open_streams(200, large, dialect, transport, tmp_path) <= 100_000


def open_streams(count: int, asked: bytes, dialect: Dialect, transport: str, tmp_path: Path) -> float:
    """The bytes that each of so many streams takes while all are open; twenty arrive at a time."""
    spoken, gates = SPEAKS[dialect], [Gate()]

    def script(received: Received) -> Any:
        steps: list[Step] = [head(200, [*SSE, (b"transfer-encoding", b"chunked")])]
        steps += [chunk(event) for event in spoken.events[:2]]
        return [*steps, gates[-1], *[chunk(event) for event in spoken.events[2:]], b"0\r\n\r\n"]

    async def one(served: GatewayProcess, begun: asyncio.Semaphore) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(request("/v1/messages", [], asked))
        got = await reader.readuntil(b"message_start")
        begun.release()
        got += await reader.readuntil(b"0\r\n\r\n")
        writer.close()
        return got

    async def many(served: GatewayProcess, number: int) -> int:
        begun, tasks = asyncio.Semaphore(0), list[asyncio.Task[bytes]]()
        while len(tasks) < number:
            tasks += [asyncio.create_task(one(served, begun)) for _ in range(20)]
            for _ in range(20):
                await asyncio.wait_for(begun.acquire(), 120)
        held = served.memory()
        gates[-1].open()
        answers = await asyncio.wait_for(asyncio.gather(*tasks), 120)
        assert all(b"message_stop" in answer for answer in answers)
        return held

    with ScriptedUpstream(script) as upstream:
        with gateway_process(CONFIG.format(url=upstream.url), transport, tmp_path) as served:
            asyncio.run(many(served, 20))
            gates.append(Gate())
            idle = served.memory()
            held = asyncio.run(many(served, count))
    each = (held - idle) / count
    print(f"{transport}, {dialect}: {each / 1000:.1f} kB a stream above {idle / 1e6:.1f} MB")
    assert served.stderr == ""
    return each
