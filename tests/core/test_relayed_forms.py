"""Relayed answers whose type is wrong or missing, and bodies with Claude Code's billing header."""

import json
from typing import Any

import pytest

from tests.core.relayed import config_of, events, sent_through
from tests.core.translation.driving import Driven, drive

MESSAGE: dict[str, Any] = {
    "type": "message",
    "model": "claude-opus-4-7",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 11, "output_tokens": 7},
}
STREAM: list[Any] = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
    {"type": "message_stop"},
]
TYPES = [
    None,
    "",
    "text/plain",
    "application/json",
    "application/octet-stream",
    "application/x-ndjson",
    "text/event-stream",
    "text/event-stream, text/event-stream",
    "Text/Event-Stream; charset=utf-8",
]
BOM = b"\xef\xbb\xbf"


def answer(data: bytes, kind: str | None, *, stream: bool, cut: int = 10**9) -> Driven:
    asked = {"model": "claude-opus-4-7", "max_tokens": 9, "stream": stream, "messages": []}
    exchange = sent_through(config_of(), json.dumps(asked).encode())
    headers = [(b"content-length", str(len(data)).encode())]
    headers += [(b"content-type", kind.encode())] if kind is not None else []
    pieces = [data[at : at + cut] for at in range(0, len(data), cut)]
    return drive(exchange, pieces, status=200, headers=headers)


@pytest.mark.parametrize("cut", [1, 10**9])
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("before", [b"", BOM, b": hi\n\n", b"\r\n\r\n", b"id: 1\n", b"retry: 5\n\n"])
def test_a_stream_is_told_by_its_first_bytes(before: bytes, kind: str | None, cut: int) -> None:
    """It passes byte for byte under the type that it came with, is metered, and has its end."""
    data = before + events(STREAM)
    driven = answer(data, kind, stream=True, cut=cut)
    assert (driven.status, driven.body) == (200, data)
    assert driven.headers.get("content-type") == kind
    assert "content-length" not in driven.headers, "an error event may follow"
    record = driven.record
    assert (record.ending, record.usage_source, record.stop_reason) == ("complete", "upstream", "end_turn")


@pytest.mark.parametrize("kind", TYPES)
def test_a_stream_that_breaks_off_has_one_error_event(kind: str | None) -> None:
    """Whatever it is called; one that ends before its first event has an error's status."""
    begun = events(STREAM[:1])
    driven = answer(begun, kind, stream=True)
    assert driven.body.startswith(begun)
    assert driven.body.count(b"event: error") == 1
    assert driven.record.ending == "error"
    assert answer(b": hi\n\n", kind, stream=True).status == 502


@pytest.mark.parametrize("cut", [1, 10**9])
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("before", [b"", BOM, b"\n \n"])
def test_json_is_told_by_its_first_bytes(before: bytes, kind: str | None, cut: int) -> None:
    """It passes byte for byte and is metered, under the name of a stream too."""
    data = before + json.dumps(MESSAGE).encode()
    driven = answer(data, kind, stream=False, cut=cut)
    assert (driven.status, driven.body, driven.headers.get("content-type")) == (200, data, kind)
    assert (driven.record.ending, driven.record.usage_source) == ("complete", "upstream")


@pytest.mark.parametrize("kind", TYPES)
def test_what_is_neither_is_an_error(kind: str | None) -> None:
    """A page, or nothing: no success."""
    for data in (b"<html>hello</html>", b""):
        assert answer(data, kind, stream=False).status == 502


# The billing header

HEADER = '{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1; cch=ab12c"}'
WORDS = '{"type":"text" , "text":"You help. \\u00e9","cache_control":{"type":"ephemeral"}}'


def sent(system: str, *, target: str = "up", vendor: str | None = None, model: str = "claude-x") -> Any:
    """The body that leaves, and the record's edits."""
    body = f'{{"max_tokens" : 9, "system":{system}, "model":"{model}","messages":[]}}'
    exchange = sent_through(config_of(vendor=vendor, target=target), body.encode())
    exchange.start(0.0)
    out = exchange.order.request.body  # type: ignore[union-attr]
    exchange.receive_head(200, [], 0.0)
    exchange.receive_data(json.dumps(MESSAGE).encode(), 0.0)
    exchange.receive_eof(0.0)
    return body, out.decode(), exchange.record(0.0).edits


@pytest.mark.parametrize(
    ("system", "left", "edits"),
    [
        (f"[{HEADER}, {WORDS}]", f"[{WORDS}]", ("system[0]",)),
        (f"[ {HEADER} ,\n {WORDS} ]", f"[ {WORDS} ]", ("system[0]",)),
        (f"[{HEADER}]", "[]", ("system[0]",)),
        (f"[{HEADER},{HEADER},{WORDS}]", f"[{WORDS}]", ("system[0]", "system[1]")),
        (f"[{WORDS},{HEADER}]", None, ()),
        ('"x-anthropic-billing-header: a"', None, ()),
        ("[]", None, ()),
    ],
)
@pytest.mark.parametrize("asked", [{"vendor": "glm"}, {"model": "qwen3-max"}])
def test_who_only_speaks_the_protocol_gets_no_billing_header(
    asked: Any, system: str, left: str | None, edits: tuple[str, ...]
) -> None:
    """Its prefix cache would never match behind it. Every other byte stays, and the edit is listed."""
    body, out, listed = sent(system, **asked)
    assert out == (body if left is None else body.replace(system, left))
    assert listed == edits


def test_anthropic_gets_the_billing_header() -> None:
    """The body that came is the body that leaves."""
    body, out, listed = sent(f"[{HEADER},{WORDS}]")
    assert (out, listed) == (body, ())


def test_the_billing_header_goes_along_with_a_renamed_model() -> None:
    """Both edits are listed."""
    _, out, listed = sent(f"[{HEADER},{WORDS}]", target="up/glm-5")
    assert json.loads(out)["system"] == [json.loads(WORDS)]
    assert json.loads(out)["model"] == "glm-5"
    assert listed == ("model", "system[0]")
