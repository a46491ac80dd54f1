"""The dialect's front door: where requests go and how, counts of tokens, settings, capabilities."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from nexusflow_core import Call, Target, Upstream, decode_config
from nexusflow_core.dialects import DIALECTS
from nexusflow_core.errors import CombinedConfigError
from nexusflow_core.exchange import Close, Send
from tests.core.relayed import JSON, config_of, sent_through
from tests.core.translation.driving import Driven, drive

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
RESPONSES = DIALECTS["openai-responses"]
ASKED = {
    "model": "m",
    "system": "Be brief.",
    "messages": [{"role": "user", "content": "Hello"}],
    "tools": [{"name": "get", "input_schema": {"type": "object"}}],
    "thinking": {"type": "adaptive"},
}


def config(vendor: str = "openai", more: str = "", upstream: str = "") -> str:
    written = config_of(vendor=vendor, target="up/gpt-5.6", more=more)
    written = written.replace('"anthropic"', '"openai-responses"')
    return written.replace('"http://up"', f'"http://up/v1"\nauth = "none"\n{upstream}')


def counted(answer: Any, status: int = 200, *, more: str = "") -> tuple[Driven, Send]:
    """A count_tokens call whose upstream answers so."""
    body = json.dumps(ASKED).encode()
    exchange = sent_through(config(more=more), body, endpoint="count_tokens")
    exchange.start(0.0)
    assert isinstance(exchange.order, Send)
    again = sent_through(config(more=more), body, endpoint="count_tokens")
    return drive(again, [json.dumps(answer).encode()], status=status, headers=JSON), exchange.order


@pytest.mark.parametrize(
    ("vendor", "stream", "accept"),
    [
        ("openai", False, b"application/json"),
        ("openai", True, b"text/event-stream"),
        ("chatgpt", False, b"text/event-stream"),
    ],
)
def test_a_request_as_it_is_sent(vendor: str, stream: bool, accept: bytes) -> None:
    """Its place, its form and its key; never compressed."""
    upstream = Upstream(
        name="u", dialect="openai-responses", base_url="http://u/v1", auth="none", vendor=vendor
    )
    body = json.dumps({**ASKED, "max_tokens": 100, "stream": stream}).encode()
    call = Call(endpoint="messages", request_id="req_1", started_at=NOW, body=body).look(10**8)
    request = RESPONSES.open(call, Target(upstream), NOW).request
    assert request is not None
    assert (request.method, request.url) == ("POST", "http://u/v1/responses")
    headers = dict(request.headers)
    assert (headers[b"accept"], headers[b"accept-encoding"]) == (accept, b"identity")


# Counts


def test_the_vendors_own_count() -> None:
    """Of the prompt as the model would get it, without the members that the counter refuses."""
    driven, sent = counted({"object": "response.input_tokens", "input_tokens": 41})
    assert sent.request.url == "http://up/v1/responses/input_tokens"
    asked = json.loads(sent.request.body)
    assert asked.keys() == {"model", "input", "instructions", "tools", "reasoning"}
    assert (asked["model"], asked["instructions"]) == ("gpt-5.6", "Be brief.")
    assert (driven.status, driven.json) == (200, {"input_tokens": 41})
    assert driven.record.cost_usd is None


@pytest.mark.parametrize("answer", [{"input_tokens": "many"}, {}, []])
def test_a_count_that_is_none(answer: Any) -> None:
    """An error of the upstream's, never a wrong number."""
    assert counted(answer)[0].status == 502


def test_an_error_of_the_counter_keeps_its_status() -> None:
    """In Anthropic's shape."""
    driven, _ = counted({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, 429)
    assert (driven.status, driven.json["error"]["type"]) == (429, "rate_limit_error")


def test_a_vendor_without_a_counter() -> None:
    """404, so that clients count for themselves; an estimate where the route says so."""
    body = json.dumps(ASKED).encode()
    exchange = sent_through(config("xai"), body, endpoint="count_tokens")
    out = exchange.start(0.0)
    assert isinstance(exchange.order, Close)
    assert json.loads(out)["error"]["type"] == "not_found_error"
    estimate = sent_through(config("xai", 'count_tokens = "estimate"'), body, endpoint="count_tokens")
    assert json.loads(estimate.start(0.0))["input_tokens"] > 10
    driven, _ = counted({"detail": "Not Found"}, 404, more='count_tokens = "estimate"')
    assert driven.headers["x-nexusflow-warning"] == "tokens estimated"


# Settings


def test_settings_of_an_upstream() -> None:
    """The key goes as a bearer token, and a base URL that has the path already is refused."""
    keyed = config().replace('auth = "none"', 'api_key = "env:KEY"')
    assert decode_config(keyed.encode()).upstreams["up"].auth == "bearer"
    with pytest.raises(CombinedConfigError, match="base_url"):
        decode_config(config().replace("http://up/v1", "http://up/v1/responses").encode())


def test_only_this_dialect_carries_server_tools() -> None:
    """Elsewhere the setting would do nothing: a mistake in the configuration."""
    carry = 'server_tools = "carry"'
    target = decode_config(config(upstream=carry).encode()).routes[0].targets[0]
    assert target.options.server_tools == "carry"
    other = config(upstream=carry).replace("openai-responses", "openai-chat")
    with pytest.raises(CombinedConfigError, match=r"server_tools.*the value 'carry' has no effect"):
        decode_config(other.encode())


def test_an_unknown_vendor_is_a_mistake() -> None:
    """It would turn on nothing."""
    with pytest.raises(CombinedConfigError, match="no vendor is called 'opnai'"):
        decode_config(config("opnai").encode())


@pytest.mark.parametrize(("vendor", "prices"), [("openai", "openai"), ("azure", "openai"), ("xai", "xai")])
def test_whose_prices_apply(vendor: str, prices: str) -> None:
    """The vendor's own, and at a cloud those of the models' maker."""
    assert decode_config(config(vendor).encode()).upstreams["up"].prices == prices


def test_capabilities() -> None:
    """What is carried to a model; nothing is said of a vendor without a row."""
    upstream = decode_config(config().encode()).upstreams["up"]
    found = RESPONSES.capabilities(upstream, "gpt-5.6")
    assert found is not None
    assert (found["effort"]["max"], found["pdf_input"]) == ({"supported": True}, {"supported": True})
    assert found["thinking"]["types"]["disabled"] == {"supported": True}
    always = RESPONSES.capabilities(upstream, "gpt-6-astra")
    assert always is not None
    assert always["thinking"]["types"]["disabled"] == {"supported": False}
    nobody = Upstream(name="u", dialect="openai-responses", base_url="http://u")
    assert RESPONSES.capabilities(nobody, "m") is None
