"""A translated call's two hot paths, beside the least that anyone must do for the same bytes."""

import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from benchmarks.report import median_ratio, print_table
from benchmarks.samples import LARGE_REQUEST
from nexusflow_core import Call, Target, Upstream
from nexusflow_core.dialects.openai_chat import OpenAIChatDialect
from nexusflow_core.messages import read_request

__all__ = ["run"]

_WORDS = "the upstream sends tokens as it makes them , some short , some a little longer \u2013 ok \n".split(
    " "
)
_CHUNKS_A_STREAM = 200
_TARGET = Target(Upstream(name="u", dialect="openai-chat", base_url="http://u", auth="none", vendor="openai"))


class _Case(NamedTuple):
    """Something to time: one call of `work` handles `units` chunks or bodies."""

    name: str
    units: int
    work: Callable[[], object]


def run(rounds: int, milliseconds: float) -> None:
    """Prints two tables. The promise: a text delta at most 3x the first row, a request at most 7x."""
    print(f"Translation: CPU time, median of {rounds} interleaved rounds; ratio to the first row\n")
    _table("text delta, chunk bytes to event bytes", "ns/delta", 1, _deltas(), rounds, milliseconds)
    for name, body in (("an agent's", AGENT_REQUEST), ("a long conversation's", LARGE_REQUEST)):
        title = f"{name} request, {len(body):,} bytes"
        _table(title, "ms/body", 1e6, _requests(body), rounds, milliseconds)


def _table(title: str, unit: str, scale: float, cases: list[_Case], rounds: int, milliseconds: float) -> None:
    repeats = [max(1, int(milliseconds * 1e6 / max(_time(case, 1), 1))) for case in cases]
    samples: list[list[float]] = [[] for _ in cases]
    for _ in range(rounds):
        for case, times, count in zip(cases, samples, repeats, strict=True):
            times.append(_time(case, count) / count / case.units)
    rows = [
        (
            case.name,
            f"{statistics.median(times) / scale:,.{0 if scale == 1 else 3}f}",
            median_ratio(times, samples[0]),
        )
        for case, times in zip(cases, samples, strict=True)
    ]
    print_table((title, unit, "ratio (range)"), rows)


def _time(case: _Case, count: int) -> int:
    work = case.work
    work()
    before = time.process_time_ns()
    for _ in range(count):
        work()
    return time.process_time_ns() - before


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
            {"index": 0, "delta": {"content": " " + _WORDS[number % len(_WORDS)]}, "finish_reason": None}
        ],
        "usage": None,
        "obfuscation": "xxxxxxxx"[: number % 8],
    }
    return b"data: " + json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def _deltas() -> list[_Case]:
    chunks = [_chunk(number) for number in range(_CHUNKS_A_STREAM)]
    return [
        _Case("msgspec decode and a template", len(chunks), lambda: _bare(chunks)),
        _Case("json.loads and json.dumps", len(chunks), lambda: _by_json(chunks)),
        _Case("ChatLeg.receive_data, a chunk at a time", len(chunks), _translate(chunks)),
        _Case("ChatLeg.receive_data, all at once", len(chunks), _translate([b"".join(chunks)])),
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


def _translate(chunks: list[bytes]) -> Callable[[], None]:
    """A leg in the middle of its stream."""
    leg = OpenAIChatDialect().open(_SMALL, _TARGET, _SMALL.started_at)
    leg.receive_head(200, [(b"content-type", b"text/event-stream")])
    leg.receive_data(chunks[0])

    def work() -> None:
        feed = leg.receive_data
        for chunk in chunks:
            feed(chunk)

    return work


# Requests


def _call(body: bytes) -> Call:
    return Call(
        endpoint="messages", request_id="req_1", started_at=datetime(2026, 11, 22, tzinfo=UTC), body=body
    ).look(10**8)


def _requests(body: bytes) -> list[_Case]:
    call = _call(body)
    return [
        _Case("msgspec.json.decode", 1, lambda: msgspec.json.decode(body)),
        _Case("json.loads and json.dumps", 1, lambda: json.dumps(json.loads(body))),
        _Case("read_request", 1, lambda: read_request(body)),
        _Case("OpenAIChatDialect.open", 1, lambda: OpenAIChatDialect().open(call, _TARGET, call.started_at)),
    ]


def _agent_request() -> bytes:
    """A coding agent deep in its session: a long system prompt, tools, and calls with their results."""
    text = " ".join(_WORDS * 2)
    schema = {
        "type": "object",
        "properties": {name: {"type": "string", "description": text} for name in ("path", "old", "new")},
        "required": ["path"],
    }
    tools = [{"name": f"tool_{n}", "description": text * 4, "input_schema": schema} for n in range(20)]
    mark = {"cache_control": {"type": "ephemeral"}}
    turns: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": text}]}]
    for number in range(75):
        call = {"type": "tool_use", "id": f"toolu_{number:024}", "name": f"tool_{number % 20}"}
        turns.append(
            {
                "role": "assistant",
                "content": [{"type": "text", "text": text}, {**call, "input": {"path": f"src/{number}.py"}}],
            }
        )
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": (text + "\n") * 10}
        turns.append({"role": "user", "content": [result]})
    turns[-1]["content"].append({"type": "text", "text": text, **mark})
    body = {
        "model": "gpt-4.1",
        "max_tokens": 32_000,
        "stream": True,
        "system": [{"type": "text", "text": text * 100, **mark}],
        "tools": tools,
        "metadata": {"user_id": "user_1"},
        "messages": turns,
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


AGENT_REQUEST = _agent_request()
_SMALL = _call(b'{"model":"gpt-4.1","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"Hi"}]}')
