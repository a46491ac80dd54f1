"""Vendors that speak Anthropic's protocol: relayed byte for byte with the model renamed, as whom the vendor
wants, metered by what it means, and priced by its own rows. The streams are ours, after each vendor's form."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from msgspec import Struct

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.transports import TransportName
from nexusflow_core import decode_config
from tests.servers import JSON, SSE, RawClient, RecordingHook, ScriptedUpstream, Served, answer

OPENROUTER_BILL = {"cost": 0.0123, "cost_details": {"upstream_inference_cost": None}, "is_byok": False}


class Form(Struct):
    """A vendor's row, model and credential; its usage at the start and the end; what that amounts to as plain,
    read, written and output tokens; and what else is in its streams."""

    vendor: str
    model: str
    auth: str
    start: dict[str, Any]
    end: dict[str, Any]
    means: tuple[int, int, int, int]
    row: str | None
    message: dict[str, Any] = {}
    before: bytes = b""
    after: bytes = b""


def counts(plain: int, output: int, read: int | None = None, written: int | None = None) -> dict[str, int]:
    named = {
        "input_tokens": plain,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": output,
    }
    return {name: count for name, count in named.items() if count is not None}


FORMS = {
    "DeepSeek repeats its counts": Form(
        "deepseek",
        "deepseek-v4-flash",
        "x-api-key",
        {**counts(98, 0, 384, 0), "service_tier": "standard"},
        counts(98, 23, 384, 0),
        (98, 384, 0, 23),
        "deepseek/deepseek-v4-flash",
    ),
    "Kimi ends with zeros": Form(
        "kimi",
        "kimi-k2.6",
        "bearer",
        counts(120, 0, 2048, 0),
        counts(0, 57, 0, 0),
        (120, 2048, 0, 57),
        "moonshot/kimi-k2.6",
    ),
    "GLM begins with zeros": Form(
        "glm",
        "glm-4.6",
        "bearer",
        counts(0, 0),
        counts(340, 31, 640),
        (340, 640, 0, 31),
        "zai/glm-4.6",
    ),
    "MiniMax counts at the end, writes too": Form(
        "minimax",
        "MiniMax-M2.7",
        "bearer",
        counts(0, 0),
        counts(45, 12, 900, 300),
        (45, 900, 300, 12),
        "minimax/MiniMax-M2.7",
    ),
    "Qwen begins with the whole prompt and parts it at the end": Form(
        "qwen",
        "qwen3-max",
        "x-api-key",
        counts(1500, 0),
        counts(100, 20, 1000, 400),
        (100, 1000, 400, 20),
        "alibaba/qwen3-max",
    ),
    "OpenRouter has comments, keys of its own, a bill and [DONE]": Form(
        "openrouter",
        "qwen/qwen3-max",
        "bearer",
        counts(0, 0),
        {**counts(10, 5, 200, 0), **OPENROUTER_BILL},
        (10, 200, 0, 5),
        None,
        message={"provider": "Alibaba"},
        before=b": OPENROUTER PROCESSING\n\n",
        after=b"event: data\ndata: [DONE]\n\n",
    ),
    "vLLM knows no cache": Form(
        "vllm", "meta-llama/Llama-4-Scout", "none", counts(33, 0), counts(33, 8), (33, 0, 0, 8), None
    ),
    "Ollama tells the output alone at the end": Form(
        "ollama", "gpt-oss:20b", "none", counts(33, 0), counts(33, 8), (33, 0, 0, 8), None
    ),
}
forms = pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))

CONFIG = """
[upstreams.theirs]
dialect = "anthropic"
vendor = "{form.vendor}"
base_url = "{url}/anthropic"
auth = "{form.auth}"
{key}

[[routes]]
model = "claude-theirs"
targets = ["theirs/{form.model}"]

[auth]
keys = ["env:NEXUSFLOW_KEY"]
"""
KEY = 'api_key = "env:THEIR_KEY"'
ASKED = b'{ "model":"claude-theirs","max_tokens":9, "stream":%s,"messages":[{"role":"user","content":"Hi"}] }'


def event(**members: Any) -> bytes:
    return f"event: {members['type']}\ndata: {json.dumps(members)}\n\n".encode()


def stream_of(form: Form) -> bytes:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": form.model}
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    return b"".join(
        (
            form.before,
            event(type="message_start", message={**message, **form.message, "usage": form.start}),
            event(type="content_block_start", index=0, content_block={"type": "text", "text": ""}),
            event(type="content_block_delta", index=0, delta={"type": "text_delta", "text": "Hi"}),
            event(type="content_block_stop", index=0),
            event(type="message_delta", delta=delta, usage=form.end),
            event(type="message_stop"),
            form.after,
        )
    )


def message_of(form: Form) -> bytes:
    usage = {**form.start, **form.end}
    if form.end["output_tokens"] and not form.end["input_tokens"]:
        usage = {**form.start, "output_tokens": form.end["output_tokens"]}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": form.model, **form.message}
    return json.dumps(
        {**message, "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn", "usage": usage}
    ).encode()


@contextmanager
def served(
    form: Form, upstream: ScriptedUpstream, transport: TransportName, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[RawClient, RecordingHook]]:
    monkeypatch.setenv("THEIR_KEY", "sk-theirs")
    monkeypatch.setenv("NEXUSFLOW_KEY", "sk-gateway")
    text = CONFIG.format(form=form, url=upstream.url, key="" if form.auth == "none" else KEY)
    hook = RecordingHook()
    with (
        Served(NexusFlow(config=decode_config(text.encode()), transport=transport, hooks=[hook])) as app,
        RawClient(app.port) as client,
    ):
        yield client, hook


@forms
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("transport", ["h1", "httpx"])
def test_relayed_and_metered(
    form: Form, stream: bool, transport: TransportName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes both ways, but for the model's name; one credential, where this vendor looks for it; the usage that
    its two reports amount to; its own price row, and never Claude's."""
    data = stream_of(form) if stream else message_of(form)
    script = answer(200, SSE if stream else JSON, [data], framing="chunked")
    with (
        ScriptedUpstream(lambda _: script) as upstream,
        served(form, upstream, transport, monkeypatch) as (
            client,
            hook,
        ),
    ):
        body = ASKED % (b"true" if stream else b"false")
        head, got = client.call("/v1/messages", [(b"x-api-key", b"sk-gateway"), *JSON], body)
        [record] = hook.wait(1)
    [received] = upstream.requests
    assert (head.status, got) == (200, data)
    assert received.target == b"/anthropic/v1/messages"
    assert received.body == body.replace(b"claude-theirs", form.model.encode())
    assert credentials(received.headers) == CREDENTIALS[form.auth]
    usage = record.usage or {}
    found = tuple(
        usage.get(name, 0)
        for name in (
            "input_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
            "output_tokens",
        )
    )
    assert found == form.means
    assert (record.ending, record.usage_source, record.edits) == ("complete", "upstream", ("model",))
    if form.row is not None:
        assert (record.price_row or "").partition("@")[0] == form.row
        assert record.cost_usd is not None
    else:
        assert not (record.price_row or "").startswith("anthropic/")
    assert usage.get("cost") == form.end.get("cost")


CREDENTIALS: dict[str, list[tuple[bytes, bytes]]] = {
    "x-api-key": [(b"x-api-key", b"sk-theirs")],
    "bearer": [(b"authorization", b"Bearer sk-theirs")],
    "none": [],
}


def credentials(headers: Any) -> list[tuple[bytes, bytes]]:
    return [
        (name.lower(), value) for name, value in headers if name.lower() in (b"x-api-key", b"authorization")
    ]


@forms
def test_count_tokens_goes_to_the_same_place(form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same credential and model; its answer goes back as it came."""
    counted = b'{"input_tokens": 14}'
    with (
        ScriptedUpstream(lambda _: answer(200, JSON, [counted])) as upstream,
        served(form, upstream, "httpx", monkeypatch) as (client, hook),
    ):
        head, got = client.call("/v1/messages/count_tokens", [(b"x-api-key", b"sk-gateway")], ASKED % b"false")
        [record] = hook.wait(1)
    [received] = upstream.requests
    assert (head.status, got) == (200, counted)
    assert received.target == b"/anthropic/v1/messages/count_tokens"
    assert json.loads(received.body)["model"] == form.model
    assert credentials(received.headers) == CREDENTIALS[form.auth]
    assert (record.endpoint, record.ending, record.usage, record.cost_usd) == (
        "count_tokens",
        "complete",
        None,
        None,
    )
