"""Every fault of an upstream, relayed and translated, sync and stream, over both transports.

The client gets an answer in Anthropic's shape with the right status, there is one record, nothing leaks, and
the next call works."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_core import CallRecord
from nexusflow_core.config import decode_config
from nexusflow_core.dialects import DIALECTS
from tests.chaos.faults import FAULTS, SECRET, SPEAKS, Dialect, honest
from tests.core.translation.toy import TOY
from tests.servers import Head, RawClient, RecordingHook, ScriptedUpstream, Served, Truncated

CONFIG = """
[upstreams.chaos]
dialect = "{dialect}"
base_url = "{url}"
api_key = "env:CHAOS_KEY"
connections = 2
timeouts = {{ first_byte = 10, idle = 10, grace = 1 }}

[upstreams.hasty]
dialect = "{dialect}"
base_url = "{url}"
api_key = "env:CHAOS_KEY"
connections = 2
timeouts = {{ first_byte = 0.3, idle = 0.3 }}

[[routes]]
model = "hasty"
targets = ["hasty"]

[[routes]]
model = "*"
targets = ["chaos"]

[retry]
attempts = 1

[limits]
ping_seconds = 0.2

[auth]
keys = ["env:NEXUSFLOW_KEY"]
"""
HEADERS = [(b"content-type", b"application/json"), (b"x-api-key", b"sk-planted-gateway")]
TYPES = {
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "conflict_error",
    "request_too_large",
    "rate_limit_error",
    "api_error",
    "timeout_error",
    "overloaded_error",
}


class Rig(NamedTuple):
    """One gateway over one upstream, for all faults in turn: what one leaves behind the next meets."""

    dialect: Dialect
    upstream: ScriptedUpstream
    served: Served
    hook: RecordingHook


RIGS: list[tuple[Dialect, str]] = [
    *product(("anthropic", "openai-chat"), ("h1", "httpx", "aiohttp")),
    ("openai-responses", "h1"),
    ("toy", "h1"),
]


@pytest.fixture(scope="module", params=RIGS, ids="-".join)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    hook, (dialect, transport) = RecordingHook(), request.param
    with ScriptedUpstream(lambda _: ()) as upstream, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAOS_KEY", SECRET)
        patch.setenv("NEXUSFLOW_KEY", "sk-planted-gateway")
        patch.setitem(DIALECTS, "toy", TOY)  # type: ignore[arg-type]
        config = decode_config(CONFIG.format(dialect=dialect, url=upstream.url).encode())
        with Served(NexusFlow(config=config, transport=transport, hooks=[hook])) as served:
            yield Rig(dialect, upstream, served, hook)
            assert served.client_connections() == 0


def asked(stream: bool, model: str) -> bytes:
    body: dict[str, Any] = {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    return json.dumps({**body, "stream": stream}).encode()


def one_call(rig: Rig, stream: bool, model: str = "m") -> tuple[Head, bytes, bool, CallRecord]:
    """An answer: its head, what came of its body, whether it came to its end; and the call's record."""
    count = len(rig.hook.records)
    with RawClient(rig.served.port, echoes=True) as client:
        client.post("/v1/messages", HEADERS, asked(stream, model))
        got, body, whole = client.head(), b"", True
        try:
            while piece := client.piece():
                body += piece
                if len(body) > 200_000:
                    body = body[:1000] + body[-1000:]
        except (Truncated, ConnectionError):
            whole = False
    records = rig.hook.wait(count + 1)
    assert len(records) == count + 1, "one record a call"
    return got, body, whole, records[count]


def errors_in(body: bytes) -> list[dict[str, Any]]:
    events = [event for event in body.split(b"\n\n") if event.startswith(b"event: error\n")]
    return [json.loads(event.split(b"data: ", 1)[1]) for event in events]


def assert_an_error(document: Any) -> None:
    assert document["type"] == "error"
    assert document["error"]["type"] in TYPES
    assert document["error"]["message"]


@pytest.mark.parametrize("stream", [False, True], ids=["sync", "stream"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault(fault: str, stream: bool, rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """An error with a status of its own while nothing has gone out, one
    error event after that; never a secret, never a header that poses as ours."""
    case = FAULTS[fault]
    rig.upstream.script = lambda _: case.steps(SPEAKS[rig.dialect], stream)
    model = "hasty" if "hangs" in fault else "m"
    got, body, whole, record = one_call(rig, stream, model)
    assert got.status in case.statuses, (got.status, body[:300])
    assert record.status == got.status
    everything = body + repr(got.headers).encode()
    relayed_words = rig.dialect == "anthropic" and fault == "an error that names our key"  # bytes as they came
    assert SECRET.encode() not in everything or relayed_words
    assert SECRET not in repr(record)
    assert b"spoofed" not in everything
    assert got.values(b"x-nexusflow-upstream") == [b"hasty" if model == "hasty" else b"chaos"]
    assert len(got.values(b"request-id")) <= 1
    if got.status != 200:
        assert_an_error(json.loads(body))
        assert whole
        assert record.ending == "error"
    elif stream or body.startswith((b"event:", b"data:", b":")):  # its bytes tell a stream, not its type
        assert len(errors_in(body)) <= 1
        if errors_in(body) and record.ending == "error":
            assert_an_error(errors_in(body)[0])
            assert body.rstrip().rsplit(b"\n\n", 1)[-1].startswith(b"event: error"), "nothing comes after it"
        else:
            assert record.ending == "complete"
    else:
        assert (record.ending == "complete") == whole, "a body that breaks off is cut off"
    if case.whole:
        assert (record.ending, whole) == ("complete", True)
        assert b"Hel" in body
    assert "inside the gateway" not in caplog.text, "a defect of ours"
    assert_the_next_call_works(rig)


def assert_the_next_call_works(rig: Rig) -> None:
    rig.upstream.script = lambda _: honest(SPEAKS[rig.dialect], False)
    got, body, whole, record = one_call(rig, False)
    assert (got.status, whole, record.ending) == (200, True, "complete"), body
    assert json.loads(body)["content"] == [{"type": "text", "text": "Hello"}]
