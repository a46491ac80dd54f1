"""A cloud refuses what its row does not know: the call is repeated once without exactly that."""

import json
from typing import Any

import pytest

from nexusflow_core import Exchange, UpstreamRequest, decode_config
from nexusflow_core.exchange import Send
from nexusflow_core.upstream import Headers
from tests.core.doors.asking import DOOR_SETTINGS, JSON, betas_of, config_of, exchange_at, message, sent_to
from tests.core.doors.framing import exception
from tests.core.translation.driving import drive

FILTERED = ("bedrock", "bedrock-invoke", "bedrock-mantle", "vertex", "foundry")
EXTRA = "new_thing: Extra inputs are not permitted"
BETAS = [(b"anthropic-beta", b"interleaved-thinking-2025-05-14,effort-2025-11-24")]
ANSWER = json.dumps({"type": "message", "id": "m", "usage": {"input_tokens": 1, "output_tokens": 1}}).encode()


def shapes(text: str) -> list[bytes]:
    """The error in Anthropic's shape and in that of AWS."""
    inside = {"type": "error", "error": {"type": "invalid_request_error", "message": text}}
    return [json.dumps(inside).encode(), json.dumps({"message": text}).encode()]


def ask(door: str, *, headers: Headers = (), more: str = "", attempts: int = 3, **members: Any) -> Exchange:
    config = config_of(door, more=more).replace("attempts = 1", f"attempts = {attempts}")
    return exchange_at(config, message(**members), headers=headers)


def answer(exchange: Exchange, status: int, body: bytes) -> bytes:
    exchange.receive_head(status, JSON, 1.0)
    return exchange.receive_data(body, 1.0) + exchange.receive_eof(1.0)


def repeated(exchange: Exchange, refusal: bytes) -> UpstreamRequest:
    """The second request, after this 400."""
    sent_to(exchange)
    assert answer(exchange, 400, refusal) == b""
    assert isinstance(exchange.order, Send)
    return exchange.order.request


@pytest.mark.parametrize("shape", [0, 1])
@pytest.mark.parametrize("door", FILTERED)
def test_a_refused_member_is_left_out_and_nothing_else(door: str, shape: int) -> None:
    """Whatever shape the error has. The record lists the member."""
    exchange = ask(door, new_thing={"a": 1}, other_thing=2)
    first = sent_to(ask(door, other_thing=2))
    again = repeated(exchange, shapes(EXTRA)[shape])
    assert again.body == first.body
    assert answer(exchange, 200, ANSWER) == ANSWER
    record = exchange.record(2.0)
    assert "new_thing" in record.edits
    assert "other_thing" not in record.edits
    assert [attempt.status for attempt in record.attempts] == [400, 200]


def test_a_refused_member_takes_its_beta_along() -> None:
    """Other betas stay. The one of the member is found by its name, or in the table."""
    betas = [(b"anthropic-beta", b"context-management-2025-06-27,effort-2025-11-24")]
    exchange = ask("bedrock", headers=betas, context_management={"edits": []})
    text = "context_management: Extra inputs are not permitted"
    again = repeated(exchange, shapes(text)[0])
    assert betas_of(again) == "effort-2025-11-24"
    assert "context_management" not in json.loads(again.body)
    assert set(again.edits) == {"anthropic-beta:context-management-2025-06-27", "context_management"}


@pytest.mark.parametrize("door", ["bedrock", "bedrock-invoke", "vertex"])
def test_refused_betas_are_left_out(door: str) -> None:
    """Only those that the error names."""
    text = "Unexpected value(s) `effort-2025-11-24`, `never-sent` for the `anthropic-beta` header. Please ..."
    again = repeated(ask(door, headers=BETAS), shapes(text)[0])
    sent = betas_of(again) or ",".join(json.loads(again.body)["anthropic_beta"])
    assert sent == "interleaved-thinking-2025-05-14"
    assert "anthropic-beta:effort-2025-11-24" in again.edits
    assert not any("never" in edit for edit in again.edits)


def test_a_renamed_beta_is_found_by_the_doors_name() -> None:
    """The cloud knows only that name."""
    betas = [(b"anthropic-beta", b"advanced-tool-use-2025-11-20")]
    text = "Unexpected value(s) `tool-search-tool-2025-10-19` for the `anthropic-beta` header."
    assert betas_of(repeated(ask("bedrock", headers=betas), shapes(text)[0])) is None


def test_it_is_repeated_once() -> None:
    """The second refusal is the answer, byte for byte."""
    exchange = ask("bedrock", new_thing=1, other_thing=2)
    repeated(exchange, shapes(EXTRA)[0])
    second = shapes("other_thing: Extra inputs are not permitted")[0]
    assert answer(exchange, 400, second) == second
    assert exchange.record(2.0).status == 400


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("messages: Extra inputs are not permitted", {}),
        ("output_config: Extra inputs are not permitted", {"output_config": {"effort": "low"}}),
        ("mcp_servers: Extra inputs are not permitted", {"mcp_servers": []}),
        ("not_sent: Extra inputs are not permitted", {}),
        ("tools.0.custom.new_thing: Extra inputs are not permitted", {"new_thing": 1}),
        ("max_tokens: Field required", {"new_thing": 1}),
        ("x" * 20_000 + EXTRA, {"new_thing": 1}),
    ],
)
def test_any_other_refusal_is_the_answer(text: str, members: dict[str, Any]) -> None:
    """A member that decides the answer is never left out."""
    exchange = ask("bedrock", **members)
    sent_to(exchange)
    assert answer(exchange, 400, shapes(text)[0]) == shapes(text)[0]


@pytest.mark.parametrize(
    ("door", "more", "attempts", "status"),
    [
        ("aws", "", 3, 400),
        ("google", "", 3, 400),
        ("bedrock", 'betas = "pass"', 3, 400),
        ("bedrock", "", 1, 400),
        ("bedrock", "", 3, 422),
    ],
)
def test_where_it_is_not_repeated(door: str, more: str, attempts: int, status: int) -> None:
    """Doors without a filter, the filter switched off, no attempt left, another status."""
    exchange = ask(door, more=more, attempts=attempts, new_thing=1)
    sent_to(exchange)
    assert answer(exchange, status, shapes(EXTRA)[0]) == shapes(EXTRA)[0]


def test_another_cloud_gets_the_member() -> None:
    """Only the cloud that refused it does without it."""
    config = config_of("bedrock").replace('targets = ["cloud"]', 'targets = ["cloud", "other"]')
    config = config.replace("attempts = 1", "attempts = 4\nbackoff = 0")
    config += f"""
        [upstreams.other]
        dialect = "anthropic"
        door = "foundry"
        {DOOR_SETTINGS["foundry"]}
        api_key = "env:CLOUD_KEY"
    """
    assert decode_config(config.encode())
    exchange = exchange_at(config, message(new_thing=1))
    repeated(exchange, shapes(EXTRA)[0])
    while isinstance(order := exchange.order, Send) and order.request.upstream.name == "cloud":
        answer(exchange, 503, b"{}")
        exchange.on_timer(getattr(exchange.order, "until", 0.0))
    assert isinstance(exchange.order, Send)
    assert json.loads(exchange.order.request.body)["new_thing"] == 1
    answer(exchange, 200, ANSWER)
    assert list(exchange.record(9.0).edits) == []


def test_an_exception_before_the_first_event_is_such_a_refusal() -> None:
    """InvokeModel may say it inside its stream."""
    exchange = ask("bedrock-invoke", stream=True, new_thing=1)
    sent_to(exchange)
    exchange.receive_head(200, [(b"content-type", b"application/vnd.amazon.eventstream")], 1.0)
    assert exchange.receive_data(exception("validationException", EXTRA), 1.0) == b""
    assert isinstance(exchange.order, Send)
    assert "new_thing" not in json.loads(exchange.order.request.body)


def test_the_client_is_told_if_the_cloud_is_right() -> None:
    """Without a budget for a second attempt the cloud's words are the answer."""
    driven = drive(ask("bedrock", attempts=1, new_thing=1), [shapes(EXTRA)[1]], status=400, headers=JSON)
    assert driven.json["error"]["message"] == EXTRA
