"""Clients that leave, at each phase, on every event loop: pool, tasks, descriptors and memory return."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_core.config import decode_config
from tests.asgi.asking import LIMIT, ask, http_scope
from tests.chaos.faults import SPEAKS, Dialect, honest
from tests.servers import JSON, SSE, Fault, RecordingHook, ScriptedUpstream, Step, chunk, head

CONFIG = """
[upstreams.one]
dialect = "{dialect}"
base_url = "{url}"
auth = "none"
connections = 1
timeouts = {{ grace = 0.1 }}

[[routes]]
model = "*"
targets = ["one"]

[auth]
anonymous = true
"""
LOOPS = [("h1", "asyncio"), ("httpx", "asyncio"), ("aiohttp", "asyncio"), ("httpx", "trio")]
CHUNKED = (b"transfer-encoding", b"chunked")
Script = Callable[[bytes], list[Step]]


def body(stream: bool) -> bytes:
    return b'{"model":"m","max_tokens":9,"stream":%s,"messages":[{"role":"user","content":"a"}]}' % (
        b"true" if stream else b"false"
    )


PHASES: dict[str, tuple[bool, Script]] = {
    "before the head, sync": (False, lambda start: [Fault.HANG]),
    "before the head, stream": (True, lambda start: [Fault.HANG]),
    "in the head": (True, lambda start: [b"HTTP/1.1 200 OK\r\n", Fault.HANG]),
    "after the head, sync": (False, lambda start: [head(200, [*JSON, (b"content-length", b"99")]), Fault.HANG]),
    "after the head, stream": (True, lambda start: [head(200, [*SSE, CHUNKED]), Fault.HANG]),
    "in the first event": (True, lambda start: [head(200, [*SSE, CHUNKED]), chunk(start[:20]), Fault.HANG]),
    "in the body": (False, lambda start: [head(200, [*JSON, (b"content-length", b"99")]), b"{", Fault.HANG]),
    "in the stream": (True, lambda start: [head(200, [*SSE, CHUNKED]), chunk(start), Fault.HANG]),
    "in an error": (False, lambda start: [head(529, [*JSON, (b"content-length", b"99")]), b"{", Fault.HANG]),
    "in a rest": (False, lambda start: [head(429, [(b"retry-after", b"9"), (b"content-length", b"0")])]),
}


def memory() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.split("\n") if line.startswith("VmRSS"))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def leave(gateway: NexusFlow, upstream: ScriptedUpstream, stream: bool, *, after_bytes: bool) -> None:
    """One call whose client leaves once the upstream has it, or once the first bytes came."""
    count, gone = len(upstream.requests), anyio.Event()
    incoming = [{"type": "http.request", "body": body(stream), "more_body": False}]

    async def receive() -> Any:
        if incoming:
            return incoming.pop()
        if after_bytes:
            await gone.wait()
        else:
            while len(upstream.requests) == count:
                await anyio.sleep(0.001)
            await anyio.sleep(0.002)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        gone.set()

    with anyio.fail_after(LIMIT):
        await gateway(http_scope(), receive, send)


def tasks_on_asyncio() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0


def disconnects(dialect: Dialect, transport: Any, backend: str, count: int) -> None:
    hook = RecordingHook()

    async def main(upstream: ScriptedUpstream) -> None:
        config = decode_config(CONFIG.format(dialect=dialect, url=upstream.url).encode())
        async with NexusFlow(config=config, transport=transport, hooks=[hook]) as gateway:
            for phase, (stream, script) in PHASES.items():
                upstream.script = lambda _: honest(SPEAKS[dialect], False)
                assert (await ask(gateway, body=body(False))).status == 200
                at_rest = descriptors(), tasks_on_asyncio()
                upstream.script = lambda _, script=script: script(SPEAKS[dialect].start)  # type: ignore[misc]
                for _ in range(count):
                    await leave(gateway, upstream, stream, after_bytes=phase == "in the stream")
                assert {record.ending for record in hook.records[-count:]} == {"client_gone"}, phase
                upstream.script = lambda _: honest(SPEAKS[dialect], False)
                assert (await ask(gateway, body=body(False))).status == 200, phase
                with anyio.fail_after(LIMIT):
                    while (descriptors(), tasks_on_asyncio()) > at_rest:
                        await anyio.sleep(0.01)
                assert upstream.open_connections <= 1, phase
                with upstream._changed:
                    upstream._requests.clear()
                with hook._changed:
                    hook._records.clear()

    with ScriptedUpstream(lambda _: ()) as upstream:
        anyio.run(main, upstream, backend=backend)


@pytest.mark.parametrize(("transport", "backend"), LOOPS)
@pytest.mark.parametrize("dialect", ["anthropic", "openai-chat"], ids=["relayed", "translated"])
def test_ten_at_each_phase(dialect: Dialect, transport: Any, backend: str) -> None:
    """One record each, the only slot of the pool is free again, no task and no
    descriptor stays."""
    disconnects(dialect, transport, backend, 10)


@pytest.mark.soak
@pytest.mark.parametrize(("transport", "backend"), LOOPS)
@pytest.mark.parametrize("dialect", ["anthropic", "openai-chat"], ids=["relayed", "translated"])
def test_two_hundred_at_each_phase(dialect: Dialect, transport: Any, backend: str) -> None:
    """The same by the hundred; memory returns, too."""
    disconnects(dialect, transport, backend, 20)
    gc.collect()
    before = memory()
    disconnects(dialect, transport, backend, 200)
    gc.collect()
    grown = memory() - before
    print(f"{transport} on {backend}, {dialect}: {grown / 1e6:+.1f} MB after {200 * len(PHASES)}")
    assert grown < 5_000_000
