"""Waiting for a place: one deadline, a share for each caller, and nobody waits for clients that have left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
import trio.testing

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.slots import Slots
from nexusflow_core import CallRecord, Config, ConfigError, Limits, OverloadedError
from nexusflow_core.config import decode_config
from tests.asgi.asking import BODY, LIMIT, OFFLINE, Answer, ask, http_scope
from tests.asgi.test_limits import Held, asking_as, limited, until, who

both_backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])


class Kept:
    def __init__(self) -> None:
        self.records: list[CallRecord] = []

    def after(self, record: CallRecord) -> None:
        self.records.append(record)


class Client:
    """Sends these pieces and stays; `left` makes it go away."""

    def __init__(self, *pieces: bytes, whole: bool = True) -> None:
        self.incoming = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        self.incoming[-1]["more_body"] = not whole
        self.left = anyio.Event()
        self.sent: list[Any] = []
        self.read = 0

    async def receive(self) -> Any:
        if self.incoming:
            self.read += 1
            return self.incoming.pop(0)
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    async def call(self, gateway: NexusFlow, headers: Any = ()) -> None:
        with anyio.fail_after(LIMIT):
            await gateway(http_scope(headers=headers), self.receive, self.send)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])


def slots_of(gateway: NexusFlow) -> Slots:
    return gateway._loops.current().slots


# One deadline


@pytest.mark.parametrize("gate", ["all", "caller", "both"])
def test_the_wait_for_both_gates_is_one(gate: str) -> None:
    """The caller's own place and one of all: together no longer than `queue_seconds`, by a clock of its own."""
    waited: list[float] = []

    async def main() -> None:
        slots = Slots(Limits(calls=1 if gate != "caller" else 9, calls_per_key=1, queue_seconds=10.0))
        await slots.take("bob" if gate == "all" else "alice")

        async def one() -> None:
            began = anyio.current_time()
            with pytest.raises(OverloadedError):
                await slots.take("alice")
            waited.append(anyio.current_time() - began)

        async with anyio.create_task_group() as group:
            group.start_soon(one)
            if gate == "both":  # alice's own place becomes free in the meantime, the one of all does not
                await anyio.sleep(7.0)
                slots._keys["alice"].gate.leave()

    anyio.run(main, backend="trio", backend_options={"clock": trio.testing.MockClock(autojump_threshold=0)})
    assert waited == [pytest.approx(10.0)]


# Clients that leave


@both_backends
@pytest.mark.parametrize("gate", ["all", "caller"])
@pytest.mark.parametrize("pieces", [[BODY], [BODY[:9], BODY[9:]]], ids=["whole", "in pieces"])
def test_a_client_that_leaves_the_queue_gives_its_place_back(
    pieces: list[bytes], gate: str, backend: str
) -> None:
    """At once, so that a living caller waits instead of being refused; the record says who has left."""

    async def main() -> None:
        transport, kept, answers = Held(), Kept(), list[Answer]()
        config = limited("calls = 1\nqueue = 1" if gate == "all" else "calls_per_key = 1\nqueue = 1")
        gateway = NexusFlow(config=config, transport=transport, hooks=[kept], authenticate=who)
        alice = asking_as("alice")
        gone = Client(*pieces)

        async def living() -> None:
            answers.append(await ask(gateway, headers=alice))

        async with anyio.create_task_group() as group:
            group.start_soon(living)
            await until(lambda: transport.came == 1)
            group.start_soon(gone.call, gateway, alice)
            await until(lambda: slots_of(gateway)._waiting == 1)
            gone.left.set()
            await until(lambda: len(kept.records) == 1)
            assert slots_of(gateway)._waiting == 0
            assert (kept.records[0].ending, kept.records[0].principal) == ("client_gone", "alice")
            group.start_soon(living)
            await until(lambda: slots_of(gateway)._waiting == 1)
            transport.go_on.set()
        assert [answer.status for answer in answers] == [200, 200]
        assert slots_of(gateway)._keys == {}

    anyio.run(main, backend=backend)


@both_backends
def test_what_came_while_waiting_is_not_lost(backend: str) -> None:
    """A body that arrives while its call waits is the body that is served."""

    async def main() -> None:
        transport, seen = Held(), list[bytes]()

        class Seeing:
            def before(self, call: Any) -> None:
                seen.append(call.body)

        gateway = NexusFlow(config=limited("calls = 1"), transport=transport, hooks=[Seeing()])
        waiting = Client(BODY[:5], BODY[5:20], BODY[20:])
        async with anyio.create_task_group() as group:
            group.start_soon(ask, gateway)
            await until(lambda: transport.came == 1)
            group.start_soon(waiting.call, gateway)
            await until(lambda: waiting.read == 3)
            transport.go_on.set()
            await until(lambda: len(waiting.sent) > 1)
            waiting.left.set()
        assert waiting.status == 200
        assert seen == [BODY, BODY]

    anyio.run(main, backend=backend)


def test_those_who_wait_are_read_within_one_bound() -> None:
    """All bodies that arrive while their calls wait together take what one body may; the rest stays unread."""

    async def main() -> None:
        transport = Held()
        gateway = NexusFlow(config=limited("calls = 1\nbody_bytes = 20000"), transport=transport)
        clients = [Client(*[b"x" * 1000] * 15) for _ in range(10)]
        async with anyio.create_task_group() as group:
            group.start_soon(ask, gateway)
            await until(lambda: transport.came == 1)
            for client in clients:
                group.start_soon(client.call, gateway)
            await until(lambda: slots_of(gateway)._waiting == 10)
            await anyio.wait_all_tasks_blocked()
            assert sum(client.read for client in clients) <= 20 + len(clients)
            for client in clients:
                client.left.set()
            transport.go_on.set()
        assert slots_of(gateway)._room == 20000

    anyio.run(main)


# A caller's share


@both_backends
@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ("queue = 8", 2),
        ("queue = 8\nqueue_share = 0.5", 4),
        ("queue = 2", 1),
        ("queue = 8\nqueue_share = 1", 8),
    ],
)
def test_one_callers_calls_take_a_share_of_the_queue(settings: str, share: int, backend: str) -> None:
    """What is beyond it is refused at once, and another caller finds room to wait."""

    async def main() -> None:
        transport, statuses = Held(), dict[str, list[int]]()
        config = limited(f"calls = 1\n{settings}")
        gateway = NexusFlow(config=config, transport=transport, authenticate=who)

        async def one(name: str) -> None:
            answer = await ask(gateway, headers=asking_as(name))
            statuses.setdefault(name, []).append(answer.status)

        async with anyio.create_task_group() as group:
            group.start_soon(one, "alice")
            await until(lambda: transport.came == 1)
            for _ in range(10):
                group.start_soon(one, "alice")
            await until(lambda: len(statuses.get("alice", [])) == 10 - share)
            assert set(statuses["alice"]) == {529}
            if share < 8:
                group.start_soon(one, "bob")
                await until(lambda: slots_of(gateway)._waiting == share + 1)
            transport.go_on.set()
        assert statuses["alice"].count(200) == share + 1
        assert statuses.get("bob", [200]) == [200]

    anyio.run(main, backend=backend)


@pytest.mark.parametrize(
    ("name", "value"), [("queue_share", "0"), ("queue_share", "1.5"), ("body_idle_seconds", "0")]
)
def test_a_setting_without_sense_is_an_error(name: str, value: str) -> None:
    """It is named, with what is wrong."""
    with pytest.raises(ConfigError, match=name):
        decode_config(OFFLINE + f"[limits]\n{name} = {value}\n".encode())


# Bodies that do not arrive


def impatient(more: str = "") -> Config:
    return limited(f"calls = 1\nbody_idle_seconds = 0.1\n{more}")


@both_backends
@pytest.mark.parametrize(
    "pieces", [[b""], [BODY[:9]], [BODY[:9], b"", b""]], ids=["nothing", "a part", "blanks"]
)
def test_a_body_that_stops_arriving_gives_its_place_back(pieces: list[bytes], backend: str) -> None:
    """After `body_idle_seconds` without a byte it is a 408, and whoever waited for the place has it."""

    async def main() -> None:
        kept, stuck = Kept(), Client(*pieces, whole=False)
        gateway = NexusFlow(config=impatient(), transport="offline", hooks=[kept])
        async with anyio.create_task_group() as group:
            group.start_soon(stuck.call, gateway)
            await until(lambda: stuck.read == len(pieces))
            assert (await ask(gateway)).status == 200
            await until(lambda: len(kept.records) == 2)
            stuck.left.set()
        assert stuck.status == 408
        assert b"no byte came for 0.1 s" in stuck.sent[1]["body"]
        assert [record.ending for record in kept.records] == ["refused", "complete"]

    anyio.run(main, backend=backend)


@both_backends
def test_a_slow_body_that_goes_on_arriving_is_read(backend: str) -> None:
    """Each byte gives the next one its time, up to `body_seconds` in all."""

    async def one(gateway: NexusFlow, step: Callable[[], Any], size: int) -> Client:
        client = Client(b"")
        pieces = [BODY[at : at + size] for at in range(0, len(BODY), size)]

        async def receive() -> Any:
            if not pieces:
                await client.left.wait()
                return {"type": "http.disconnect"}
            await step()
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

        async def send(message: Any) -> None:
            client.sent.append(message)
            if not message.get("more_body", message["type"] == "http.response.start"):
                client.left.set()

        with anyio.fail_after(LIMIT):
            await gateway(http_scope(), receive, send)
        return client

    async def main() -> None:
        async def step() -> None:
            await anyio.sleep(0.04)

        slow = NexusFlow(config=limited("body_idle_seconds = 0.5"), transport="offline")
        assert (await one(slow, step, 20)).status == 200
        bounded = NexusFlow(config=limited("body_idle_seconds = 0.5\nbody_seconds = 0.1"), transport="offline")
        late = await one(bounded, step, 20)
        assert late.status == 408
        assert b"took longer than 0.1 s" in late.sent[1]["body"]

    anyio.run(main, backend=backend)
