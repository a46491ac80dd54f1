"""The host's own code fails in ways of its own: the client gets an answer, the call keeps its record."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.hooks import Hooks
from nexusflow_core import Call, CallRecord, Config, Principal
from nexusflow_core.config import decode_config
from nexusflow_core.errors import ConfigError, UnknownModelError
from nexusflow_core.exchange import begun
from tests.asgi.asking import BODY, OFFLINE, Answer, ask, http_scope, offline
from tests.core.translation.driving import NOW

both_backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])

HALF = "al\ud800ice"


class Kept:
    def __init__(self) -> None:
        self.records: list[CallRecord] = []

    def after(self, record: CallRecord) -> None:
        self.records.append(record)


def logging_to(path: Path, *, durable: bool = False) -> Config:
    config = decode_config(OFFLINE + f"[log]\ncalls = '{path}'\ndurable = {str(durable).lower()}\n".encode())
    config.resolve({"SIM_KEY": "sk-ant-simulated"})
    return config


async def await_something_cancelled() -> None:
    """Ends in a cancellation that nobody has asked of this task."""
    if _on_trio():
        raise await _cancelled_elsewhere()
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


def _on_trio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False


async def _cancelled_elsewhere() -> BaseException:
    """What a task that was cancelled has ended in, as a host that keeps outcomes would hand it on."""
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.sleep_forever()
        except trio.Cancelled as error:
            return error
    raise AssertionError("unreachable")


class Raising:
    """A hook that ends in what `make` makes."""

    def __init__(self, raise_: Callable[[], Any]) -> None:
        self._raise = raise_

    async def after(self, record: CallRecord) -> None:
        await self._raise()


def _raiser(error: type[BaseException]) -> Callable[[], Any]:
    async def raise_() -> None:
        raise error("of the hook")

    raise_.__name__ = error.__name__
    return raise_


# What a hook raises afterwards


@both_backends
@pytest.mark.parametrize("durable", [False, True], ids=["log", "durable log"])
@pytest.mark.parametrize(
    "raise_",
    [await_something_cancelled, _raiser(asyncio.CancelledError), _raiser(ValueError)],
    ids=lambda function: function.__name__,
)
def test_a_hook_keeps_no_other_from_its_record(
    raise_: Callable[[], Any], durable: bool, backend: str, tmp_path: Path
) -> None:
    """The call log and the hooks behind it have the record, and the client its answer."""
    kept = Kept()

    async def main() -> Answer:
        config = logging_to(tmp_path / "calls.jsonl", durable=durable)
        gateway = NexusFlow(config=config, hooks=[Raising(raise_), kept], transport="offline")
        try:
            return await ask(gateway)
        finally:
            await gateway.aclose()

    assert anyio.run(main, backend=backend).status == 200
    lines = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    assert [line["ending"] for line in lines] == (["started"] if durable else []) + ["complete"]
    assert [record.ending for record in kept.records] == ["complete"]


@both_backends
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_waits_for_the_hooks(
    error: type[BaseException], backend: str, tmp_path: Path
) -> None:
    """The log has its line and every hook its turn; then the process ends as it was told."""
    kept = Kept()

    async def main() -> None:
        config = logging_to(tmp_path / "calls.jsonl")
        gateway = NexusFlow(config=config, hooks=[Raising(_raiser(error)), kept], transport="offline")
        try:
            with pytest.raises(error):
                await ask(gateway)
        finally:
            await gateway.aclose()

    anyio.run(main, backend=backend)
    assert len((tmp_path / "calls.jsonl").read_text().splitlines()) == 1
    assert len(kept.records) == 1


def test_the_log_is_written_before_a_slow_hook(tmp_path: Path) -> None:
    """A hook that never comes back does not keep the line from the disk."""

    async def main() -> None:
        path, held = tmp_path / "calls.jsonl", anyio.Event()

        class Slow:
            async def after(self, record: CallRecord) -> None:
                held.set()
                await anyio.sleep_forever()

        gateway = NexusFlow(config=logging_to(path), hooks=[Slow()], transport="offline")
        task = asyncio.ensure_future(ask(gateway))
        await held.wait()
        await gateway._hooks.aclose()
        assert len(path.read_text().splitlines()) == 1
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(main())


def test_a_server_that_cancels_a_hook_is_obeyed_in_the_end() -> None:
    """Cancelled in the middle of a hook, the call gives the others their turn, and is cancelled."""

    async def main() -> None:
        held, kept = anyio.Event(), Kept()

        class Slow:
            async def after(self, record: CallRecord) -> None:
                held.set()
                await anyio.sleep_forever()

        record = begun(Call(endpoint="messages", request_id="req_1", started_at=NOW, body=BODY))
        task = asyncio.ensure_future(Hooks([Slow(), kept]).after(record))
        await held.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert kept.records == [record]

    asyncio.run(main())


def test_a_hook_that_cannot_close_keeps_none_from_closing() -> None:
    """What waits for the disk is written, whatever another hook's `aclose` ends in."""
    closed: list[str] = []

    class Closing(Kept):
        async def aclose(self) -> None:
            closed.append("closed")
            await await_something_cancelled()

    asyncio.run(Hooks([Closing(), Closing()]).aclose())
    assert closed == ["closed", "closed"]


# What it raises before


@both_backends
@pytest.mark.parametrize("where", ["authenticate", "before"])
def test_a_cancelled_future_of_the_hosts_is_its_failure(
    where: str, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    """500 in Anthropic's shape, the reason in the host's log, and a record that says who called."""
    kept = Kept()

    class Failing:
        async def before(self, call: Call) -> None:
            await await_something_cancelled()

    async def authenticate(scope: Any) -> str:
        if where == "authenticate":
            await await_something_cancelled()
        return "alice"

    async def main() -> Answer:
        hooks: list[Any] = [kept, Failing()] if where == "before" else [kept]
        gateway = NexusFlow(config=offline(), hooks=hooks, authenticate=authenticate, transport="offline")
        return await ask(gateway)

    with caplog.at_level(logging.ERROR, "nexusflow"):
        answer = anyio.run(main, backend=backend)
    assert (answer.status, answer.error) == (500, "api_error")
    [record] = kept.records
    assert (record.ending, record.status, record.error_type) == ("refused", 500, "api_error")
    assert record.principal == ("alice" if where == "before" else None)
    assert "Cancelled" in caplog.text


class Odd(Exception):
    """Whose members cannot be looked at."""

    status_code = 403

    @property
    def detail(self) -> str:
        raise RuntimeError("no detail")


class OfItsOwn(BaseException):
    """As some libraries have, so that no `except Exception` takes it."""


@both_backends
@pytest.mark.parametrize("where", ["authenticate", "before"])
@pytest.mark.parametrize(
    "error", [Odd(), OfItsOwn(), UnknownModelError("made-up"), ConfigError("a.b", "the reason")]
)
def test_whatever_the_hosts_code_raises_is_its_failure(
    where: str, backend: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """500 without the reason, which is in the host's log; and a record of a refused call."""
    kept = Kept()

    class Failing:
        def before(self, call: Call) -> None:
            raise error

    async def authenticate(scope: Any) -> str:
        if where == "authenticate":
            raise error
        return "alice"

    async def main() -> Answer:
        hooks: list[Any] = [kept, Failing()] if where == "before" else [kept]
        return await ask(
            NexusFlow(config=offline(), hooks=hooks, authenticate=authenticate, transport="offline")
        )

    with caplog.at_level(logging.ERROR, "nexusflow"):
        answer = anyio.run(main, backend=backend)
    assert (answer.status, answer.json["error"]["message"]) == (500, "internal error")
    assert [(record.ending, record.status) for record in kept.records] == [("refused", 500)]
    assert type(error).__name__ in caplog.text


@both_backends
def test_a_page_survives_a_cancelled_future_too(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    """The model list asks the host who calls, as calls do."""

    async def authenticate(scope: Any) -> str:
        await await_something_cancelled()
        return "alice"

    async def main() -> Answer:
        gateway = NexusFlow(config=offline(), authenticate=authenticate, transport="offline")
        return await ask(gateway, "/v1/models", method="GET", body=b"")

    answer = anyio.run(main, backend=backend)
    assert (answer.status, answer.error) == (500, "api_error")


@both_backends
@pytest.mark.parametrize("where", ["authenticate", "before"])
def test_a_call_that_the_host_cancels_is_not_answered(where: str, backend: str) -> None:
    """Its task ends as it was told to; the record says that the client got nothing, and who it was."""

    async def main() -> None:
        held, kept = anyio.Event(), Kept()

        async def hold(subject: Any) -> str:
            held.set()
            await anyio.sleep_forever()
            return ""

        async def alice(scope: Any) -> str:
            return "alice"

        class Holding:
            async def before(self, call: Call) -> None:
                await hold(call)

        gateway = NexusFlow(
            config=offline(),
            hooks=[kept, Holding()] if where == "before" else [kept],
            authenticate=hold if where == "authenticate" else alice,
            transport="offline",
        )
        sent: list[Any] = []
        incoming = [{"type": "http.request", "body": BODY, "more_body": False}]

        async def receive() -> Any:
            if not incoming:
                await anyio.sleep_forever()
            return incoming.pop()

        async def send(message: Any) -> None:
            sent.append(message)

        async with anyio.create_task_group() as group:
            group.start_soon(gateway, http_scope(), receive, send)
            await held.wait()
            group.cancel_scope.cancel()
        assert sent == []
        [record] = kept.records
        assert record.ending == "client_gone"
        assert record.principal == ("alice" if where == "before" else None)

    anyio.run(main, backend=backend)


@pytest.mark.parametrize(
    "who",
    [HALF, Principal(HALF), Principal("alice", {"team": HALF}), Principal("alice", {HALF: "red"})],
    ids=["text", "id", "value", "name"],
)
def test_half_a_character_is_no_text(
    who: Principal | str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What no log could hold is a 500 whose reason stands in the host's log; the call log has its line."""

    async def authenticate(scope: Any) -> Principal | str:
        return who

    async def main() -> Answer:
        config = logging_to(tmp_path / "calls.jsonl")
        gateway = NexusFlow(config=config, authenticate=authenticate, transport="offline")
        try:
            return await ask(gateway)
        finally:
            await gateway.aclose()

    answer = anyio.run(main)
    assert (answer.status, answer.error) == (500, "api_error")
    assert "is not valid Unicode" in caplog.text
    [line] = (tmp_path / "calls.jsonl").read_text().splitlines()
    assert (json.loads(line)["ending"], json.loads(line)["status"]) == ("refused", 500)
