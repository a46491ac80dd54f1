"""Errors of an upstream, as the client gets them: one table for sync calls and streams that had not begun."""

import json
from typing import Any

import pytest

from nexusflow_core.errors import UpstreamTimeoutError, UpstreamUnreachableError
from nexusflow_core.exchange import Close, Send
from tests.core.translation.driving import (
    Driven,
    answered,
    asking,
    chunks,
    drive,
    error,
    exchange_of,
    sse,
    streamed,
)
from tests.core.translation.grammar import checked

TABLE: list[tuple[int, Any, int, str]] = [
    (400, error(), 400, "invalid_request_error"),
    (400, error(code="model_not_found"), 404, "not_found_error"),
    (400, error("maximum context length is 9 tokens"), 400, "invalid_request_error"),
    (400, error("too long", type="exceed_context_size_error", n_ctx=9), 400, "invalid_request_error"),
    (401, error(), 401, "authentication_error"),
    (402, error("Insufficient Balance"), 402, "billing_error"),
    (403, error(), 403, "permission_error"),
    (404, error(code="model_not_found"), 404, "not_found_error"),
    (404, error(), 404, "not_found_error"),
    (405, error(), 400, "invalid_request_error"),
    (408, error(), 504, "timeout_error"),
    (409, error(), 409, "conflict_error"),
    (413, error("Request too large"), 413, "request_too_large"),
    (413, error(code="context_length_exceeded"), 400, "invalid_request_error"),
    (415, error(), 400, "invalid_request_error"),
    (418, error(), 400, "invalid_request_error"),
    (422, {"detail": [{"loc": ["body"], "msg": "no"}]}, 400, "invalid_request_error"),
    (429, error(), 429, "rate_limit_error"),
    (429, error(code="insufficient_quota"), 402, "billing_error"),
    (429, error(type="credit_balance_exhausted"), 402, "billing_error"),
    (429, error("You exceeded your current quota"), 429, "rate_limit_error"),
    (429, error(type="exceeded_current_quota_error"), 402, "billing_error"),
    (500, error(), 500, "api_error"),
    (501, error(), 500, "api_error"),
    (502, error(), 502, "api_error"),
    (503, error(), 529, "overloaded_error"),
    (503, error(code="slow_down"), 529, "overloaded_error"),
    (500, error(type="engine_overloaded"), 529, "overloaded_error"),
    (504, error(), 504, "timeout_error"),
    (524, error(), 500, "api_error"),
    (529, error(), 529, "overloaded_error"),
]
"""translation.md section 7, with a key of the client's own: status and body upstream, status and type here."""


@pytest.mark.parametrize(("status", "body", "shown", "kind"), TABLE, ids=str)
@pytest.mark.parametrize("stream", [False, True])
def test_the_table(status: int, body: Any, shown: int, kind: str, stream: bool) -> None:
    """Always Anthropic's envelope and a request-id, and a message."""
    driven = answered(body, status=status, own_key=False, stream=stream)
    assert (driven.status, driven.json["error"]["type"]) == (shown, kind)
    assert driven.json["type"] == "error"
    assert driven.json["request_id"] == driven.headers["request-id"] == "req_1"
    assert driven.json["error"]["message"]
    assert (driven.record.ending, driven.record.error_type) == ("error", kind)
    assert driven.record.attempts[0].status == status


@pytest.mark.parametrize("status", [401, 403])
def test_a_client_is_not_blamed_for_a_key_that_nobody_sent(status: int) -> None:
    """The upstream of `auth = "none"` wants one after all: that is the operator's to mend."""
    exchange = exchange_of(asking(stream=False), own_key=False, auth="none")
    driven = drive(exchange, [json.dumps(error("Missing API key")).encode()], status=status, headers=[])
    assert (driven.status, driven.json["error"]["type"]) == (500, "api_error")


@pytest.mark.parametrize("status", [401, 403])
def test_the_gateways_own_key_is_none_of_the_clients_business(status: int) -> None:
    """500, with no word of the key; the client is told not to try again."""
    driven = answered(error("Incorrect API key provided: sk-proj-abcdef123456"), status=status, own_key=True)
    assert (driven.status, driven.json["error"]["type"]) == (500, "api_error")
    assert "key" not in driven.json["error"]["message"].lower()
    assert driven.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"object": "error", "message": "Invalid model: x", "type": "invalid_model", "code": "1500"}, 404),
        ({"object": "error", "message": "max_tokens must be below 1500", "type": "invalid_request"}, 400),
    ],
    ids=str,
)
def test_a_number_in_a_message_is_no_unknown_model(body: Any, status: int) -> None:
    """Mistral's code for one is 1500, which others may say of tokens."""
    assert answered(body, status=400, vendor="mistral").status == status


@pytest.mark.parametrize(
    "body",
    [
        b'"just text"',
        b"plain text",
        b'{"message": "m"}',
        b'{"detail": "d"}',
        b'{"code": "c", "msg": "m"}',
        b'[{"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}]',
        b"",
        b"\xff\xfe",
        b"<html>proxy</html>",
        b"null",
        b"{}",
        b"[" * 10_000,
        b'{"error":' * 990 + b'"x"' + b"}" * 990,
        b'{"message":' * 990 + b'"x"' + b"}" * 990,
        b'{"code":' * 990 + b'"x"' + b"}" * 990,
        b"[" * 990 + b"]" * 990,
    ],
)
def test_every_form_of_an_error_is_read(body: bytes) -> None:
    """No form of body makes the error path itself fail; the content-type is not looked at."""
    driven = answered(body, status=400, headers={"content-type": "application/octet-stream"})
    assert (driven.status, driven.json["error"]["type"]) == (400, "invalid_request_error")
    assert "<" not in driven.json["error"]["message"]


# When to come back


def refused(status: int = 429, **headers: str) -> Driven:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return answered(error(), status=status, headers=named)


@pytest.mark.parametrize(
    ("headers", "seconds", "again"),
    [
        ({"retry_after": "7"}, "7", None),
        ({"retry_after": "7", "retry_after_ms": "1500"}, "2", None),
        ({"retry_after": "60"}, "60", None),
        ({"retry_after": "61"}, "61", "false"),
        ({"x_ratelimit_reset_requests": "12s", "x_ratelimit_reset_tokens": "1m30s"}, "90", "false"),
        ({"x_ratelimit_reset_tokens": "120ms"}, "1", None),
        ({"x_ratelimit_reset_tokens": "6m0s"}, "360", "false"),
        ({}, "1", None),
        ({"retry_after": "Fri, 31 Dec 1999 23:59:59 GMT"}, "1", None),
        ({"retry_after": "Sun, 22 Nov 2026 12:00:45 GMT"}, "45", None),
        ({"retry_after": "Sun, 22 Nov 2026 12:03:00 GMT"}, "180", "false"),
        ({"retry_after": "soon"}, "1", None),
        ({"x_should_retry": "true", "retry_after": "3"}, "3", "true"),
        ({"x_should_retry": "false", "retry_after": "3"}, "3", "false"),
        ({"x_should_retry": "maybe", "retry_after": "3"}, "3", None),
    ],
)
def test_a_rate_limit_says_when_to_come_back(headers: dict[str, str], seconds: str, again: str | None) -> None:
    """Always a retry-after; beyond a minute the client need not wait."""
    driven = refused(**headers)
    assert (driven.headers["retry-after"], driven.headers.get("x-should-retry")) == (seconds, again)


def quota_of_a_minute(delay: Any = "38s") -> list[dict[str, Any]]:
    """Gemini's, for every limit that it has."""
    said = "You exceeded your current quota, please check your plan and billing details. Please retry in 38.5s."
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    quota = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "PerMinute"}]}
    return [error(said, code=429, status="RESOURCE_EXHAUSTED", details=[quota, info])]


@pytest.mark.parametrize(
    ("delay", "headers", "seconds", "again"),
    [
        ("38s", {}, "38", None),
        ("38.5s", {}, "39", None),
        ("3600s", {}, "3600", "false"),
        ("38s", {"retry-after": "7"}, "7", None),
        ("38s", {"x-ratelimit-reset-tokens": "9s"}, "38", None),
        ("soon", {}, "1", None),
        (38, {}, "1", None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_geminis_limit_of_a_minute_is_a_rate_limit(
    delay: Any, headers: dict[str, str], seconds: str, again: str | None, stream: bool
) -> None:
    """It says "exceeded your current quota" of that too, and in the body when to come back."""
    body = quota_of_a_minute(delay)
    driven = answered(body, status=429, headers=headers, vendor="gemini", stream=stream)
    assert (driven.status, driven.json["error"]["type"]) == (429, "rate_limit_error")
    assert (driven.headers["retry-after"], driven.headers.get("x-should-retry")) == (seconds, again)
    at_200 = answered(body[0], vendor="gemini", headers=headers, stream=stream)
    assert (at_200.status, at_200.headers["retry-after"]) == (429, seconds)


def test_after_geminis_limit_of_a_minute_the_next_target_is_tried() -> None:
    """A spent balance would end the call."""
    exchange = exchange_of(asking(stream=False), vendor="gemini", targets=2)
    exchange.start(0.0)
    exchange.receive_head(429, [], 0.0)
    exchange.receive_data(json.dumps(quota_of_a_minute()).encode(), 0.0)
    exchange.receive_eof(0.0)
    assert isinstance(exchange.order, Send)
    assert exchange.order.request.url == "http://u1/chat/completions"


def test_an_overload_has_a_retry_after_where_the_upstream_gave_one() -> None:
    """And none is made up."""
    assert refused(503, retry_after="5").headers["retry-after"] == "5"
    assert "retry-after" not in refused(503).headers
    assert refused(500, x_should_retry="false").headers["x-should-retry"] == "false"


def test_rate_limits_of_a_good_answer() -> None:
    """`x-ratelimit-*` becomes `anthropic-ratelimit-*`, a duration a moment; nonsense is left out."""
    headers = {
        "x-ratelimit-limit-requests": "100",
        "x-ratelimit-remaining-requests": "99",
        "x-ratelimit-reset-requests": "6m0s",
        "x-ratelimit-limit-tokens": "40000",
        "x-ratelimit-remaining-tokens": "-1",
        "x-ratelimit-reset-tokens": "9" * 400 + "h",
    }
    whole = answered({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}, headers=headers)
    stream = streamed(sse(chunks({"content": "Hi"})), headers=headers)
    for driven in (whole, stream):
        found = {name: value for name, value in driven.headers.items() if "ratelimit" in name}
        assert found == {
            "anthropic-ratelimit-requests-limit": "100",
            "anthropic-ratelimit-requests-remaining": "99",
            "anthropic-ratelimit-requests-reset": "2026-11-22T12:06:00Z",
            "anthropic-ratelimit-tokens-limit": "40000",
        }


@pytest.mark.parametrize(
    "value", ["12\x00", "12\r\nx-evil: 1", "sk-upstream", "-1", "1.5", "", "9" * 40, "\uff11\uff12"]
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_rate_limit_is_digits_or_nothing(value: str, stream: bool) -> None:
    """A control character would cut the client's answer; a key would be shown to it."""
    headers = {f"x-ratelimit-{what}-tokens": value for what in ("limit", "remaining", "reset")}
    headers["x-request-id"] = f"req-{value}"
    said: Any = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}
    driven = answered(sse(chunks({"content": "Hi"})) if stream else said, headers=headers, stream=stream)
    assert driven.status == 200
    shown = {name: value for name, value in driven.headers.items() if "ratelimit" in name}
    assert set(shown) <= ({"anthropic-ratelimit-tokens-reset"} if value == "1.5" else set())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [200, 429])
def test_the_credential_is_not_in_the_record_as_an_id(stream: bool, status: int) -> None:
    """Some servers make their ids of what they are sent."""
    said: Any = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}
    body = (
        sse(chunks({"content": "Hi"})) if stream and status == 200 else said if status == 200 else error("no")
    )
    headers = {"x-request-id": "correct-horse-battery/7"}
    driven = answered(body, headers=headers, stream=stream, status=status, key="correct-horse-battery")
    assert driven.record.upstream_request_id == "[removed]/7"


# No answer at all, and the next target


@pytest.mark.parametrize("stream", [False, True])
def test_a_redirect_is_not_followed(stream: bool) -> None:
    """It is a 502: the key must not go to another host."""
    driven = answered(b"", status=307, headers={"location": "http://elsewhere"}, stream=stream)
    assert (driven.status, driven.json["error"]["type"]) == (502, "api_error")
    assert "elsewhere" not in driven.json["error"]["message"]


@pytest.mark.parametrize(
    ("failure", "status", "kind"),
    [
        (UpstreamUnreachableError("no connection"), 502, "api_error"),
        (UpstreamTimeoutError("silent"), 504, "timeout_error"),
    ],
)
def test_no_answer(failure: Any, status: int, kind: str) -> None:
    """Before the first byte: its own status."""
    exchange = exchange_of(asking(stream=True))
    exchange.start(0.0)
    body = exchange.transport_failed(failure, 1.0)
    assert exchange.response_head is not None
    assert (exchange.response_head.status, json.loads(body)["error"]["type"]) == (status, kind)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_the_next_target_is_tried_unseen(status: int, stream: bool) -> None:
    """Before the first byte an error that may pass opens the next leg."""
    exchange = exchange_of(asking(stream=stream), targets=2)
    exchange.start(0.0)
    exchange.receive_head(status, [], 0.0)
    assert exchange.receive_data(json.dumps(error()).encode(), 0.0) == b""
    assert exchange.receive_eof(0.0) == b""
    assert exchange.response_head is None
    assert isinstance(exchange.order, Send)
    assert exchange.order.request.url == "http://u1/chat/completions"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_a_fault_of_the_request_tries_no_other_target(status: int) -> None:
    """With the client's own key, it would be one there too."""
    exchange = exchange_of(asking(stream=False), targets=2, own_key=False)
    exchange.start(0.0)
    exchange.receive_head(status, [], 0.0)
    exchange.receive_data(json.dumps(error()).encode(), 0.0)
    exchange.receive_eof(0.0)
    assert isinstance(exchange.order, Close)
    assert len(exchange.record(0.0).attempts) == 1


@pytest.mark.parametrize(
    "stream", [b"", b": comment\n\n", b"data: [DONE]\n\n", b"data: " + json.dumps(error()).encode()]
)
def test_an_empty_stream_tries_the_next_target(stream: bytes) -> None:
    """Nothing had been sent, so nobody notices; the second answer is the answer."""
    exchange = exchange_of(asking(stream=True), targets=2)
    exchange.start(0.0)
    exchange.receive_head(200, [], 0.0)
    exchange.receive_data(stream, 0.0)
    exchange.receive_eof(0.0)
    assert isinstance(exchange.order, Send)
    exchange.receive_head(200, [], 0.0)
    body = exchange.receive_data(sse(chunks({"content": "Hi"})), 0.0) + exchange.receive_eof(0.0)
    assert checked(body)[-1]["type"] == "message_stop"
    record = exchange.record(0.0)
    assert [attempt.reason for attempt in record.attempts] == ["api_error", ""]
    assert record.ending == "complete"


def test_after_the_first_event_there_is_no_other_target() -> None:
    """One error event, and nothing twice."""
    exchange = exchange_of(asking(stream=True), targets=2)
    driven = drive(exchange, [sse(chunks({"content": "Hi"}, finish=None), done=False)], status=200, headers=[])
    assert checked(driven.body)[-1]["type"] == "error"
    assert len(driven.record.attempts) == 1
