"""One call: what holds whatever ends it."""

import anyio
import pytest
from starlette.types import Message, Scope

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.settings import OFFLINE
from nexusflow_core import CallRecord, decode_config

HEADERS = [(b"host", b"localhost"), (b"content-type", b"application/json")]
SCOPE: Scope = {
    "type": "http",
    "method": "POST",
    "path": "/v1/messages",
    "query_string": b"",
    "headers": HEADERS,
}
BODY = b'{"model":"claude-x","max_tokens":5,"messages":[{"role":"user","content":"Hi"}]}'


class Kept:
    def __init__(self) -> None:
        self.records: list[CallRecord] = []

    def after(self, record: CallRecord) -> None:
        self.records.append(record)


async def _nowhere(message: Message) -> None:
    await anyio.sleep_forever()


async def _never() -> Message:
    await anyio.sleep_forever()
    raise AssertionError


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("phase", ["body", "answer"])
def test_a_call_that_the_host_cancels_has_its_record(phase: str, backend: str) -> None:
    """While its body arrives, or while its answer cannot be sent."""
    kept = Kept()
    gateway = NexusFlow(config=decode_config(OFFLINE), transport="offline", hooks=[kept])
    messages: list[Message] = [{"type": "http.request", "body": BODY, "more_body": phase == "body"}]

    async def receive() -> Message:
        return messages.pop() if messages else await _never()

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(gateway, SCOPE, receive, _nowhere)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()

    anyio.run(main, backend=backend)
    assert [record.ending for record in kept.records] == ["client_gone" if phase == "body" else "complete"]
