"""Refused requests, and errors on demand."""

import json
from typing import Any

import pytest

from nexusflow_core.simulator import FAILURES, SimulatedResponse, simulate
from tests.core.simulator.asking import KEY, message, post, request, text_of

STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def error(response: SimulatedResponse) -> dict[str, Any]:
    """The error object; the envelope and the headers around it are checked."""
    body = json.loads(response.body)
    headers = dict(response.headers)
    assert body.keys() == {"type", "error", "request_id"}
    assert body["type"] == "error"
    assert headers[b"request-id"].decode() == body["request_id"]
    assert headers[b"content-type"] == b"application/json"
    return body["error"]


def test_every_error_type_is_on_offer():
    """The table of failures is the documented one."""
    assert {name: failure.status for name, failure in FAILURES.items()} == STATUS


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", STATUS)
def test_error_on_demand(kind: str, stream: bool):
    """`simulate error <type>` answers with status and type, stream or not."""
    response = post(request(f"Now simulate error {kind}, please", stream=stream))
    assert response.status == STATUS[kind]
    assert error(response)["type"] == kind
    retry = dict(response.headers)[b"x-should-retry"]
    assert retry == (b"true" if kind == "conflict_error" or STATUS[kind] in (429, 500, 504, 529) else b"false")


def test_rate_limit_says_how_long_to_wait():
    """A second, so that SDKs retry soon."""
    assert dict(post(request("simulate error rate_limit_error")).headers)[b"retry-after"] == b"1"
    assert b"retry-after" not in dict(post(request("simulate error api_error")).headers)


def test_errors_on_demand_reach_count_tokens_too():
    """Both endpoints can be made to fail; an error for a stream is no matter there."""
    path = "/v1/messages/count_tokens"
    assert post(request("simulate error overloaded_error"), path).status == 529
    assert post(request("simulate stream error overloaded_error"), path).status == 200


def test_only_the_last_user_turn_orders_an_error():
    """A conversation goes on after an error that was ordered earlier."""
    turns = [
        {"role": "user", "content": "simulate error api_error"},
        {"role": "assistant", "content": "sorry"},
        {"role": "user", "content": "go on"},
    ]
    assert text_of(message(messages=turns)) == "You said: go on"


def test_an_unknown_error_type_is_just_text():
    """No guess at what was meant."""
    assert text_of(message("simulate error gremlins")) == "You said: simulate error gremlins"


@pytest.mark.parametrize("headers", [[], [(b"x-api-key", b"")], [(b"content-type", b"application/json")]])
def test_without_a_credential_nothing_is_answered(headers: list[tuple[bytes, bytes]]):
    """401 in the service's words."""
    response = simulate("/v1/messages", headers, json.dumps(request()).encode())
    assert response.status == 401
    assert error(response) == {"type": "authentication_error", "message": "x-api-key header is required"}


@pytest.mark.parametrize("header", [(b"X-Api-Key", b"k"), (b"authorization", b"Bearer k")])
def test_either_credential_will_do(header: tuple[bytes, bytes]):
    """x-api-key or authorization, in any case."""
    assert simulate("/v1/messages", [header], json.dumps(request()).encode()).status == 200


@pytest.mark.parametrize("path", ["/", "", "/v1/messages/batches", "/v1/complete", "/v1/messages/"])
def test_unknown_paths_are_not_found(path: str):
    """404 not_found_error, as for every path the service lacks."""
    response = simulate(path, KEY, b"{}")
    assert response.status == 404
    assert error(response)["type"] == "not_found_error"


def test_a_base_path_in_front_is_allowed():
    """Vendors offer the protocol below a path of their own."""
    assert post(request(), "/api/anthropic/v1/messages").status == 200


def without(field: str) -> dict[str, Any]:
    return {key: value for key, value in request().items() if key != field}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (without("max_tokens"), "max_tokens: Field required"),
        (without("messages"), "messages: Field required"),
        (without("model"), "model: Field required"),
        (request(model=7), "model: Input should be a valid string"),
        (request(max_tokens=-1), "max_tokens: Input should be greater than or equal to 0"),
        (request(max_tokens="many"), "max_tokens: Input should be a valid integer"),
        (request(messages=[]), "messages: at least one message is required"),
        (request(messages={}), "messages: Input should be a valid list"),
        (request(messages=[{"content": "x"}]), "messages.0.role: Field required"),
        (
            request(messages=[{"role": "robot", "content": "x"}]),
            "messages.0.role: Input should be 'user', 'assistant' or 'system'",
        ),
        (request(messages=[{"role": "user"}]), "messages.0.content: Field required"),
        (request([{"text": "x"}]), "messages.0.content.0.type: Field required"),
        (request([{"type": "text"}]), "messages.0.content.0.text.text: Field required"),
        (request(stream="yes"), "stream: Input should be a valid boolean"),
        (request(stop_sequences=[" "]), "stop_sequences: each stop sequence must contain non-whitespace"),
        (request(tools=[{"name": "a"}]), "tools.0.custom.input_schema: Field required"),
        (request(tool_choice={"type": "any"}), "tool_choice: may only be specified while providing tools"),
    ],
)
def test_invalid_requests_are_refused_with_the_field_and_the_reason(body: dict[str, Any], expected: str):
    """400 invalid_request_error; the message begins with the path of the field."""
    response = post(body)
    assert response.status == 400
    assert error(response) == {"type": "invalid_request_error", "message": expected}
    assert dict(response.headers)[b"x-should-retry"] == b"false"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'"\\ud800"', b"1e999", b"9" * 5_000])
def test_what_is_no_request_at_all_is_refused(body: bytes):
    """400, whatever the bytes are."""
    assert error(post(body))["type"] == "invalid_request_error"


@pytest.mark.parametrize("depth", [200, 900, 100_000])
def test_deep_nests_are_refused(depth: int):
    """A nest deeper than any real request is a 400, not a stack overflow."""
    nest = b"[" * depth + b"]" * depth
    body = b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"metadata":' + nest + b"}"
    response = post(body)
    assert response.status == 400
    assert error(response)["message"] == "The request body nests too deeply"


def test_unknown_fields_and_block_types_pass():
    """New things of the API must not stop anyone here."""
    blocks = [{"type": "hologram", "data": 1}, {"type": "text", "text": "hi", "sparkle": True}]
    assert text_of(message(blocks, brand_new={"x": 1}, temperature=0.3)) == "You said: hi"
