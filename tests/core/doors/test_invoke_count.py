"""count_tokens at InvokeModel: an operation of its own, with a whole request inside."""

import base64
import json
from typing import Any

import pytest

from nexusflow_core import Exchange
from nexusflow_core.upstream import Headers
from tests.core.doors.asking import JSON, config_of, exchange_at, message, sent_to
from tests.core.translation.driving import drive

TARGET = "cloud/us.anthropic.claude-sonnet-4-20250514-v1:0"


def counting(target: str = TARGET, *, route: str = "", headers: Headers = (), **members: Any) -> Exchange:
    config = config_of("bedrock-invoke", target=target, route=route)
    body = {name: value for name, value in message(**members).items() if name != "max_tokens"}
    return exchange_at(config, body, endpoint="count_tokens", headers=headers)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (TARGET, "/model/anthropic.claude-sonnet-4-20250514-v1:0/count-tokens"),
        ("cloud/anthropic.claude-sonnet-5", "/model/anthropic.claude-sonnet-5/count-tokens"),
        (
            "cloud/arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-sonnet-5",
            "/model/anthropic.claude-sonnet-5/count-tokens",
        ),
        (
            "cloud/arn:aws:bedrock:us-east-1:1:application-inference-profile/a1",
            "/model/arn:aws:bedrock:us-east-1:1:application-inference-profile%2Fa1/count-tokens",
        ),
    ],
)
def test_the_base_model_counts(target: str, path: str) -> None:
    """Profiles do not. The inner body is that of InvokeModel, with a `max_tokens` that it requires."""
    betas = [(b"anthropic-beta", b"effort-2025-11-24,unknown-2030-01-01")]
    request = sent_to(counting(target, headers=betas, speed="fast"))
    assert request.url == "https://bedrock-runtime.us-east-1.amazonaws.com" + path
    inner = json.loads(base64.b64decode(json.loads(request.body)["input"]["invokeModel"]["body"]))
    assert inner == {
        "max_tokens": 1,
        "anthropic_version": "bedrock-2023-05-31",
        "anthropic_beta": ["effort-2025-11-24"],
        "messages": [{"role": "user", "content": "hi"}],
    }
    assert {"model", "anthropic_version", "speed", "input.invokeModel.body"} <= set(request.edits)


def test_the_count_comes_in_anthropics_shape() -> None:
    """And nothing else of the answer."""
    driven = drive(counting(), [b'{"inputTok', b'ens":18}'], status=200, headers=JSON)
    assert (driven.status, driven.json) == (200, {"input_tokens": 18})
    assert driven.record.ending == "complete"


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"inputTokens":"x"}', b"<html>", b'{"inputTokens":1.5}'])
def test_an_answer_without_a_count_is_none(body: bytes) -> None:
    """Never a guess."""
    driven = drive(counting(), [body], status=200, headers=JSON)
    assert (driven.status, driven.json["error"]["type"]) == (502, "api_error")


ABSENT = b'{"message":"The provided model doesn\'t support counting tokens."}'


def test_a_model_without_a_counter_has_no_count() -> None:
    """404, so that a client counts for itself, or the estimate that the route asks for."""
    driven = drive(counting(), [ABSENT], status=400, headers=JSON)
    assert (driven.status, driven.json["error"]["type"]) == (404, "not_found_error")
    driven = drive(counting(route='count_tokens = "estimate"'), [ABSENT], status=400, headers=JSON)
    assert driven.status == 200
    assert driven.json["input_tokens"] > 0
    assert driven.headers["x-nexusflow-warning"] == "tokens estimated"


def test_another_refusal_is_told() -> None:
    """Server tools have no counter there."""
    driven = drive(counting(), [b'{"message":"tools.0: Input tag ..."}'], status=400, headers=JSON)
    assert (driven.status, driven.json["error"]["message"]) == (400, "tools.0: Input tag ...")
