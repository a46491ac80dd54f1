"""What a vendor's own cache goes by: stable bytes in front, and one key for calls that begin alike."""

import itertools
import json
import re
from typing import Any

import msgspec
import pytest

from nexusflow_core import Principal
from nexusflow_core.dialects.openai_chat.vendors import vendor_row
from tests.core.translation.asking import ROWS, request_of, translated
from tests.core.translation.driving import exchange_of

MARK = {"type": "ephemeral"}
TOOLS = [
    {"name": "get", "description": "Gets", "input_schema": {"type": "object", "properties": {"b": {}, "a": {}}}}
]
SYSTEM = [
    {"type": "text", "text": "x-anthropic-billing-header: cch=1"},
    {"type": "text", "text": "Be brief."},
    {"type": "text", "text": "Be kind."},
]
WITH_KEY = sorted(name for name in ROWS if vendor_row(name).cache_key)


def conversation(turns: int, *, marked: bool = False) -> list[dict[str, Any]]:
    """That many user turns, each but the first after a call, its result and a text."""
    made: list[dict[str, Any]] = []
    for turn in range(turns):
        content: list[dict[str, Any]] = [{"type": "text", "text": f"question {turn}"}]
        if turn:
            call = {"type": "tool_use", "id": f"toolu_{turn}", "name": "get", "input": {"z": turn, "a": "é"}}
            made.append({"role": "assistant", "content": [{"type": "text", "text": "Let me see"}, call]})
            content.insert(0, {"type": "tool_result", "tool_use_id": f"toolu_{turn}", "content": f"{turn}"})
        made.append({"role": "user", "content": content})
    if marked:
        made[-1]["content"][-1] = {**made[-1]["content"][-1], "cache_control": MARK}
    return made


def asked(turns: int, *, marked: bool = False, **members: Any) -> dict[str, Any]:
    return request_of(*conversation(turns, marked=marked), **{"system": SYSTEM, "tools": TOOLS, **members})


class _Body(msgspec.Struct):
    messages: msgspec.Raw


def messages_of(body: bytes) -> bytes:
    """The bytes of `messages` as they stand there, without the bracket at their end."""
    found = bytes(msgspec.json.decode(body, type=_Body).messages)
    assert len(found) > 40
    return found[:-1]


@pytest.mark.parametrize("vendor", ROWS)
def test_a_longer_conversation_begins_with_the_shorter_ones_bytes(vendor: str) -> None:
    """Over five turns with calls and results: nothing in front changes, so every turn can be a hit."""
    bodies = [translated(asked(turns), vendor).body for turns in range(1, 6)]
    for shorter, longer in itertools.pairwise(bodies):
        assert longer.startswith(b'{"model":"some-model","messages":[')
        assert messages_of(longer).startswith(messages_of(shorter))
        assert json.loads(longer)["tools"] == json.loads(shorter)["tools"]


@pytest.mark.parametrize(
    ("vendor", "model"),
    [("qwen", "qwen3-max"), ("openrouter", "anthropic/claude-opus-4.7"), ("openai", "gpt-5.6-sol")],
)
def test_a_marker_that_moves_changes_nothing_else(vendor: str, model: str) -> None:
    """Clients mark the last turn: in the next request that text is where it was, less its marker."""
    bodies = [translated(asked(turns, marked=True, model=model), vendor).body for turns in range(1, 6)]
    marker = re.compile(rb',"(?:cache_control|prompt_cache_breakpoint)":\{[^}]*\}')
    assert all(len(marker.findall(body)) == 1 for body in bodies)
    for shorter, longer in itertools.pairwise(bodies):
        assert messages_of(marker.sub(b"", longer)).startswith(messages_of(marker.sub(b"", shorter)))


@pytest.mark.parametrize("vendor", ROWS)
def test_the_same_request_makes_the_same_bytes(vendor: str) -> None:
    """Nothing of the time, the call or the process is in them."""
    assert translated(asked(3), vendor).body == translated(asked(3), vendor).body


@pytest.mark.parametrize("vendor", WITH_KEY)
def test_calls_of_one_conversation_share_a_key(vendor: str) -> None:
    """Whatever the client's own billing line says; other tools, another system prompt or model part them."""
    field = vendor_row(vendor).cache_key or ""

    def key(request: dict[str, Any]) -> str:
        return str(translated(request, vendor).json[field])

    first = key(asked(1))
    assert re.fullmatch(r"[0-9a-f]{32}", first)
    assert {key(asked(turns)) for turns in range(1, 6)} == {first}
    other_billing = [{"type": "text", "text": "x-anthropic-billing-header: cch=2"}, *SYSTEM[1:]]
    assert key(asked(2, system=other_billing)) == first
    apart = [
        key(asked(1, system="Be long.")),
        key(asked(1, tools=[])),
        key(asked(1, tools=[{**TOOLS[0], "description": "Fetches"}])),
        key(asked(1, model="other-model")),
    ]
    assert len({first, *apart}) == 5


def test_only_vendors_with_a_field_get_a_key() -> None:
    """An unknown field is a 400 at some."""
    assert WITH_KEY == ["kimi", "mistral", "openai"]
    for vendor in ROWS:
        assert ("prompt_cache_key" in translated(asked(1), vendor).json) == (vendor in WITH_KEY)


def test_tenants_have_keys_of_their_own_that_do_not_name_them() -> None:
    """Callers never share a key, and the vendor is not told who they are."""
    bodies = {
        who: sent_by(Principal(who) if who else None) for who in ("alice@example.com", "bob@example.com", "")
    }
    keys = {json.loads(body)["prompt_cache_key"] for body in bodies.values()}
    assert len(keys) == 3
    for body in bodies.values():
        assert b"alice" not in body
        assert b"bob" not in body
    assert sent_by(Principal("alice@example.com")) == bodies["alice@example.com"]


def sent_by(principal: Principal | None) -> bytes:
    """The upstream's body of a call of this principal."""
    exchange = exchange_of(json.dumps(asked(2)).encode(), vendor="openai", principal=principal)
    exchange.start(0.0)
    return bytes(exchange.order.request.body)  # type: ignore[union-attr]  # a Send, or the line fails


SESSION = "11111111-2222-3333-4444-555555555555"


def _key(vendor: str, **members: Any) -> str:
    return str(translated(asked(1, **members), vendor).json["prompt_cache_key"])


@pytest.mark.parametrize("vendor", WITH_KEY)
def test_a_system_prompt_that_ends_differently_each_time_keeps_its_key(vendor: str) -> None:
    """Clients write the tokens that are left behind it, or the time; a changing key is worse than none."""

    def blocks(left: int, **marker: Any) -> list[dict[str, Any]]:
        head = {"type": "text", "text": "You are an agent. " * 300, **marker}
        return [head, {"type": "text", "text": f"<total_tokens>{left} tokens left</total_tokens>"}]

    def text(left: int) -> str:
        return "You are an agent. " * 300 + f"<total_tokens>{left} tokens left</total_tokens>"

    marked = {"cache_control": {"type": "ephemeral"}}
    for system in (blocks, text, lambda left: blocks(left, **marked)):
        assert _key(vendor, system=system(9)) == _key(vendor, system=system(8))
    other = [{"type": "text", "text": "You are an agent. " * 299 + "Now.", **marked}]
    assert _key(vendor, system=blocks(9, **marked)) != _key(vendor, system=other), "up to the marker all counts"


@pytest.mark.parametrize("vendor", WITH_KEY)
@pytest.mark.parametrize(
    "user_id",
    [
        f"user_{'a' * 64}_account_{SESSION[::-1]}_session_{SESSION}",
        f'{{"device_id":"d","account_uuid":"a","session_id":"{SESSION}"}}',
    ],
)
def test_calls_of_one_session_share_a_key(user_id: str, vendor: str) -> None:
    """Whatever their system prompt says; another session has another key, and none tells who it is."""
    first = _key(vendor, system="a", metadata={"user_id": user_id})
    assert _key(vendor, system="b", metadata={"user_id": user_id}) == first
    other = user_id.replace(SESSION, SESSION.replace("1", "6"))
    assert _key(vendor, system="a", metadata={"user_id": other}) != first
    assert SESSION[:8] not in first
    assert _key(vendor, system="a", metadata={"user_id": "me"}) == _key(vendor, system="a")
