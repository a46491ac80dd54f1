"""A whole cloud configuration without a cloud: the simulator behind each door checks what a cloud checks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.credentials import sources
from nexusflow_asgi.transports.offline import OfflineTransport
from nexusflow_core import Call, Gateway, UpstreamRequest, decode_config
from nexusflow_core.dialects.anthropic.door_offline import opened
from nexusflow_core.errors import UpstreamStatusError
from nexusflow_core.exchange import Send
from nexusflow_core.upstream import Headers
from tests.asgi.asking import Answer, ask
from tests.core.doors.asking import DOOR_SETTINGS, config_of, message
from tests.servers import RecordingHook

TARGETS = {
    "bedrock": "cloud/us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "bedrock-invoke": "cloud/us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "bedrock-mantle": "cloud/anthropic.claude-haiku-4-5",
    "vertex": "cloud/claude-haiku-4-5@20251001",
}
FETCHED = {"vertex": "google", "google": "google", "foundry": "azure"}
SIGNED = ("bedrock", "bedrock-invoke", "bedrock-mantle", "aws")
CASES = [
    *((door, "") for door in DOOR_SETTINGS),
    *((door, 'auth = "aws"') for door in SIGNED),
    *((door, f'auth = "{auth}"') for door, auth in FETCHED.items()),
]


def config(door: str, more: str) -> str:
    return config_of(door, key=None if more else "CLOUD_KEY", more=more, target=TARGETS.get(door, "cloud"))


def asked(text: str, path: str = "/v1/messages", headers: Headers = (), **members: Any) -> tuple[Answer, Any]:
    hook = RecordingHook()
    app = NexusFlow(config=decode_config(text.encode()), transport="offline", hooks=[hook])
    body = json.dumps(message(**members)).encode()

    async def one() -> Answer:
        return await ask(app, path, headers=headers, body=body)

    return anyio.run(one), hook.wait(1)[-1]


@pytest.fixture(autouse=True)
def _every_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline nothing is imported, whatever is installed. The environment has no keys."""
    monkeypatch.setattr(sources, "_is_installed", lambda library: False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("door", "more"), CASES)
def test_each_door_answers(door: str, more: str, stream: bool) -> None:
    """With keys, signatures and tokens that are placeholders. Usage and price are those of Claude."""
    got, record = asked(config(door, more), stream=stream)
    assert got.status == 200
    if stream:
        assert got.body.count(b"event: message_start") == got.body.count(b"event: message_stop") == 1
    else:
        assert got.json["content"][0]["text"] == "You said: hi"
    assert (record.ending, record.usage["output_tokens"] > 0) == ("complete", True)
    assert record.cost_usd is not None
    assert record.response_model is not None
    dated = "20251001" in TARGETS.get(door, "")
    assert record.response_model == ("claude-haiku-4-5-20251001" if dated else "claude-haiku-4-5")
    assert "[removed]" not in str(record.upstream_request_id)


@pytest.mark.parametrize("door", DOOR_SETTINGS)
def test_tokens_are_counted_where_the_cloud_counts(door: str) -> None:
    """In the cloud's own shape, which the client does not see."""
    got, _ = asked(config(door, ""), "/v1/messages/count_tokens")
    assert got.status == (404 if door == "bedrock" else 200)
    if got.status == 200:
        assert got.json["input_tokens"] > 0


@pytest.mark.parametrize("door", DOOR_SETTINGS)
def test_errors_at_once_and_in_the_stream(door: str) -> None:
    """InvokeModel has exceptions in its stream; the client gets Anthropic's errors everywhere."""
    ask_for = [{"role": "user", "content": "simulate error overloaded_error"}]
    got, _ = asked(config(door, ""), messages=ask_for)
    assert (got.status, got.error) == (529, "overloaded_error")
    ask_for = [{"role": "user", "content": "simulate stream error overloaded_error"}]
    got, record = asked(config(door, ""), messages=ask_for, stream=True)
    assert (got.status, record.ending) == (200, "error")
    assert got.body.count(b"event: error") == 1
    assert b"overloaded_error" in got.body


@pytest.mark.parametrize("door", ["bedrock", "bedrock-invoke", "bedrock-mantle", "vertex", "foundry"])
def test_the_cloud_refuses_what_its_row_refuses(door: str) -> None:
    """The filter leaves it out. Without a filter the client sees the refusal."""
    betas = [(b"anthropic-beta", b"new-thing-2030-01-01")]
    assert asked(config(door, ""), headers=betas, diagnostics={})[0].status == 200
    text = config_of(door, more='betas = "pass"', target=TARGETS.get(door, "cloud"))
    got, _ = asked(text, headers=betas)
    assert (got.status, "new-thing-2030-01-01" in got.json["error"]["message"]) == (400, True)
    got, _ = asked(text, diagnostics={})
    assert (got.status, "diagnostics" in got.json["error"]["message"]) == (400, True)


def sent(door: str, more: str = "", **members: Any) -> UpstreamRequest:
    """The request of a gateway, at this moment."""
    decoded = decode_config(config(door, more).encode())
    decoded.resolve({"CLOUD_KEY": "sk-cloud", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "sk-aws"})
    body = json.dumps(message(**members)).encode()
    call = Call(endpoint="messages", request_id="r", started_at=datetime.now(UTC), body=body).look(10**6)
    exchange = Gateway(decoded).open(call, started=0.0)
    exchange.start(0.0)
    assert isinstance(exchange.order, Send)
    return exchange.order.request


@pytest.mark.parametrize("door", SIGNED)
@pytest.mark.parametrize("harm", ["body", "path", "date", "signature", "none", "late", "early"])
def test_a_wrong_signature_is_refused(door: str, harm: str) -> None:
    """Whatever differs from what was signed, and an old or future date."""
    request, now = sent(door, 'auth = "aws"'), datetime.now(UTC)
    assert opened(request, now).path == "/v1/messages" or door != "bedrock-invoke"
    headers = dict(request.headers)
    match harm:
        case "body":
            request.body += b" "
        case "path":
            request.url += "x"
        case "date":
            headers[b"x-amz-date"] = b"20200101T000000Z"
        case "signature":
            headers[b"authorization"] += b"0"
        case "none":
            del headers[b"authorization"], headers[b"x-amz-date"]
        case "late":
            now += timedelta(minutes=6)
        case _:
            now -= timedelta(minutes=6)
    request.headers = list(headers.items())
    with pytest.raises(UpstreamStatusError) as refused:
        opened(request, now)
    assert refused.value.status == 403


@pytest.mark.parametrize("door", DOOR_SETTINGS)
@pytest.mark.parametrize("harm", ["other key", "no key", "two keys"])
def test_a_wrong_key_is_refused(door: str, harm: str) -> None:
    """Exactly the configured one is accepted."""
    request = sent(door)
    plain = [pair for pair in request.headers if pair[0] not in (b"authorization", b"x-api-key")]
    keys = {"other key": [(b"x-api-key", b"sk-other")], "no key": []}
    both = [(b"x-api-key", b"sk-cloud"), (b"authorization", b"Bearer sk-cloud")]
    request.headers = [*plain, *keys.get(harm, both)]
    with pytest.raises(UpstreamStatusError) as refused:
        opened(request, datetime.now(UTC))
    assert refused.value.status == 401


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"input":1}', b"\xff"])
@pytest.mark.parametrize("door", ["bedrock-invoke", "vertex"])
def test_a_malformed_body_is_refused(door: str, body: bytes) -> None:
    """With an error, and never an exception."""
    request = sent(door)
    request.body = body

    async def one() -> int:
        return (await OfflineTransport().send(request)).status

    assert anyio.run(one) == 400
