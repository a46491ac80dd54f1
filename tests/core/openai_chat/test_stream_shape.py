"""The shape of a translated stream, row by row of what went wrong elsewhere: one test a row."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.core.translation.driving import Driven, answered, asking, chunks, exchange_of, sse, streamed
from tests.core.translation.grammar import checked


def tool(index: int | None = 0, **fields: Any) -> dict[str, Any]:
    """A fragment of a tool call; `name` and `arguments` go into its function."""
    function = {name: fields.pop(name) for name in ("name", "arguments") if name in fields}
    call = {**fields, "function": function}
    return {"tool_calls": [call if index is None else {"index": index, **call}]}


def told(*deltas: dict[str, Any], finish: str | None = "tool_calls", **fields: Any) -> Driven:
    return streamed(sse(chunks(*deltas, finish=finish, **fields)))


def blocks(driven: Driven) -> list[Any]:
    """The content blocks of a whole stream, put together as a client does."""
    found: list[Any] = []
    for event in checked(driven.body):
        if event["type"] == "content_block_start":
            block = dict(event["content_block"])
            found.append(block | ({"input": ""} if block["type"] == "tool_use" else {}))
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            if delta["type"] == "input_json_delta":
                found[-1]["input"] += delta["partial_json"]
            elif delta["type"] == "text_delta":
                found[-1]["text"] += delta["text"]
    for block in found:
        if block["type"] == "tool_use":
            block["input"] = json.loads(block["input"] or "{}")
    return found


def calls(driven: Driven) -> list[tuple[str, Any]]:
    return [(block["name"], block["input"]) for block in blocks(driven) if block["type"] == "tool_use"]


def stop(driven: Driven) -> str:
    return str(next(e for e in checked(driven.body) if e["type"] == "message_delta")["delta"]["stop_reason"])


def test_one_beginning_and_deltas_of_their_blocks_kind() -> None:
    """A role in every chunk makes no second message_start; each kind has a block of its own."""
    driven = told(
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "assistant", **tool(id="c1", name="search", arguments="{}")},
    )
    assert driven.body.count(b"event: message_start") == 1
    assert [block["type"] for block in blocks(driven)] == ["text", "tool_use"]


def test_no_delta_without_its_block() -> None:
    """Indices run from 0 without a gap, whatever index the vendor counts from."""
    driven = told(tool(7, id="c1", name="search", arguments='{"q":'), tool(7, arguments="1}"))
    starts = [event["index"] for event in checked(driven.body) if event["type"] == "content_block_start"]
    assert starts == [0]
    assert calls(driven) == [("search", {"q": 1})]


@pytest.mark.parametrize(
    ("finish", "reason"), [("stop", "tool_use"), ("tool_calls", "tool_use"), ("length", "max_tokens")]
)
def test_a_tool_call_stops_for_its_tool(finish: str, reason: str) -> None:
    """Whatever the vendor calls its end, unless it was cut; no empty text block comes first."""
    driven = told(
        {"role": "assistant", "content": ""}, tool(id="c1", name="search", arguments="{}"), finish=finish
    )
    assert stop(driven) == reason
    assert [block["type"] for block in blocks(driven)] == ["tool_use"]


def test_parallel_calls_keep_their_arguments() -> None:
    """Fragments that come interleaved end in a block each, in the order of their index."""
    driven = told(
        tool(0, id="a", name="search", arguments='{"q":'),
        tool(1, id="b", name="add", arguments='{"x":'),
        tool(0, arguments="1}"),
        tool(1, arguments="2}"),
    )
    assert calls(driven) == [("search", {"q": 1}), ("add", {"x": 2})]


def test_a_new_id_is_a_new_call() -> None:
    """Where every call has index 0, the id tells them apart."""
    driven = told(
        tool(0, id="a", name="search", arguments='{"q":1}'),
        tool(0, id="b", name="add", arguments='{"x":2}'),
    )
    assert calls(driven) == [("search", {"q": 1}), ("add", {"x": 2})]


ONE, TWO = '{"x":1}', '{"x":2}'
SAME: list[list[dict[str, Any]]] = [
    [tool(None, id="c", name="add", arguments=ONE), tool(None, id="c", name="add", arguments=TWO)],
    [tool(0, id="c", name="add", arguments=ONE), tool(0, id="c", name="add", arguments=TWO)],
    [tool(0, id="", name="add", arguments=ONE), tool(0, id="", name="add", arguments=TWO)],
    [tool(0, name="add", arguments=ONE), tool(0, name="add", arguments=TWO)],
    [tool(None, name="add", arguments=ONE), tool(None, name="add", arguments=TWO)],
    [tool(0, name="add", arguments={"x": 1}), tool(0, name="add", arguments={"x": 2})],
    [tool(0, id="c", name="add", arguments=piece) for piece in ('{"x"', ":1} ", ' {"x":', "2}")],
    [tool(0, **one) for text in (ONE, TWO) for one in ({"id": "", "name": "add"}, {"arguments": text})],
    [tool(0, name="add", arguments=ONE), tool(0, id="d", name="add", arguments=""), tool(0, arguments=TWO)],
]


@pytest.mark.parametrize("deltas", SAME)
def test_a_name_behind_whole_arguments_is_a_new_call(deltas: list[dict[str, Any]]) -> None:
    """Where index and id do not tell calls apart, or there are none; whole answers keep them apart, too."""
    driven = told(*deltas)
    assert calls(driven) == [("add", {"x": 1}), ("add", {"x": 2})]
    assert len({block["id"] for block in blocks(driven)}) == 2
    both = told({"tool_calls": [call for delta in deltas for call in delta["tool_calls"]]})
    assert calls(both) == calls(driven)


@pytest.mark.parametrize(
    "arguments", ['{"x":"}{"}', '{"x":"\\\\","y":"\\"}{"}', '{"x":[{},{"y":{}}]}', '{"x":[[]]}']
)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_a_name_in_every_fragment_is_no_new_call(arguments: str, size: int) -> None:
    """Neither where the pieces look like objects of their own, nor at the end, where nothing more comes."""
    pieces = [arguments[at : at + size] for at in range(0, len(arguments), size)]
    deltas = [tool(0, id="c", name="add", arguments=piece) for piece in [*pieces, "", " "]]
    assert calls(told(*deltas)) == [("add", json.loads(arguments))]


def test_a_name_behind_whole_arguments_is_one_too_many() -> None:
    """Where one call was asked for, of an upstream that cannot be told so."""
    choice = {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
    driven = streamed(sse(chunks(*SAME[0], finish="tool_calls")), vendor="deepseek", **choice)
    assert calls(driven) == [("add", {"x": 1})]


def test_a_placeholder_of_arguments_is_dropped() -> None:
    """`{}` first and the real arguments after it are one object."""
    driven = told(tool(id="a", name="search", arguments="{}"), tool(arguments='{"q":'), tool(arguments="1}"))
    assert calls(driven) == [("search", {"q": 1})]
    assert calls(told(tool(id="a", name="search", arguments="{}"))) == [("search", {})]


def test_a_call_waits_for_its_name_and_gets_an_id() -> None:
    """The block opens with the name, whenever that comes; an id that never comes is made."""
    driven = told(tool(arguments='{"q":'), tool(name="search"), tool(arguments="1}"))
    [block] = blocks(driven)
    assert (block["name"], block["input"]) == ("search", {"q": 1})
    assert block["id"].startswith("toolu_")


def test_text_after_a_call_is_a_block_of_its_own() -> None:
    """Never inside the call's block, never at an index that is closed."""
    driven = told(tool(id="a", name="search", arguments='{"q":1}'), {"content": "and so"})
    assert [block["type"] for block in blocks(driven)] == ["tool_use", "text"]
    assert blocks(driven)[1]["text"] == "and so"


def test_an_end_without_a_reason_is_an_error() -> None:
    """Never a made-up end_turn: the client would take half an answer for a whole one."""
    driven = streamed(sse(chunks({"content": "a"}, finish=None), done=False))
    events = checked(driven.body)
    assert events[-1]["type"] == "error"
    assert driven.record.ending == "error"


def test_an_error_inside_the_stream_is_an_error() -> None:
    """One error event with the request's id, nested as Anthropic does; nothing after it."""
    driven = streamed(sse([*chunks({"content": "a"}, finish=None), {"error": {"message": "no", "code": 500}}]))
    last = checked(driven.body)[-1]
    assert set(last) == {"type", "error", "request_id"}
    assert (last["type"], set(last["error"])) == ("error", {"type", "message"})
    assert last["request_id"] == driven.record.request_id


def test_usage_after_the_finish_is_not_lost() -> None:
    """The ending waits for the chunk without choices."""
    driven = told({"content": "a"}, finish="stop", usage={"prompt_tokens": 9, "completion_tokens": 3})
    assert driven.record.usage is not None
    assert (driven.record.usage["input_tokens"], driven.record.usage["output_tokens"]) == (9, 3)
    delta = next(event for event in checked(driven.body) if event["type"] == "message_delta")
    assert (delta["usage"]["input_tokens"], delta["usage"]["output_tokens"]) == (9, 3)


def test_nothing_waits_for_time_to_pass() -> None:
    """The first chunk's bytes come out of the very call that takes it in."""
    exchange = exchange_of(asking(stream=True))
    exchange.start(0.0)
    exchange.receive_head(200, [(b"content-type", b"text/event-stream")], 0.0)
    assert b'"text":"a"' in exchange.receive_data(sse(chunks({"content": "a"}, finish=None), done=False), 0.0)


@pytest.mark.parametrize("after", [tool(id="c1", name="search", arguments="{}"), {"refusal": "no"}])
def test_a_stop_string_that_was_held_back_ends_all(after: dict[str, Any]) -> None:
    """Blank text may be the beginning of a `<think>` and waits; as it turns out to be the stop string that the
    upstream was not given, the call or the refusal behind it was never said."""
    stops = {"stop_sequences": ["a", "b", "c", "d", "\n\n"]}
    body = {"choices": [{"index": 0, "message": {"content": "\n\n", **after}, "finish_reason": "stop"}]}
    for driven in (
        answered(body, stream=True, **stops),
        streamed(sse(chunks({"content": "\n\n", **after})), **stops),
        streamed(sse(chunks({"content": "\n\n"}, after)), **stops),
    ):
        assert blocks(driven) == []
        assert stop(driven) == "stop_sequence"


def test_text_behind_a_refusal_is_read_like_any_other() -> None:
    """It is the first text all the same: thinking in tags is thinking there too."""
    driven = told({"refusal": "no"}, {"content": "<think>why"}, {"content": "</think>so"}, finish="stop")
    kinds = [event["content_block"]["type"] for event in checked(driven.body) if "content_block" in event]
    assert kinds == ["text", "thinking", "text"]
