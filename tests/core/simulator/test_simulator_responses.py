"""What the simulated model answers over Responses, and what it refuses."""

import json
from typing import Any

import pytest

from nexusflow_core.simulator import FAILURES
from tests.core.simulator.asking_responses import (
    PATH,
    TOOLS,
    WEATHER,
    called,
    error,
    post,
    request,
    response,
)


def test_an_answer_has_the_form_of_the_real_service():
    """Envelope, a message with one part and its phase, usage that adds up."""
    made = response(reasoning={"effort": "none"})
    assert (made["object"], made["status"], made["error"]) == ("response", "completed", None)
    assert made["id"].startswith("resp_")
    (message,) = made["output"]
    assert message.pop("id").startswith("msg_")
    part: dict[str, Any] = {
        "type": "output_text",
        "text": "You said: hello there",
        "annotations": [],
        "logprobs": [],
    }
    assert message == {
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "phase": "final_answer",
        "content": [part],
    }
    usage = made["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["output_tokens_details"] == {"reasoning_tokens": 0}


def test_same_bytes_same_answer():
    """Ids depend on the body alone."""
    first, again, other = post(request("a")), post(request("a")), post(request("b"))
    assert first == again
    assert json.loads(first.body)["id"] != json.loads(other.body)["id"]


@pytest.mark.parametrize("path", ["/responses", "/v1/responses", "/openai/v1/responses"])
def test_any_base_path(path: str):
    """Vendors differ in what comes before /responses."""
    assert post(request(), path).status == 200


def test_input_may_be_a_string():
    """It is one message of the user, as with real servers; instructions are not repeated."""
    made = post({"model": "gpt-4.1", "input": "one two", "instructions": "Be brief."})
    assert json.loads(made.body)["output"][0]["content"][0]["text"] == "You said: one two"


@pytest.mark.parametrize(
    ("model", "reasoning", "reasons"),
    [
        ("gpt-5.6", None, True),
        ("gpt-5.6", {"effort": "none"}, False),
        ("gpt-6-astra", None, True),
        ("o3", None, True),
        ("gpt-5", None, True),
        ("gpt-5.4", None, False),
        ("gpt-5.4", {"effort": "medium"}, True),
        ("gpt-5.4-pro", None, True),
        ("gpt-5-chat-latest", None, False),
        ("gpt-4.1", None, False),
    ],
)
def test_models_reason_by_default_or_when_asked(model: str, reasoning: Any, reasons: bool):
    """An item of reasoning comes first, and its tokens are counted."""
    made = response(model=model, reasoning=reasoning)
    assert [item["type"] for item in made["output"]] == [*["reasoning"] * reasons, "message"]
    assert bool(made["usage"]["output_tokens_details"]["reasoning_tokens"]) is reasons


def test_a_summary_and_encrypted_content_come_when_asked_for():
    """Neither is in an answer by itself."""
    item = response()["output"][0]
    assert [part["type"] for part in item["summary"]] == ["summary_text", "summary_text"]
    assert item["encrypted_content"]
    bare = response(include=[], reasoning={"effort": "low"})["output"][0]
    assert bare.keys() == {"id", "type", "summary"}
    assert bare["summary"] == []


def test_calls_and_their_outputs():
    """The model calls what the text names, and repeats what the tools returned."""
    _, *calls = response("call get_weather and get_time", tools=TOOLS)["output"]
    assert [(item["name"], item["arguments"]) for item in calls] == [
        ("get_weather", '{"city":"example"}'),
        ("get_time", "{}"),
    ]
    assert len({item["call_id"] for item in calls}) == 2
    said = response(called("sunny", "noon"), tools=TOOLS)["output"][-1]
    assert said["content"][0]["text"] == "The tool returned: sunny; noon"


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("auto", []),
        ("none", []),
        ("required", ["get_weather"]),
        ({"type": "function", "name": "get_time"}, ["get_time"]),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "get_time"}],
            },
            ["get_time"],
        ),
    ],
)
def test_the_choice_of_a_tool_is_obeyed(choice: Any, names: list[str]):
    """A word, a named function, or a list of them."""
    output = response(tools=TOOLS, tool_choice=choice)["output"]
    assert [item["name"] for item in output if item["type"] == "function_call"] == names


def test_hosted_tools_are_never_called():
    """The simulated model calls functions only."""
    output = response("call web_search", tools=[{"type": "web_search"}, WEATHER])["output"]
    assert [item["type"] for item in output] == ["reasoning", "message"]


def test_a_schema_is_followed():
    """`text.format` is flat here, other than in Chat Completions."""
    form = {"type": "json_schema", "name": "output", "strict": False, "schema": WEATHER["parameters"]}
    (text,) = response(text={"format": form})["output"][-1]["content"]
    assert json.loads(text["text"]) == {"city": "example"}


def test_a_limit_cuts_exactly():
    """The response is incomplete, with the reason, and so is its last item."""
    made = response("simulate 500 tokens", max_output_tokens=40)
    assert made["status"] == "incomplete"
    assert made["incomplete_details"] == {"reason": "max_output_tokens"}
    assert made["output"][-1]["status"] == "incomplete"
    assert made["usage"]["output_tokens"] == 40


def test_the_least_limit_is_sixteen():
    """Below it, a 400 that names the field."""
    refused = error(max_output_tokens=15)
    assert (refused["param"], refused["code"]) == ("max_output_tokens", "integer_below_min_value")
    response(max_output_tokens=16)


def test_cached_tokens_are_those_before_the_last_answer():
    """A first turn has none. A model before gpt-5.6 does not count what it writes."""
    long = "word " * 2000
    first = response(long, model="gpt-5.4")
    assert first["usage"]["input_tokens_details"] == {"cached_tokens": 0}
    turns = [
        {"type": "message", "role": "user", "content": long},
        {"type": "message", "role": "assistant", "content": "ok"},
        {"type": "message", "role": "user", "content": "more"},
    ]
    usage = response(turns, model="gpt-5.4")["usage"]
    assert usage["input_tokens_details"] == {"cached_tokens": first["usage"]["input_tokens"] // 128 * 128}


@pytest.mark.parametrize(
    ("options", "marked", "written"),
    [(None, False, True), ({"mode": "explicit"}, False, False), ({"mode": "explicit"}, True, True)],
)
def test_written_tokens(options: Any, marked: bool, written: bool):
    """Without markers all is written; in the explicit mode, what a marker ends."""
    part: dict[str, Any] = {"type": "input_text", "text": "word " * 2000}
    if marked:
        part["prompt_cache_breakpoint"] = {"mode": "explicit"}
    message = {"type": "message", "role": "user", "content": [part]}
    rest = {"type": "message", "role": "user", "content": "word " * 1000}
    details = response([message, rest], prompt_cache_options=options)["usage"]["input_tokens_details"]
    before = {False: 0, True: 2432 if marked else 3712}[written]
    assert (details["cached_tokens"], details["cache_write_tokens"]) == (0, before)


def test_written_tokens_have_a_lifetime():
    """12 hours if the request asks for it."""
    options = {"ttl": "12h"}
    details = response("word " * 2000, prompt_cache_options=options)["usage"]["input_tokens_details"]
    lifetimes = details["cache_write_tokens_details"]
    assert lifetimes == {"ttl_30m_tokens": 0, "ttl_12h_tokens": details["cache_write_tokens"]}
    assert details["cache_write_tokens"] > 2000


def test_a_count_is_that_of_the_answer():
    """POST /responses/input_tokens counts what the usage says."""
    items = called("sunny", "noon")
    counted = post({"model": "gpt-5.6", "input": items, "tools": TOOLS}, f"{PATH}/input_tokens")
    assert json.loads(counted.body) == {
        "object": "response.input_tokens",
        "input_tokens": response(items, tools=TOOLS)["usage"]["input_tokens"],
    }


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("path", [PATH, f"{PATH}/input_tokens"])
def test_errors_on_demand(kind: str, path: str):
    """Status, type and headers of the error that the text asks for."""
    answer = post(request(f"simulate error {kind}"), path)
    assert answer.status == FAILURES[kind].status
    assert json.loads(answer.body)["error"]["type"] == kind
    retry = dict(answer.headers).get(b"retry-after")
    assert retry == (b"1" if kind == "rate_limit_error" else None)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"model": "m"}', b'{"model": 1, "input": []}'])
def test_what_is_no_request_is_refused(body: bytes):
    """With a 400 in OpenAI's form."""
    answer = post(body)
    assert answer.status == 400
    assert json.loads(answer.body)["error"]["type"] == "invalid_request_error"
