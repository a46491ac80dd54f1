"""A translated call's two hot paths, beside the least that anyone must do for the same bytes."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from benchmarks.measure import Case, Effort, case, table
from benchmarks.report import Table
from benchmarks.samples import AGENT_REQUEST, LARGE_REQUEST, WORDS
from nexusflow_core import Call, Target, Upstream
from nexusflow_core.dialects.openai_chat import OpenAIChatDialect
from nexusflow_core.dialects.openai_responses import OpenAIResponsesDialect
from nexusflow_core.messages import read_request

__all__ = ["BARE", "middle_of_a_stream", "requests", "run"]

_AT = datetime(2026, 11, 22, tzinfo=UTC)
_CHUNKS_A_STREAM = 200
_TARGET, _RESPONSES = (
    Target(Upstream(name="u", dialect=dialect, base_url="http://u", auth="none", vendor="openai"))
    for dialect in ("openai-chat", "openai-responses")
)


def run(effort: Effort) -> tuple[str, list[Table]]:
    """Returns the method and four tables."""
    method = (
        f"CPU time, medians (least-most) of {effort.rounds} interleaved rounds; ratios to each first row, the"
        " least that anyone must do for these bytes."
    )
    tables = [
        table("text delta, Chat chunk to event", "delta", _deltas(_chunk, "chat"), effort),
        table("text delta, Responses event to event", "delta", _deltas(_event, "responses"), effort),
    ]
    for name, body in (("an agent's", AGENT_REQUEST), ("a long conversation's", LARGE_REQUEST)):
        tables.append(table(f"{name} request of {len(body):,} bytes", "body", _requests(body), effort))
    return method, tables


# Streams


class _Delta(Struct):
    content: str | None = None


class _Choice(Struct):
    delta: _Delta


class _Chunk(Struct):
    choices: list[_Choice]


class _Event(Struct):
    delta: str


def _chunk(number: int) -> bytes:
    """As OpenAI sends it, padding and all."""
    chunk = {
        "id": "chatcmpl-BenchmarkBenchmarkBenchmark",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": "gpt-5.5-2026-04-14",
        "service_tier": "default",
        "system_fingerprint": None,
        "choices": [
            {"index": 0, "delta": {"content": " " + WORDS[number % len(WORDS)]}, "finish_reason": None}
        ],
        "usage": None,
        "obfuscation": "xxxxxxxx"[: number % 8],
    }
    return b"data: " + json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def _event(number: int) -> bytes:
    """As OpenAI sends it, in the Responses API."""
    event = {
        "type": "response.output_text.delta",
        "sequence_number": number + 5,
        "item_id": "msg_BenchmarkBenchmarkBenchmarkBenchmarkBenchmark",
        "output_index": 0,
        "content_index": 0,
        "delta": " " + WORDS[number % len(WORDS)],
        "logprobs": [],
        "obfuscation": "xxxxxxxx"[: number % 8],
    }
    return _framed(event)


def _framed(event: dict[str, Any]) -> bytes:
    data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return f"event: {event['type']}\ndata: {data}\n\n".encode()


def _deltas(made: Callable[[int], bytes], api: str) -> list[Case]:
    chunks = [made(number) for number in range(_CHUNKS_A_STREAM)]
    return [
        case("msgspec decode and a template", lambda: BARE[api](chunks), len(chunks)),
        case("json.loads and json.dumps", lambda: _by_json(chunks), len(chunks)),
        case("receive_data, a chunk at a time", _translate(chunks, api), len(chunks)),
        case("receive_data, all at once", _translate([b"".join(chunks)], api), len(chunks)),
    ]


_read_chunk, _read_event = msgspec.json.Decoder(_Chunk).decode, msgspec.json.Decoder(_Event).decode


def _bare_chat(chunks: list[bytes]) -> None:
    decode, encode = _read_chunk, msgspec.json.Encoder().encode
    for chunk in chunks:
        text = decode(chunk[6:-2]).choices[0].delta.content
        _ = _TEMPLATE % (0, encode(text))


def _bare_responses(events: list[bytes]) -> None:
    decode, encode = _read_event, msgspec.json.Encoder().encode
    before = len(b"event: response.output_text.delta\ndata: ")
    for event in events:
        _ = _TEMPLATE % (0, encode(decode(event[before:-2]).delta))


_TEMPLATE = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
    b'"delta":{"type":"text_delta","text":%b}}\n\n'
)

BARE = {"chat": _bare_chat, "responses": _bare_responses}
"""The least that anyone must do with the chunks of a stream, by API."""


def _by_json(chunks: list[bytes]) -> None:
    for chunk in chunks:
        data = json.loads(chunk.partition(b"data: ")[2])
        text = data["choices"][0]["delta"]["content"] if "choices" in data else data["delta"]
        event = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
        _ = f"event: content_block_delta\ndata: {json.dumps(event)}\n\n".encode()


def middle_of_a_stream(api: str = "chat") -> tuple[Callable[[bytes], bytes], bytes]:
    """Returns what takes the data of a translated answer, in the middle of its stream, and a chunk for it."""
    chat = api == "chat"
    dialect = OpenAIChatDialect() if chat else OpenAIResponsesDialect()
    leg = dialect.open(_SMALL, _TARGET if chat else _RESPONSES, _AT)
    leg.receive_head(200, [(b"content-type", b"text/event-stream")])
    if not chat:
        item = {"type": "message", "id": "msg_1", "role": "assistant", "content": []}
        leg.receive_data(_framed({"type": "response.output_item.added", "output_index": 0, "item": item}))
    made = _chunk if chat else _event
    leg.receive_data(made(0) + made(1))
    return leg.receive_data, made(2)


def _translate(chunks: list[bytes], api: str) -> Callable[[], None]:
    feed, _ = middle_of_a_stream(api)

    def work() -> None:
        for chunk in chunks:
            feed(chunk)

    return work


# Requests


def _call(body: bytes) -> Call:
    return Call(endpoint="messages", request_id="req_1", started_at=_AT, body=body).look(10**8)


def requests(body: bytes) -> dict[str, Callable[[], object]]:
    """Returns what handles a request's body, by name. The first is the least that anyone must do."""
    call = _call(body)
    place = call.seen.messages if call.seen is not None else None
    return {
        "msgspec decode and encode": lambda: msgspec.json.encode(msgspec.json.decode(body)),
        "json.loads and json.dumps": lambda: json.dumps(json.loads(body)),
        "read_request": lambda: read_request(body, messages=place),
        "OpenAIChatDialect.open": lambda: OpenAIChatDialect().open(call, _TARGET, _AT).request,
        "OpenAIResponsesDialect.open": lambda: OpenAIResponsesDialect().open(call, _RESPONSES, _AT).request,
    }


def _requests(body: bytes) -> list[Case]:
    return [case(name, work) for name, work in requests(body).items()]


_SMALL = _call(b'{"model":"gpt-4.1","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"Hi"}]}')
