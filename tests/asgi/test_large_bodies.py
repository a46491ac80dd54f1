"""Large bodies: read and translated beside the event loop, so that they keep nobody waiting, and under a
bound."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_core import OverloadedError
from nexusflow_core import call as call_module
from nexusflow_core.config import Config, decode_config
from nexusflow_core.translation import translated_dialect as dialect_module
from tests.asgi.asking import LIMIT, Answer, ask

CONFIG = """
[upstreams.claude]
dialect = "anthropic"
base_url = "http://claude"
auth = "none"
[upstreams.chat]
dialect = "openai-chat"
base_url = "http://chat"
auth = "none"
[[routes]]
model = "claude-*"
targets = ["claude"]
[[routes]]
model = "chat"
targets = ["chat"]
count_tokens = "estimate"
[auth]
anonymous = true
[limits]
body_values = 1000
"""


def config() -> Config:
    return decode_config(CONFIG.encode())


def body(model: str, size: int = 0, **more: Any) -> bytes:
    asked = {
        "model": model,
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "a" + "b" * size}],
        **more,
    }
    return json.dumps(asked).encode()


LARGE = 1024 * 1024
"""Bytes that no part of the gateway looks through on the event loop."""

both_backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])


class Held:
    """Replaces a function by one that waits, for a large text, until it is let go. It fails where that takes
    longer than the test: then it stands on the event loop, and nobody can let it go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        work = getattr(module, name)

        def held(text: bytes, *rest: Any) -> Any:
            if len(text) > LARGE:
                self.begun.set()
                assert self.go_on.wait(LIMIT / 4), "nobody else was served meanwhile"
            return work(text, *rest)

        monkeypatch.setattr(module, name, held)


def run_beside(backend: str, held: Held, large: dict[str, Any], meanwhile: Callable[[Any], Any]) -> Answer:
    """The answer to a large call, and what is done while it is held."""

    async def main() -> Answer:
        gateway, answers = NexusFlow(config=config(), transport="offline"), list[Answer]()

        async def one() -> None:
            answers.append(await ask(gateway, **large))

        async with anyio.create_task_group() as group:
            group.start_soon(one)
            await anyio.to_thread.run_sync(held.begun.wait, LIMIT)
            await meanwhile(gateway)
            held.go_on.set()
        return answers[0]

    return anyio.run(main, backend=backend)


async def a_neighbour_is_served(gateway: Any) -> None:
    assert (await ask(gateway, body=body("claude-x"))).status == 200
    assert (await ask(gateway, body=body("chat"))).status == 200


@both_backends
def test_a_large_body_is_translated_beside_the_loop(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours are served while it is decoded."""
    held = Held(monkeypatch, dialect_module, "read_request")
    large = {"body": body("chat", LARGE)}
    assert run_beside(backend, held, large, a_neighbour_is_served).status == 200


COMPRESSED = gzip.compress(body("chat", LARGE))


@both_backends
@pytest.mark.parametrize(
    ("given", "encoding"),
    [
        (body("claude-x", LARGE), b"identity"),
        (body("chat", LARGE), b"identity"),
        (COMPRESSED, b"gzip"),
    ],
)
def test_a_large_body_is_looked_at_beside_the_loop(
    backend: str, given: bytes, encoding: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it came, and compressed, when few bytes become many."""
    held = Held(monkeypatch, call_module, "peek")
    large = {"body": given, "headers": [(b"content-encoding", encoding)]}
    assert run_beside(backend, held, large, a_neighbour_is_served).status == 200


@both_backends
def test_closing_ends_a_call_that_is_being_translated(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets its 529 once the thread is done, and asks no upstream."""
    held = Held(monkeypatch, dialect_module, "read_request")

    async def close(gateway: Any) -> None:
        for call in gateway._loops.current().calls:
            call.stop(OverloadedError("the gateway is shutting down"))

    answer = run_beside(backend, held, {"body": body("chat", LARGE)}, close)
    assert (answer.status, answer.error) == (529, "overloaded_error")


def test_a_defect_in_the_thread_is_told_as_any_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500 for the client, the reason in the log."""

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(dialect_module, "read_request", broken)
    gateway = NexusFlow(config=config(), transport="offline")
    answer = anyio.run(lambda: ask(gateway, body=body("chat", LARGE)))
    assert (answer.status, answer.error) == (500, "api_error")
    assert "ZeroDivisionError" in caplog.text


MANY: dict[str, Callable[[int], dict[str, Any]]] = {
    "messages": lambda n: {"messages": [{"role": "user", "content": "a"}] * n},
    "blocks": lambda n: {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}] * n}]},
    "tools": lambda n: {"tools": [{"name": f"t{i}", "input_schema": {"type": "object"}} for i in range(n)]},
    "members": lambda n: {"metadata": {f"m{i}": i for i in range(n)}},
    "numbers in an input": lambda n: {
        "messages": [
            {"role": "user", "content": "a"},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": [1] * n}}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "b"}]},
        ]
    },
    "empty arrays": lambda n: {"metadata": {"m": [[]] * n}},
}


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
@pytest.mark.parametrize("what", MANY)
def test_more_values_than_the_bound_are_refused(what: str, path: str) -> None:
    """Whatever they are. Fewer pass; a relayed body is not decoded, and has no such bound."""
    gateway = NexusFlow(config=config(), transport="offline")

    def asked(model: str, count: int) -> Answer:
        return anyio.run(lambda: ask(gateway, path, body=body(model, **MANY[what](count))))

    assert asked("chat", 100).status == 200
    refused = asked("chat", 1000)
    assert (refused.status, refused.error) == (413, "request_too_large")
    assert "more than 1000 JSON values" in refused.json["error"]["message"]
    assert asked("claude-x", 1000).status == 200
