"""What an upstream may do wrong, as scripts: each fault for each dialect, sync and stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple, TypeAlias

from tests.servers import JSON, LAST_CHUNK, SSE, Fault, Headers, Step, answer, chunk, head

Dialect: TypeAlias = Literal["anthropic", "openai-chat", "openai-responses", "toy"]

SECRET = "sk-planted-upstream"
SPOOFED: Headers = (
    (b"x-nexusflow-cost-usd", b"0.000001"),
    (b"x-nexusflow-upstream", b"spoofed"),
    (b"x-nexusflow-warning", b"spoofed"),
    (b"X-NexusFlow-Anything", b"spoofed"),
    (b"connection", b"keep-alive, x-listed"),
    (b"x-listed", b"1"),
    (b"proxy-authenticate", b"Basic"),
)


class Spoken(NamedTuple):
    """How a dialect says a whole answer: its body, or the events of a stream."""

    body: bytes
    events: list[bytes]

    @property
    def start(self) -> bytes:
        return self.events[0]


def _anthropic(event: dict[str, object]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (str(event["type"]).encode(), json.dumps(event).encode())


def _chat(**fields: object) -> bytes:
    return b"data: " + json.dumps({"object": "chat.completion.chunk", **fields}).encode() + b"\n\n"


def _response(type: str, **fields: object) -> bytes:
    return _anthropic({"type": f"response.{type}", **fields})


USAGE = {"input_tokens": 3, "output_tokens": 2}
ANSWER = {
    "object": "response",
    "status": "completed",
    "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hello"}]}],
    "usage": USAGE,
}
SPEAKS: dict[Dialect, Spoken] = {
    "anthropic": Spoken(
        json.dumps(
            {
                "type": "message",
                "id": "m",
                "role": "assistant",
                "model": "m",
                "content": [{"type": "text", "text": "Hello"}],
                "stop_reason": "end_turn",
                "usage": USAGE,
            }
        ).encode(),
        [
            _anthropic({"type": "message_start", "message": {"id": "m", "type": "message", "usage": USAGE}}),
            _anthropic(
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
            ),
            _anthropic(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}
            ),
            _anthropic({"type": "content_block_stop", "index": 0}),
            _anthropic({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": USAGE}),
            _anthropic({"type": "message_stop"}),
        ],
    ),
    "openai-chat": Spoken(
        json.dumps(
            {
                "choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 2},
            }
        ).encode(),
        [
            _chat(choices=[{"index": 0, "delta": {"role": "assistant", "content": "Hel"}}]),
            _chat(choices=[{"index": 0, "delta": {"content": "lo"}}]),
            _chat(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]),
            _chat(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 2}),
            b"data: [DONE]\n\n",
        ],
    ),
    "openai-responses": Spoken(
        json.dumps(ANSWER).encode(),
        [
            _response("created", response={"status": "in_progress"})
            + _response("output_item.added", output_index=0, item={"type": "message", "content": []}),
            _response("output_text.delta", output_index=0, content_index=0, delta="Hel"),
            _response("output_text.delta", output_index=0, content_index=0, delta="lo"),
            _response("completed", response=ANSWER),
        ],
    ),
    "toy": Spoken(
        json.dumps({"say": "Hello", "stop": "done", "counts": {"in": 3, "out": 2}}).encode(),
        [
            b'data: {"say": "Hel"}\n\n',
            b'data: {"say": "lo"}\n\n',
            b'data: {"stop": "done", "counts": {"in": 3, "out": 2}}\n\n',
        ],
    ),
}


class Case(NamedTuple):
    """A fault, and what the client may get of it. `statuses`: of the answer; 200 means a stream that may end in
    an error event, or a body that passes. `whole`: the answer is a good one all the same."""

    steps: Callable[[Spoken, bool], Iterable[Step]]
    statuses: frozenset[int]
    whole: bool = False


def honest(spoken: Spoken, stream: bool, *extra: tuple[bytes, bytes]) -> list[Step]:
    if stream:
        return answer(200, [*SSE, *extra], spoken.events, framing="chunked")
    return answer(200, [*JSON, *extra], [spoken.body])


def _head(stream: bool, *extra: tuple[bytes, bytes]) -> bytes:
    framing = (b"transfer-encoding", b"chunked") if stream else (b"content-length", b"500")
    return head(200, [*(SSE if stream else JSON), framing, *extra])


def _begun(spoken: Spoken, stream: bool, end: Fault) -> list[Step]:
    first = chunk(spoken.start) if stream else spoken.body[:20]
    return [_head(stream), first, end]


def _cut(at: int) -> Callable[[Spoken, bool], Iterable[Step]]:
    def steps(spoken: Spoken, stream: bool) -> Iterable[Step]:
        whole = b"".join(step for step in honest(spoken, stream) if isinstance(step, bytes))
        return [whole[: len(whole) * at // 100], Fault.RESET if at % 2 else Fault.CLOSE]

    return steps


def _streamed(*pieces: bytes | Callable[[Spoken], bytes]) -> Callable[[Spoken, bool], Iterable[Step]]:
    """A whole HTTP answer with these pieces as its body."""

    def steps(spoken: Spoken, stream: bool) -> Iterable[Step]:
        made = [piece if isinstance(piece, bytes) else piece(spoken) for piece in pieces]
        return answer(200, SSE if stream else JSON, made, framing="chunked")

    return steps


def _sent(*steps: Step) -> Callable[[Spoken, bool], Iterable[Step]]:
    return lambda spoken, stream: steps


def _error(
    status: int, *headers: tuple[bytes, bytes], message: str = "no"
) -> Callable[[Spoken, bool], Iterable[Step]]:
    said = json.dumps({"type": "error", "error": {"type": "api_error", "message": message}}).encode()
    return lambda spoken, stream: answer(status, [*JSON, *headers], [said])


def _endless(spoken: Spoken, stream: bool) -> Iterable[Step]:
    yield head(200, [*(SSE if stream else JSON), (b"transfer-encoding", b"chunked")])
    if stream:
        yield chunk(spoken.start)
    for _ in range(600):
        yield chunk(b": %s\n\n" % (b"x" * 60_000))
    yield Fault.CLOSE


def _tiny(spoken: Spoken, stream: bool) -> Iterable[Step]:
    """A hundred thousand events, many a chunk as they come in a hurry."""
    if not stream:
        return honest(spoken, stream)
    tiny = b"".join([b": \n\n" if i % 2 else b"event: ping\ndata: {}\n\n" for i in range(1000)])
    return answer(200, SSE, [spoken.start, *[tiny] * 100, *spoken.events[1:]], framing="chunked")


BAD = frozenset({502})
SLOW = frozenset({504})
ENDED = frozenset({200, 502})
_RETRY_AFTER = [b"7", b"0", b"-1", b"99999999", b"soon", b"Sun, 22 Nov 2026 12:00:30 GMT", b"\xff"]

FAULTS: dict[str, Case] = {
    "closes at once": Case(_sent(Fault.CLOSE), BAD),
    "resets at once": Case(_sent(Fault.RESET), BAD),
    "hangs before the head": Case(_sent(Fault.HANG), SLOW),
    "hangs in the head": Case(_sent(b"HTTP/1.1 200 OK\r\ncontent-ty", Fault.HANG), SLOW),
    "hangs after the head": Case(lambda spoken, stream: [_head(stream), Fault.HANG], SLOW),
    "hangs in the body": Case(lambda spoken, stream: _begun(spoken, stream, Fault.HANG), frozenset({200, 504})),
    "half a head": Case(_sent(b"HTTP/1.1 200 OK\r\ncontent-ty", Fault.CLOSE), BAD),
    "garbage for a head": Case(_sent(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", Fault.CLOSE), BAD),
    "another protocol": Case(_sent(b"SSH-2.0-OpenSSH_9.6\r\n", Fault.CLOSE), BAD),
    "an endless header": Case(_sent(b"HTTP/1.1 200 OK\r\nx: " + b"a" * 300_000, Fault.CLOSE), BAD),
    **{f"cut at {at}%": Case(_cut(at), ENDED) for at in (10, 33, 50, 71, 90, 97)},
    "content-length too large": Case(
        lambda spoken, stream: [
            head(200, [*(SSE if stream else JSON), (b"content-length", b"99999")]),
            b"".join(spoken.events) if stream else spoken.body,
            Fault.CLOSE,
        ],
        ENDED,
    ),
    "content-length of nonsense": Case(
        _sent(head(200, [*JSON, (b"content-length", b"-5")]), b"{}", Fault.CLOSE), BAD
    ),
    "a chunk of nonsense size": Case(
        lambda spoken, stream: [
            head(200, [*(SSE if stream else JSON), (b"transfer-encoding", b"chunked")]),
            chunk(spoken.start if stream else spoken.body[:9]),
            b"zz\r\nxx\r\n",
            Fault.CLOSE,
        ],
        ENDED,
    ),
    "gzip garbage": Case(
        lambda spoken, stream: answer(
            200, [*(SSE if stream else JSON), (b"content-encoding", b"gzip")], [b"\x1f\x8bgarbage"]
        ),
        ENDED,
    ),
    "an endless body": Case(_endless, ENDED),
    "a hundred thousand events": Case(_tiny, frozenset({200}), whole=True),
    "invalid UTF-8": Case(_streamed(b"data: \xff\xfe\n\n"), ENDED),
    "invalid JSON": Case(_streamed(b"data: {]\n\n"), ENDED),
    "JSON of another kind": Case(_streamed(b"[1, 2, 3]\n\n"), ENDED),
    "deep JSON": Case(_streamed(b"data: " + b"[" * 100_000 + b"\n\n"), ENDED),
    "HTML": Case(_streamed(b"<html><body>502 Bad Gateway</body></html>"), BAD),
    "nothing": Case(_streamed(), BAD),
    "comments alone": Case(_streamed(b": hi\n\n" * 3), BAD),
    "events out of order": Case(_streamed(lambda it: b"".join(reversed(it.events))), ENDED),
    "two beginnings": Case(_streamed(lambda it: it.start, lambda it: b"".join(it.events)), ENDED),
    "an early end without a finish": Case(_streamed(lambda it: b"".join(it.events[:2])), ENDED),
    "an end without its last event": Case(_streamed(lambda it: b"".join(it.events[:-1])), ENDED),
    "half an event at the end": Case(_streamed(lambda it: b"".join(it.events)[:-9]), ENDED),
    "200 with an error": Case(
        _streamed(b'{"error":{"message":"no","type":"server_error"}}'),
        ENDED | {500},  # which a code of the Responses API means
    ),
    "200 with an error event": Case(
        _streamed(b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"no"}}\n\n'),
        ENDED,
    ),
    **{
        f"{status}": Case(_error(status), frozenset({status, 500 if status > 500 else status}))
        for status in (500, 529)
    },
    "408": Case(_error(408), frozenset({408, 504})),
    "409": Case(_error(409), frozenset({409})),
    "502": Case(_error(502), BAD),
    "503": Case(_error(503), frozenset({503, 529})),
    "504": Case(_error(504), SLOW),
    "400": Case(_error(400), frozenset({400})),
    "401": Case(_error(401), frozenset({401, 500})),
    "403": Case(_error(403), frozenset({403, 500})),
    "404": Case(_error(404), frozenset({404})),
    "413": Case(_error(413), frozenset({413})),
    "418": Case(_error(418), frozenset({418, 400})),
    **{
        f"{status}, retry-after {value!r}": Case(
            _error(status, (b"retry-after", value)), frozenset({status, 529 if status == 503 else status})
        )
        for status in (429, 503, 529)
        for value in _RETRY_AFTER
    },
    "an error that names our key": Case(_error(500, message=f"bad key {SECRET}"), frozenset({500})),
    **{
        f"a redirect, {status}": Case(
            _sent(*answer(status, [(b"location", b"http://127.0.0.1:1/?key=" + SECRET.encode())], [])), BAD
        )
        for status in (301, 302, 307, 308)
    },
    "spoofed headers": Case(
        lambda spoken, stream: honest(spoken, stream, *SPOOFED), frozenset({200}), whole=True
    ),
    "an informational answer first": Case(
        lambda spoken, stream: [b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", *honest(spoken, stream)],
        frozenset({200}),
        whole=True,
    ),
    "byte by byte": Case(
        lambda spoken, stream: [
            bytes([byte])
            for step in honest(spoken, stream)
            for byte in (step if isinstance(step, bytes) else b"")
        ],
        frozenset({200}),
        whole=True,
    ),
    "more after the end": Case(
        lambda spoken, stream: [
            *(honest(spoken, stream)[:-1] if stream else honest(spoken, stream)),
            *([chunk(spoken.start), LAST_CHUNK] if stream else [b"HTTP/1.1 500 Extra\r\n\r\n", Fault.CLOSE]),
        ],
        frozenset({200}),
        whole=True,
    ),
}
