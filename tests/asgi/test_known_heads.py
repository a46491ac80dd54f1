"""A head that was admitted before: the call is served as the first one was. test_secret_files changes keys."""

from __future__ import annotations

import multiprocessing

import anyio
import pytest

from nexusflow_asgi import NexusFlow, TransportResponse
from nexusflow_asgi.calls import new_request_id
from nexusflow_asgi.transports.offline import OfflineTransport
from nexusflow_core import Call
from nexusflow_core.config import decode_config
from nexusflow_core.upstream import UpstreamRequest
from tests.asgi.asking import BODY, ask

CONFIG = """
[upstreams.anthropic]
dialect = "anthropic"
{credential}

[[routes]]
model = "claude-*"
targets = ["anthropic"]

[auth]
keys = ["env:FIRST_KEY", "env:SECOND_KEY"]
"""
OURS = 'api_key = "env:UPSTREAM_KEY"'
FIRST, SECOND = (b"x-api-key", b"nxf-first"), (b"x-api-key", b"nxf-second")


class Watched(OfflineTransport):
    """The simulator, and what was sent to it."""

    def __init__(self) -> None:
        self.requests: list[UpstreamRequest] = []

    async def send(self, request: UpstreamRequest) -> TransportResponse:
        self.requests.append(UpstreamRequest(*[getattr(request, it) for it in request.__struct_fields__]))
        return await super().send(request)


class Spy:
    """A hook that keeps each call."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def before(self, call: Call) -> None:
        self.calls.append(call)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, key in (
        ("FIRST_KEY", "nxf-first"),
        ("SECOND_KEY", "nxf-second"),
        ("UPSTREAM_KEY", "sk-ant-ours"),
    ):
        monkeypatch.setenv(name, key)


def gateway(credential: str = OURS) -> tuple[NexusFlow, Watched, Spy]:
    transport, spy = Watched(), Spy()
    config = decode_config(CONFIG.format(credential=credential).encode())
    return NexusFlow(config=config, transport=transport, hooks=[spy]), transport, spy


def test_the_second_call_is_sent_like_the_first() -> None:
    """Headers, credential and caller are the same; the hook sees the length of its own body."""
    app, transport, spy = gateway()
    bodies = (BODY, BODY.replace(b"{", b"{ ", 1))

    async def main() -> None:
        for body in bodies:
            length = (b"content-length", b"%d" % len(body))
            await ask(app, body=body, headers=[FIRST, length, (b"x-app", b"cli"), (b"user-agent", b"test")])

    anyio.run(main)
    first, second = transport.requests
    assert list(first.headers) == list(second.headers)
    assert [value for name, value in second.headers if name == b"x-api-key"] == [b"sk-ant-ours"]
    assert (b"x-app", b"cli") in second.headers
    assert [call.principal.id for call in spy.calls if call.principal] == ["FIRST_KEY", "FIRST_KEY"]
    lengths = [dict(call.headers)[b"content-length"] for call in spy.calls]
    assert lengths == [b"%d" % len(body) for body in bodies]
    assert [request.body for request in transport.requests] == list(bodies)


def test_two_callers_with_the_same_headers() -> None:
    """Only the key differs: each call is its own caller's."""
    app, _, spy = gateway()

    async def main() -> None:
        for key in (FIRST, SECOND, FIRST, SECOND):
            await ask(app, headers=[key])
        assert (await ask(app, headers=[(b"x-api-key", b"nxf-third")])).status == 401

    anyio.run(main)
    found = [call.principal.id for call in spy.calls if call.principal]
    assert found == ["FIRST_KEY", "SECOND_KEY"] * 2


def test_a_clients_own_key_is_its_own() -> None:
    """Where callers bring their key for the upstream, each call sends its own."""
    app, transport, _ = gateway(credential="")

    async def main() -> None:
        for own in (b"sk-ant-1", b"sk-ant-2", b"sk-ant-1"):
            await ask(app, headers=[FIRST, (b"authorization", b"Bearer " + own)])
        assert (await ask(app, headers=[FIRST])).status == 401

    anyio.run(main)
    sent = [dict(request.headers)[b"authorization"] for request in transport.requests]
    assert sent == [b"Bearer sk-ant-1", b"Bearer sk-ant-2", b"Bearer sk-ant-1"]


def test_the_query_counts() -> None:
    """A query that contains the gateway's key is cleaned at every call."""
    app, transport, _ = gateway()

    async def main() -> None:
        for query in (b"beta=true", b"key=nxf-first", b"beta=true", b"key=nxf-first"):
            await ask(app, query=query, headers=[FIRST])

    anyio.run(main)
    ends = [request.url.partition("?")[2] for request in transport.requests]
    assert ends == ["beta=true", "", "beta=true", ""]


def _an_id(queue: multiprocessing.SimpleQueue[str]) -> None:
    queue.put(new_request_id())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
def test_ids_of_two_processes_differ() -> None:
    """A forked process does not repeat the ids of its parent."""
    new_request_id()
    fork = multiprocessing.get_context("fork")
    queue = fork.SimpleQueue()
    child = fork.Process(target=_an_id, args=(queue,))
    child.start()
    child.join()
    assert queue.get() != new_request_id()
