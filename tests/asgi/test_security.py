"""What a client or an upstream may try: another upstream, another key, headers that pose, smuggled requests."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from nexusflow_asgi import LoggingHook, NexusFlow
from nexusflow_core.config import decode_config
from tests.servers import JSON, RawClient, RecordingHook, ScriptedUpstream, Served, answer

CONFIG = """
[upstreams.one]
dialect = "{dialect}"
base_url = "{url}"
api_key = "env:ONE_KEY"

[[routes]]
model = "*"
targets = ["one"]

[auth]
anonymous = true
"""
MESSAGE = b'{"type":"message","id":"m","usage":{"input_tokens":3,"output_tokens":1}}'
CHAT = b'{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}'
ANSWERS = {"anthropic": MESSAGE, "openai-chat": CHAT}
both_dialects = pytest.mark.parametrize("dialect", ["anthropic", "openai-chat"])
both_transports = pytest.mark.parametrize("transport", ["h1", "httpx", "aiohttp"])


def body(**members: Any) -> bytes:
    asked = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    return json.dumps({**asked, **members}).encode()


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE_KEY", "sk-planted-upstream")


@both_transports
@both_dialects
@pytest.mark.usefixtures("keyed")
def test_nothing_in_a_call_changes_where_it_goes(dialect: str, transport: Any) -> None:
    """Neither members of the body nor headers name an upstream or a key; each goes where the
    configuration says, with its key."""
    with ScriptedUpstream(lambda _: answer(200, JSON, [ANSWERS[dialect]])) as upstream:
        with ScriptedUpstream(lambda _: answer(200, JSON, [MESSAGE])) as evil:
            config = decode_config(CONFIG.format(dialect=dialect, url=upstream.url).encode())
            hostile = [
                (b"content-type", b"application/json"),
                (b"x-nexusflow-upstream", evil.url.encode()),
                (b"x-api-base", evil.url.encode()),
                (b"x-forwarded-host", evil.url.encode()),
                (b"x-api-key", b"sk-planted-client"),
                (b"authorization", b"Bearer sk-planted-other"),
            ]
            members = dict.fromkeys(("api_base", "base_url", "api_key", "custom_llm_provider"), evil.url)
            with Served(NexusFlow(config=config, transport=transport)) as served:
                with RawClient(served.port) as client:
                    target = f"/v1/messages?api_base={evil.url}"
                    got, _ = client.call(target, hostile, body(**members))
            assert got.status == 200
            assert evil.requests == []
        [request] = upstream.requests
    keys = request.values(b"x-api-key") + request.values(b"authorization")
    assert [key.removeprefix(b"Bearer ") for key in keys] == [b"sk-planted-upstream"]
    assert request.values(b"x-nexusflow-upstream") == []


@both_transports
@pytest.mark.usefixtures("keyed")
def test_an_upstream_cannot_pose_as_us(transport: Any) -> None:
    """Its `x-nexusflow-*` headers are removed, or the client would believe a false cost."""
    spoofed = [(b"x-nexusflow-cost-usd", b"0"), (b"X-NexusFlow-Upstream", b"two"), (b"x-nexusflow-new", b"1")]
    with ScriptedUpstream(lambda _: answer(200, [*JSON, *spoofed], [MESSAGE])) as upstream:
        config = decode_config(CONFIG.format(dialect="anthropic", url=upstream.url).encode())
        with Served(NexusFlow(config=config, transport=transport)) as served:
            with RawClient(served.port) as client:
                got, _ = client.call("/v1/messages", [], body())
    ours = [pair for pair in got.headers if pair[0].lower().startswith(b"x-nexusflow-")]
    assert ours == [(b"x-nexusflow-upstream", b"one")]


KEY = b"sk-planted-upstream"
REPEATS = {
    "model": (200, b'{"type":"message","id":"m","model":"%b","usage":{"input_tokens":3}}'),
    "stop reason": (200, b'{"type":"message","id":"m","stop_reason":"%b","usage":{"input_tokens":3}}'),
    "error type": (400, b'{"type":"error","error":{"type":"%b","message":"m"}}'),
    "chat model": (200, CHAT[:-1] + b',"model":"%b"}'),
    "chat finish": (200, CHAT.replace(b'"stop"', b'"%b"')),
    "chat error type": (400, b'{"error":{"type":"%b","code":"%b","message":"%b"}}'),
}


@pytest.mark.parametrize("dress", ["plain", "escaped", "upper case"])
@pytest.mark.parametrize("what", REPEATS)
@pytest.mark.usefixtures("keyed")
def test_a_key_that_an_upstream_repeats_stays_out_of_record_and_log(
    what: str, dress: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever a word of its own stands: the credential that it was sent is masked there."""
    status, told = REPEATS[what]
    key = {"plain": KEY, "escaped": KEY.replace(b"-", b"\\u002d"), "upper case": KEY.upper()}[dress]
    hook = RecordingHook()
    with (
        caplog.at_level("DEBUG"),
        ScriptedUpstream(lambda _: answer(status, JSON, [told.replace(b"%b", key)])) as up,
    ):
        dialect = "openai-chat" if what.startswith("chat") else "anthropic"
        config = decode_config(CONFIG.format(dialect=dialect, url=up.url).encode())
        with (
            Served(NexusFlow(config=config, hooks=[LoggingHook(), hook])) as served,
            RawClient(served.port, echoes=True) as client,
        ):
            _, shown = client.call("/v1/messages", [], body())
        [record] = hook.records
    kept = (
        msgspec.json.encode(record).decode()
        + caplog.text
        + (shown.decode() if dialect == "openai-chat" else "")
    )
    assert "planted" not in kept.lower()


@both_transports
@both_dialects
@pytest.mark.usefixtures("keyed")
def test_a_body_is_one_request(dialect: str, transport: Any) -> None:
    """A body that holds another request stays a body: its length is stated anew, whatever the client's framing
    said, and the upstream sees one request."""
    smuggled = b"\r\n\r\nPOST /v1/admin HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"
    hook = RecordingHook()
    with ScriptedUpstream(lambda _: answer(200, JSON, [ANSWERS[dialect]])) as upstream:
        config = decode_config(CONFIG.format(dialect=dialect, url=upstream.url).encode())
        with Served(NexusFlow(config=config, transport=transport, hooks=[hook])) as served:
            with RawClient(served.port) as client:
                chunked = [*JSON, (b"transfer-encoding", b"chunked"), (b"x-odd", b"1")]
                pieces = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body()), body())
                client.send(b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\n")
                client.send(b"".join(b"%b: %b\r\n" % pair for pair in chunked) + b"\r\n" + pieces)
                assert client.head().status == 200
            with RawClient(served.port) as client:
                got, _ = client.call("/v1/messages", [], body() + smuggled)
                assert got.status == 400, "no JSON: refused here, or by the upstream that judges it"
        for request in upstream.requests:
            assert request.values(b"transfer-encoding") == []
            assert len(request.values(b"content-length")) == 1
            assert request.target in (b"/v1/messages", b"/chat/completions")


@pytest.mark.parametrize("both", [True, False], ids=["both lengths", "two lengths"])
@pytest.mark.usefixtures("keyed")
def test_a_request_with_two_ends_goes_nowhere(both: bool) -> None:
    """content-length beside transfer-encoding, or two lengths: where the server lets it in at all, the upstream
    gets one request with one length."""
    framing = b"content-length: 5\r\n" + (
        b"transfer-encoding: chunked\r\n" if both else b"content-length: 6\r\n"
    )
    with ScriptedUpstream(lambda _: answer(200, JSON, [MESSAGE])) as upstream:
        config = decode_config(CONFIG.format(dialect="anthropic", url=upstream.url).encode())
        with Served(NexusFlow(config=config)) as served, RawClient(served.port) as client:
            client.send(
                b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\n" + b"content-type: application/json\r\n"
            )
            client.send(framing + b"\r\n")
            client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body()), body()))
            assert client.head().status in (200, 400)
        for request in upstream.requests:
            assert request.values(b"content-length") == [b"%d" % len(request.body)]
            assert request.values(b"transfer-encoding") == []
