"""Behind a cloud's door every model is Claude: usage rules, prices and counts."""

import json
from typing import Any

import msgspec
import pytest

from nexusflow_core import Gateway, decode_config
from nexusflow_core.exchange import Send
from nexusflow_core.logs.call_log import read_record
from nexusflow_core.logs.pricing import Pricer
from nexusflow_core.upstream import Credential
from tests.core.doors.asking import DOOR_SETTINGS, JSON, config_of, exchange_at, message, sent_to
from tests.core.relayed import SSE, events
from tests.core.translation.driving import NOW, Driven, drive

ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3"
ANSWER: dict[str, Any] = {
    "id": "msg_bdrk_01",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5-20251001",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1000, "output_tokens": 100},
}


def answered(door: str, target: str = "cloud", **answer: Any) -> Driven:
    exchange = exchange_at(config_of(door, target=target), message())
    data = json.dumps({**ANSWER, **answer}).encode()
    return drive(exchange, [data], status=200, headers=[*JSON, (b"x-amzn-requestid", b"aws-1")])


SIGNED = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm", "signature": "EqQBCgIYAhIM"}]},
    {"role": "user", "content": "go on"},
]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("cloud/us.anthropic.claude-haiku-4-5-20251001-v1:0", "other/claude-haiku-4-5@20251001", True),
        ("cloud/anthropic.claude-haiku-4-5", "other/claude-haiku-4-5@20251001", True),
        ("cloud/us.anthropic.claude-sonnet-4-6-v1", "other/claude-sonnet-4-6", True),
        ("cloud", "other/claude-haiku-4-5@20251001", True),
        ("cloud/us.anthropic.claude-sonnet-4-6-v1", "other/claude-haiku-4-5@20251001", False),
        ("cloud/us.anthropic.claude-haiku-4-5-20251001-v1:0", "other/claude-haiku-4-5@20260101", False),
        (f"cloud/{ARN}", "other/claude-haiku-4-5", False),
    ],
)
def test_signed_thinking_goes_to_the_same_model_at_another_cloud(first: str, second: str, same: bool) -> None:
    """Names differ between clouds, and signatures hold in all of them. Another model would refuse them."""
    config = config_of("bedrock-invoke", target=first).replace(
        "attempts = 1", "attempts = 2\n        max_wait = 0"
    )
    config = config.replace(f'targets = ["{first}"]', f'targets = ["{first}", "{second}"]')
    config += """
        [upstreams.other]
        dialect = "anthropic"
        door = "vertex"
        project = "acme"
        api_key = "env:CLOUD_KEY"
    """
    exchange = exchange_at(config, message(messages=SIGNED))
    sent_to(exchange)
    exchange.receive_head(503, JSON, 1.0)
    exchange.receive_data(b"{}", 1.0)
    exchange.receive_eof(1.0)
    assert isinstance(exchange.order, Send) is same
    if isinstance(exchange.order, Send):
        assert exchange.order.request.upstream.name == "other"
        assert json.loads(exchange.order.request.body)["messages"] == SIGNED


PRICES = [
    ("bedrock", "cloud/global.anthropic.claude-haiku-4-5-20251001-v1:0", "0.0015"),
    ("bedrock", "cloud/us.anthropic.claude-haiku-4-5-20251001-v1:0", "0.00165"),
    ("bedrock", "cloud/arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-haiku-4-5", "0.00165"),
    ("bedrock", f"cloud/{ARN}", "0.0015"),
    ("bedrock-invoke", "cloud/us.anthropic.claude-haiku-4-5-20251001-v1:0", "0.00165"),
    ("bedrock-mantle", "cloud/anthropic.claude-haiku-4-5", "0.00165"),
    ("aws", "cloud", "0.0015"),
    ("google", "cloud", "0.0015"),
    ("vertex", "cloud/claude-haiku-4-5@20251001", "0.00165"),
    ("foundry", "cloud/our-haiku", "0.0015"),
]


@pytest.mark.parametrize(("door", "target", "usd"), PRICES)
def test_the_target_decides_the_factor(door: str, target: str, usd: str) -> None:
    """The answer names the plain model, and never the profile or deployment."""
    record = answered(door, target).record
    assert record.cost_usd == usd
    assert record.price_vendor == "anthropic"
    assert ("endpoint_unknown" in record.cost_flags) is (target == f"cloud/{ARN}")


@pytest.mark.parametrize(("door", "target", "usd"), PRICES)
def test_the_log_is_priced_alike(door: str, target: str, usd: str) -> None:
    """Offline, from the line of the call log alone."""
    record = answered(door, target).record
    entry = read_record(msgspec.json.encode(record))
    priced = Pricer().price(entry)
    assert priced.cost is not None
    assert (f"{priced.cost.usd:f}", "logged_cost_differs" in priced.cost.flags) == (usd, False)


def test_gov_cloud_has_its_own_factor() -> None:
    """By the region, or by the profile."""
    config = config_of("bedrock-mantle", target="cloud/anthropic.claude-sonnet-4-5-20250929-v1:0")
    exchange = exchange_at(config.replace("us-east-1", "us-gov-west-1"), message())
    data = json.dumps({**ANSWER, "model": "claude-sonnet-4-5-20250929"}).encode()
    driven = drive(exchange, [data], status=200, headers=JSON)
    assert driven.record.cost_usd == "0.0054"  # (1,000 x 3 + 100 x 15) x 1.2 per million


@pytest.mark.parametrize("target", ["cloud/us.anthropic.claude-haiku-4-5-20251001-v1:0", "cloud/our-haiku"])
@pytest.mark.parametrize("door", DOOR_SETTINGS)
def test_usage_follows_anthropics_rules(door: str, target: str) -> None:
    """`message_delta` has only the output; the counts of `message_start` stay, and no zero replaces them."""
    counts = {"input_tokens": 7, "cache_read_input_tokens": 50}
    start = {**ANSWER, "content": [], "usage": {**counts, "output_tokens": 1}}
    stream = [
        {"type": "message_start", "message": start},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"outputTokenCount": 5}},
    ]
    data = events(stream)
    driven = drive(exchange_at(config_of(door, target=target), message()), [data], status=200, headers=SSE)
    assert driven.body == data
    assert driven.record.usage == {**counts, "output_tokens": 9}
    assert driven.record.ending == "complete"


def test_the_billing_header_of_claude_code_stays() -> None:
    """It is removed for third parties alone; a cloud is none."""
    body = message(system=[{"type": "text", "text": "x-anthropic-billing-header: cc_version=2"}])
    exchange = exchange_at(config_of("bedrock", target="cloud/us.anthropic.claude-haiku-4-5"), body)
    assert list(sent_to(exchange).edits) == ["model"]


def test_the_clouds_request_id_is_recorded() -> None:
    """AWS has no `request-id`."""
    assert answered("bedrock").record.upstream_request_id == "aws-1"


def test_a_count_where_the_cloud_has_none() -> None:
    """Bedrock's path answers 200 with an error inside, so it is never asked."""
    exchange = exchange_at(config_of("bedrock"), message(), endpoint="count_tokens")
    exchange.start(0.0)
    assert exchange.response_head is not None
    assert exchange.response_head.status == 404
    config = config_of("bedrock", route='count_tokens = "estimate"')
    exchange = exchange_at(config, message(), endpoint="count_tokens")
    out = exchange.start(0.0)
    assert exchange.response_head is not None
    assert (exchange.response_head.status, json.loads(out)["input_tokens"] > 0) == (200, True)


def test_a_count_where_the_cloud_has_one() -> None:
    """It passes byte for byte."""
    exchange = exchange_at(config_of("bedrock-mantle"), message(), endpoint="count_tokens")
    driven = drive(exchange, [b'{"input_tokens":14}'], status=200, headers=JSON)
    assert (driven.status, driven.body) == (200, b'{"input_tokens":14}')


def test_a_count_that_turns_out_to_be_absent() -> None:
    """The client gets Anthropic's 404, and counts for itself."""
    exchange = exchange_at(config_of("foundry"), message(), endpoint="count_tokens")
    body = b'{"error":{"code":"api_not_supported","message":"No."}}'
    driven = drive(exchange, [body], status=404, headers=JSON)
    assert (driven.status, driven.json["error"]["type"]) == (404, "not_found_error")


@pytest.mark.parametrize("door", DOOR_SETTINGS)
def test_a_key_for_anthropic_never_reaches_a_cloud(door: str) -> None:
    """The client's own key goes to the cloud, but not if it is one of Anthropic's."""
    mine = Credential("x-api-key", b"sk-ant-api03-mine")
    exchange = exchange_at(config_of(door, key=None), message(), credential=mine)
    out = exchange.start(0.0)
    assert exchange.response_head is not None
    assert exchange.response_head.status == 401
    assert b"a cloud" in out


def test_the_model_list_knows_a_deployment() -> None:
    """By the route's name, since nothing else says which model it is."""
    text = config_of("foundry", target="cloud/our-haiku").replace('model = "*"', 'model = "claude-haiku-4-5"')
    config = decode_config(text.encode())
    config.resolve({"CLOUD_KEY": "k"})
    model = Gateway(config).model("claude-haiku-4-5", NOW)
    assert (model["price"]["input"], model["max_input_tokens"]) == ("1", 200_000)


def test_a_call_without_a_key_is_refused() -> None:
    """Nothing is sent without a credential."""
    exchange = exchange_at(config_of("aws", key=None), message())
    exchange.start(0.0)
    assert exchange.response_head is not None
    assert exchange.response_head.status == 401
