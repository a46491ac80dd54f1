"""Vendor oddities: each is on the wire when it is ordered, and still says the same."""

import json
from typing import Any

import pytest

from tests.core.simulator.asking_openai import TOOLS, chunks, completion, deltas, message, post, request
from tests.core.simulator.folding_openai import Said, read_stream, read_sync
from tests.simulator.openai_chat import QUIRKS

CALLS = [("get_weather", '{"city":"example"}'), ("get_time", "{}")]

# These end the answer, or take a part of the stream away that the sync body has.
NOT_FOLDED = {"error_in_200", "no_finish"}
# These change what the calls or the usage say, on purpose.
OTHER_CALLS = {"refusal", "content_filter", "empty_answer"}
OTHER_ARGUMENTS = {"empty_arguments": "", "null_arguments": "null", "broken_arguments": '{"city":"'}
OTHER_FINISH = {
    "refusal": "stop",
    "empty_answer": "stop",
    "content_filter": "content_filter",
    "finish_stop_with_calls": "stop",
}
NO_TOTAL = {"no_usage", "reasoning_apart"}


def both(text: str, **fields: Any) -> tuple[Said, Said]:
    """The sync answer, and the stream folded by a reader that puts up with everything."""
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    streamed = post(request(text, **fields, **asked))
    assert streamed.status == 200
    return read_sync(completion(text, **fields)), read_stream(streamed.body)


def without_ids(said: Said) -> Said:
    """Ids depend on the body, and so on `stream`; a sync body has no index."""
    for call in said.calls:
        call.pop("id")
        call.pop("index")
    return said


def test_every_quirk_is_described_in_a_line():
    """The table is the documentation."""
    assert all(0 < len(quirk.says) <= 70 for quirk in QUIRKS.values())


@pytest.mark.parametrize("model", ["gpt-5.1", "deepseek-v4-flash"])
@pytest.mark.parametrize("text", ["hello", "call get_weather and get_time"])
@pytest.mark.parametrize("name", sorted(QUIRKS.keys() - NOT_FOLDED))
def test_the_stream_folds_to_the_sync_body(name: str, text: str, model: str):
    """Reasoning, text, refusal, calls, reason and usage."""
    sync, stream = both(f"{text} simulate quirk {name}", tools=TOOLS, model=model)
    assert without_ids(stream) == without_ids(sync)


@pytest.mark.parametrize("name", sorted(QUIRKS.keys() - NOT_FOLDED - OTHER_CALLS))
def test_the_calls_stay_the_calls(name: str):
    """Names and order always, arguments unless the quirk is about them."""
    for said in both(f"call get_weather and get_time simulate quirk {name}", tools=TOOLS):
        told = [call["arguments"] for call in said.calls]
        assert [call["name"] for call in said.calls] == [call for call, _ in CALLS]
        if name in OTHER_ARGUMENTS:
            assert told[0] == OTHER_ARGUMENTS[name]
        else:
            as_text = [
                part if isinstance(part, str) else json.dumps(part, separators=(",", ":")) for part in told
            ]
            assert as_text == [arguments for _, arguments in CALLS]


@pytest.mark.parametrize("name", sorted(QUIRKS.keys() - NOT_FOLDED))
def test_the_reason_is_the_same_unless_the_quirk_is_about_it(name: str):
    """tool_calls otherwise."""
    for said in both(f"call get_weather simulate quirk {name}", tools=TOOLS):
        assert said.finish == OTHER_FINISH.get(name, "tool_calls")


@pytest.mark.parametrize("name", sorted(QUIRKS.keys() - NOT_FOLDED - NO_TOTAL))
def test_usage_adds_up(name: str):
    """Prompt and completion are the total, reasoning is a part of the completion."""
    for said in both(f"call get_weather simulate quirk {name}", tools=TOOLS, model="qwen3.5-plus"):
        assert said.usage is not None
        assert said.usage["total_tokens"] == said.usage["prompt_tokens"] + said.usage["completion_tokens"]
        details = said.usage["completion_tokens_details"]
        assert details["reasoning_tokens"] <= said.usage["completion_tokens"]


def test_unknown_quirks_are_just_text():
    """No guess at what was meant."""
    assert message("simulate quirk gremlins")["content"] == "You said: simulate quirk gremlins"


def entries(name: str) -> list[dict[str, Any]]:
    """All entries of tool_calls in the stream of two calls."""
    stream = chunks(f"call get_weather and get_time simulate quirk {name}", tools=TOOLS)
    return [entry for delta in deltas(stream) for entry in delta.get("tool_calls") or []]


def test_index_and_id_quirks():
    """What a reader may want to key calls by, and cannot."""
    assert all("index" not in entry for entry in entries("no_index"))
    assert [entry["index"] for entry in entries("same_index")] == [0] * 5
    assert all("id" not in entry for entry in entries("no_id"))
    assert {entry["id"] for entry in entries("same_id") if "id" in entry} == {"call_same"}
    assert [entry["id"] for entry in entries("kimi_ids") if "id" in entry] == [
        "functions.get_weather:0",
        "functions.get_time:1",
    ]
    assert all(
        len(entry["id"]) == 9 and entry["id"].isalnum() for entry in entries("mistral_ids") if "id" in entry
    )


def test_argument_quirks():
    """What stands where the text of an object is expected."""
    assert [entry["function"]["arguments"] for entry in entries("object_arguments")] == [
        {"city": "example"},
        {},
    ]
    assert [entry["function"]["arguments"] for entry in entries("empty_arguments")] == ["", ""]
    assert entries("null_arguments")[1]["function"] == {"arguments": "null"}
    assert entries("placeholder_arguments")[0]["function"] == {"name": "get_weather", "arguments": "{}"}
    with pytest.raises(json.JSONDecodeError):
        json.loads("".join(entry["function"]["arguments"] for entry in entries("broken_arguments")[:2]))


def test_name_quirks():
    """Late, in halves, or again and again."""
    names = {
        name: [entry["function"].get("name") for entry in entries(name)] for name in QUIRKS if "name" in name
    }
    assert names["late_name"][:3] == [None, "get_weather", None]
    assert names["split_name"][:3] == ["get_w", "eather", None]
    assert names["repeated_name"] == ["get_weather"] * 3 + ["get_time"] * 2
    news = entries("empty_news")
    assert [entry["id"] == "" for entry in news] == [False, True, True, True, False, True, True]
    assert news[3]["function"] == {"name": "", "arguments": None}


def test_calls_of_one_piece_or_in_turn():
    """One chunk a call, one delta for all, in the finish chunk, or fragment by fragment."""
    assert [entry["function"]["arguments"] for entry in entries("whole_calls")] == [text for _, text in CALLS]
    text = "call get_weather and get_time simulate quirk "
    together = deltas(chunks(text + "calls_in_one_delta", tools=TOOLS))
    assert [len(delta.get("tool_calls", [])) for delta in together] == [0, 2, 0]
    finish = chunks(text + "call_in_finish", tools=TOOLS)[-2]["choices"][0]
    assert finish["finish_reason"] == "tool_calls"
    assert len(finish["delta"]["tool_calls"]) == 2
    assert [entry["index"] for entry in entries("interleaved_calls")] == [0, 1, 0, 1, 0]


def test_text_behind_a_call():
    """It comes after the last fragment, and is counted."""
    stream = chunks("call get_time simulate quirk text_after_call", tools=TOOLS)
    told = deltas(stream)
    assert "tool_calls" in told[2]
    assert "".join(delta.get("content") or "" for delta in told[3:]) == "I have asked the tools."
    plain = chunks("call get_time simulate quirk nothing_at_all", tools=TOOLS)
    assert stream[-1]["usage"]["completion_tokens"] == plain[-1]["usage"]["completion_tokens"] + 6


def test_reasoning_quirks():
    """The same thought in each vendor's place."""
    plain = message("simulate quirk reasoning")["reasoning_content"].replace("reasoning", "{}")
    said = message("simulate quirk reasoning_details")
    assert said["reasoning"] == plain.format("reasoning_details") == said["reasoning_details"][0]["text"]
    assert message("simulate quirk reasoning_field")["reasoning"] == plain.format("reasoning_field")
    thinking, text = message("simulate quirk content_array")["content"]
    assert thinking["thinking"] == [{"type": "text", "text": plain.format("content_array")}]
    assert text["type"] == "text"
    tagged = completion("simulate quirk think_tags")
    begin = f"<think>\n{plain.format('think_tags')}\n</think>\n\nYou said"
    assert tagged["choices"][0]["message"]["content"].startswith(begin)
    assert tagged["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0
    assert isinstance(deltas(chunks("simulate quirk content_array"))[1]["content"], list)
    assert isinstance(deltas(chunks("simulate quirk text_parts"))[1]["content"], list)


def test_refusal_and_filter():
    """No calls; a text of its own, or the beginning of one."""
    said = completion("call get_time simulate quirk refusal", tools=TOOLS)["choices"][0]
    assert said["message"]["content"] is None
    assert said["message"]["refusal"]
    assert said["finish_reason"] == "stop"
    cut = completion("simulate quirk content_filter")["choices"][0]
    assert "You said: simulate quirk content_filter".startswith(cut["message"]["content"])
    assert cut["finish_reason"] == "content_filter"


def finish_of(name: str, **fields: Any) -> dict[str, Any]:
    """The last chunk with a reason."""
    stream = chunks(f"hello simulate quirk {name}", **fields)
    return [chunk for chunk in stream if chunk["choices"] and chunk["choices"][0]["finish_reason"]][-1]


def test_usage_where_vendors_put_it():
    """In the finish chunk, in its choice, in a member of Groq's, twice, or nowhere; asked for or not."""
    for asked in (True, False):
        assert finish_of("usage_in_finish", usage=asked)["usage"]["total_tokens"]
        assert finish_of("usage_twice", usage=asked)["usage"]["total_tokens"]
        assert finish_of("usage_in_choice", usage=asked)["choices"][0]["usage"]["total_tokens"]
        assert finish_of("usage_in_x_groq", usage=asked)["x_groq"]["usage"]["total_tokens"]
    assert all(chunk["choices"] for chunk in chunks("simulate quirk usage_in_x_groq"))
    assert chunks("simulate quirk usage_twice")[-1]["choices"] == []
    assert all(chunk["usage"] is None for chunk in chunks("simulate quirk no_usage"))
    assert "usage" not in completion("simulate quirk no_usage")
    running = [chunk["usage"]["completion_tokens"] for chunk in chunks("simulate quirk running_usage")[:-1]]
    assert running == list(range(len(running)))
    assert {chunk["usage"]["total_tokens"] for chunk in chunks("simulate quirk zero_usage")[:-1]} == {0}


def test_usage_in_other_fields():
    """DeepSeek's, xAI's and Kimi's figures."""
    turns = [
        {"role": "user", "content": "tok " * 1_100},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": "simulate quirk hit_and_miss simulate quirk cached_on_top"},
    ]
    usage = completion(messages=turns)["usage"]
    assert usage["prompt_cache_hit_tokens"] == usage["cached_tokens"] == 1_024
    assert usage["prompt_cache_hit_tokens"] + usage["prompt_cache_miss_tokens"] == usage["prompt_tokens"]
    turns[2]["content"] = "tok " * 200 + "simulate quirk cache_writes simulate quirk explicit_cache"
    details = completion(messages=turns)["usage"]["prompt_tokens_details"]
    assert details["cached_tokens"] == 1_024
    assert details["cache_write_tokens"] == details["cache_creation_input_tokens"] == 256
    assert details["cache_creation"] == {"ephemeral_5m_input_tokens": 256}
    apart = completion("simulate quirk reasoning_apart", model="qwen3.5")["usage"]
    told = apart["completion_tokens"] + apart["completion_tokens_details"]["reasoning_tokens"]
    assert apart["total_tokens"] == apart["prompt_tokens"] + told


def test_chunks_around_the_answer():
    """Two finishes, a first chunk without choice, ids that change, roles, empty words, strange members."""
    reasons = [c["choices"][0]["finish_reason"] for c in chunks("simulate quirk two_finishes") if c["choices"]]
    assert reasons[-2:] == ["stop", "stop"]
    assert chunks("simulate quirk leading_empty_choices", usage=False)[0]["choices"] == []
    ids = [chunk["id"] for chunk in chunks("simulate quirk changing_ids")]
    assert ids[0] == ""
    assert len(set(ids)) == len(ids)
    assert all(delta["role"] == "assistant" for delta in deltas(chunks("simulate quirk role_everywhere")))
    assert all(delta["tool_calls"] is None for delta in deltas(chunks("simulate quirk null_tool_calls")))
    assert chunks("simulate quirk empty_finish")[0]["choices"][0]["finish_reason"] == ""
    assert chunks("simulate quirk foreign_keys")[0]["provider"] == "Simulated"
    assert finish_of("finish_eos")["choices"][0]["finish_reason"] == "eos"
    assert finish_of("finish_calls_alone")["choices"][0]["finish_reason"] == "tool_calls"
    assert all(
        not c["choices"] or not c["choices"][0]["finish_reason"] for c in chunks("simulate quirk no_finish")
    )


def frames(text: str) -> list[bytes]:
    return list(post(request(text, stream=True)).chunks)


def test_framing_quirks():
    """[DONE], line ends, comments, the blank behind the colon."""
    assert frames("simulate quirk no_done")[-1] != b"data: [DONE]\n\n"
    assert all(frame.endswith(b"}\r\n\r\n") for frame in frames("simulate quirk crlf")[:-1])
    assert frames("simulate quirk comments")[0] == b": OPENROUTER PROCESSING\n\n"
    assert all(frame.startswith((b"data:{", b"data:[DONE]")) for frame in frames("simulate quirk no_blank"))
    assert frames("simulate stream error api_error simulate quirk error_event")[-1].startswith(
        b"event: error\ndata:"
    )


def test_an_error_with_status_200():
    """In place of a body, or as the only data of a stream; by itself, or in place of an ordered status."""
    sync = post(request("simulate quirk error_in_200"))
    assert sync.status == 200
    assert json.loads(sync.body)["error"]["type"] == "server_error"
    (only,) = frames("simulate quirk error_in_200")
    assert only.startswith(b'data: {"error":')
    ordered = post(request("simulate error rate_limit_error simulate quirk error_in_200"))
    assert (ordered.status, json.loads(ordered.body)["error"]["code"]) == (200, "rate_limit_exceeded")


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("error_string", {"error"}),
        ("error_detail", {"detail"}),
        ("error_flat", {"object", "message", "type", "code"}),
        ("error_msg", {"code", "msg"}),
        ("error_with_choice", {"error", "choices"}),
    ],
)
def test_forms_of_errors(name: str, members: set[str]):
    """The same status, and the text somewhere, before a stream and inside of it."""
    response = post(request(f"simulate error server_error simulate quirk {name}"))
    assert response.status == 500
    assert json.loads(response.body).keys() == members
    assert b"The server had an error" in response.body
    last = frames(f"simulate stream error server_error simulate quirk {name}")[-1]
    assert json.loads(last.removeprefix(b"data: ")).keys() == members


def test_quirks_can_be_combined():
    """As at OpenRouter: comments, a finish chunk that is repeated with the usage, roles."""
    names = ["comments", "two_finishes", "usage_in_finish", "role_everywhere", "reasoning_details"]
    text = " ".join(f"simulate quirk {name}" for name in names)
    sync, stream = both(text)
    assert without_ids(stream) == without_ids(sync)
