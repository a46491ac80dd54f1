"""Betas and members that a cloud refuses: left out, listed, and nothing else changes."""

import json

import pytest

from nexusflow_core import UpstreamRequest
from nexusflow_core.dialects.anthropic.doors import DOORS
from nexusflow_core.json_spans import spliced
from tests.core.doors.asking import DOOR_SETTINGS, betas_of, config_of, exchange_at, message, sent_to

CLAUDE_CODE = [
    (b"anthropic-beta", b"claude-code-20250219,interleaved-thinking-2025-05-14, context-management-2025-06-27"),
    (b"anthropic-beta", b"prompt-caching-scope-2026-01-05,advanced-tool-use-2025-11-20"),
]
"""The betas of a Claude Code of 2026."""


@pytest.mark.parametrize("door", [door for door in DOOR_SETTINGS if DOORS[door].envelope is None])
def test_the_body_is_the_clients(door: str) -> None:
    """The very object: nothing in a usual body is refused anywhere."""
    exchange = exchange_at(config_of(door), b'{"model" : "claude-haiku-4-5", "max_tokens":9,\n"messages":[]}')
    request = sent_to(exchange)
    assert request.body == b'{"model" : "claude-haiku-4-5", "max_tokens":9,\n"messages":[]}'
    assert list(request.edits) == []


BETAS = {
    "bedrock": "interleaved-thinking-2025-05-14,context-management-2025-06-27,tool-search-tool-2025-10-19",
    "bedrock-invoke": "interleaved-thinking-2025-05-14,context-management-2025-06-27,"
    "tool-search-tool-2025-10-19",
    "bedrock-mantle": "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,"
    "tool-search-tool-2025-10-19",
    "vertex": "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,"
    "tool-search-tool-2025-10-19",
    "foundry": "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,"
    "prompt-caching-scope-2026-01-05,advanced-tool-use-2025-11-20",
}


def in_the_body(request: UpstreamRequest) -> str:
    """The betas of a door that takes them in the body."""
    return ",".join(json.loads(request.body)["anthropic_beta"])


@pytest.mark.parametrize("door", DOOR_SETTINGS)
def test_refused_betas_are_left_out_and_listed(door: str) -> None:
    """A door of Anthropic's own gets them as they came."""
    request = sent_to(exchange_at(config_of(door), message(), headers=CLAUDE_CODE))
    if door in BETAS:
        assert (betas_of(request) or in_the_body(request)) == BETAS[door]
        came = {beta.strip() for _, value in CLAUDE_CODE for beta in value.decode().split(",")}
        cut = {edit for edit in request.edits if edit.startswith("anthropic-beta:")}
        assert cut == {f"anthropic-beta:{beta}" for beta in came - set(BETAS[door].split(","))}
    else:
        assert [pair for pair in request.headers if pair[0] == b"anthropic-beta"] == CLAUDE_CODE
        assert list(request.edits) == []


def test_no_beta_left_means_no_header() -> None:
    """An empty header would be refused."""
    beta = [(b"anthropic-beta", b"claude-code-20250219")]
    request = sent_to(exchange_at(config_of("bedrock"), message(), headers=beta))
    assert betas_of(request) is None


def test_a_beta_takes_its_member_along() -> None:
    """Without the beta, the member would be refused. With it, it stays."""
    body = message(safeguards={"a": 1}, context_management={"edits": []})
    betas = [(b"anthropic-beta", b"dangerous-tool-use-2027-01-01, context-management-2025-06-27")]
    request = sent_to(exchange_at(config_of("bedrock"), body, headers=betas))
    assert json.loads(request.body) == {k: v for k, v in body.items() if k != "safeguards"}
    assert list(request.edits) == ["anthropic-beta:dangerous-tool-use-2027-01-01", "safeguards"]


@pytest.mark.parametrize("door", ["bedrock", "bedrock-mantle", "foundry"])
def test_members_that_change_no_answer_are_cut(door: str) -> None:
    """Everything before and after them keeps its bytes. Others stay, and the cloud says what it refuses."""
    body = b'{ "diagnostics":{} ,"model":"claude-haiku-4-5","fallbacks" : [1],  "mcp_servers":[] }'
    request = sent_to(exchange_at(config_of(door), body))
    assert request.body == b'{"model":"claude-haiku-4-5",  "mcp_servers":[] }'
    assert list(request.edits) == ["diagnostics", "fallbacks"]


def test_betas_pass_switches_the_filter_off() -> None:
    """For a beta that is newer than the table."""
    body = json.dumps(message(speed="fast")).encode()
    request = sent_to(exchange_at(config_of("bedrock", more='betas = "pass"'), body, headers=CLAUDE_CODE))
    assert request.body == body
    assert [pair for pair in request.headers if pair[0] == b"anthropic-beta"] == CLAUDE_CODE
    assert list(request.edits) == []


@pytest.mark.parametrize(
    ("user", "stays"),
    [("user_1234-5678", True), ('{"device_id":"a"}', False), ("a" * 257, False), (None, True)],
)
def test_a_user_id_outside_the_pattern_is_cut(user: str | None, stays: bool) -> None:
    """Bedrock refuses Claude Code's own."""
    request = sent_to(exchange_at(config_of("bedrock"), message(metadata={"user_id": user})))
    assert ("metadata" in json.loads(request.body)) is stays
    assert list(request.edits) == ([] if stays else ["metadata"])


def test_the_scope_of_a_cache_marker_is_cut() -> None:
    """Wherever a marker may stand. Text and tool input that only look like one stay."""
    marker = {"type": "ephemeral", "scope": "global", "ttl": "1h"}
    said = 'a "cache_control": {"type": "ephemeral", "scope": "x"} in a text'
    body = message(
        system=[{"type": "text", "text": said, "cache_control": marker}],
        tools=[{"name": "t", "input_schema": {"properties": {"cache_control": {"scope": 1}}}}],
    )
    request = sent_to(exchange_at(config_of("bedrock"), body))
    body["system"][0]["cache_control"] = {"type": "ephemeral", "ttl": "1h"}
    assert json.loads(request.body) == body
    assert list(request.edits) == ["cache_control.scope"]
    foundry = sent_to(exchange_at(config_of("foundry"), message(system=[{"cache_control": marker}])))
    assert b'"scope":"global"' in foundry.body


@pytest.mark.parametrize(
    ("region", "target", "geo", "stays"),
    [
        ("us-east-1", "cloud/us.anthropic.claude-haiku-4-5", "us", False),
        ("us-east-1", "cloud/us.anthropic.claude-haiku-4-5", "global", False),
        ("us-east-1", "cloud/global.anthropic.claude-haiku-4-5", "us", True),
        ("eu-west-1", "cloud/eu.anthropic.claude-haiku-4-5", "us", True),
    ],
)
def test_a_place_is_only_cut_where_it_is_kept(region: str, target: str, geo: str, stays: bool) -> None:
    """A client that asks for the US is never sent elsewhere in silence: the cloud refuses it."""
    config = config_of("bedrock", target=target).replace("us-east-1", region)
    request = sent_to(exchange_at(config, message(inference_geo=geo)))
    assert ("inference_geo" in json.loads(request.body)) is stays
    assert ("inference_geo" in request.edits) is not stays


@pytest.mark.parametrize(
    ("text", "names", "left"),
    [
        (b'{"a":1}', {"a"}, b"{}"),
        (b' {"a":1 , "b" : 2} ', {"a"}, b' { "b" : 2} '),
        (b'{"a":1,"b":2,"c":3}', {"b"}, b'{"a":1,"c":3}'),
        (b'{"a":1,"b":2,"c":3}', {"a", "b"}, b'{"c":3}'),
        (b'{"a":1,"a":2,"c":",}"}', {"a"}, b'{"c":",}"}'),
        (b'{"a":1,"\\u0062":2}', {"b"}, b'{"a":1}'),
        (b"{}", {"a"}, b"{}"),
    ],
)
def test_members_are_cut_from_text(text: bytes, names: set[str], left: bytes) -> None:
    """One comma goes with each, and every other byte stays."""
    assert spliced(text, dict.fromkeys(names)) == left
