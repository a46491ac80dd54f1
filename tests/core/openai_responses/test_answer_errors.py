"""Errors of Responses upstreams: in an error answer, in one of status 200, and in the middle of a stream."""

import json
from typing import Any

import pytest

from nexusflow_core.exchange import Close, Read, Send
from nexusflow_core.exchange.exchange import PING
from tests.core.openai_responses.answering import (
    DIALECT,
    added,
    answered,
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
from tests.core.translation.driving import REFUSED, asking, exchange_of
from tests.core.translation.grammar import checked

LIMIT = {"code": "rate_limit_exceeded", "message": "Rate limit reached. Please try again in 1m2.5s."}
QUOTA = {"code": "insufficient_quota", "message": "You exceeded your current quota."}


def failed(error: dict[str, Any]) -> list[dict[str, Any]]:
    """The last events of a stream that failed, as OpenAI sends them."""
    nested = {"type": "error", "error": {"type": "x", "param": None, **error}}
    return [nested, event("failed", response=response(status="failed", error=error, usage=None))]


@pytest.mark.parametrize(
    ("error", "status", "type"),
    [
        (LIMIT, 429, "rate_limit_error"),
        (QUOTA, 402, "billing_error"),
        ({"code": "usage_not_included", "message": "no plan"}, 402, "billing_error"),
        ({"code": "server_error", "message": "oops"}, 500, "api_error"),
        ({"code": "vector_store_timeout", "message": "late"}, 500, "api_error"),
        ({"code": "context_length_exceeded", "message": "Your input is long."}, 400, "invalid_request_error"),
        ({"code": "failed_to_download_image", "message": "no image"}, 400, "invalid_request_error"),
        ({"code": "server_is_overloaded", "message": "busy"}, 529, "overloaded_error"),
        ({"code": "model_not_found", "message": "no"}, 404, "not_found_error"),
    ],
)
def test_an_error_inside_200_has_its_own_status(error: dict[str, Any], status: int, type: str) -> None:
    """Nothing was sent before the first item; alone, in a whole answer, flat, and nested."""
    forms = [
        streamed([*created(), *failed(error)]),
        streamed([*created(), failed(error)[1]]),
        streamed([*created(), {"type": "error", "param": None, **error}]),
        answered(response(status="failed", error=error, usage=None)),
        answered({"error": error}),
    ]
    for driven in forms:
        assert (driven.status, driven.json["error"]["type"]) == (status, type)
        assert driven.record.ending == "error"
    if status == 429:
        assert {driven.headers["retry-after"] for driven in forms} == {"63"}


def test_a_prompt_that_is_too_long_is_named_as_anthropic_names_it() -> None:
    """OpenRouter codes it `invalid_prompt`, and has the finer kind beside it."""
    body = {
        "error": {"code": "invalid_prompt", "message": "Too much."},
        "error_type": "context_length_exceeded",
    }
    assert (
        answered(body, status=400, vendor="openrouter")
        .json["error"]["message"]
        .startswith("prompt is too long: ")
    )


@pytest.mark.parametrize(
    "code", ["content_filter", "invalid_prompt", "bio_policy", "misalignment_policy_violation"]
)
@pytest.mark.parametrize("status", [200, 400])
def test_a_refused_prompt_is_a_refusal(code: str, status: int) -> None:
    """Agents handle that better; in a stream, as long as nothing has been sent."""
    body = {"error": {"code": code, "message": "no"}}
    refused = answered(body, status=status).json
    assert (refused["stop_reason"], refused["content"]) == ("refusal", [])
    if status == 200:
        driven = streamed([*created(), *failed({"code": code, "message": "no"})])
        assert checked(driven.body)[-2]["delta"]["stop_reason"] == "refusal"


def test_an_error_after_the_first_item_is_the_last_event() -> None:
    """The status has been sent."""
    driven = streamed([*created(), added(0, message()), *text(0, "Hi"), *failed(LIMIT)])
    events = checked(driven.body)
    assert (driven.status, events[-1]["error"]["type"]) == (200, "rate_limit_error")
    assert (driven.record.ending, driven.record.usage_source) == ("error", "estimated")


@pytest.mark.parametrize("cut", [created(), [*created(), *text(0, "Hi")], [*created(), *text(0, "Hi"), {}]])
@pytest.mark.parametrize("end", [b"", b"data: [DONE]\n\n"])
def test_a_stream_without_its_last_event_is_an_error(cut: list[dict[str, Any]], end: bytes) -> None:
    """Never an invented end."""
    driven = streamed(sse([one for one in cut if one]) + end)
    assert driven.record.ending == "error"
    assert driven.status == (502 if len(cut) == 2 else 200)
    if driven.status == 200:
        assert checked(driven.body)[-1]["type"] == "error"


@pytest.mark.parametrize(
    ("body", "status", "own", "shown"),
    [
        ({"error": {"code": "model_not_found", "message": "no such model"}}, 400, 404, "model: some-model"),
        ({"code": "invalid-argument", "error": "Model not found: grok-9"}, 400, 404, "model: some-model"),
        ({"code": "invalid-argument", "error": "Incorrect API key provided."}, 400, 500, REFUSED),
        ({"detail": "Could not parse your authentication token."}, 401, 500, REFUSED),
        ({"detail": "Unsupported parameter: top_p"}, 400, 400, "Unsupported parameter: top_p"),
        ({"error": {"code": 429, "message": "slow"}, "metadata": {}}, 429, 429, "slow"),
    ],
)
def test_vendors_write_errors_in_their_own_way(body: dict[str, Any], status: int, own: int, shown: str) -> None:
    """OpenAI, xAI, the ChatGPT backend, OpenRouter."""
    driven = answered(body, status=status, vendor="xai")
    assert (driven.status, driven.json["error"]["message"]) == (own, shown)


@pytest.mark.parametrize(
    "body",
    [
        b"garbage",
        b"",
        b"[]",
        b'{"choices": []}',
        b'{"object": "response.compaction", "output": []}',
        json.dumps(response(status="queued")).encode(),
        json.dumps(response(item("function_call", arguments="{}"))).encode(),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_no_answer_is_an_error(body: bytes, stream: bool) -> None:
    """JSON of another kind, an answer in the background, a call without a name."""
    driven = answered(body, stream=stream)
    assert (driven.status, driven.record.ending) == (502, "error")


def test_usage_may_be_absent_in_part_or_whole() -> None:
    """An estimate stands in for it, and says so; absent details are none."""
    bare = answered(response(message("Hi"), usage={"input_tokens": 9, "output_tokens": 2}))
    assert (bare.json["usage"]["input_tokens"], bare.record.usage_source) == (9, "upstream")
    none = answered(response(message("Hi there"), usage=None))
    assert (none.json["usage"]["output_tokens"], none.record.usage_source) == (2, "estimated")
    assert streamed([*created(), *text(0, "Hi"), completed(usage=None)]).record.usage_source == "estimated"


def test_cached_and_written_tokens_are_inside_the_input() -> None:
    """And lifetimes of writes, reasoning, and the tier that was paid for."""
    split = {"ttl_30m_tokens": 200, "ttl_12h_tokens": 100}
    usage = {
        "input_tokens": 1000,
        "input_tokens_details": {
            "cached_tokens": 600,
            "cache_write_tokens": 300,
            "cache_write_tokens_details": split,
        },
        "output_tokens": 50,
        "output_tokens_details": {"reasoning_tokens": 40},
    }
    whole = response(message("Hi"), usage=usage, service_tier="priority", model="gpt-5.6-sol")
    driven = answered(whole)
    assert driven.json["usage"] == {
        "input_tokens": 100,
        "cache_creation_input_tokens": 300,
        "cache_read_input_tokens": 600,
        "output_tokens": 50,
        "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 100},
        "output_tokens_details": {"thinking_tokens": 40},
    }
    # 100 of 4, 600 of 0.4, 300 of 5, 50 of 20 USD/MTok, all twice.
    assert driven.record.cost_usd == "0.00628"
    assert driven.record.price_row is not None


def test_data_may_stand_before_the_name_of_the_event() -> None:
    """Bedrock's order; and OpenRouter's: no names, a comment first, `[DONE]` last."""
    events = [*created(), *text(0, "Hi"), done(0, message("Hi")), completed()]
    swapped = b"".join(b"data: %b\nevent: x\n\n" % json.dumps(one).encode() for one in events)
    bare = b": PROCESSING\n\n" + b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in events)
    for data in (swapped, bare + b"data: [DONE]\n\n"):
        driven = streamed(data)
        assert (checked(driven.body)[-1]["type"], driven.record.ending) == ("message_stop", "complete")


def test_pings_fill_a_long_silence() -> None:
    """Reasoning without a summary sends nothing between its beginning and its end."""
    x = exchange_of(asking(stream=True), dialect=DIALECT, vendor="openai")
    x.start(0.0)
    x.receive_head(200, [(b"content-type", b"text/event-stream")], 0.0)
    assert x.receive_data(sse(created()), 0.0) == b""
    assert b"message_start" in x.receive_data(sse([added(0, item("reasoning", summary=[]))]), 1.0)
    for _ in range(3):
        assert isinstance(x.order, Read)
        assert x.on_timer(x.order.until) == PING


# Requests that are repeated once


def repeated(error: dict[str, Any], *, strip: bool = False, **members: Any) -> tuple[list[dict[str, Any]], Any]:
    """The bodies that were sent, where each is refused with this error, and the record."""
    x = exchange_of(
        asking(stream=False, model="gpt-5.6-sol", **members),
        dialect=DIALECT,
        vendor="openai",
        thinking="strip" if strip else "keep",
        attempts=3,
    )
    x.start(0.0)
    bodies = []
    while isinstance(x.order, Send):
        bodies.append(json.loads(x.order.request.body))
        x.receive_head(400, [(b"content-type", b"application/json")], 0.0)
        x.receive_data(json.dumps({"error": error}).encode(), 0.0)
        x.receive_eof(0.0)
    assert isinstance(x.order, Close)
    return bodies, x.record(0.0)


def test_a_refused_summary_is_not_asked_for_again() -> None:
    """OpenAI shows none to an organization that is not verified. The call is repeated once, and says so."""
    error = {
        "code": "unsupported_value",
        "param": "reasoning.summary",
        "message": "Your organization must be verified to generate reasoning summaries.",
    }
    bodies, record = repeated(error, thinking={"type": "adaptive"})
    assert [body.get("reasoning", {}).get("summary") for body in bodies] == ["auto", None]
    assert record.edits == ("summaries",)
    assert "thinking.display" in [loss.path for loss in record.dropped]
    assert record.status == 400


@pytest.mark.parametrize("strip", [False, True])
def test_refused_reasoning_is_left_out(strip: bool) -> None:
    """Where the route strips thinking. It belongs to another account, or to another model."""
    thought = item("reasoning", summary=[{"type": "summary_text", "text": "hmm"}], encrypted_content="gAAA")
    block = answered(response(thought, message("Hi"))).json["content"][0]
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [block, {"type": "text", "text": "Hi"}]},
        {"role": "user", "content": "and?"},
    ]
    error = {"code": "invalid_encrypted_content", "message": "The encrypted content could not be verified."}
    bodies, record = repeated(error, strip=strip, messages=turns)
    kinds = [[one["type"] for one in body["input"]] for body in bodies]
    assert kinds[0] == ["message", "reasoning", "message", "message"]
    assert kinds[1:] == ([["message", "message", "message"]] if strip else [])
    assert record.edits == (("reasoning",) if strip else ())
