"""The host's own credentials: fetched when they are needed, one refresh at a time, and never shown."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import msgspec
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_core import ConfigError, decode_config
from nexusflow_core.upstream import header
from tests.asgi.asking import Answer, ask, http_scope
from tests.asgi.credentials.cloud import ANSWER, CONFIG, Cloud, Tokens, in_an_hour, two_clouds
from tests.servers import RecordingHook

on_both_loops = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def run(backend: str, body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    anyio.run(body, backend=backend)


async def call(app: NexusFlow, model: str = "claude-haiku-4-5") -> Answer:
    body = json.dumps({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]})
    return await ask(app, headers=[(b"x-api-key", b"sk-of-the-client")], body=body.encode())


async def many(app: NexusFlow, count: int, model: str = "claude-haiku-4-5") -> list[Answer]:
    answers: list[Answer] = []

    async def one() -> None:
        answers.append(await call(app, model))

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(one)
    return answers


@on_both_loops
def test_the_function_gives_the_credential(backend: str) -> None:
    """The client's own key does not leave. A token serves many calls, until shortly before its end."""
    cloud, tokens = Cloud(), Tokens()
    app = two_clouds(cloud, tokens)

    async def body() -> None:
        assert [(await call(app)).body for _ in range(3)] == [ANSWER] * 3
        assert (cloud.tokens(), tokens.calls) == (["sk-token-1"] * 3, 1)
        assert [header(sent, b"x-api-key") for sent in cloud.requests] == [None] * 3

    run(backend, body)


@pytest.mark.parametrize("expiry", [None, datetime(2020, 1, 1, tzinfo=UTC)])
def test_without_an_end_it_serves_one_attempt(expiry: datetime | None) -> None:
    """So does one that has ended already: a host with a wrong clock is asked each time."""
    cloud, tokens = Cloud(), Tokens(expiry)
    app = two_clouds(cloud, tokens)

    async def body() -> None:
        for _ in range(3):
            await call(app)
        assert cloud.tokens() == ["sk-token-1", "sk-token-2", "sk-token-3"]

    run("asyncio", body)


@on_both_loops
def test_a_storm_makes_one_refresh(backend: str) -> None:
    """500 calls at once find an expired token. They wait for one refresh, and share its token."""
    cloud, tokens = Cloud(), Tokens(datetime.now(UTC) - timedelta(seconds=1), in_an_hour())
    app = two_clouds(cloud, tokens)

    async def body() -> None:
        await call(app)
        answers = await many(app, 500)
        assert {answer.status for answer in answers} == {200}
        assert (tokens.calls, set(cloud.tokens()[1:])) == (2, {"sk-token-2"})

    run(backend, body)


@on_both_loops
def test_a_storm_of_refusals_makes_one_refresh(backend: str) -> None:
    """A token that is revoked before its end: each call is repeated once, with the same new token."""
    revoked = {"sk-token-2"}
    cloud, tokens = Cloud(lambda token: token not in revoked), Tokens()
    app = two_clouds(cloud, tokens)

    async def body() -> None:
        await call(app)
        revoked.add("sk-token-1")
        revoked.discard("sk-token-2")
        answers = await many(app, 100)
        assert {answer.status for answer in answers} == {200}
        assert (tokens.calls, cloud.tokens()[-1]) == (2, "sk-token-2")

    run(backend, body)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_replaced_once(status: int) -> None:
    """The client sees nothing of it. The answer of the refused attempt is closed."""
    cloud, tokens = Cloud(lambda token: token == "sk-token-2", status), Tokens()
    app = two_clouds(cloud, tokens)

    async def body() -> None:
        assert (await call(app)).body == ANSWER
        assert (cloud.tokens(), cloud.closed) == (["sk-token-1", "sk-token-2"], 2)

    run("asyncio", body)


def test_a_permission_that_is_missing_makes_no_storm() -> None:
    """A new token is refused as well: then calls are answered, and nothing is fetched for a while."""
    hook = RecordingHook()
    cloud, tokens = Cloud(lambda token: False, 403), Tokens()
    app = two_clouds(cloud, tokens, hook)

    async def body() -> None:
        answers = [await call(app) for _ in range(20)]
        assert {answer.status for answer in answers} <= {403, 500}
        assert tokens.calls == 2
        shown = b"".join(answer.body for answer in answers) + msgspec.json.encode(hook.records)
        assert b"sk-token" not in shown

    run("asyncio", body)


def test_a_tenant_without_permission_delays_nobody() -> None:
    """While its refusal makes a refresh, other calls go on with the credential that serves them."""
    go = anyio.Event()
    tokens = Tokens()

    async def slow_later() -> Any:
        if tokens.calls:
            await go.wait()
        return await tokens()

    cloud = Cloud(lambda token: cloud.good or token == "sk-token-2", 403)
    app = two_clouds(cloud, slow_later)

    async def body() -> None:
        nonlocal go
        go = anyio.Event()
        await call(app)
        cloud.good = False
        async with anyio.create_task_group() as group:
            group.start_soon(call, app)  # it is refused, and waits for another credential
            while len(cloud.requests) < 2:
                await anyio.sleep(0.001)
            cloud.good = True
            assert (await call(app)).status == 200
            go.set()

    run("asyncio", body)


@pytest.mark.parametrize("expiry", [datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)])
def test_any_expiry_is_taken(expiry: datetime) -> None:
    """Also the ends of time, and a header without a value."""
    cloud = Cloud()

    async def gives() -> Any:
        return {"authorization": "bearer sk-token", "x-empty": ""}, expiry

    app = two_clouds(cloud, gives)

    async def body() -> None:
        assert (await call(app)).body == ANSWER

    run("asyncio", body)


class Hanging:
    """A function that never returns."""

    calls = 0

    async def __call__(self) -> Any:
        self.calls += 1
        await anyio.sleep_forever()


@on_both_loops
def test_a_refresh_that_hangs_harms_only_its_own_upstream(backend: str) -> None:
    """A route with another target answers by that one, and calls to another upstream do not wait."""
    hook, hanging = RecordingHook(), Hanging()
    app = two_clouds(Cloud(), hanging, hook, patience=0.2)

    async def body() -> None:
        alone = await call(app)
        assert (alone.status, alone.error) == (502, "api_error")
        assert alone.json["error"]["message"] == "upstream foundry: its credential could not be fetched"
        answers = await many(app, 50, "both")
        assert {answer.body for answer in answers} == {ANSWER}
        assert (await call(app, "other")).body == ANSWER
        assert hanging.calls == 1
        assert [attempt.reason for attempt in hook.records[0].attempts] == ["credential", "credential"]

    run(backend, body)


SECRETS = "sk-planted-in-an-error Bearer eyJhbGciOi.x https://user:pw@login.example/?secret=hunter2"


@on_both_loops
def test_a_refresh_that_fails_is_told_without_its_text(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    """The client learns which upstream it was, and the log the kind of the failure, once for many calls."""
    hook = RecordingHook()

    async def fails() -> Any:
        await anyio.sleep(0.01)
        raise RuntimeError(f"no token: {SECRETS}\nforged line")

    app = two_clouds(Cloud(), fails, hook)

    async def body() -> None:
        with caplog.at_level("DEBUG"):
            answers = await many(app, 20)
        assert {answer.status for answer in answers} == {502}
        told = [line for line in caplog.messages if "RuntimeError: no token" in line]
        assert 0 < len(told) < 20
        shown = b"".join(answer.body for answer in answers) + msgspec.json.encode(hook.records)
        assert not any(word in caplog.text + shown.decode() for word in ("planted", "eyJ", "hunter2", "pw@"))
        assert not any("\n" in line for line in told)
        assert {answer.body for answer in await many(app, 5, "both")} == {ANSWER}

    run(backend, body)


@pytest.mark.parametrize(
    ("returned", "why"),
    [
        (None, "TypeError: the function for a credential must return headers and an expiry"),
        ({"authorization": "Bearer sk-planted"}, "TypeError"),
        (("sk-planted", None), "TypeError: the headers of a credential must be a dict of strings"),
        (({"authorization": b"sk-planted"}, None), "TypeError: the headers of a credential must be a dict"),
        (({}, None), "ValueError"),
        (({"host": "sk-planted"}, None), "ValueError"),
        (({"content-length": "5"}, None), "ValueError"),
        (({"a b": "sk-planted"}, None), "ValueError"),
        (({"x-key": "sk-planted\u2028"}, None), "ValueError"),
        (({"x-key": "a\r\nx-evil: 1"}, None), "ValueError: the credential has characters that no header"),
        (({"x-key": "x" * 70_000}, None), "ValueError: the credential has characters"),
        (({"x-key": "sk-planted"}, datetime(2030, 1, 1)), "TypeError: the expiry of a credential must be a"),
        (({"x-key": "sk-planted"}, 1_900_000_000), "TypeError: the expiry of a credential must be a"),
    ],
)
def test_a_credential_that_cannot_be_sent_is_a_failure(
    returned: Any, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is sent, and no part of it shows."""

    async def gives() -> Any:
        return returned

    cloud = Cloud()
    app = two_clouds(cloud, gives)

    async def body() -> None:
        with caplog.at_level("DEBUG"):
            assert (await call(app)).status == 502
        assert cloud.requests == []
        assert why in caplog.text
        assert "planted" not in caplog.text

    run("asyncio", body)


def test_a_function_that_is_not_async_is_told() -> None:
    """It would block every call."""

    def plain() -> Any:
        return {"authorization": "Bearer x"}, None

    app = two_clouds(Cloud(), plain)

    async def body() -> None:
        assert (await call(app)).status == 502

    run("asyncio", body)


@on_both_loops
def test_a_client_that_leaves_cancels_no_refresh(backend: str) -> None:
    """The refresh belongs to no call: the next one gets its token."""
    begun, go = [], []
    tokens = Tokens()

    async def slow() -> Any:
        begun.append(1)
        while not go:
            await anyio.sleep(0.001)
        return await tokens()

    app = two_clouds(Cloud(), slow)

    async def left() -> None:
        messages = [{"type": "http.request", "body": BODY, "more_body": False}]

        async def receive() -> Any:
            if messages:
                return messages.pop()
            while not begun:
                await anyio.sleep(0.001)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            return None

        await app(http_scope(), receive, send)

    async def body() -> None:
        await left()
        go.append(1)
        assert (await call(app)).body == ANSWER
        assert (len(begun), tokens.calls) == (1, 1)

    run(backend, body)


BODY = b'{"model":"claude-haiku-4-5","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'


@pytest.mark.parametrize(
    ("name", "why"),
    [("foundri", "no upstream is called 'foundri'"), ("other", "has a credential in the configuration")],
)
def test_a_function_without_effect_is_a_mistake(name: str, why: str) -> None:
    """Its author relies on it."""
    config = decode_config(CONFIG.encode())
    config.resolve({"OTHER_KEY": "k"})
    with pytest.raises(ConfigError, match=why):
        NexusFlow(config=config, credentials={name: Tokens()})


def test_each_loop_has_its_own_credential() -> None:
    """A host may have several loops; the tasks of one cannot wait for another."""
    tokens = Tokens()
    app = two_clouds(Cloud(), tokens)
    for _ in range(2):
        run("asyncio", functools.partial(_once, app))
    assert tokens.calls == 2


async def _once(app: NexusFlow) -> None:
    assert (await call(app)).body == ANSWER
