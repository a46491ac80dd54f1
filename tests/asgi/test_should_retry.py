"""`x-should-retry: false`: what no repetition mends says so; some clients repeat even a 401 for minutes."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_core import Call
from nexusflow_core.config import decode_config
from nexusflow_core.errors import NexusFlowError, OverloadedError, PermissionDeniedError, RateLimitedError
from tests.asgi.asking import BODY, MODEL, OFFLINE, Answer, ask, offline
from tests.servers import JSON, ScriptedUpstream, answer


class Refusing:
    def __init__(self, error: NexusFlowError) -> None:
        self.error = error

    def before(self, call: Call) -> None:
        raise self.error


def asked(*hooks: Any, **request: Any) -> Answer:
    gateway = NexusFlow(config=offline(), transport="offline", hooks=hooks)
    return anyio.run(lambda: ask(gateway, **request))


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (400, {"body": b"{"}),
        (400, {"headers": [(b"x-a", b"\x01")]}),
        (404, {"body": BODY.replace(MODEL.encode(), b"gpt-6")}),
        (404, {"path": "/v1/nothing"}),
        (404, {"path": "/v1/messages/batches"}),
        (405, {"method": "DELETE"}),
        (413, {"body": b" " * (33 * 1024 * 1024)}),
        (413, {"headers": [(b"x-a", b"a" * 200_000)]}),
    ],
)
def test_a_request_that_cannot_be_served(status: int, request_: dict[str, Any]) -> None:
    """It would fail the same way again."""
    got = asked(**request_)
    assert (got.status, got.value(b"x-should-retry")) == (status, b"false")


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/models"])
def test_a_wrong_key(path: str) -> None:
    """It stays wrong, for calls and pages."""
    config = decode_config(OFFLINE.replace(b"anonymous = true", b'keys = ["env:KEY"]'))
    config.resolve({"SIM_KEY": "sk-ant-simulated", "KEY": "nxf-right"})
    gateway = NexusFlow(config=config, transport="offline")
    method = "POST" if "messages" in path else "GET"
    got = anyio.run(lambda: ask(gateway, path, method=method, headers=[(b"x-api-key", b"nxf-wrong")]))
    assert (got.status, got.value(b"x-should-retry")) == (401, b"false")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (PermissionDeniedError("no"), b"false"),
        (PermissionDeniedError("not yet", headers={"X-Should-Retry": "true"}), b"true"),
        (RateLimitedError("slow down", headers={"retry-after": "1"}), None),
        (OverloadedError("full"), None),
    ],
)
def test_a_hooks_refusal(error: NexusFlowError, says: bytes | None) -> None:
    """What passes may be tried again, and the hook knows best."""
    got = asked(Refusing(error))
    assert [value for name, value in got.headers if name == b"x-should-retry"] == ([says] if says else [])


@pytest.mark.parametrize("headers", [[], [(b"x-should-retry", b"true")]])
@pytest.mark.parametrize("status", [400, 401, 404])
def test_an_upstreams_own_words(status: int, headers: list[tuple[bytes, bytes]]) -> None:
    """A relayed answer says what the upstream said of it, or nothing."""
    body = b'{"type":"error","error":{"type":"api_error","message":"x"}}'
    with ScriptedUpstream(lambda _: answer(status, [*JSON, *headers], [body])) as upstream:
        toml = OFFLINE.replace(b'"anthropic"\n', b'"anthropic"\nbase_url = "%s"\n' % upstream.url.encode(), 1)
        config = decode_config(toml)
        config.resolve({"SIM_KEY": "sk-ant-simulated"})

        async def main() -> Answer:
            async with NexusFlow(config=config) as gateway:
                return await ask(gateway)

        got = anyio.run(main)
    assert (got.status, got.body) == (status, body)
    assert [pair for pair in got.headers if pair[0] == b"x-should-retry"] == headers
