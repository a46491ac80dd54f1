"""A translated call's two hot paths, beside the least that anyone must do for the same bytes."""

import json
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from benchmarks.measure import Case, Effort, case, table
from benchmarks.report import Table
from benchmarks.samples import AGENT_REQUEST, LARGE_REQUEST, WORDS
from nexusflow_core import Call, Target, Upstream
from nexusflow_core.dialects.openai_chat import OpenAIChatDialect
from nexusflow_core.dialects.openai_responses import OpenAIResponsesDialect
from nexusflow_core.messages import read_request

__all__ = ["middle_of_a_stream", "requests", "run"]

_AT = datetime(2026, 11, 22, tzinfo=UTC)
_CHUNKS_A_STREAM = 200
_TARGET, _RESPONSES = (
    Target(Upstream(name="u", dialect=dialect, base_url="http://u", auth="none", vendor="openai"))
    for dialect in ("openai-chat", "openai-responses")
)


def run(effort: Effort) -> tuple[str, list[Table]]:
    """Returns the method and three tables."""
    method = (
        f"CPU time, medians (least-most) of {effort.rounds} interleaved rounds; ratios to each first row, the"
        " least that anyone must do for these bytes."
    )
    tables = [table("text delta, chunk bytes to event bytes", "delta", _deltas(), effort)]
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


def _deltas() -> list[Case]:
    chunks = [_chunk(number) for number in range(_CHUNKS_A_STREAM)]
    return [
        case("msgspec decode and a template", lambda: _bare(chunks), len(chunks)),
        case("json.loads and json.dumps", lambda: _by_json(chunks), len(chunks)),
        case("ChatLeg.receive_data, a chunk at a time", _translate(chunks), len(chunks)),
        case("ChatLeg.receive_data, all at once", _translate([b"".join(chunks)]), len(chunks)),
    ]


def _bare(chunks: list[bytes]) -> None:
    decode, encode = msgspec.json.Decoder(_Chunk).decode, msgspec.json.Encoder().encode
    for chunk in chunks:
        text = decode(chunk[6:-2]).choices[0].delta.content
        _ = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":"text_delta","text":%b}}\n\n' % (0, encode(text))
        )


def _by_json(chunks: list[bytes]) -> None:
    for chunk in chunks:
        text = json.loads(chunk[6:-2])["choices"][0]["delta"]["content"]
        event = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
        _ = f"event: content_block_delta\ndata: {json.dumps(event)}\n\n".encode()


def middle_of_a_stream() -> tuple[Callable[[bytes], bytes], bytes]:
    """Returns what takes the data of a translated answer, in the middle of its stream, and a chunk for it."""
    leg = OpenAIChatDialect().open(_SMALL, _TARGET, _AT)
    leg.receive_head(200, [(b"content-type", b"text/event-stream")])
    leg.receive_data(_chunk(0))
    return leg.receive_data, _chunk(1)


def _translate(chunks: list[bytes]) -> Callable[[], None]:
    feed, _ = middle_of_a_stream()

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
