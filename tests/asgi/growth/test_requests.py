"""Four times as much of anything in a request takes four times as long and four times the memory, or nearly."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from nexusflow_core import Call
from nexusflow_core.exchange import Send
from nexusflow_core.messages.marks import Mark
from tests.asgi.growth.growing import GATEWAY, HI, JSON, Work, grows_with_size

MARK = Mark(vendor="openrouter", model="m", kind="text").signature()

User = dict[str, Any]


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
