"""What may go wrong around a relay's loop: a server whose `send` fails, a transport that is not as promised."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.transports.offline import OfflineTransport
from nexusflow_core import CallRecord
from nexusflow_core.dialects.anthropic import AnthropicDialect
from tests.asgi.asking import BODY, LIMIT, ask, http_scope, offline

STREAM = BODY.replace(b'"model"', b'"stream":true,"model"')
both_backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])


class Kept:
    def __init__(self) -> None:
        self.records: list[CallRecord] = []

    def after(self, record: CallRecord) -> None:
        self.records.append(record)


class Watched(OfflineTransport):
    """The simulator; counts the answers that are still open."""

    def __init__(self) -> None:
        self.open = 0

    async def send(self, request: Any) -> Any:
        self.open += 1
        return _Watched(self, await super().send(request))


class _Watched:
    def __init__(self, transport: Watched, response: Any) -> None:
        self.status, self.headers, self.read = response.status, response.headers, response.read
        self._transport = transport

    async def aclose(self) -> None:
        self._transport.open -= 1


@both_backends
@pytest.mark.parametrize("fails_at", [0, 1, 3])
@pytest.mark.parametrize("body", [BODY, STREAM], ids=["sync", "stream"])
def test_a_send_that_fails(backend: str, fails_at: int, body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """ASGI 2.4 lets `send` raise OSError once the client is gone: that is no defect of ours, the upstream is
    closed, there is one record, and of a stream it says who left."""
    transport, kept, sent = Watched(), Kept(), list[Any]()
    gateway = NexusFlow(config=offline(), transport=transport, hooks=[kept])
    incoming = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        if incoming:
            return incoming.pop()
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Any) -> None:
        if len(sent) == fails_at:
            raise ConnectionResetError("the client is gone")
        sent.append(message)

    async def main() -> None:
        with anyio.fail_after(LIMIT):
            try:
                await gateway(http_scope(), receive, send)
            except OSError:
                pass  # the server's own error may go back to it

    anyio.run(main, backend=backend)
    [record] = kept.records
    assert transport.open == 0
    if body is STREAM:  # a sync answer was whole before its first byte was sent
        assert record.ending == "client_gone"
    assert "inside the gateway" not in caplog.text


@both_backends
def test_a_server_that_refuses_the_head(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing follows a head that was not written, or the client would wait: the server closes instead."""
    transport, kept, sent = Watched(), Kept(), list[Any]()
    gateway = NexusFlow(config=offline(), transport=transport, hooks=[kept])
    incoming = [{"type": "http.request", "body": STREAM, "more_body": False}]

    async def receive() -> Any:
        if incoming:
            return incoming.pop()
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message["type"])
        raise KeyError("no such status")

    async def main() -> None:
        with anyio.fail_after(LIMIT):
            await gateway(http_scope(), receive, send)

    anyio.run(main, backend=backend)
    assert sent == ["http.response.start"]
    assert (transport.open, kept.records[0].ending) == (0, "error")
    assert "no such status" in caplog.text


@both_backends
@pytest.mark.parametrize("error", [OSError("no files left"), ValueError("odd"), MemoryError()])
@pytest.mark.parametrize("where", ["opening the leg", "making the transport", "send", "read"])
def test_a_transport_that_breaks_its_promise(
    backend: str,
    where: str,
    error: Exception,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or a dialect: an exception that is not of our tree is a defect. 500 for the client, a traceback for the
    log, and not taken for a client that left."""

    class Broken(Watched):
        async def send(self, request: Any) -> Any:
            if where == "send":
                raise error
            response = await super().send(request)
            response.read = self.read
            return response

        async def read(self) -> bytes:
            raise error

    def made(upstream: Any) -> Any:
        if where == "making the transport":
            raise error
        return transport

    def opened(dialect: Any, call: Any, target: Any, at: Any) -> Any:
        raise error

    if where == "opening the leg":
        monkeypatch.setattr(AnthropicDialect, "open", opened)
    transport, kept = Broken(), Kept()
    gateway = NexusFlow(config=offline(), transport=transport, hooks=[kept])
    gateway._loops._make_transport = made
    answer = anyio.run(lambda: ask(gateway), backend=backend)
    assert (answer.status, answer.error) == (500, "api_error")
    assert str(error).encode() not in answer.body or not str(error)
    assert type(error).__name__ in caplog.text
    [record] = kept.records
    ending = "refused" if where == "opening the leg" else "error"
    assert (record.ending, record.status) == (ending, 500)
    assert transport.open == 0
