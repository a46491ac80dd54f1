"""Four times as much takes four times as long and four times the memory, or nearly: each list that a caller or
an upstream decides, on every kind of route."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from nexusflow_asgi.body import check_head
from nexusflow_asgi.paths import match_path
from nexusflow_asgi.slots import Slots
from nexusflow_core import Call, Gateway, Limits, Loss
from nexusflow_core.config import decode_config
from nexusflow_core.dialects.openai_chat.losses import Losses, warning
from nexusflow_core.errors import Overloaded
from nexusflow_core.exchange import Send
from nexusflow_core.thinking_blocks import Mark
from nexusflow_core.upstream import relayed_request_headers
from tests.asgi.asking import http_scope

CONFIG = b"""
[upstreams.claude]
dialect = "anthropic"
base_url = "http://claude"
auth = "none"
[upstreams.generic]
dialect = "openai-chat"
base_url = "http://chat"
auth = "none"
[upstreams.groq]
dialect = "openai-chat"
base_url = "http://chat"
vendor = "groq"
auth = "none"
[upstreams.kimi]
dialect = "openai-chat"
base_url = "http://chat"
vendor = "kimi"
auth = "none"
[upstreams.openrouter]
dialect = "openai-chat"
base_url = "http://chat"
vendor = "openrouter"
auth = "none"
[[routes]]
model = "relayed"
targets = ["claude"]
count_tokens = "estimate"
[[routes]]
model = "renamed"
targets = ["claude/claude-x"]
[[routes]]
model = "generic"
targets = ["generic"]
count_tokens = "estimate"
[[routes]]
model = "groq"
targets = ["groq"]
[[routes]]
model = "kimi"
targets = ["kimi/kimi-k2"]
[[routes]]
model = "openrouter"
targets = ["openrouter"]
[auth]
anonymous = true
"""
GATEWAY = Gateway(decode_config(CONFIG))
JSON = [(b"content-type", b"application/json")]
SSE = [(b"content-type", b"text/event-stream")]
MARK = Mark(vendor="openrouter", model="m", kind="text").signature()
Work = Callable[[], Any]
Made = Callable[[int], Work]


# What is measured


def seconds(work: Work) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def peak(work: Work) -> int:
    work()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def grows_with_size(made: Made, size: int) -> None:
    """Fails for more than twice the time, or half as much memory again, than four times as much should take.
    The best of several rounds counts: the machine has other work. What is quadratic takes sixteen times as
    long."""
    small, large = made(size), made(4 * size)
    times: list[float] = []
    for _ in range(5):
        times.append(min(seconds(large) for _ in range(2)) / max(min(seconds(small) for _ in range(3)), 1e-4))
        if times[-1] < 8:
            break
    assert min(times) < 8, f"time: {times}"
    memory = peak(large) / max(peak(small), 50_000)
    assert memory < 6, f"memory: {memory}"


# Requests

User = dict[str, Any]
HI = {"role": "user", "content": "hi"}


def turn(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def text(words: str = "a", **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def call_of(number: int, **input: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{number}", "name": "f", "input": input}


def result_of(number: int, content: Any = "x") -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": content}


def conversation(calls: list[Any], results: list[Any]) -> dict[str, Any]:
    return {"messages": [HI, {"role": "assistant", "content": calls}, {"role": "user", "content": results}]}


def kimis(number: int, size: int) -> str:
    """Ids of Kimi's form whose numbers are those that others would get."""
    return f"toolu_fn{size + number}_{number:024x}" if number < size // 2 else f"toolu_{number}"


REQUESTS: dict[str, Callable[[int], dict[str, Any]]] = {
    "messages": lambda n: {"messages": [HI] * n},
    "turns": lambda n: {"messages": [HI, {"role": "assistant", "content": "b"}] * n + [HI]},
    "blocks": lambda n: {"messages": [turn(*[text()] * n)]},
    "one long text": lambda n: {"messages": [turn(text("a, b\n" * 50 * n))]},
    "escapes": lambda n: {"messages": [turn(text('"\\' * 50 * n))]},
    "unknown blocks": lambda n: {"messages": [turn(*[{"type": "odd", "a": 1}] * n)]},
    "unknown members of blocks": lambda n: {"messages": [turn(*[text(odd=1)] * n)]},
    "unknown members of one block": lambda n: {"messages": [turn(text(**{f"m{i}": 1 for i in range(n)}))]},
    "unknown members of messages": lambda n: {"messages": [{**HI, "odd": 1}] * n},
    "unknown members": lambda n: {f"m{i}": i for i in range(n // 10)},
    "system": lambda n: {"system": [text()] * n},
    "images": lambda n: {
        "messages": [turn(*[{"type": "image", "source": {"type": "url", "url": "https://a/b.png"}}] * n)]
    },
    "documents": lambda n: {
        "messages": [
            turn(
                *[{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}] * n
            )
        ]
    },
    "parts of a document": lambda n: {
        "messages": [turn({"type": "document", "source": {"type": "content", "content": [text()] * n}})]
    },
    "search results": lambda n: {
        "messages": [turn({"type": "search_result", "source": "s", "title": "t", "content": [text()] * n})]
    },
    "calls and results": lambda n: conversation([*map(call_of, range(n))], [*map(result_of, range(n))]),
    "ids of Kimi's form": lambda n: conversation(
        [{**call_of(i), "id": kimis(i, n)} for i in range(n)],
        [{**result_of(i), "tool_use_id": kimis(i, n)} for i in range(n)],
    ),
    "parts of a result": lambda n: conversation([call_of(1)], [result_of(1, [text()] * n)]),
    "members of an input": lambda n: conversation(
        [call_of(1, **{f"m{i}": i for i in range(n)})], [result_of(1)]
    ),
    "values of an input": lambda n: conversation([call_of(1, a=[1] * n)], [result_of(1)]),
    "signed thinking": lambda n: {
        "messages": [
            HI,
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "a", "signature": "b"}] * n + [text()],
            },
            HI,
        ]
    },
    "marked thinking": lambda n: {
        "messages": [
            HI,
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "a", "signature": MARK}] * n + [text()],
            },
            HI,
        ]
    },
    "marked turns": lambda n: {
        "messages": [
            HI,
            {
                "role": "assistant",
                "content": [text(), {"type": "thinking", "thinking": "a", "signature": MARK}],
            },
        ]
        * (n // 2)
        + [HI]
    },
    "tools": lambda n: {"tools": [{"name": f"t{i}", "input_schema": {"type": "object"}} for i in range(n)]},
    "members of a schema": lambda n: {
        "tools": [
            {
                "name": "t",
                "strict": True,
                "input_schema": {
                    "type": "object",
                    "properties": {f"p{i}": {"type": "string", "minLength": 1} for i in range(n)},
                    "required": [f"p{i}" for i in range(n)],
                    "additionalProperties": False,
                },
            }
        ]
    },
    "members below a long name": lambda n: {
        "tools": [
            {
                "name": "t",
                "input_schema": {
                    "type": "object",
                    "properties": {"x" * 10 * n: {"properties": {f"p{i}": {"default": 1} for i in range(n)}}},
                },
            }
        ]
    },
    "examples of a tool": lambda n: {
        "tools": [{"name": "t", "input_schema": {"type": "object"}, "input_examples": [{"a": 1}] * n}]
    },
    "callers of a tool": lambda n: {
        "tools": [{"name": "t", "input_schema": {"type": "object"}, "allowed_callers": ["direct"] * n}]
    },
    "unknown members of a tool": lambda n: {
        "tools": [{"name": "t", "input_schema": {"type": "object"}, **{f"m{i}": 1 for i in range(n)}}]
    },
    "stop sequences": lambda n: {"stop_sequences": [f"stop {i}" for i in range(n)]},
    "metadata": lambda n: {"metadata": {f"m{i}": i for i in range(n)}},
    "edits of the context": lambda n: {"context_management": {"edits": [{"type": "odd"}] * n}},
    "cache markers": lambda n: {"messages": [turn(*[text(cache_control={"type": "ephemeral"})] * n)]},
    "the form of the answer": lambda n: {
        "output_config": {
            "format": {
                "type": "json_schema",
                "schema": {"type": "object", "properties": {f"p{i}": {} for i in range(n)}},
            }
        }
    },
    "deep arrays": lambda n: {"metadata": {"m": [[[[[]]]]] * n}},
}
ROUTES = ["relayed", "renamed", "generic", "groq", "kimi", "openrouter", "relayed counts", "generic counts"]


def started(model: str, given: bytes) -> Work:
    """A call up to what is sent upstream, or its refusal; a count up to its answer."""
    counts = model.endswith(" counts")

    def work() -> None:
        call = Call(
            endpoint="count_tokens" if counts else "messages",
            request_id="req_1",
            started_at=datetime.now(UTC),
            body=given,
        ).look(10**9)
        exchange = GATEWAY.open(call, started=0.0)
        exchange.start(0.0)
        if counts and isinstance(exchange.order, Send):
            exchange.receive_head(404, JSON, 0.0)
            exchange.receive_data(b"{}", 0.0)
            exchange.receive_eof(0.0)

    return work


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("what", REQUESTS)
def test_requests(what: str, route: str) -> None:
    """Every field of a request that holds many of something."""

    def made(size: int) -> Work:
        body = {"model": route.partition(" ")[0], "max_tokens": 9, "messages": [HI], **REQUESTS[what](size)}
        return started(route, json.dumps(body).encode())

    grows_with_size(made, 500)


BODIES: dict[str, Callable[[int], bytes]] = {
    "a repeated key behind blanks": lambda n: b'"x":1,"x":' + b" " * 1000 * n + b"2",
    "blanks before a repeated key": lambda n: b'"x":1' + b" " * 1000 * n + b',"x":2',
    "long values of a repeated key": lambda n: b",".join([b'"x":"' + b"y" * 10 * n + b'"'] * 100),
    "values like the last one": lambda n: b",".join([b'"x":[' + b"1," * n + b"%d]" % i for i in range(100)]),
    "a long key": lambda n: b'"' + b"k" * 1000 * n + b'":1',
    "a key of escapes": lambda n: b'"' + b"\\n" * 100 * n + b'":1',
}


@pytest.mark.parametrize("what", BODIES)
def test_odd_bodies(what: str) -> None:
    """What a look at a body goes through, decoded or not."""

    def made(size: int) -> Work:
        body = b'{"model":"relayed","max_tokens":9,"messages":[{"role":"user","content":"a"}],%b}'
        return started("relayed", body % BODIES[what](size))

    grows_with_size(made, 500)


# Answers


def event(kind: str, **rest: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **rest}).encode())


START = event("message_start", message={"model": "m", "usage": {"input_tokens": 1, "output_tokens": 1}})
END = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2}) + event(
    "message_stop"
)


def said(words: str) -> bytes:
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": words})


def new_members(size: int) -> Iterable[bytes]:
    for number in range(size):
        yield event(
            "message_delta", delta={}, usage={"output_tokens": 2, **{f"m{number}_{i}": 1 for i in range(5)}}
        )


RELAYED: dict[str, Callable[[int], bytes]] = {
    "comments first": lambda n: b": a comment\n\n" * 10 * n + START + END,
    "one long comment": lambda n: b": " + b"a" * 200 * n + b"\n\n" + START + END,
    "blank lines": lambda n: b"\n" * 100 * n + START + END,
    "text": lambda n: START + said("Hello") * 10 * n + END,
    "text that repeats an event's name": lambda n: START + said('"message_start" "error"') * 5 * n + END,
    "marked events": lambda n: START + event("message_odd") * 5 * n + END,
    "one long event of marks": lambda n: START + said('"message_" ' * 50 * n) + END,
    "usage of ever new members": lambda n: START + b"".join(new_members(n)) + END,
    "one usage of many members": lambda n: (
        START + event("message_delta", delta={}, usage={f"m{i}": i for i in range(10 * n)}) + END
    ),
    "iterations": lambda n: (
        START
        + event(
            "message_delta", delta={}, usage={"output_tokens": 2, "iterations": [{"input_tokens": 1}] * 5 * n}
        )
        + END
    ),
    "data lines": lambda n: START + b"data: \n" * 50 * n + b"\n" + END,
    "line ends of all kinds": lambda n: (
        START + b"event: ping\r\ndata: {}\r\n\r\n: a\r\rdata: {}\n\r\n" * n + END
    ),
    "an error": lambda n: START + event("error", error={"type": "t" * 100 * n, "message": "m" * 100 * n}),
}


def chunk(**delta: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps({"model": "m", "choices": [{"index": 0, "delta": delta}]}).encode()


def piece(arguments: str, index: int = 0, **more: Any) -> dict[str, Any]:
    return {"index": index, "function": {"arguments": arguments, **more}}


STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
TRANSLATED: dict[str, Callable[[int], bytes]] = {
    "comments first": lambda n: b": OPENROUTER PROCESSING\n\n" * 10 * n + chunk(content="a") + STOP,
    "text": lambda n: chunk(content="Hello") * n + STOP,
    "nearly a stop string": lambda n: chunk(content="aaaaaaab") * n + STOP,
    "one long text": lambda n: chunk(content="aaaaaaab" * 20 * n) + STOP,
    "parts of a text": lambda n: chunk(content=[{"type": "text", "text": "a" * 50}] * n) + STOP,
    "parts of thinking": lambda n: (
        chunk(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "a" * 50}] * n}]) + STOP
    ),
    "reasoning": lambda n: chunk(reasoning_content="Hm. ") * n + STOP,
    "details": lambda n: (
        chunk(reasoning_details=[{"type": "reasoning.text", "text": "a" * 50, "index": 0}]) * n + STOP
    ),
    "details at once": lambda n: (
        chunk(reasoning_details=[{"type": "reasoning.text", "text": "a", "index": i} for i in range(n)]) + STOP
    ),
    "blanks": lambda n: chunk(content=" " * 100) * n + chunk(content="a") + STOP,
    "arguments": lambda n: (
        chunk(tool_calls=[{**piece('{"a":"', name="f"), "id": "c"}])
        + chunk(tool_calls=[piece("aaaa")]) * n
        + chunk(tool_calls=[piece('"}')])
        + STOP
    ),
    "a name in pieces": lambda n: chunk(tool_calls=[piece("", name="f" * 50)]) * n + STOP,
    "calls": lambda n: (
        b"".join(chunk(tool_calls=[{**piece("{}", i, name="f"), "id": f"c{i}"}]) for i in range(n)) + STOP
    ),
    "words between calls": lambda n: (
        b"".join(
            chunk(tool_calls=[piece('{"a":', i, name="f")]) + chunk(content="a") + chunk(reasoning_content="b")
            for i in range(n // 4)
        )
        + STOP
    ),
    "usage of ever new members": lambda n: (
        chunk(content="a")
        + b"".join(b'data: {"choices":[],"usage":{"prompt_tokens":1,"m%d":1}}\n\n' % i for i in range(n))
        + STOP
    ),
    "an error": lambda n: (
        b'data: {"error":{"code":"%b","message":"%b"}}\n\n' % (b"c" * 100 * n, b"m" * 100 * n)
    ),
    "usage of ever new members below": lambda n: (
        chunk(content="a")
        + b"".join(b'data: {"choices":[],"usage":{"prompt_tokens":1,"a":{"m%d":1}}}\n\n' % i for i in range(n))
        + STOP
    ),
    "annotations": lambda n: chunk(content="a", annotations=[{"type": "url"}] * n) + STOP,
}


def answered(
    model: str, data: bytes, *, size: int, status: int = 200, sse: bool = True, stops: int = 0
) -> Work:
    """A call whose answer comes in pieces of this size, up to its record."""
    body = {"model": model, "max_tokens": 9, "stream": sse, "messages": [HI]}
    if stops:
        body["stop_sequences"] = ["a" * stops + "c", *(f"{'a' * (i % 50)}x{i}" for i in range(20))]
    given = json.dumps(body).encode()
    pieces = [data[at : at + size] for at in range(0, len(data), size)]

    def work() -> None:
        call = Call(endpoint="messages", request_id="req_1", started_at=datetime.now(UTC), body=given).look(
            10**9
        )
        exchange = GATEWAY.open(call, started=0.0)
        exchange.start(0.0)
        exchange.receive_head(status, SSE if sse else JSON, 0.0)
        for one in pieces:
            if not isinstance(exchange.order, Send):
                exchange.receive_data(one, 0.0)
        exchange.client_gone(0.0)
        exchange.record(0.0)

    return work


@pytest.mark.parametrize("cut", [997, 10**9], ids=["in pieces", "at once"])
@pytest.mark.parametrize("what", RELAYED)
def test_relayed_streams(what: str, cut: int) -> None:
    """Read on the side, in small pieces and all in one."""
    grows_with_size(lambda size: answered("relayed", RELAYED[what](size), size=cut), 200)


@pytest.mark.parametrize("cut", [997, 10**9], ids=["in pieces", "at once"])
@pytest.mark.parametrize("model", ["generic", "openrouter"])
@pytest.mark.parametrize("what", TRANSLATED)
def test_translated_streams(what: str, model: str, cut: int) -> None:
    """Each kind of piece, with stop strings that are searched for here."""
    grows_with_size(lambda size: answered(model, TRANSLATED[what](size), size=cut, stops=100), 200)


def test_stop_strings_are_searched_for_once() -> None:
    """Four times as many and as long cost the same text no more than four times as much."""
    data = chunk(content="aaaaaaab") * 200 + STOP
    grows_with_size(lambda size: answered("generic", data, size=10**9, stops=size), 1000)


WHOLE: dict[str, Callable[[int], Any]] = {
    "parts": lambda n: {"content": [{"type": "text", "text": "a" * 50}] * n},
    "calls": lambda n: {
        "content": None,
        "tool_calls": [{"id": f"c{i}", "function": {"name": "f", "arguments": "{}"}} for i in range(n)],
    },
    "broken arguments": lambda n: {
        "content": None,
        "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '{"a":[' + '{"b":1},' * n}}],
    },
    "details": lambda n: {"content": "a", "reasoning_details": [{"type": "reasoning.text", "text": "a"}] * n},
}


@pytest.mark.parametrize("what", WHOLE)
def test_whole_answers(what: str) -> None:
    """A sync answer, translated."""

    def made(size: int) -> Work:
        answer = {"choices": [{"index": 0, "message": WHOLE[what](size), "finish_reason": "length"}]}
        return answered("openrouter", json.dumps(answer).encode(), size=997, sse=False)

    grows_with_size(made, 500)


ERRORS: dict[str, Callable[[int], bytes]] = {
    "words": lambda n: json.dumps(
        {"error": {"message": "maximum " * 100 * n, "code": "x " * 100 * n}}
    ).encode(),
    "keys and links": lambda n: json.dumps({"error": {"message": "https://a sk-aaaaaaaaa " * 50 * n}}).encode(),
    "dashes": lambda n: json.dumps({"error": {"message": "a-" * 500 * n + "*"}}).encode(),
    "details": lambda n: json.dumps(
        {"error": {"details": [{"reason": "r"}] * 10 * n, "message": "m"}}
    ).encode(),
    "no JSON": lambda n: b"nope " * 200 * n,
}


@pytest.mark.parametrize("model", ["relayed", "generic"])
@pytest.mark.parametrize("what", ERRORS)
def test_error_answers(what: str, model: str) -> None:
    """An error's body, that may repeat what it was sent."""
    grows_with_size(lambda size: answered(model, ERRORS[what](size), size=997, status=400, sse=False), 200)


# Everything else


def test_paths_and_headers() -> None:
    """Before anybody is known: a path, many headers, long ones."""
    grows_with_size(lambda n: lambda: match_path("/a" * 100 * n, "", "", middleware=False), 200)

    def headers(count: int, length: int) -> Work:
        given = [(b"x-%d" % i, b"a" * length) for i in range(count)]
        scope = http_scope(headers=given)
        limits = Limits(header_bytes=10**9)
        return lambda: (check_head(scope, limits), relayed_request_headers(given, None))

    grows_with_size(lambda n: headers(n, 10), 500)
    grows_with_size(lambda n: headers(10, 1000 * n), 100)
    grows_with_size(lambda n: lambda: relayed_request_headers([(b"connection", b"a," * n)] * 2, None), 2000)


def test_losses() -> None:
    """However many there are, the record and the header stay small."""

    def made(size: int) -> Work:
        def work() -> None:
            losses = Losses()
            for number in range(10 * size):
                losses.unknown(f"member_{number}")
            assert losses.found[-1] == Loss(f"and {10 * size - 100} more", "not listed one by one")
            assert len(warning(losses.found) or b"") < 1500

        return work

    grows_with_size(made, 500)


def test_the_queue() -> None:
    """Callers that wait, and those that are refused."""

    def made(size: int) -> Work:
        async def main() -> None:
            slots = Slots(Limits(calls=1, queue=size))
            await slots.take("a")

            async def one(number: int) -> None:
                try:
                    await slots.take(f"caller {number}")
                except Overloaded:
                    return
                slots.give(f"caller {number}")

            async with anyio.create_task_group() as group:
                for number in range(2 * size):
                    group.start_soon(one, number)
                await anyio.sleep(0)
                slots.give("a")

        return lambda: anyio.run(main)

    grows_with_size(made, 100)


def test_the_model_list() -> None:
    """Many routes, asked for again and again; patterns that match all that is known."""

    def made(size: int) -> Work:
        routes = b"".join(
            b'[[routes]]\nmodel = "%b%d"\ntargets = ["claude"]\n' % (kind, i)
            for kind in (b"model-", b"*-x-")
            for i in range(size)
        )
        gateway = Gateway(decode_config(CONFIG + routes + b'[[routes]]\nmodel = "*"\ntargets = ["claude"]\n'))
        now = datetime.now(UTC)
        return lambda: gateway.models(now)

    grows_with_size(made, 100)
