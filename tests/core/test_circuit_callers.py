"""Circuits and who met the failures: one caller alone closes no target to the others; threads lose no count."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

import pytest

from nexusflow_core import Call, Config, Gateway, ModelRoute, Principal, Target, Timeouts, Upstream
from nexusflow_core.errors import UpstreamTimeoutError
from nexusflow_core.exchange import Exchange, Send
from nexusflow_core.resilience import CircuitMemory, Circuits, Counts, Failure, Health, failure_of
from nexusflow_core.routing import Retry
from nexusflow_core.upstream import Credential, Secret

AT = datetime(2026, 11, 22, tzinfo=UTC)
SLOW = Failure("timeout", False, counts=Counts.WITH_OTHERS)
FAILED = Failure("failed", True)


def gateway_of_two() -> Gateway:
    made = {
        name: Upstream(
            name=name,
            dialect="anthropic",
            base_url=f"http://{name}",
            api_key=Secret("k"),
            timeouts=Timeouts(first_byte=60.0),
        )
        for name in ("u0", "u1")
    }
    route = ModelRoute("claude-*", tuple(map(Target, made.values())), Retry(attempts=2))
    return Gateway(Config(upstreams=made, routes=(route,), anonymous=True))


def opened(gateway: Gateway, now: float, **who: Any) -> Exchange:
    call = Call(endpoint="messages", request_id="r", started_at=AT, body=b'{"model":"claude-x"}', **who)
    exchange = gateway.open(call.look(10**6), started=now)
    exchange.start(now)
    return exchange


def asked(exchange: Exchange) -> str:
    assert isinstance(exchange.order, Send)
    return exchange.order.request.upstream.name


def wait_in_vain(gateway: Gateway, now: float, **who: Any) -> None:
    """A call whose target does not begin its answer in time."""
    opened(gateway, now, **who).on_timer(now + 60.0)


def named(id: str) -> dict[str, Any]:
    return {"principal": Principal(id)}


def keyed(key: bytes) -> dict[str, Any]:
    return {"credential": Credential("x-api-key", key)}


@pytest.mark.parametrize("who", [named("mallory"), keyed(b"sk-1")], ids=["principal", "own key"])
def test_slow_prompts_of_one_caller_close_nothing(who: dict[str, Any]) -> None:
    """A hundred first bytes in vain, all of one caller: the others still go to the first target."""
    gateway = gateway_of_two()
    for exchange in [opened(gateway, 0.0, **who) for _ in range(100)]:
        exchange.on_timer(60.0)
    assert asked(opened(gateway, 60.0, **named("alice"))) == "u0"


def test_silence_that_another_caller_meets_too_closes_the_target() -> None:
    """Three in a row, of two callers: the target is silent, and nobody waits for it again."""
    gateway = gateway_of_two()
    for name in ("alice", "alice", "bob"):
        wait_in_vain(gateway, 0.0, **named(name))
    assert asked(opened(gateway, 60.0, **named("carol"))) == "u1"


def test_callers_that_nobody_tells_apart_count() -> None:
    """Without authentication there is nobody to be fair to: three first bytes in vain, as of any failure."""
    gateway = gateway_of_two()
    for _ in range(3):
        wait_in_vain(gateway, 0.0)
    assert asked(opened(gateway, 60.0)) == "u1"


def test_a_probe_of_the_last_caller_does_not_close_it_again() -> None:
    """Who has met the silence cannot keep the others away by going on: the next one may probe."""
    health = Health(CircuitMemory())
    for name in ("a", "a", "b"):
        health.failed("t", SLOW, 0.0, stated=False, caller=name)
    assert health.reopens("t") == 5.0
    health.enter("t", 5.0)
    health.failed("t", SLOW, 6.0, stated=False, caller="b")
    assert health.reopens("t") <= 6.0
    health.enter("t", 6.0)
    health.failed("t", SLOW, 7.0, stated=False, caller="c")
    assert health.reopens("t") == 17.0


def test_a_success_forgets_who_met_what() -> None:
    """Counted in a row: one caller's silence of an hour ago does not make another's the second."""
    health = Health(CircuitMemory())
    health.failed("t", SLOW, 0.0, stated=False, caller="a")
    health.succeeded("t", 1.0)
    for _ in range(5):
        health.failed("t", SLOW, 2.0, stated=False, caller="b")
    assert health.reopens("t") == 0.0


def test_what_is_remembered_of_callers_is_small_and_no_key() -> None:
    """A name of a megabyte, or a thousand names, take no room; a key is not in it."""
    memory = CircuitMemory()
    health = Health(memory)
    for number in range(1000):
        health.failed("t", SLOW, 0.0, stated=False, caller=f"sk-secret-{number}" + "x" * 1_000_000)
    assert len(repr(memory.get("t"))) < 300
    assert "sk-secret" not in repr(memory.get("t"))


@pytest.mark.parametrize(
    ("reason", "counts"),
    [("connect_timeout", Counts.ALWAYS), ("pool_timeout", Counts.WITH_OTHERS), ("", Counts.WITH_OTHERS)],
)
def test_a_caller_has_no_part_in_how_long_connecting_takes(reason: str, counts: Counts) -> None:
    """It has one in all other waits: a slow prompt, or all connections for itself."""
    failure = failure_of(UpstreamTimeoutError("x", reason=reason), (), AT)
    assert failure is not None
    assert failure.counts is counts


# Threads


class Interleaving(CircuitMemory):
    """Between the first reading of a circuit and its writing, another thread does the same."""

    def __init__(self) -> None:
        super().__init__()
        self.other: threading.Thread | None = None

    def get(self, target: str) -> Circuits:
        found = super().get(target)
        other, self.other = self.other, None
        if other is not None:
            other.start()
            other.join(0.5)  # under a lock it waits for us in turn
        return found


@pytest.mark.parametrize("how", ["failed", "abandoned"])
def test_threads_lose_no_count(how: str) -> None:
    """Two loops in two threads meet a failure at once: both count, and the second is not overwritten."""
    store, lock = Interleaving(), threading.Lock()
    health = Health(store, lock)
    for _ in range(3):
        health.failed("t", FAILED, 0.0, stated=False)
    fail = threading.Thread(target=lambda: health.failed("t", FAILED, 0.0, stated=False))
    store.other = fail
    if how == "failed":
        health.failed("t", FAILED, 0.0, stated=False)
    else:
        health.abandoned("t")
    fail.join()
    assert store.get("t")["failed"].failures == (5 if how == "failed" else 4)


class Noted(AbstractContextManager[None]):
    """A lock that knows whether it is held."""

    held = False

    def __enter__(self) -> None:
        assert not self.held, "taken twice"
        self.held = True

    def __exit__(self, *error: object) -> None:
        self.held = False


def test_a_gateways_circuits_are_read_and_written_under_its_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a whole call: its entry, its failure, its fallback and its end."""
    lock = Noted()

    class Watched(CircuitMemory):
        used = 0

        def get(self, target: str) -> Circuits:
            assert lock.held
            self.used += 1
            return super().get(target)

        def put(self, target: str, circuits: Circuits) -> None:
            assert lock.held
            super().put(target, circuits)

    store = Watched()
    config = gateway_of_two().config
    monkeypatch.setattr("nexusflow_core.gateway.CircuitMemory", lambda: store)
    gateway = Gateway(config, lock=lock)
    exchange = opened(gateway, 0.0)
    exchange.on_timer(60.0)
    exchange.receive_head(200, [(b"content-type", b"application/json")], 61.0)
    exchange.receive_data(b"{}", 61.0)
    exchange.receive_eof(61.0)
    assert store.used > 3
    assert not lock.held
