"""Refused Chat Completions requests, and errors on demand."""

import json
from typing import Any

import pytest

from nexusflow_core.simulator import FAILURES as ANTHROPIC_FAILURES
from nexusflow_core.simulator import SimulatedResponse
from tests.core.simulator.asking_openai import PATH, TIME, message, post, request
from tests.simulator import simulate
from tests.simulator.openai_chat import FAILURES

EXPECTED: dict[str, tuple[int, str, str | None]] = {
    "invalid_request_error": (400, "invalid_request_error", "invalid_value"),
    "authentication_error": (401, "invalid_request_error", "invalid_api_key"),
    "billing_error": (429, "insufficient_quota", "insufficient_quota"),
    "permission_error": (403, "request_forbidden", "unsupported_country_region_territory"),
    "not_found_error": (404, "invalid_request_error", "model_not_found"),
    "conflict_error": (409, "invalid_request_error", "conflict"),
    "request_too_large": (413, "invalid_request_error", "request_too_large"),
    "rate_limit_error": (429, "requests", "rate_limit_exceeded"),
    "api_error": (500, "server_error", None),
    "timeout_error": (504, "server_error", "timeout"),
    "overloaded_error": (503, "service_unavailable_error", "server_is_overloaded"),
    "context_length_exceeded": (400, "invalid_request_error", "context_length_exceeded"),
    "content_policy_violation": (400, "invalid_request_error", "content_policy_violation"),
    "invalid_api_key": (401, "invalid_request_error", "invalid_api_key"),
    "insufficient_quota": (429, "insufficient_quota", "insufficient_quota"),
    "model_not_found": (404, "invalid_request_error", "model_not_found"),
    "rate_limit_exceeded": (429, "requests", "rate_limit_exceeded"),
    "server_error": (500, "server_error", None),
    "server_is_overloaded": (503, "service_unavailable_error", "server_is_overloaded"),
}


def error(response: SimulatedResponse) -> dict[str, Any]:
    """The error object; the envelope around it is checked."""
    body = json.loads(response.body)
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"message", "type", "param", "code"}
    assert dict(response.headers)[b"content-type"] == b"application/json"
    return body["error"]


def test_every_error_of_the_other_protocol_has_its_counterpart():
    """One phrase serves both."""
    assert ANTHROPIC_FAILURES.keys() <= FAILURES.keys() == EXPECTED.keys()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", EXPECTED)
def test_error_on_demand(kind: str, stream: bool):
    """`simulate error <type>` answers with OpenAI's status, type and code, stream or not."""
    response = post(request(f"Now simulate error {kind}, please", stream=stream))
    found = error(response)
    assert (response.status, found["type"], found["code"]) == EXPECTED[kind]
    assert "{model}" not in found["message"]


def test_stream_error_without_a_stream_is_the_plain_http_error():
    """A request that asked for no stream gets the status instead."""
    assert post(request("simulate stream error overloaded_error")).status == 503


def test_rate_limit_says_how_long_to_wait():
    """In both headers, and no request is left; a used-up quota says nothing of the kind."""
    headers = dict(post(request("simulate error rate_limit_error")).headers)
    assert headers[b"retry-after"] == b"1"
    assert headers[b"retry-after-ms"] == b"1000"
    assert headers[b"x-ratelimit-remaining-requests"] == b"0"
    assert b"retry-after" not in dict(post(request("simulate error insufficient_quota")).headers)


def test_only_the_last_user_turn_orders_an_error():
    """A conversation goes on after an error that was ordered earlier."""
    turns = [
        {"role": "user", "content": "simulate error api_error"},
        {"role": "assistant", "content": "sorry"},
        {"role": "user", "content": "go on"},
    ]
    assert message(messages=turns)["content"] == "You said: go on"


@pytest.mark.parametrize("headers", [[], [(b"authorization", b"")], [(b"x-api-key", b"sk-ant-1")]])
def test_without_a_credential_nothing_is_answered(headers: list[tuple[bytes, bytes]]):
    """401 invalid_api_key; Anthropic's header is none of OpenAI's."""
    response = simulate(PATH, headers, json.dumps(request()).encode())
    assert response.status == 401
    assert error(response)["code"] == "invalid_api_key"


def test_azures_credential_will_do():
    """`api-key`, in any case."""
    assert simulate(PATH, [(b"Api-Key", b"k")], json.dumps(request()).encode()).status == 200


def said(*roles_and_more: Any) -> dict[str, Any]:
    """A request of these messages."""
    return request(messages=list(roles_and_more))


USER = {"role": "user", "content": "x"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "y"}
MUST_FOLLOW = (
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
    "'tool_call_id'. The following tool_call_ids did not have response messages: call_1"
)
MUST_RESPOND = (
    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
)

REFUSED: dict[str, tuple[dict[str, Any], str, str | None, str | None]] = {
    "no model": ({"messages": [USER]}, "you must provide a model parameter", None, None),
    "no messages": (
        {"model": "gpt-5"},
        "Missing required parameter: 'messages'.",
        "messages",
        "missing_required_parameter",
    ),
    "empty messages": (
        said(),
        "Invalid 'messages': empty array. Expected an array with minimum length 1, "
        "but got an empty array instead.",
        "messages",
        "empty_array",
    ),
    "unknown role": (
        said({"role": "robot", "content": "x"}),
        "Invalid value: 'robot'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', "
        "and 'developer'.",
        "messages[0].role",
        "invalid_value",
    ),
    "part without type": (
        said(USER, {"role": "user", "content": [{"text": "x"}]}),
        "Missing required parameter: 'messages[1].content[0].type'.",
        "messages[1].content[0].type",
        "missing_required_parameter",
    ),
    "result of nothing": (said(USER, RESULT), MUST_RESPOND, "messages.[1].role", None),
    "result of another call": (
        said(USER, CALLING, {**RESULT, "tool_call_id": "call_2"}),
        MUST_RESPOND,
        "messages.[2].role",
        None,
    ),
    "result twice": (said(USER, CALLING, RESULT, RESULT), MUST_RESPOND, "messages.[3].role", None),
    "no result": (said(USER, CALLING), MUST_FOLLOW, "messages.[1].role", None),
    "something before the result": (said(USER, CALLING, USER, RESULT), MUST_FOLLOW, "messages.[1].role", None),
    "user without content": (
        said({"role": "user", "content": None}),
        "Invalid value for 'content': expected a string, got null.",
        "messages[0].content",
        None,
    ),
    "image in a result": (
        said(USER, CALLING, {**RESULT, "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}),
        "Invalid value: 'image_url'. Supported values are: 'text'.",
        "messages[2].content[0].type",
        "invalid_value",
    ),
    "arguments as an object": (
        said(USER, {**CALLING, "tool_calls": [{**CALL, "function": {"name": "f", "arguments": {}}}]}, RESULT),
        "Invalid type for 'messages[1].tool_calls[0].function.arguments': expected a string, "
        "but got an object instead.",
        "messages[1].tool_calls[0].function.arguments",
        "invalid_type",
    ),
    "both limits": (
        request(max_tokens=5, max_completion_tokens=5),
        "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
        "max_tokens",
        "invalid_parameter_combination",
    ),
    "limit of nothing": (
        request(max_tokens=0),
        "Invalid 'max_tokens': integer below minimum value. Expected a value >= 1, but got 0 instead.",
        "max_tokens",
        "integer_below_min_value",
    ),
    "temperature": (
        request(temperature=99.0),
        "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 99.0 instead.",
        "temperature",
        "decimal_above_max_value",
    ),
    "too many stops": (
        request(stop=["a", "b", "c", "d", "e"]),
        "Invalid 'stop': array too long. Expected an array with maximum length 4, "
        "but got an array with length 5 instead.",
        "stop",
        "array_above_max_length",
    ),
    "stream options without stream": (
        request(stream_options={"include_usage": True}),
        "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        "stream_options",
        None,
    ),
    "choice without tools": (
        request(tool_choice="auto"),
        "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
        "tool_choice",
        None,
    ),
    "parallel without tools": (
        request(parallel_tool_calls=False),
        "Invalid value for 'parallel_tool_calls': 'parallel_tool_calls' is only allowed "
        "when 'tools' are specified.",
        "parallel_tool_calls",
        None,
    ),
    "choice of no tool": (
        request(tools=[TIME], tool_choice={"type": "function", "function": {"name": "f"}}),
        "Invalid value for 'tool_choice': no function named 'f' was specified in the 'tools' parameter.",
        "tool_choice",
        None,
    ),
    "long name": (
        request(tools=[{"type": "function", "function": {"name": "n" * 65}}]),
        "Invalid 'tools[0].function.name': string too long. Expected a string with maximum length 64, "
        "but got a string with length 65 instead.",
        "tools[0].function.name",
        "string_above_max_length",
    ),
    "json_object without the word": (
        request(response_format={"type": "json_object"}),
        "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
        "messages",
        None,
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_invalid_requests_are_refused_in_openais_words(case: str):
    """400 invalid_request_error with message, param and code."""
    body, text, param, code = REFUSED[case]
    response = post(body)
    assert response.status == 400
    assert error(response) == {"message": text, "type": "invalid_request_error", "param": param, "code": code}


@pytest.mark.parametrize(
    "body",
    [
        request(model="mistral-large", stop=["a", "b", "c", "d", "e"]),
        request([{"type": "video_url", "video_url": {"url": "https://x"}}], model="qwen3-vl"),
        {
            **said(
                USER, CALLING, {**RESULT, "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}
            ),
            "model": "kimi-k3",
        },
    ],
)
def test_other_vendors_models_are_not_held_to_openais_limits(body: dict[str, Any]):
    """Each is a limit of OpenAI's own."""
    assert post(body).status == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'"\\ud800"', b"[" * 100_000])
def test_what_is_no_request_at_all_is_refused(body: bytes):
    """400, whatever the bytes are."""
    response = post(body)
    assert response.status == 400
    assert error(response)["type"] == "invalid_request_error"


def test_unknown_fields_and_nulls_pass():
    """Vendors' own fields must not stop anyone here."""
    nulls = dict.fromkeys(
        ["max_tokens", "stop", "stream", "tools", "tool_choice", "temperature", "response_format"]
    )
    assert message(**nulls, top_k=3, brand_new={"x": 1})["content"] == "You said: hello there"


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    ("model", "effort", "tools", "status"),
    [
        ("gpt-5.6-sol", None, True, 400),
        ("gpt-5.6-sol", "high", True, 400),
        ("gpt-5.6-sol", "none", True, 200),
        ("gpt-5.6-sol", "high", False, 200),
        ("gpt-6-luna", None, True, 400),
        ("gpt-6-luna", "none", True, 200),
        ("gpt-6-astra", None, True, 400),
        ("gpt-6-astra", "none", True, 400),
        ("gpt-6.1-sol", "none", False, 400),
        ("gpt-6.1-sol", "max", False, 200),
        ("gpt-5.5", "high", True, 200),
    ],
)
def test_the_newest_models_take_tools_only_without_reasoning(
    model: str, effort: str | None, tools: bool, status: int
):
    """Their default counts as reasoning; those that always reason take none."""
    more = {**({"tools": [TOOL]} if tools else {}), **({"reasoning_effort": effort} if effort else {})}
    response = post(request(model=model, **more))
    assert response.status == status
    if status == 400:
        assert error(response)["param"] == "reasoning_effort"
