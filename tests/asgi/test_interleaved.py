"""Fifty calls at once, of different principals, models and sizes: nobody gets anything of anybody else's."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any, Literal

import pytest
from starlette.types import Scope

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.transports import TransportName
from nexusflow_core.call import Principal
from nexusflow_core.config import decode_config
from tests.servers import (
    JSON,
    LIMIT,
    SSE,
    Gate,
    Head,
    RawClient,
    Received,
    RecordingHook,
    ScriptedUpstream,
    Served,
    Step,
    answer,
)

CALLS = 50
CONFIG = """
[upstreams.anthropic]
dialect = "anthropic"
base_url = "{url}"
connections = 50

[[routes]]
model = "renamed-*"
targets = ["anthropic/claude-renamed"]

[[routes]]
model = "claude-*"
targets = ["anthropic"]
"""


def sentence(i: int) -> str:
    """Text that belongs to call `i` alone, from a few bytes to two megabytes."""
    return f"only-{i}-" * (1 + Random(i).choice([0, 1, 100, 5_000, 200_000]))


def model(i: int) -> str:
    return f"renamed-{i}" if i % 5 == 0 else f"claude-{i}"


def body_of(i: int) -> bytes:
    """Call `i`: every second one streams; the odd spaces show whether the bytes were touched."""
    text = json.dumps({"max_tokens": i, "model": model(i), "stream": i % 2 == 0, "system": sentence(i)})
    return text.encode() + b" " * i


def pieces_of(i: int) -> list[bytes]:
    """The answer to call `i`, in pieces."""
    usage = {"input_tokens": 1000 + i, "output_tokens": 2000 + i}
    if i % 2:
        whole = json.dumps({"type": "message", "text": sentence(i), "usage": usage}).encode()
        return [whole[at : at + 40_000] for at in range(0, len(whole), 40_000)]
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"model": model(i), "usage": {**usage, "output_tokens": 1}}},
        *({"type": "content_block_delta", "index": n, "delta": {"text": f"only-{i}-"}} for n in range(i + 1)),
        {"type": "message_delta", "usage": {"output_tokens": 2000 + i}},
        {"type": "message_stop"},
    ]
    return [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events]


async def who(scope: Scope) -> Principal | None:
    """The host's own authentication: a header names the principal."""
    headers = dict(scope["headers"])
    name = headers.get(b"x-who")
    return Principal(id=name.decode(), metadata={"team": name.decode()[::-1]}) if name else None


@pytest.mark.parametrize("transport", ["h1", "httpx"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_fifty_interleaved_calls_mix_nothing(
    transport: TransportName, loop: Literal["asyncio", "uvloop"]
) -> None:
    """All fifty are under way before the first is answered; then their pieces come in any order."""
    hook, rng = RecordingHook(), Random(5)
    gates = {i: [Gate() for _ in pieces_of(i)] for i in range(CALLS)}

    def script(received: Received) -> list[Step]:
        i = json.loads(received.body)["max_tokens"]
        steps = [step for pair in zip(gates[i], pieces_of(i), strict=True) for step in pair]
        return answer(
            200, [*(JSON if i % 2 else SSE), (b"request-id", b"req_%d" % i)], steps, framing="chunked"
        )

    def call(client: RawClient, i: int) -> tuple[Head, bytes]:
        who_and_key = [(b"x-who", b"user-%d" % i), (b"x-api-key", b"sk-ant-%d" % i)]
        return client.call(f"/v1/messages?call={i}", who_and_key, body_of(i))

    with ScriptedUpstream(script) as upstream, ThreadPoolExecutor(CALLS) as threads:
        config = decode_config(CONFIG.format(url=upstream.url).encode())
        app = NexusFlow(config=config, transport=transport, hooks=[hook], authenticate=who)
        with Served(app, loop=loop) as served:
            clients = [RawClient(served.port) for _ in range(CALLS)]
            answers = [threads.submit(call, client, i) for i, client in enumerate(clients)]
            assert len(upstream.wait_requests(CALLS)) == CALLS, "not all were under way at once"
            turns = [i for i in gates for _ in gates[i]]
            rng.shuffle(turns)
            closed = {i: iter(gates[i]) for i in gates}
            for turn in turns:
                next(closed[turn]).open()
            results = [answer.result(LIMIT) for answer in answers]
            for client in clients:
                client.close()
            records = {record.model: record for record in hook.wait(CALLS)}

    seen = {int(received.target.rpartition(b"=")[2]): received for received in upstream.requests}
    assert len(seen) == len(hook.records) == len({r.request_id for r in hook.records}) == CALLS
    for i, (head, body) in enumerate(results):
        renamed = model(i).startswith("renamed-")
        sent = body_of(i).replace(f'"{model(i)}"'.encode(), b'"claude-renamed"') if renamed else body_of(i)
        assert (head.status, body) == (200, b"".join(pieces_of(i)))
        assert head.values(b"request-id") == [b"req_%d" % i]
        assert seen[i].body == sent
        assert seen[i].values(b"x-api-key") == [b"sk-ant-%d" % i]
        record = records[model(i)]
        assert (record.principal, record.metadata) == (f"user-{i}", {"team": f"user-{i}"[::-1]})
        assert (record.stream, record.ending, record.upstream_request_id) == (
            i % 2 == 0,
            "complete",
            f"req_{i}",
        )
        assert record.usage == {"input_tokens": 1000 + i, "output_tokens": 2000 + i}
        assert bool(record.edits) == renamed
