"""Bounds: calls at once, those that wait, headers, bodies, inflation; and a slow client slows the upstream."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.slots import Slots
from nexusflow_asgi.transports.offline import OfflineTransport
from nexusflow_core import Config, Limits, OverloadedError
from nexusflow_core.config import decode_config
from nexusflow_core.peek import inflate
from tests.asgi.asking import BODY, LIMIT, OFFLINE, Answer, ask, http_scope, offline
from tests.servers import (
    SSE,
    Fault,
    RawClient,
    Received,
    RecordingHook,
    ScriptedUpstream,
    Served,
    chunk,
    head,
)

both_backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def limited(text: str) -> Config:
    config = decode_config(OFFLINE + b"[limits]\n" + text.encode())
    config.resolve({"SIM_KEY": "sk-ant-simulated"})
    return config


class Held(OfflineTransport):
    """The simulator; answers once it is let go."""

    def __init__(self) -> None:
        self.go_on = anyio.Event()
        self.came = 0

    async def send(self, request: Any) -> Any:
        self.came += 1
        await self.go_on.wait()
        return await super().send(request)


async def until(true: Callable[[], bool]) -> None:
    with anyio.fail_after(LIMIT):
        while not true():
            await anyio.sleep(0.001)


def run(backend: str, work: Callable[[], Awaitable[None]]) -> None:
    anyio.run(work, backend=backend)


def asking_as(name: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-user", name.encode())]


async def who(scope: Any) -> str | None:
    return dict(scope["headers"]).get(b"x-user", b"").decode() or None


@both_backends
def test_beyond_the_queue_a_call_is_refused(backend: str) -> None:
    """Two run, one waits, the fourth gets 529 with `retry-after`, at once; the one that waited is served."""

    async def main() -> None:
        transport, hook, answers = Held(), RecordingHook(), list[Answer]()
        gateway = NexusFlow(config=limited("calls = 2\nqueue = 1"), transport=transport, hooks=[hook])

        async def one() -> None:
            answers.append(await ask(gateway))

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(one)
            await until(lambda: transport.came == 2)
            await anyio.sleep(0.01)
            refused = await ask(gateway)
            assert (refused.status, refused.error, refused.value(b"retry-after")) == (
                529,
                "overloaded_error",
                b"1",
            )
            assert transport.came == 2
            transport.go_on.set()
        assert [it.status for it in answers] == [200, 200, 200]
        assert sorted(record.ending for record in hook.records) == ["complete"] * 3 + ["refused"]
        assert (await ask(gateway)).status == 200

    run(backend, main)


@both_backends
def test_one_caller_cannot_take_every_place(backend: str) -> None:
    """Alice has one call running and one waiting; Bob is served meanwhile."""

    async def main() -> None:
        transport, answers = Held(), dict[str, int]()
        config = limited("calls = 3\ncalls_per_key = 1")
        gateway = NexusFlow(config=config, transport=transport, authenticate=who)

        async def one(name: str, number: int) -> None:
            answers[f"{name}{number}"] = (await ask(gateway, headers=asking_as(name))).status

        async with anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(one, "alice", number)
            await until(lambda: transport.came == 1)
            group.start_soon(one, "bob", 0)
            await until(lambda: transport.came == 2)
            transport.go_on.set()
        assert set(answers.values()) == {200}
        assert not gateway._loops.current().slots._keys, "nothing is kept of callers that are gone"

    run(backend, main)


@both_backends
def test_a_wait_has_an_end(backend: str) -> None:
    """After `queue_seconds` it is 529; the place is not lost by it."""

    async def main() -> None:
        transport = Held()
        gateway = NexusFlow(config=limited("calls = 1\nqueue_seconds = 0.05"), transport=transport)
        async with anyio.create_task_group() as group:
            group.start_soon(ask, gateway)
            await until(lambda: transport.came == 1)
            assert (await ask(gateway)).status == 529
            transport.go_on.set()
        assert (await ask(gateway)).status == 200

    run(backend, main)


@both_backends
def test_closing_refuses_who_waits(backend: str) -> None:
    """The one that runs gets its grace, the one in the queue an answer at once."""

    async def main() -> None:
        transport = Held()
        gateway = NexusFlow(config=limited("calls = 1"), transport=transport, grace=LIMIT)
        waited = list[Answer]()

        async def one() -> None:
            waited.append(await ask(gateway))

        async with anyio.create_task_group() as group:
            group.start_soon(ask, gateway)
            await until(lambda: transport.came == 1)
            group.start_soon(one)
            await until(lambda: gateway._loops.current().slots._waiting == 1)
            group.start_soon(gateway.aclose)
            await until(lambda: bool(waited))
            assert waited[0].status == 529
            transport.go_on.set()

    run(backend, main)


@both_backends
def test_places_survive_cancellation(backend: str) -> None:
    """Waiting calls that are cancelled, in whatever moment, give up their turn and no more than that."""

    async def main() -> None:
        slots = Slots(Limits(calls=2, calls_per_key=2, queue=200))
        running = 0

        async def work(key: str, seconds: float) -> None:
            nonlocal running
            await slots.take(key)
            try:
                running += 1
                assert running <= 2
                await anyio.sleep(seconds)
            finally:
                running -= 1
                slots.give(key)

        async def cancelled(key: str, after: float) -> None:
            with anyio.move_on_after(after):
                await work(key, 0.01)

        async with anyio.create_task_group() as group:
            for number in range(60):
                group.start_soon(cancelled if number % 3 else work, "ab"[number % 2], number % 7 * 0.002)
        assert (slots._all.free, slots._waiting, slots._keys) == (2, 0, {})

    run(backend, main)


def test_a_full_queue_of_none() -> None:
    """`queue = 0`: nobody waits."""

    async def main() -> None:
        slots = Slots(Limits(calls=1, queue=0))
        await slots.take("a")
        with pytest.raises(OverloadedError):
            await slots.take("b")
        with pytest.raises(OverloadedError):
            await slots.take(None)
        slots.give("a")
        await slots.take(None)
        assert slots._keys == {}

    anyio.run(main)


def test_headers_have_a_bound() -> None:
    """413 in Anthropic's shape; the query counts, and one byte less passes."""
    gateway = NexusFlow(config=limited("header_bytes = 1000"), transport="offline")
    many = [(b"x-%d" % i, b"y" * 50) for i in range(20)]
    for headers, query in ((many, b""), ([], b"a=" + b"y" * 1000)):
        refused = anyio.run(lambda h=headers, q=query: ask(gateway, headers=h, query=q))  # type: ignore[misc]
        assert (refused.status, refused.error) == (413, "request_too_large")
    assert anyio.run(lambda: ask(gateway, headers=many[:10])).status == 200


def test_a_records_size_is_not_the_clients_to_choose() -> None:
    """Of the name that a client gives its model a record keeps the beginning, in each attempt as well; a longer
    one than any model has is refused."""
    hook = RecordingHook()
    gateway = NexusFlow(config=offline(), transport="offline", hooks=[hook])
    for length, status in ((900, 200), (2_000_000, 400)):
        body = BODY.replace(b"claude-haiku-4-5", b"claude-" + b"x" * length)
        assert anyio.run(lambda body=body: ask(gateway, body=body)).status == status  # type: ignore[misc]
    served, refused = hook.records
    assert (len(served.model), [len(attempt.model) for attempt in served.attempts]) == (256, [256])
    assert len(repr(refused)) < 1000


# Bodies


def zipped(body: bytes) -> Answer:
    gateway = NexusFlow(config=limited("body_bytes = 100000"), transport="offline")
    return anyio.run(lambda: ask(gateway, headers=[(b"content-encoding", b"gzip")], body=body))


def test_an_inflation_bomb() -> None:
    """The bound counts after inflation, and the bomb is never held whole."""
    bomb = gzip.compress(b'{"model":"' + b"a" * 50_000_000)
    assert len(bomb) < 100_000
    refused = zipped(bomb)
    assert (refused.status, refused.error) == (413, "request_too_large")


def test_a_bomb_of_many_members() -> None:
    """Thousands of empty gzip members have no size, only cost: more than a hundred are refused."""
    refused = zipped(gzip.compress(b"") * 4000)
    assert (refused.status, refused.error) == (400, "invalid_request_error")
    few = b"".join(gzip.compress(BODY[i : i + 2]) for i in range(0, len(BODY), 2))
    assert inflate(few, "gzip", 1000) == BODY, "an odd sender's few members are joined"


@pytest.mark.parametrize("garbage", [b"", b"\x1f\x8b", zlib.compress(b"{}")[:-3], gzip.compress(BODY) + b"x"])
def test_a_compressed_body_that_is_none(garbage: bytes) -> None:
    """400, whatever it is."""
    assert (zipped(garbage).status, zipped(garbage).error) == (400, "invalid_request_error")


def test_a_refused_callers_body_is_not_kept() -> None:
    """A refused caller cannot make us hold a body; it is read all the same, so that the client
    sees its 401."""
    gateway = NexusFlow(config=limited("body_bytes = 1000000"), transport="offline", authenticate=who)
    held = list[int]()

    async def main() -> list[Any]:
        sent = list[Any]()
        incoming = [{"type": "http.request", "body": b"x" * 1000, "more_body": i < 99} for i in range(100)]

        async def receive() -> Any:
            if incoming:
                return incoming.pop(0)
            await anyio.sleep_forever()
            raise AssertionError

        async def send(message: Any) -> None:
            held.append(len(incoming))
            sent.append(message)

        await gateway(http_scope(), receive, send)
        return sent

    sent = anyio.run(main)
    assert sent[0]["status"] == 401
    assert set(held) == {0}


# Back pressure


@pytest.mark.parametrize("transport", ["h1", "httpx"])
@pytest.mark.parametrize("dialect", ["anthropic", "openai-chat"])
def test_a_slow_client_slows_the_upstream(transport: Any, dialect: str) -> None:
    """With a client that does not read, the upstream gets rid of what the sockets hold, and of no
    more: nothing here takes the rest in. The client that leaves then closes the upstream."""
    text = "x" * 60_000
    if dialect == "anthropic":
        first = b'event: message_start\ndata: {"type":"message_start","message":{"model":"m"}}\n\n'
        flood = b'event: content_block_delta\ndata: {"delta":{"text":"%s"}}\n\n' % text.encode()
    else:
        first = flood = b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % text.encode()
    pieces, written = 2000, 0

    def script(received: Received) -> Any:
        nonlocal written
        yield head(200, [*SSE, (b"transfer-encoding", b"chunked")])
        yield chunk(first)
        for _ in range(pieces):
            written += 1
            yield chunk(flood)
        yield Fault.HANG

    toml = (
        f'[upstreams.u]\ndialect = "{dialect}"\nbase_url = "{{url}}"\nauth = "none"\n[[routes]]\nmodel = "*"\n'
    )
    toml += 'targets = ["u"]\n[auth]\nanonymous = true\n'
    hook = RecordingHook()
    with ScriptedUpstream(script) as upstream:
        config = decode_config(toml.format(url=upstream.url).encode())
        with Served(NexusFlow(config=config, transport=transport, hooks=[hook])) as served:
            client = RawClient(served.port)
            body = b'{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"a"}]}'
            client.post("/v1/messages", [], body)
            assert client.head().status == 200
            before = -1
            while before != written:  # until the upstream stands still
                before = written
                anyio.run(anyio.sleep, 0.3)
            assert written < pieces / 2, f"{written * len(flood)} bytes were taken in"
            client.close()
            assert hook.wait(1)[0].ending == "client_gone"
        assert upstream.requests[0].cut_off()
