"""A server's `send` on a connection that the client has closed: each server says it in its own way."""

from __future__ import annotations

import json
import logging
from typing import Any

import anyio
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_core import CallRecord
from tests.asgi.asking import MODEL, offline

CLOSED: list[Exception] = [
    ConnectionResetError("gone"),
    OSError("gone"),
    RuntimeError(
        "unable to perform operation on <TCPTransport closed=True reading=False 0x1>; the handler is closed"
    ),
]


class Keep:
    def __init__(self) -> None:
        self.records: list[CallRecord] = []

    def after(self, record: CallRecord) -> None:
        self.records.append(record)


def serve(error: Exception, stream: bool, fails_at: int) -> CallRecord:
    """One call whose message number `fails_at` to the client raises; the server tells of no disconnect."""
    body = {"model": MODEL, "max_tokens": 64, "stream": stream, "messages": [{"role": "user", "content": "a"}]}
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/v1/messages",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"host", b"localhost")],
    }
    keep = Keep()
    sent = 0

    async def main() -> None:
        asked = anyio.Event()

        async def receive() -> dict[str, Any]:
            if asked.is_set():
                await anyio.sleep_forever()
            asked.set()
            return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

        async def send(message: Any) -> None:
            nonlocal sent
            sent += 1
            if sent >= fails_at:
                raise error

        async with NexusFlow(config=offline(), transport="offline", hooks=[keep]) as gateway:
            await gateway(scope, receive, send)

    anyio.run(main)
    [record] = keep.records
    return record


@pytest.mark.parametrize("error", CLOSED, ids=range(len(CLOSED)))
@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_stream_on_a_closed_connection(
    error: Exception, fails_at: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The client has left: so the record says, and nothing is logged as a defect."""
    record = serve(error, True, fails_at)
    assert record.ending == "client_gone"
    assert [line for line in caplog.records if line.levelno >= logging.ERROR] == []


def test_a_defect_of_the_hosts_is_none(caplog: pytest.LogCaptureFixture) -> None:
    """Any other RuntimeError of `send` is a defect, which the log tells."""
    with pytest.raises(RuntimeError, match="middleware"):
        serve(RuntimeError("the middleware broke"), True, 2)
    assert any(line.exc_info for line in caplog.records)
