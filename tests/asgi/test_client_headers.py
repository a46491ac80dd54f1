"""Headers as clients write them, over a real server that leaves blanks where they were."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import anyio
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.transports import TransportName
from nexusflow_core.config import decode_config
from nexusflow_core.errors import InvalidRequestError
from tests.asgi.asking import ask
from tests.asgi.transports import KINDS, OK, Kind, a_request, at
from tests.servers import JSON, RawClient, RecordingHook, ScriptedUpstream, Served, answer, refusing_port

CONFIG = """
[upstreams.relayed]
dialect = "anthropic"
base_url = "{url}"
[upstreams.translated]
dialect = "openai-chat"
base_url = "{url}"

[[routes]]
model = "claude-x"
targets = ["relayed"]
[[routes]]
model = "gpt-x"
targets = ["translated"]

[auth]
anonymous = true
"""
KEY = (b"x-api-key", b"sk-ant-own")
BODY = b'{"model":"claude-x","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}'
MESSAGE = b'{"type":"message","usage":{"input_tokens":3,"output_tokens":1}}'


class Bench(NamedTuple):
    served: Served
    upstream: ScriptedUpstream
    hook: RecordingHook

    def call(self, *headers: tuple[bytes, bytes]) -> tuple[int, bytes]:
        with RawClient(self.served.port) as client:
            got, answered = client.call("/v1/messages", list(headers), BODY)
        return got.status, answered


@pytest.fixture(params=["h1", "httpx", "aiohttp"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    hook = RecordingHook()
    with ScriptedUpstream(lambda _: answer(200, JSON, [MESSAGE])) as upstream:
        config = decode_config(CONFIG.format(url=upstream.url).encode())
        with Served(NexusFlow(config=config, transport=request.param, hooks=[hook])) as served:
            yield Bench(served, upstream, hook)


@pytest.mark.parametrize(
    "headers",
    [
        [KEY, (b"x-a", b"v ")],
        [KEY, (b"x-a", b"v \t")],
        [KEY, (b"x-a", b" ")],
        [(b"x-api-key", b"sk-ant-own ")],
        [(b"authorization", b"Bearer sk-ant-own\t")],
    ],
)
def test_a_blank_behind_a_value(bench: Bench, headers: list[tuple[bytes, bytes]]) -> None:
    """It is no part of the value: the call is served at once, and the upstream sees none."""
    assert bench.call(*headers) == (200, MESSAGE)
    [attempt] = bench.hook.wait(1)[0].attempts
    assert (attempt.status, attempt.reason) == (200, "")
    [sent] = bench.upstream.requests
    for name, value in headers:
        assert [it for key, it in sent.headers if key.lower() == name] == [value.strip()]


@pytest.mark.parametrize("transport", ["h1", "httpx", "aiohttp"])
@pytest.mark.parametrize("model", ["claude-x", "gpt-x"])
@pytest.mark.parametrize(
    "credential", [(b"x-api-key", b"sk-ant\x01own"), (b"authorization", b"Bearer sk-ant\x7fown")]
)
def test_a_control_character_in_a_key(
    transport: TransportName, model: str, credential: tuple[bytes, bytes]
) -> None:
    """Not every server refuses it. 400 as in any other header, and nothing goes upstream."""
    hook = RecordingHook()
    with refusing_port() as port:
        config = decode_config(CONFIG.format(url=f"http://127.0.0.1:{port}").encode())
        app = NexusFlow(config=config, transport=transport, hooks=[hook])
        got = anyio.run(lambda: ask(app, headers=[credential], body=BODY.replace(b"claude-x", model.encode())))
    assert (got.status, got.error) == (400, "invalid_request_error")
    [record] = hook.records
    assert (record.ending, record.attempts) == ("refused", ())


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if "httpx" in kind.name], ids=lambda it: f"{it.name}-{it.backend}"
)
def test_a_header_that_the_library_refuses(kind: Kind) -> None:
    """It was the client's, so it is a 400: no failure of the upstream, which has seen nothing of it."""
    with ScriptedUpstream(lambda _: OK) as server:
        upstream = at(server.url)
        with pytest.raises(InvalidRequestError):
            kind.use(upstream, lambda it: it.send(a_request(upstream, headers=[(b"x-a", b"v ")])))
        assert server.requests == []
