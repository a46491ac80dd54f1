"""What an operator decides about translated calls, from the file to the upstream's bytes."""

import json
from typing import Any

import pytest

from nexusflow_core import Call, CallRecord, ConfigError, Gateway, TargetOptions, decode_config
from nexusflow_core.exchange import Send
from nexusflow_core.upstream import Credential
from tests.core.translation.asking import request_of, translated
from tests.core.translation.driving import NOW

FILE = """
[upstreams.local]
dialect = "openai-chat"
base_url = "http://127.0.0.1:8000/v1"
images = "omit"
tool_images = "bridge"

[upstreams.other]
dialect = "openai-chat"
base_url = "http://127.0.0.1:8001/v1"
server_tools = "drop"

[[routes]]
model = "small"
targets = ["local", "other"]
max_tokens = 8192

[[routes]]
model = "loose"
targets = ["local"]
server_tools = "drop"

[[routes]]
model = "tight"
targets = ["other"]
server_tools = "refuse"
strict = true
max_tokens = 10
"""

SEARCH = {"type": "web_search_20250305", "name": "web_search"}


def test_the_file_becomes_options() -> None:
    """A route's word goes over its upstream's."""
    routes = decode_config(FILE.encode()).routes
    assert [[target.options for target in route.targets] for route in routes] == [
        [
            TargetOptions(max_tokens=8192, images="omit", tool_images="bridge"),
            TargetOptions(max_tokens=8192, server_tools="drop"),
        ],
        [TargetOptions(images="omit", tool_images="bridge", server_tools="drop")],
        [TargetOptions(max_tokens=10)],
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('images = "hide"', "upstreams.local.images: Invalid enum value 'hide'"),
        ('tool_images = "x"', "upstreams.local.tool_images: Invalid enum value 'x'"),
        ('server_tools = "x"', "upstreams.local.server_tools: Invalid enum value 'x'"),
    ],
)
def test_a_mistake_in_an_upstream(line: str, message: str) -> None:
    """Named with its place."""
    text = FILE.partition("images")[0] + line
    with pytest.raises(ConfigError, match=message):
        decode_config(text.encode())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("max_tokens = 0", r"routes\[3\].max_tokens: must be at least 1"),
        ('max_tokens = "8k"', r"routes\[3\].max_tokens: Expected `int"),
        ('server_tools = "x"', r"routes\[3\].server_tools: Invalid enum value 'x'"),
    ],
)
def test_a_mistake_in_a_route(line: str, message: str) -> None:
    """Named with its place."""
    text = f'{FILE}\n[[routes]]\nmodel = "x"\ntargets = ["local"]\n{line}'
    with pytest.raises(ConfigError, match=message):
        decode_config(text.encode())


def opened(**members: Any) -> tuple[Any, CallRecord]:
    """A call by that file: the first upstream's body, or None, and the record."""
    body = json.dumps({**request_of(), **members}).encode()
    call = Call(
        endpoint="messages",
        request_id="req_1",
        started_at=NOW,
        body=body,
        credential=Credential("bearer", b"sk-client"),
    ).look(10**8)
    exchange = Gateway(decode_config(FILE.encode())).open(call, started=0.0)
    exchange.start(0.0)
    order = exchange.order
    exchange.client_gone(0.0)
    return json.loads(order.request.body) if isinstance(order, Send) else None, exchange.record(0.0)


def test_they_reach_the_upstream() -> None:
    """Through the gateway, with what is lost in the record."""
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    sent, record = opened(
        model="loose", tools=[SEARCH], messages=[{"role": "user", "content": [image]}], max_tokens=128_000
    )
    assert sent == {
        "model": "loose",
        "messages": [{"role": "user", "content": "[image omitted]"}],
        "max_tokens": 128_000,
    }
    assert {loss.path for loss in record.dropped} == {"messages[0].content[0]", "tools[0]"}
    sent, record = opened(model="small", max_tokens=128_000)
    assert sent["max_tokens"] == 8192
    assert [loss.path for loss in record.dropped] == ["max_tokens"]
    assert opened(model="tight", max_tokens=11)[0] is None


@pytest.mark.parametrize(
    ("asked", "sent", "dropped"), [(5, 5, ()), (10, 10, ()), (128_000, 10, ("max_tokens",))]
)
@pytest.mark.parametrize(("vendor", "member"), [("generic", "max_tokens"), ("openai", "max_completion_tokens")])
def test_max_tokens_of_a_route(
    asked: int, sent: int, dropped: tuple[str, ...], vendor: str, member: str
) -> None:
    """More than the model can write gets as much, and is named; `strict` refuses."""
    outcome = translated(request_of(max_tokens=asked), vendor, max_tokens=10)
    assert (outcome.json[member], outcome.dropped) == (sent, dropped)
    refusal = translated(request_of(max_tokens=asked), vendor, max_tokens=10, strict=True).refusal
    assert refusal == ("max_tokens: 128000 > 10, the most that this route declares" if dropped else None)


def test_without_a_declaration_it_goes_as_it_is() -> None:
    """A vendor's own 400 stays one."""
    assert translated(request_of(max_tokens=128_000)).json["max_tokens"] == 128_000
    assert translated(request_of(max_tokens=0), max_tokens=10).refusal is not None


KEEP_ALL = {"type": "clear_thinking_20251015", "keep": "all"}


@pytest.mark.parametrize(
    ("edits", "dropped"),
    [
        ([KEEP_ALL], ("thinking.display",)),
        (
            [{**KEEP_ALL, "keep": {"type": "thinking_turns", "value": 1}}],
            ("thinking.display", "context_management"),
        ),
        ([KEEP_ALL, {"type": "clear_tool_uses_20250919"}], ("thinking.display", "context_management")),
    ],
)
def test_strict_serves_what_claude_code_says_with_every_request(edits: Any, dropped: tuple[str, ...]) -> None:
    """An edit that clears nothing is no loss, and how thinking is shown changes no answer."""
    members = {
        "model": "deepseek-v4-pro",
        "context_management": {"edits": edits},
        "thinking": {"type": "adaptive", "display": "updates"},
    }
    assert translated(request_of(**members), "deepseek").dropped == dropped
    refusal = translated(request_of(**members), "deepseek", strict=True).refusal
    told = "context_management: context is edited by Anthropic only"
    assert refusal == (told if "context_management" in dropped else None)
