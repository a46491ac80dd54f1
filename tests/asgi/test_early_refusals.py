"""A server that answers before it has taken the body, and then cuts the connection."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_core.config import Config, decode_config
from tests.asgi.transports import Kind, a_request, at, each_loop, exchange, without_proxies
from tests.servers import (
    JSON,
    Fault,
    Gate,
    RawClient,
    RecordingHook,
    ScriptedUpstream,
    Served,
    Step,
    answer,
    head,
)

pytestmark = pytest.mark.filterwarnings("ignore:Async generator .* was garbage collected:ResourceWarning")

TOO_LARGE = json.dumps({"type": "error", "error": {"type": "request_too_large", "message": "no"}}).encode()
LARGE = b'{"model":"claude-x","x":"' + b"x" * 16_000_000 + b'"}'


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy but those that a test sets."""
    without_proxies(monkeypatch)


def refusing(status: int = 413, body: bytes = TOO_LARGE) -> list[Step]:
    return [*answer(status, JSON, [body]), Fault.RESET]


def then_reset(steps: Iterable[Step]) -> Iterator[Step]:
    """The reset comes once the answer has reached the client's machine: before that the system drops it."""
    for step in steps:
        if step is Fault.RESET:
            time.sleep(0.3)
        yield step


@each_loop
@pytest.mark.parametrize("status", [401, 413])
def test_the_status_arrives_though_the_body_was_not_taken(kind: Kind, status: int) -> None:
    """Answered at the head of 16 MB, then reset: that is the answer, and the request goes out once."""
    steps = refusing(status)
    with ScriptedUpstream(lambda _: then_reset(steps), on_head=lambda _: then_reset(steps)) as server:
        got, _, body = kind.use(
            at(server.url), lambda transport: exchange(transport, a_request(at(server.url), body=LARGE))
        )
        assert server.accepted == 1
    assert (got, body) == (status, TOO_LARGE)


@each_loop
def test_a_connection_is_used_again_after_a_large_body(kind: Kind) -> None:
    """What listens for an early answer takes nothing of the next one."""
    with ScriptedUpstream(lambda received: answer(200, JSON, [b"%d" % len(received.body)])) as server:
        upstream = at(server.url)

        async def three(transport: Any) -> list[bytes]:
            sizes = (1_000_000, 2, 2_000_000)
            return [(await exchange(transport, a_request(upstream, body=b"x" * size)))[2] for size in sizes]

        assert kind.use(upstream, three) == [b"1000000", b"2", b"2000000"]
        assert server.accepted == 1


# Through the gateway


def two(first: str, second: str, dialect: str) -> Config:
    toml = f"""
        [upstreams.a]
        dialect = "{dialect}"
        base_url = "{first}"
        auth = "none"
        [upstreams.b]
        dialect = "{dialect}"
        base_url = "{second}"
        auth = "none"
        [[routes]]
        model = "claude-*"
        targets = ["a", "b"]
        [auth]
        anonymous = true
    """
    return decode_config(toml.encode())


BODY = json.dumps(
    {"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "x" * 4_000_000}]}
).encode()
CUT = [head(413, [*JSON, (b"content-length", b"999")]), TOO_LARGE[:30], Fault.RESET]


@pytest.mark.parametrize("transport", ["h1", "httpx", "aiohttp"])
@pytest.mark.parametrize("dialect", ["anthropic", "openai-chat"])
@pytest.mark.parametrize("steps", [refusing(), CUT], ids=["whole", "cut"])
def test_a_413_and_a_reset_is_a_413(transport: Any, dialect: str, steps: list[Step]) -> None:
    """Not retried, not tried elsewhere, not counted: the seventh call still goes to the first."""
    hook, unused = RecordingHook(), Gate()
    with (
        ScriptedUpstream(lambda _: then_reset(steps), on_head=lambda _: then_reset(steps)) as first,
        ScriptedUpstream(lambda _: [unused]) as second,
    ):
        gateway = NexusFlow(config=two(first.url, second.url, dialect), transport=transport, hooks=[hook])
        with Served(gateway) as served:
            for _ in range(7):
                with RawClient(served.port) as client:
                    got, body = client.call("/v1/messages", [], BODY)
                    assert (got.status, json.loads(body)["error"]["type"]) == (413, "request_too_large")
        assert (first.accepted, second.accepted) == (7, 0)
    assert [[attempt.status for attempt in record.attempts] for record in hook.records] == [[413]] * 7
