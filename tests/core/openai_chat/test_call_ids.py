"""Ids of tool calls: each is the only one of its conversation, whatever the upstream calls them."""

from typing import Any

import pytest

from tests.core.openai_chat.asking import request_of, translated
from tests.core.openai_chat.driving import answered, chunks, sse, streamed
from tests.core.openai_chat.folding import by_sdk
from tests.core.openai_chat.grammar import checked

TURNS = 4


def content_of(calls: list[dict[str, Any]], stream: bool, **asked: Any) -> list[dict[str, Any]]:
    """What the client gets where the upstream answers with these calls."""
    if stream:
        numbered = [{"tool_calls": [{"index": n, **call}]} for n, call in enumerate(calls)]
        events = checked(streamed(sse(chunks(*numbered, finish="tool_calls")), **asked).body)
        content: list[dict[str, Any]] = by_sdk(events)["content"]
    else:
        choice = {"message": {"content": None, "tool_calls": calls}, "finish_reason": "tool_calls"}
        content = answered({"choices": [choice]}, **asked).json["content"]
    return [block for block in content if block["type"] == "tool_use"]


def call(id: str | None, number: int = 0) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": "add", "arguments": f'{{"n":{number}}}'}}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("vendor", [None, "mistral", "kimi", "gemini"])
@pytest.mark.parametrize(
    "ids", [["call_0"], ["call_0", "call_1"], ["call_0", "call_0"], ["functions.add:0"], ["0"], ["", None]]
)
def test_an_upstream_that_uses_its_ids_again(ids: list[str], vendor: str | None, stream: bool) -> None:
    """The conversation goes on: no answer brings an id that it has already, and each result finds its call."""
    messages: list[Any] = ["hi"]
    for turn in range(TURNS):
        asked = request_of(*messages)["messages"]
        uses = content_of([call(id, turn) for id in ids], stream, vendor=vendor, messages=asked)
        assert [use["input"] for use in uses] == [{"n": turn}] * len(ids)
        results = [{"type": "tool_result", "tool_use_id": use["id"], "content": use["id"]} for use in uses]
        messages += [{"role": "assistant", "content": uses}, {"role": "user", "content": results}]
    sent = translated(request_of(*messages), vendor or "generic").json["messages"]
    made = [one["id"] for message in sent for one in message.get("tool_calls", ())]
    assert len(set(made)) == TURNS * len(ids)
    assert made == [message["tool_call_id"] for message in sent if message["role"] == "tool"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_id_that_is_free_stays(stream: bool) -> None:
    """Only what is taken gets another one."""
    turn = [{"type": "tool_use", "id": "call_0", "name": "add", "input": {}}]
    result = [{"type": "tool_result", "tool_use_id": "call_0", "content": "1"}]
    asked = request_of("hi", {"role": "assistant", "content": turn}, {"role": "user", "content": result})[
        "messages"
    ]
    first, second = content_of([call("call_0"), call("call_1")], stream, messages=asked)
    assert first["id"].startswith("toolu_")
    assert second["id"] == "call_1"


def test_a_summary_does_not_set_ids_free() -> None:
    """The client still has the calls that a compaction replaced."""
    old = [{"type": "tool_use", "id": "call_0", "name": "add", "input": {}}]
    result = [{"type": "tool_result", "tool_use_id": "call_0", "content": "1"}]
    summary = {"role": "assistant", "content": [{"type": "compaction", "content": "so far"}]}
    asked = request_of(
        "hi", {"role": "assistant", "content": old}, {"role": "user", "content": result}, summary, "and?"
    )["messages"]
    [use] = content_of([call("call_0")], False, messages=asked)
    assert use["id"] != "call_0"
