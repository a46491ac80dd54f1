"""What the simulated model answers over Chat Completions."""

import json
from typing import Any

import pytest

from nexusflow_core.counting import IMAGE_TOKENS
from tests.core.simulator.asking_openai import (
    TIME,
    TOOLS,
    WEATHER,
    calls_of,
    completion,
    message,
    post,
    request,
    tokens,
)
from tests.core.simulator.schema_checker import problems


def test_answer_has_the_form_of_the_real_service():
    """Envelope, one choice, a message with refusal and annotations."""
    body = completion()
    assert body["object"] == "chat.completion"
    assert body["id"].startswith("chatcmpl-")
    assert body["model"] == "gpt-4.1"
    (choice,) = body["choices"]
    assert choice == {
        "index": 0,
        "message": {
            "role": "assistant",
            "content": "You said: hello there",
            "refusal": None,
            "annotations": [],
        },
        "logprobs": None,
        "finish_reason": "stop",
    }


def test_same_bytes_same_answer():
    """Ids depend on the body alone."""
    first, again, other = post(request("a")), post(request("a")), post(request("b"))
    assert first == again
    assert json.loads(first.body)["id"] != json.loads(other.body)["id"]
    assert dict(first.headers)[b"x-request-id"] != dict(other.headers)[b"x-request-id"]


@pytest.mark.parametrize(
    "path", ["/chat/completions", "/v1/chat/completions", "/compatible-mode/v1/chat/completions"]
)
def test_any_base_path(path: str):
    """Vendors differ in what comes before /chat/completions."""
    assert post(request(), path).status == 200


def test_content_parts_and_roles():
    """Text of the last user turn is echoed, whichever way it was written."""
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]
    assert message(parts)["content"] == "You said: look"
    turns = [
        {"role": "developer", "content": "be kind"},
        {"role": "system", "content": [{"type": "text", "text": "be brief"}]},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": "second"},
        {"role": "user", "content": "third"},
    ]
    assert message(messages=turns)["content"] == "You said: second\nthird"


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_limit_cuts_exactly(field: str):
    """finish_reason length, and completion_tokens is the limit."""
    body = completion("simulate 50 tokens", **{field: 20})
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 20 == tokens(body["choices"][0]["message"]["content"])


@pytest.mark.parametrize("stop", ["two", ["three", "two"]])
def test_stop_cannot_be_told_from_an_end(stop: Any):
    """A string or a list cuts before what comes first; the reason is plain stop."""
    body = completion("one two three", stop=stop)
    assert body["choices"][0]["message"]["content"] == "You said: one "
    assert body["choices"][0]["finish_reason"] == "stop"


def test_parallel_calls():
    """Several calls in order, each with an id of its own, content null, arguments as text."""
    body = completion("call get_weather and get_time and get_weather", tools=TOOLS)
    said = body["choices"][0]["message"]
    assert said["content"] is None
    assert body["choices"][0]["finish_reason"] == "tool_calls"
    weather = ("get_weather", '{"city":"example"}')
    assert calls_of(said) == [weather, ("get_time", "{}"), weather]
    ids = {call["id"] for call in said["tool_calls"]}
    assert len(ids) == 3
    assert all(made.startswith("call_") and len(made) <= 40 for made in ids)


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


@pytest.mark.parametrize(
    ("text", "choice", "expected", "finish"),
    [
        ("hello", "auto", [], "stop"),
        ("call get_time", "none", [], "stop"),
        ("hello", "required", ["get_weather"], "tool_calls"),
        ("hello", "any", ["get_weather"], "tool_calls"),
        ("call get_weather", named("get_time"), ["get_time"], "stop"),
        (
            "hello",
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named("get_time")]}},
            ["get_time"],
            "tool_calls",
        ),
    ],
)
def test_tool_choice(text: str, choice: Any, expected: list[str], finish: str):
    """Every form; a forced function ends with stop, as recorded of OpenAI."""
    body = completion(text, tools=TOOLS, tool_choice=choice)
    assert [name for name, _ in calls_of(body["choices"][0]["message"])] == expected
    assert body["choices"][0]["finish_reason"] == finish


def test_parallel_calls_can_be_switched_off():
    """parallel_tool_calls: false leaves one."""
    said = message("call get_weather and get_time", tools=TOOLS, parallel_tool_calls=False)
    assert len(said["tool_calls"]) == 1


def test_custom_tools_are_never_called():
    """Their answer has a form of its own, which is not spoken here."""
    custom = {"type": "custom", "custom": {"name": "shell"}}
    assert "tool_calls" not in message("call shell", tools=[custom])


def test_arguments_conform_to_the_schema():
    """Also where the schema is odd."""
    schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string", "minLength": 12},
            "days": {"type": "integer", "minimum": 3, "multipleOf": 2},
            "unit": {"anyOf": [{"enum": ["C", "F"]}, {"type": "null"}]},
        },
        "required": ["city", "days", "unit"],
        "additionalProperties": False,
    }
    tool = {"type": "function", "function": {"name": "odd", "parameters": schema, "strict": True}}
    ((_, arguments),) = calls_of(message("call odd", tools=[tool]))
    assert problems(json.loads(arguments), schema) == []


def test_structured_output_conforms():
    """json_schema gives a value of the schema, json_object an object."""
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 5}}, "required": ["n"]}
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
    assert problems(json.loads(message(response_format=form)["content"]), schema) == []
    loose = message("as JSON please", response_format={"type": "json_object"})
    assert isinstance(json.loads(loose["content"]), dict)


def test_the_loop_of_an_agent_ends():
    """Call, result, answer; results of parallel calls are all named."""
    said = message("call get_weather and get_time", tools=TOOLS)
    results = [
        {"role": "tool", "tool_call_id": said["tool_calls"][1]["id"], "content": "noon"},
        {
            "role": "tool",
            "tool_call_id": said["tool_calls"][0]["id"],
            "content": [{"type": "text", "text": "rain"}],
        },
    ]
    turns = [{"role": "user", "content": "call get_weather and get_time"}, said, *results]
    assert message(messages=turns, tools=TOOLS)["content"] == "The tool returned: noon; rain"


@pytest.mark.parametrize(
    "model", ["deepseek-v4-flash", "qwen3.5-plus", "Qwen/Qwen3-32B", "deepseek/deepseek-r1"]
)
def test_deepseek_and_qwen_reason_aloud(model: str):
    """reasoning_content before the answer, counted as part of the completion."""
    body = completion(model=model)
    said = body["choices"][0]["message"]
    assert said["content"] == "You said: hello there"
    reasoning = tokens(said["reasoning_content"])
    assert body["usage"]["completion_tokens_details"]["reasoning_tokens"] == reasoning
    assert body["usage"]["completion_tokens"] == reasoning + tokens(said["content"])


@pytest.mark.parametrize(
    "switch",
    [
        {"thinking": {"type": "disabled"}},
        {"enable_thinking": False},
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"reasoning_effort": "none"},
    ],
)
def test_thinking_can_be_switched_off(switch: dict[str, Any]):
    """Each vendor's way."""
    body = completion(model="qwen3.5-plus", **switch)
    assert "reasoning_content" not in body["choices"][0]["message"]
    assert body["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0


@pytest.mark.parametrize("switch", [{"thinking": {"type": "enabled"}}, {"enable_thinking": True}])
def test_other_models_reason_aloud_on_demand(switch: dict[str, Any]):
    """By the request, or by the phrase."""
    assert message(model="glm-5", **switch)["reasoning_content"]
    assert message("simulate quirk reasoning", model="glm-5")["reasoning_content"]
    assert "reasoning_content" not in message(model="glm-5")


def test_openai_only_counts_its_reasoning():
    """Never shown in Chat Completions."""
    body = completion(model="gpt-5.1", reasoning_effort="low")
    assert "reasoning_content" not in body["choices"][0]["message"]
    assert body["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0


def test_reasoning_may_use_up_the_limit():
    """Then there is no text at all, as with the real models."""
    body = completion(model="gpt-5.1", reasoning_effort="low", max_completion_tokens=5)
    assert body["choices"][0]["message"]["content"] == ""
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens_details"]["reasoning_tokens"] == 5


def test_usage_adds_up():
    """Text, names, arguments, definitions, images: each by the stated rule."""
    usage = completion("abcde")["usage"]
    assert usage["prompt_tokens"] == 4 + 2
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9_000}}
    assert completion([image])["usage"]["prompt_tokens"] == 4 + IMAGE_TOKENS
    with_tool = completion("abcde", tools=[TIME])["usage"]["prompt_tokens"]
    assert with_tool == 6 + tokens(json.dumps(TIME, separators=(",", ":")))
    called = completion("call get_weather", tools=[WEATHER])
    ((name, arguments),) = calls_of(called["choices"][0]["message"])
    assert called["usage"]["completion_tokens"] == tokens(name + arguments)


def turns(size: int) -> list[dict[str, Any]]:
    """A conversation whose first message has so many tokens, and 4 for being one."""
    return [
        {"role": "user", "content": "tok " * size},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": "go on"},
    ]


@pytest.mark.parametrize(("size", "cached"), [(1_019, 0), (1_020, 1_024), (1_147, 1_024), (1_148, 1_152)])
def test_an_earlier_turn_is_cached_from_1024_tokens(size: int, cached: int):
    """Only with an assistant turn, in steps of 128, and as a part of prompt_tokens."""
    usage = completion(messages=turns(size))["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == cached
    assert usage["prompt_tokens"] == size + 4 + 5 + 6
    first = completion(messages=turns(size)[:1])["usage"]
    assert first["prompt_tokens_details"]["cached_tokens"] == 0


def test_cached_is_what_the_last_turn_had_sent():
    """Its answer and what came after are new."""
    longer = [
        *turns(1_020),
        {"role": "assistant", "content": "tok " * 500},
        {"role": "user", "content": "more"},
    ]
    assert completion(messages=longer)["usage"]["prompt_tokens_details"]["cached_tokens"] == 1_024
