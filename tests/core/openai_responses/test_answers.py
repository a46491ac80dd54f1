"""Answers of the Responses API: each kind of item as a block, in a stream as in a whole answer."""

import json
from typing import Any

import pytest

from nexusflow_core.exchange import Read
from nexusflow_core.messages.marks import read_mark
from nexusflow_core.routing import TargetOptions
from nexusflow_core.upstream import Timeouts
from tests.core.openai_responses.answering import (
    DIALECT,
    added,
    answered,
    call,
    completed,
    created,
    done,
    event,
    item,
    message,
    response,
    sse,
    streamed,
    text,
)
from tests.core.translation.driving import Driven, asking, exchange_of
from tests.core.translation.folding import by_hand, by_sdk
from tests.core.translation.grammar import checked

SUMMARY = [{"type": "summary_text", "text": "first"}, {"type": "summary_text", "text": "second"}]
THOUGHT = item("reasoning", summary=SUMMARY, encrypted_content="gAAA")
ASKS = {"thinking": {"type": "enabled", "budget_tokens": 5000}, "max_tokens": 9000}


def folded(driven: Driven) -> dict[str, Any]:
    return by_sdk(checked(driven.body))


def either(*items: dict[str, Any], vendor: str = "openai", **members: Any) -> dict[str, Any]:
    """The message of these items, which is the same where they are streamed without any delta."""
    whole = answered(response(*items), vendor=vendor, **members).json
    events = [*created(), *(done(at, it) for at, it in enumerate(items)), completed()]
    told = folded(streamed(events, vendor=vendor, **members))
    assert told["content"] == whole["content"]
    assert [told[name] for name in ("stop_reason", "usage")] == [
        whole[name] for name in ("stop_reason", "usage")
    ]
    return whole


def kinds(told: dict[str, Any]) -> list[str]:
    return [block["type"] for block in told["content"]]


def test_each_item_is_a_block_in_its_place() -> None:
    """Reasoning, commentary, a call, and a search of the vendor's own that is listed."""
    told = either(THOUGHT, message("Let me look."), call(arguments='{"zone":"CET"}'))
    assert kinds(told) == ["thinking", "text", "tool_use"]
    assert told["content"][0]["thinking"] == "first\n\nsecond"
    assert told["content"][2] == {
        "type": "tool_use",
        "id": "call_1",
        "name": "get_time",
        "input": {"zone": "CET"},
    }
    assert told["stop_reason"] == "tool_use"


def test_deltas_come_at_once_and_the_rest_at_the_end() -> None:
    """What the whole item has beyond its deltas is sent too; what contradicts them is listed."""
    begun = [*created(), added(0, message()), *text(0, "Hello ", "there")]
    longer = streamed([*begun, done(0, message("Hello there.")), completed()])
    assert folded(longer)["content"][0]["text"] == "Hello there."
    other = streamed([*begun, done(0, message("Hello you.")), completed()])
    assert (folded(other)["content"][0]["text"], other.dropped) == ("Hello there", ["answer.message"])


@pytest.mark.parametrize("size", [10**9, 1, 7])
def test_interleaved_items_wait_for_the_open_block(size: int) -> None:
    """Indices stay contiguous, and nothing is lost or mixed, however the bytes are cut."""
    events = [
        *created(),
        added(0, message()),
        *text(0, "one "),
        added(1, call(arguments="")),
        added(2, message()),
        *text(2, "three "),
        event("function_call_arguments.delta", output_index=1, delta='{"a":'),
        *text(0, "uno"),
        event("function_call_arguments.delta", output_index=1, delta="1}"),
        *text(2, "tre"),
        done(2, message("three tre")),
        done(0, message("one uno")),
        done(1, call(arguments='{"a":1}')),
        completed(),
    ]
    content = folded(streamed(events, size=size))["content"]
    assert [block.get("text") or block["input"] for block in content] == ["one uno", {"a": 1}, "three tre"]


def test_an_item_is_known_by_its_index() -> None:
    """GitHub Copilot gives every event another id."""
    events = [
        *created(),
        added(0, {**message(), "id": "a"}),
        *({**one, "item_id": f"x{at}"} for at, one in enumerate(text(0, "Hello ", "there"))),
        done(0, {**message("Hello there"), "id": "z"}),
        completed({**message("Hello there"), "id": "q"}),
    ]
    assert [block["text"] for block in folded(streamed(events))["content"]] == ["Hello there"]


def test_an_item_without_an_index_is_known_by_its_id() -> None:
    """Local servers leave the index out, and the event that adds the item."""
    delta = {"item_id": "m", "content_index": 0, "delta": "Hi"}
    events = [*created(), event("output_text.delta", **delta), event("output_text.delta", **delta), completed()]
    assert folded(streamed(events))["content"][0]["text"] == "HiHi"


def test_the_items_count_where_the_last_event_has_none() -> None:
    """The ChatGPT backend's `output` is empty at the end."""
    events = [*created(), added(0, message()), *text(0, "Hi"), done(0, message("Hi")), completed()]
    assert folded(streamed(events, vendor="chatgpt"))["content"][0]["text"] == "Hi"


def test_nothing_is_told_twice() -> None:
    """xAI repeats all items at the end, under other ids and in another order."""
    again = [{**message("Hi"), "id": "other"}, {**THOUGHT, "id": "one"}]
    events = [*created(), done(0, THOUGHT), *text(1, "Hi"), done(1, message("Hi")), completed(*again)]
    assert kinds(folded(streamed(events, vendor="xai"))) == ["thinking", "text"]


def test_items_that_were_never_streamed_are_told_at_the_end() -> None:
    """They stand in the last event alone."""
    events = [*created(), *text(0, "Hi"), completed(message("Hi there"), call())]
    told = folded(streamed(events))
    assert [block.get("text", block["type"]) for block in told["content"]] == ["Hi there", "tool_use"]


def test_arguments_and_texts_may_come_whole_only() -> None:
    """LM Studio sends no deltas of arguments."""
    events = [
        *created(),
        added(0, message()),
        event("output_text.done", output_index=0, content_index=0, text="Hi"),
        done(0, message("Hi")),
        added(1, call(arguments="")),
        event("function_call_arguments.done", output_index=1, arguments='{"a":1}'),
        done(1, call(arguments='{"a":1}')),
        completed(),
    ]
    content = folded(streamed(events, vendor="lmstudio"))["content"]
    assert [block.get("text") or block["input"] for block in content] == ["Hi", {"a": 1}]


def test_encrypted_reasoning_is_taken_from_the_end_of_the_item() -> None:
    """The value that comes with its beginning is another one."""
    early = {**THOUGHT, "summary": [], "encrypted_content": "early"}
    delta = event("reasoning_summary_text.delta", output_index=0, summary_index=0, delta="first")
    second = event("reasoning_summary_text.delta", output_index=0, summary_index=1, delta="second")
    events = [*created(), added(0, early), delta, second, done(0, THOUGHT), *text(1, "Hi"), completed()]
    block = folded(streamed(events))["content"][0]
    mark = read_mark(block["signature"])
    assert mark is not None
    assert (block["thinking"], mark.payload) == (
        "first\n\nsecond",
        {"summary": [5, 6], "encrypted_content": "gAAA"},
    )


def test_reasoning_without_text_is_kept() -> None:
    """As thinking if the client asked for it, else redacted; with nothing to send back it is left out."""
    hidden = item("reasoning", summary=[], encrypted_content="gAAA")
    assert kinds(either(hidden, message("Hi"))) == ["redacted_thinking", "text"]
    assert kinds(either(hidden, message("Hi"), **ASKS)) == ["thinking", "text"]
    assert kinds(either(item("reasoning", summary=[]), message("Hi"), **ASKS)) == ["text"]


def test_hidden_thinking_has_its_text_in_the_signature() -> None:
    """With `display: omitted` the block is empty, and the item still goes back whole."""
    block = either(THOUGHT, message("Hi"), thinking={"type": "adaptive", "display": "omitted"})["content"][0]
    mark = read_mark(block["signature"])
    assert mark is not None
    assert (block["thinking"], mark.payload["summary"]) == ("", SUMMARY)


def test_open_reasoning_is_thinking() -> None:
    """DeepSeek's stands in `content`."""
    opened = item("reasoning", summary=[], content=[{"type": "reasoning_text", "text": "hmm"}])
    delta = event("reasoning_text.delta", output_index=0, content_index=0, delta="hmm")
    assert either(opened, message("Hi"))["content"][0]["thinking"] == "hmm"
    told = folded(streamed([*created(), added(0, opened), delta, done(0, opened), *text(1, "Hi"), completed()]))
    assert [block.get("thinking") for block in told["content"]] == ["hmm", None]


def test_a_refusal_is_text_and_a_stop_reason() -> None:
    """Its words are the explanation."""
    part = {"type": "refusal", "refusal": "I can't help."}
    refused = item("message", role="assistant", content=[part])
    told = either(refused)
    assert (told["content"], told["stop_reason"]) == ([{"type": "text", "text": "I can't help."}], "refusal")
    assert told["stop_details"]["explanation"] == "I can't help."
    pieces = [event("refusal.delta", output_index=0, delta=piece) for piece in ("I can't", " help.")]
    streamed_one = folded(streamed([*created(), *pieces, done(0, refused), completed()]))
    assert (streamed_one["content"][0]["text"], streamed_one["stop_reason"]) == ("I can't help.", "refusal")


def test_a_cut_call_ends_with_max_tokens() -> None:
    """A stream passes its arguments as they are, a whole answer has their readable part."""
    half = call(arguments='{"city":"Par', call_id="call_9")
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    whole = answered(response(half, **cut))
    assert (whole.json["stop_reason"], whole.json["content"][0]["input"]) == ("max_tokens", {"city": "Par"})
    events = [*created(), added(0, call(arguments="")), done(0, half), completed(half, **cut)]
    told = by_hand(checked(streamed(events).body))
    assert (told["stop_reason"], told["content"][0]["arguments"]) == ("max_tokens", '{"city":"Par')
    broken = answered(response(half))
    assert (broken.status, broken.json["error"]["type"]) == (502, "api_error")


@pytest.mark.parametrize(
    ("reason", "stop_reason"),
    [("content_filter", "refusal"), ("max_output_tokens", "max_tokens"), ("max_messages", "max_tokens")],
)
def test_an_incomplete_answer_says_why(reason: str, stop_reason: str) -> None:
    """In a stream as in a whole answer, with the text so far."""
    cut = {"status": "incomplete", "incomplete_details": {"reason": reason}}
    events = [*created(), *text(0, "Once upon"), completed(message("Once upon"), **cut)]
    for told in (answered(response(message("Once upon"), **cut)).json, folded(streamed(events))):
        assert (told["stop_reason"], told["content"][0]["text"]) == (stop_reason, "Once upon")


def test_an_answer_that_ends_at_the_limit_was_cut() -> None:
    """vLLM calls it complete."""
    used = {"usage": {"input_tokens": 9, "output_tokens": 100, "total_tokens": 109}}
    assert answered(response(message("Once"), **used), vendor="vllm").json["stop_reason"] == "max_tokens"
    assert answered(response(message("Once"), **used)).json["stop_reason"] == "end_turn"


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_sequence_is_found_in_the_text(stream: bool) -> None:
    """Across deltas, but not across messages. What follows is not shown."""
    first, second = message("no ST"), message("OP here, but STOP there")
    if not stream:
        told = answered(response(first, second, call()), stop_sequences=["STOP"]).json
    else:
        deltas = text(1, "OP here, b", "ut S", "TO", "P there")
        events = [*created(), *text(0, "no ST"), done(0, first), *deltas, done(1, second), completed()]
        driven = streamed(events, stop_sequences=["STOP"])
        told = folded(driven)
        assert driven.record.usage_source == "estimated"
    assert [block["text"] for block in told["content"]] == ["no ST", "OP here, but "]
    assert (told["stop_reason"], told["stop_sequence"]) == ("stop_sequence", "STOP")


def test_ids_that_come_again_are_replaced() -> None:
    """Bedrock counts calls from `call_0` in every answer."""
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "call_0", "name": "add", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_0", "content": "1"}]},
    ]
    twice = [call(call_id="call_0"), call(call_id="call_1"), call(call_id="call_1")]
    told = either(*twice, vendor="bedrock", messages=turns)
    ids = [block["id"] for block in told["content"]]
    assert ids[1] == "call_1"
    assert len({*ids, "call_0"}) == 4


def test_wrapped_calls_are_unfolded() -> None:
    """The model may call a wrapper that nobody declared. A tool of that name is the client's own."""
    uses = [
        {"recipient_name": "functions.get_time", "parameters": {"zone": "CET"}},
        {"recipient_name": "functions.add", "parameters": {"a": 1}},
    ]
    wrapped = call("parallel", json.dumps({"tool_uses": uses}))
    told = either(wrapped)
    assert [(block["name"], block["input"]) for block in told["content"]] == [
        ("get_time", {"zone": "CET"}),
        ("add", {"a": 1}),
    ]
    own = [{"name": "parallel", "input_schema": {"type": "object"}}]
    assert [block["name"] for block in either(wrapped, tools=own)["content"]] == ["parallel"]


def test_unknown_items_and_events_are_listed() -> None:
    """And skipped: hosted tools, items and events of the future."""
    items = [item("code_interpreter_call", code="1"), item("hologram", data="x"), message("Hi")]
    whole = answered(response(*items))
    assert whole.json["content"] == [{"type": "text", "text": "Hi"}]
    assert whole.dropped == ["answer.code_interpreter_call", "answer.hologram"]
    events = [
        *created(),
        {"type": "keepalive"},
        event("hologram.delta", delta="x"),
        event("code_interpreter_call.in_progress", output_index=0),
        *(done(at, it) for at, it in enumerate(items)),
        completed(),
    ]
    assert streamed(events).dropped == ["answer.response.hologram.delta", *whole.dropped]


SEARCH = {"type": "web_search_20250305", "name": "web_search"}
CARRIES = TargetOptions(server_tools="carry")
FOUND = item(
    "web_search_call",
    action={"type": "search", "query": "weather", "sources": [{"type": "url", "url": "https://a.example"}]},
)


def test_a_search_is_a_server_tool_where_the_client_asked_for_it() -> None:
    """With the pages found, the sources of the text, and the number of searches in the usage."""
    cited = message("It rains.")
    note = {"type": "url_citation", "start_index": 3, "end_index": 8, "url": "https://a.example", "title": "A"}
    cited["content"][0]["annotations"] = [note]
    told = either(FOUND, cited, tools=[SEARCH], options=CARRIES)
    use, result, said = told["content"]
    assert (use["type"], use["name"], use["input"]) == ("server_tool_use", "web_search", {"query": "weather"})
    assert result["tool_use_id"] == use["id"]
    assert result["content"][0]["url"] == "https://a.example"
    mark = read_mark(result["content"][0]["encrypted_content"])
    assert mark is not None
    assert mark.payload["type"] == "web_search_call"
    assert [(one["url"], one["cited_text"]) for one in said["citations"]] == [("https://a.example", "rains")]
    paid = answered(
        response(FOUND, tool_usage={"web_search": {"num_requests": 2}}), tools=[SEARCH], options=CARRIES
    )
    assert paid.json["usage"]["server_tool_use"] == {"web_search_requests": 2}
    unasked = answered(response(FOUND, cited))
    assert kinds(unasked.json) == ["text"]
    assert unasked.dropped == ["answer.web_search_call", "answer.annotations"]


def test_a_compaction_is_a_block_that_holds_it() -> None:
    """Its mark brings it back."""
    told = answered(response(message("Hi"), item("compaction", encrypted_content="gAAA"))).json
    mark = read_mark(told["content"][1]["encrypted_content"])
    assert mark is not None
    assert (told["content"][1]["type"], mark.payload) == (
        "compaction",
        {"type": "compaction", "encrypted_content": "gAAA"},
    )


def test_a_model_may_think_in_silence_before_it_begins() -> None:
    """The time to the first event counts, not the idle time: another call would only think anew."""
    exchange = exchange_of(asking(stream=True), dialect=DIALECT)
    exchange.start(0.0)
    exchange.receive_head(200, [(b"content-type", b"text/event-stream")], 1.0)
    assert exchange.receive_data(sse(created()), 1.0) == b""
    timeouts = Timeouts()
    assert exchange.on_timer(1.0 + timeouts.idle) == b""
    assert isinstance(exchange.order, Read)
    assert exchange.order.until == timeouts.first_byte > timeouts.idle
    out = exchange.receive_data(sse([added(0, message()), *text(0, "Hi")]), timeouts.first_byte - 1)
    assert b"message_start" in out
    assert exchange.order.until < timeouts.first_byte - 1 + timeouts.idle, "from now on it may ping"
