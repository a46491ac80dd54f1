"""Four times as much of anything in an answer takes four times as long and four times the memory, or nearly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.asgi.growth.growing import Work, answered, grows_with_size


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


def response(type: str, **rest: Any) -> bytes:
    return event(f"response.{type}", **rest)


def text(words: str, index: int = 0, part: int = 0) -> bytes:
    return response("output_text.delta", output_index=index, content_index=part, delta=words)


def added(kind: str, index: int, **rest: Any) -> bytes:
    return response("output_item.added", output_index=index, item={"type": kind, **rest})


def done(kind: str, index: int, **rest: Any) -> bytes:
    return response("output_item.done", output_index=index, item={"type": kind, **rest})


CITED = {"type": "url_citation", "start_index": 0, "end_index": 3, "url": "http://a", "title": "a"}
SEARCHED = {"type": "search", "query": "q", "sources": [{"type": "url", "url": "http://a"}]}
COMPLETED = response("completed", response={"status": "completed", "output": []})
RESPONSES: dict[str, Callable[[int], bytes]] = {
    "text": lambda n: text("Hello") * n,
    "nearly a stop string": lambda n: text("aaaaaaab") * n,
    "parts": lambda n: b"".join(text("Hello", part=part) for part in range(n)),
    "messages": lambda n: b"".join(text("Hello", at) + done("message", at) for at in range(n)),
    "messages that wait": lambda n: b"".join(text("Hello", at) for at in range(n)),
    "messages that wait in reverse": lambda n: (
        b"".join(text("Hello", at) + done("message", at) for at in range(n, 0, -1)) + done("message", n + 1)
    ),
    "summaries": lambda n: b"".join(
        response("reasoning_summary_text.delta", output_index=0, summary_index=at, delta="Hm. ")
        for at in range(n)
    ),
    "reasoning": lambda n: b"".join(done("reasoning", at, encrypted_content="a" * 50) for at in range(n)),
    "arguments": lambda n: (
        added("function_call", 0, name="f")
        + response("function_call_arguments.delta", output_index=0, delta='{"a":"')
        + response("function_call_arguments.delta", output_index=0, delta="aaaa") * n
        + response("function_call_arguments.delta", output_index=0, delta='"}')
    ),
    "arguments without a name": lambda n: (
        response("function_call_arguments.delta", output_index=0, delta="aaaa") * n
        + done("function_call", 0, name="f", arguments="{}")
    ),
    "calls": lambda n: b"".join(done("function_call", at, name="f", arguments="{}") for at in range(n)),
    "wrapped calls": lambda n: done(
        "function_call",
        0,
        name="parallel",
        arguments=json.dumps({"tool_uses": [{"recipient_name": "functions.f", "parameters": {}}] * n}),
    ),
    "unknown items": lambda n: b"".join(done(f"kind_{at}", at) for at in range(n)),
    "unknown events": lambda n: b"".join(response(f"kind_{at}.delta") for at in range(n)),
    "searches": lambda n: b"".join(done("web_search_call", at, action=SEARCHED) for at in range(n)),
    "sources": lambda n: (
        text("Hello")
        + response("output_text.annotation.added", output_index=0, content_index=0, annotation=CITED) * n
    ),
    "sources between texts": lambda n: (
        (
            text("Hello")
            + response("output_text.annotation.added", output_index=0, content_index=0, annotation=CITED)
        )
        * n
    ),
    "a last event of many items": lambda n: response(
        "completed",
        response={"output": [{"type": f"kind_{at % 50}"} for at in range(n)], "status": "completed"},
    ),
}


@pytest.mark.parametrize("cut", [997, 10**9], ids=["in pieces", "at once"])
@pytest.mark.parametrize("what", RESPONSES)
def test_streams_of_items(what: str, cut: int) -> None:
    """Each kind of item, with stop strings that are searched for here."""
    grows_with_size(
        lambda size: answered("responses", RESPONSES[what](size) + COMPLETED, size=cut, stops=100), 200
    )


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
