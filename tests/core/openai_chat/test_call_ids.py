"""Ids of tool calls: each is the only one of its conversation, whatever the upstream calls them."""

import re
from typing import Any

import pytest

from tests.core.translation.asking import request_of, translated
from tests.core.translation.driving import answered, chunks, sse, streamed
from tests.core.translation.folding import by_sdk
from tests.core.translation.grammar import checked

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
        numbers = [10 * turn + n for n, _ in enumerate(ids)]
        uses = content_of(list(map(call, ids, numbers)), stream, vendor=vendor, messages=asked)
        assert [use["input"] for use in uses] == [{"n": number} for number in numbers]
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


def conversation(*ids: str, name: str = "add") -> list[Any]:
    """A turn of the assistant's for each id, with one call in it and its result behind it."""
    turns: list[Any] = ["hi"]
    for id in ids:
        use = {"type": "tool_use", "id": id, "name": name, "input": {}}
        result = {"type": "tool_result", "tool_use_id": id, "content": "1"}
        turns += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    return turns


def ids_sent(messages: list[Any], vendor: str, model: str) -> list[str]:
    """The ids of the calls, which are those of the results."""
    sent = translated(request_of(*messages, model=model), vendor).json["messages"]
    made = [one["id"] for message in sent for one in message.get("tool_calls", ())]
    assert made == [message["tool_call_id"] for message in sent if message["role"] == "tool"]
    return made


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("vendor", "model"),
    [
        ("kimi", "kimi-k2.7"),
        ("kimi", "some-alias"),
        ("vllm", "moonshotai/Kimi-K2-Instruct"),
        ("openrouter", "moonshotai/kimi-k2.6"),
        ("generic", "kimi-k2-thinking"),
        ("vllm", "an-alias-of-it"),
    ],
)
def test_kimis_ids_come_back_to_it(vendor: str, model: str, stream: bool) -> None:
    """Its template reads the tool's name from nothing else. A model by an alias shows its family by its ids."""
    given = ["functions.add:0", "functions.search:1"]
    calls = [call(given[0]), {**call(given[1], 1), "function": {"name": "search", "arguments": "{}"}}]
    row = None if vendor == "generic" else vendor
    uses = content_of(calls, stream, vendor=row)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", use["id"]) for use in uses), "or Anthropic refuses them"
    results = [{"type": "tool_result", "tool_use_id": use["id"], "content": "1"} for use in uses]
    turns = ["hi", {"role": "assistant", "content": uses}, {"role": "user", "content": results}]
    assert ids_sent(turns, vendor, model) == given


@pytest.mark.parametrize(("vendor", "model"), [("kimi", "any"), ("vllm", "kimi-k2.7"), ("groq", "x/Kimi-K2")])
def test_ids_that_kimi_did_not_give_get_its_form(vendor: str, model: str) -> None:
    """Counted over the conversation, so that a turn more changes nothing before it."""
    turns = conversation("toolu_01A", "call_2", "call_2", "toolu_01A")
    sent = ids_sent(turns, vendor, model)
    assert sent == ["functions.add:0", "functions.add:1", "functions.add:2", "functions.add:3"]
    assert ids_sent(turns[:5], vendor, model) == sent[:2]


def test_other_models_get_plain_ids() -> None:
    """As they were."""
    assert ids_sent(conversation("toolu_01A", "call_2"), "openai", "gpt-5.5") == ["toolu_01A", "call_2"]
    assert ids_sent(conversation("toolu_01A"), "mistral", "kimi-k2.7") != ["functions.add:0"], "nine characters"


@pytest.mark.parametrize("vendor", ["generic", "openai", "mistral", "kimi", "gemini"])
def test_ids_may_repeat_over_turns(vendor: str) -> None:
    """As Anthropic allows: some frameworks count their calls anew each turn. Within one turn they may not."""
    assert len(ids_sent(conversation("c1", "c1", "c1"), vendor, "some-model")) == 3
    twice = [{"type": "tool_use", "id": "c1", "name": "add", "input": {}}] * 2
    refusal = translated(request_of("hi", {"role": "assistant", "content": twice}), vendor).refusal
    assert refusal is not None
    assert refusal.endswith("`tool_use` ids must be unique")
