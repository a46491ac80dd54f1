"""What the upstream answers, in both wire protocols: one text, whole or as a stream of chunks."""

import json
from typing import Any, NamedTuple

from benchmarks import samples

__all__ = ["ANSWERS", "Answer"]


class Answer(NamedTuple):
    """Bytes as they are sent. A stream is the head, the start, deltas in turn, and the end."""

    sync: bytes
    head: bytes
    start: list[bytes]
    deltas: list[bytes]
    end: list[bytes]


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _anthropic() -> Answer:
    *end, last = map(_chunk, samples.END)
    return Answer(
        samples.ANSWER_HEAD + samples.ANSWER,
        samples.STREAM_HEAD,
        [_chunk(event) for event in samples.START],
        [_chunk(event) for event in samples.DELTAS],
        [*end, last + b"0\r\n\r\n"],
    )


_ABOUT = {"id": "chatcmpl-BenchmarkBenchmark", "created": 1_790_000_000, "model": "gpt-4o-2024-08-06"}
_USAGE = {
    "prompt_tokens": 2095,
    "completion_tokens": 503,
    "total_tokens": 2598,
    "prompt_tokens_details": {"cached_tokens": 1800},
}


def _chat_chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    return _chat_event({"choices": choices, "usage": None})


def _chat_event(members: dict[str, Any]) -> bytes:
    chunk = {**_ABOUT, "object": "chat.completion.chunk", **members}
    return _chunk(b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n")


def _openai() -> Answer:
    texts = [json.loads(samples.event_data(event))["delta"]["text"] for event in samples.DELTAS]
    message = {"role": "assistant", "content": "".join(texts[:40]), "refusal": None}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    sync = json.dumps({**_ABOUT, "object": "chat.completion", "choices": choices, "usage": _USAGE}).encode()
    return Answer(
        samples.head("Content-Type: application/json", f"Content-Length: {len(sync)}") + sync,
        samples.STREAM_HEAD,
        [_chat_chunk({"role": "assistant", "content": ""})],
        [_chat_chunk({"content": text}) for text in texts],
        [
            _chat_chunk({}, "stop"),
            _chat_event({"choices": [], "usage": _USAGE}),
            _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n",
        ],
    )


ANSWERS = {"anthropic": _anthropic(), "openai": _openai()}
