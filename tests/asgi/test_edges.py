"""Over the edge of each bound, and just under it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from msgspec import Raw

from nexusflow_asgi import NexusFlow
from nexusflow_core import Call, Gateway, Principal, peek
from nexusflow_core.config import decode_config
from nexusflow_core.dialects.anthropic import relay
from nexusflow_core.errors import InternalError, InvalidRequestError, UpstreamStatusError, error_body
from nexusflow_core.messages.marks import Mark, strip_marked
from nexusflow_core.prices import PriceBook
from nexusflow_core.translation import error_bodies, losses
from nexusflow_core.usage import merge_usage, read_wire_usage
from tests.asgi.asking import ask
from tests.core.translation.asking import request_of, translated

# Requests


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        (["a"] * 256, False),
        (["a"] * 257, True),
        (["a" * 16_384], False),
        (["a" * 16_385], True),
        (["a" * 1000] * 16, False),
        (["a" * 1000] * 17, True),
    ],
)
def test_stop_sequences(given: list[str], refused: bool) -> None:
    """The message says which bound it is; whoever finds them, the upstream or the gateway."""
    for vendor in ("generic", "openai"):
        refusal = translated(request_of(stop_sequences=given), vendor).refusal
        assert (refusal or "").startswith("stop_sequences: at most ") is refused


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","Model":"b"}',
        b'{"MODEL":"a","model":"a"}',
        b'{"model":"a","mod\\u0045l":"a"}',
        b'{"model":"a","x":"%b","MoDeL":1}' % (b" " * 20_000),
    ],
)
def test_a_model_in_another_case_is_refused(body: bytes) -> None:
    """Some upstreams read keys in any case: which model counts would be theirs to choose."""
    with pytest.raises(InvalidRequestError, match="given twice"):
        peek.peek(body)


def test_a_key_in_another_case_elsewhere_is_nobodys_business() -> None:
    """Below the top, or beside no `model`."""
    assert peek.peek(b'{"model":"a","x":{"Model":"b"}}').model == "a"
    with pytest.raises(InvalidRequestError, match="Field required"):
        peek.peek(b'{"Model":"a"}')


def test_bytes_that_are_no_text_in_marked_thinking() -> None:
    """400: whether the mark is ours cannot be told."""
    block = b'{"type":"thinking","thinking":"a","signature":"nxf1.\xff"}'
    given = b'{"model":"claude-x","max_tokens":9,"messages":[{"role":"assistant","content":[%b]}]}' % block
    gateway = NexusFlow(config=decode_config(CONFIG), transport="offline")
    answer = anyio.run(lambda: ask(gateway, body=given))
    assert (answer.status, answer.error) == (400, "invalid_request_error")


# Work

CONFIG = b"""
[upstreams.claude]
dialect = "anthropic"
base_url = "http://claude"
auth = "none"
[upstreams.chat]
dialect = "openai-chat"
base_url = "http://chat"
auth = "none"
[[routes]]
model = "claude-*"
targets = ["claude"]
[[routes]]
model = "chat"
targets = ["chat"]
[auth]
anonymous = true
"""


def test_threads_that_decode() -> None:
    """Each loop has its own two."""

    async def main() -> float:
        return (
            NexusFlow(config=decode_config(CONFIG), transport="offline")._loops.current().workers.total_tokens
        )

    assert anyio.run(main) == 2


# Answers

JSON = [(b"content-type", b"application/json")]
SSE = [(b"content-type", b"text/event-stream")]


def answered(model: str, data: bytes, *, status: int = 200, stream: bool = True, more: Any = None) -> Any:
    """The record of a call whose answer is this, and the body that the client got."""
    body = {"model": model, "max_tokens": 9, "stream": stream, "messages": [{"role": "user", "content": "a"}]}
    call = Call(
        endpoint="messages",
        request_id="req_1",
        started_at=datetime.now(UTC),
        body=json.dumps({**body, **(more or {})}).encode(),
        principal=Principal("me"),
    ).look(10**8)
    exchange = Gateway(decode_config(CONFIG + b"[retry]\nattempts = 1\n")).open(call, started=0.0)
    exchange.start(0.0)
    out = exchange.receive_head(status, SSE if stream else JSON, 0.0)
    out += exchange.receive_data(data, 0.0) + exchange.receive_eof(0.0)
    return exchange.record(0.0), out


def event(kind: str, **rest: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **rest}).encode())


def chunk(choices: list[Any], **rest: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps({"model": "m", "choices": choices, **rest}).encode()


@pytest.mark.parametrize(("size", "metered"), [(1000, True), (1001, False)])
def test_a_large_relayed_answer(size: int, metered: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is held whole is metered; a larger one passes as it comes."""
    monkeypatch.setattr(relay, "HELD_BYTES", 1000)
    answer = json.dumps({"model": "m", "usage": {"input_tokens": 1, "output_tokens": 1}}).encode()
    data = answer + b" " * (size - len(answer))
    found, out = answered("claude-x", data, stream=False)
    assert (out, found.usage is not None) == (data, metered)


def test_calls_of_an_answer() -> None:
    """The 257th is left out, and listed."""
    for count, dropped in ((256, []), (257, ["answer.tool_calls"])):
        calls = [
            {"index": i, "id": f"c{i}", "function": {"name": "f", "arguments": "{}"}} for i in range(count)
        ]
        data = chunk([{"index": 0, "delta": {"tool_calls": calls}}])
        data += chunk([{"index": 0, "delta": {}, "finish_reason": "tool_calls"}], usage={"prompt_tokens": 1})
        found, out = answered("chat", data)
        assert out.count(b'"tool_use"') - out.count(b'"stop_reason":"tool_use"') == 256
        assert [loss.path for loss in found.dropped if loss.path.startswith("answer")] == dropped


@pytest.mark.parametrize("model", ["claude-x", "chat"])
def test_members_of_usage(model: str) -> None:
    """Ever new ones are left out beyond the bound; those that count always come in."""
    data = b""
    if model == "chat":
        data = chunk([{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}])
        data += b"".join(chunk([], usage={"prompt_tokens": 3, f"m{i}": i + 1}) for i in range(200))
    else:
        data = event("message_start", message={"model": "m", "usage": {"input_tokens": 1, "output_tokens": 1}})
        data += b"".join(event("message_delta", delta={}, usage={f"m{i}": i}) for i in range(200))
        data += event(
            "message_delta", delta={"stop_reason": "end_turn"}, usage={"speed": "fast", "input_tokens": 3}
        )
        data += event("message_stop")
    found, _ = answered(model, data)
    assert found.usage["input_tokens"] == 3
    assert len(found.usage) <= 64 + 1
    just_under = merge_usage({}, {f"m{i}": i for i in range(64)})
    assert len(just_under) == 64
    assert merge_usage(just_under, {"m64": 1, "m0": 7, "output_tokens": 2}) == {
        **just_under,
        "m0": 7,
        "output_tokens": 2,
    }


def test_a_long_usage_object() -> None:
    """Of one that is longer the known members are read; its iterations are too long to be priced by."""
    counts = {"input_tokens": 5, "output_tokens": 7, "cache_creation": {"ephemeral_1h_input_tokens": 3}}
    padding = 65_536 - len(json.dumps({**counts, "x": ""}))
    fits = {**counts, "x": "a" * padding}
    assert read_wire_usage(Raw(json.dumps(fits).encode())) == fits
    assert read_wire_usage(Raw(json.dumps({**fits, "x": "a" * (padding + 1)}).encode())) == counts
    step = {"type": "message", "input_tokens": 1, "output_tokens": 1}
    answer = {"model": "claude-haiku-4-5", "usage": {**counts, "iterations": [step] * 2000}}
    found, _ = answered("claude-x", json.dumps(answer).encode(), stream=False)
    assert (found.cost_usd, found.cost_flags) == (None, ("impossible_usage",))


def test_messages_of_errors() -> None:
    """An upstream's is cut before it is cleaned; a client is never told more than so much."""
    told = "wrong " * 1_000_000
    found, out = answered("chat", json.dumps({"error": {"message": told}}).encode(), status=400, stream=False)
    assert found.status == 400
    assert 1500 < len(json.loads(out)["error"]["message"]) <= 2000
    shown = json.loads(error_body(InternalError("x" * 4001), "req_1"))["error"]["message"]
    assert len(shown) == 4000
    assert json.loads(error_body(InternalError("x" * 4000), "req_1"))["error"]["message"] == "x" * 4000


def test_words_of_errors() -> None:
    """What a vendor calls its error is looked at as far as it is a word."""
    told = error_bodies.read_error({"code": "c" * 300, "message": "m"})
    assert told.words == "c" * 200


def test_errors_inside_of_errors() -> None:
    """Eight deep they are read; deeper ones end nothing."""

    def nested(depth: int) -> bytes:
        return b'{"metadata":{"raw":' * depth + b'{"message":"why"}' + b"}}" * depth

    assert error_bodies.read_error_body(nested(8)).message == "why"
    assert error_bodies.read_error_body(nested(100)).message == ""


# Records

MARKED = {
    "type": "thinking",
    "thinking": "a",
    "signature": Mark(vendor="v", model="m", kind="text").signature(),
}


@pytest.mark.parametrize("count", [100, 101, 5000])
def test_lists_of_a_record(count: int) -> None:
    """One hundred entries, and one for the rest; each path at most 200 characters."""
    rest = [f"and {count - 100} more"] if count > 100 else []
    answer = chunk(
        [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}],
        usage={"prompt_tokens": 1, "completion_tokens": 1},
    )
    more = {"metadata": {f"{i}{'x' * 500}": 1 for i in range(count)}}
    found, _ = answered("chat", answer, more=more)
    assert [loss.path for loss in found.dropped][100:] == rest
    assert max(len(loss.path) for loss in found.dropped) == 200
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [MARKED] * count + [{"type": "text", "text": "b"}]},
    ]
    found, _ = answered("claude-x", event("message_stop"), more={"messages": [*turns, turns[0]]})
    assert list(found.edits)[100:] == rest
    assert found.edits[:2] == ("messages[1].content[0]", "messages[1].content[1]")


def test_edits_of_other_kinds_are_listed_first() -> None:
    """And count among the hundred."""
    given = json.dumps({"messages": [{"role": "assistant", "content": [MARKED] * 200}]}).encode()
    _, edits = strip_marked(given, ("model", "content-encoding"))
    assert (edits[:2], len(edits), edits[-1]) == (("model", "content-encoding"), 101, "and 102 more")


def test_the_warning() -> None:
    """As a header it is short in any script, and counts what the record does not list either."""
    found = losses.Losses()
    for number in range(300):
        found.unknown(f"{number}" + "\U0001f600" * 300)
    told = losses.warning(found.found)
    assert told is not None
    assert len(told) < 1000 + 2100
    named = told.count(b" dropped")
    assert told.endswith(b"; and %d more" % (300 - named))
    few = losses.Losses()
    few.unknown("a")
    assert losses.warning(few.found) == b"a dropped"


def test_words_of_a_record() -> None:
    """Whatever an upstream calls its model, its stop reason, its tier or its error."""
    usage = {"input_tokens": 1, "output_tokens": 1, "service_tier": "t" * 300, "speed": {"no": "text"}}
    answer = {"type": "message", "model": "m" * 300, "stop_reason": "s" * 300, "usage": usage}
    found, _ = answered("claude-" + "x" * 300, json.dumps(answer).encode(), stream=False)
    words = (found.model, found.response_model, found.stop_reason, found.service_tier, found.attempts[0].model)
    assert {len(word or "") for word in words} == {256}
    assert found.speed is None
    assert UpstreamStatusError(400, "e" * 101).type == "e" * 100


# Tables of a process


def test_remembered_prices() -> None:
    """Names that strangers make up never fill more than the table."""
    prices = PriceBook.builtin()
    model, vendor = "claude-haiku-4-5", "anthropic"
    for number in range(5000):
        prices.served[(model, vendor, False, f"tier-{number}", None, None, None, False, False)]
    assert 0 < len(prices.served) <= 4096
