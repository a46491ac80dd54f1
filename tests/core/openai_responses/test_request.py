"""Members of a Responses request beside its items."""

from typing import Any

import pytest

from nexusflow_core.dialects.openai_responses.vendors import GENERIC
from tests.core.openai_responses.asking import asked_of, sent, translated
from tests.core.translation.apart import Path, changed, leaves, named
from tests.core.translation.asking import request_of

SEARCH = {"type": "web_search_20250305", "name": "web_search"}
CLOSED = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}}


def tool(**members: Any) -> dict[str, Any]:
    return {"name": "look", "input_schema": OPEN, **members}


def test_the_least_request() -> None:
    """Nothing is stored, and nothing is sent that was not asked for."""
    assert translated(request_of(), GENERIC).json == {
        "model": "some-model",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        "store": False,
        "max_output_tokens": 100,
    }


def test_the_same_request_makes_the_same_bytes() -> None:
    """Whoever sends it, so that the vendor's cache of prefixes holds."""
    assert (
        translated(request_of(system="s", tools=[tool()])).body
        == translated(request_of(system="s", tools=[tool()])).body
    )


@pytest.mark.parametrize(("asked", "least"), [(1, 16), (5, 16), (15, 16), (16, 16), (3000, 3000)])
def test_few_tokens_become_the_least_that_is_taken(asked: int, least: int) -> None:
    """The vendor refuses fewer than 16."""
    outcome = translated(request_of(max_tokens=asked))
    assert outcome.json["max_output_tokens"] == least
    assert outcome.dropped == (("max_tokens",) if asked < 16 else ())


def test_a_stream_has_no_padding() -> None:
    """Random characters in every delta cost bytes only."""
    body = sent(stream=True)
    assert (body["stream"], body["stream_options"]) == (True, {"include_obfuscation": False})


def test_a_vendor_that_only_streams_is_asked_for_a_stream() -> None:
    """Its whole answer is put together here. What it refuses is left out, and listed."""
    outcome = translated(request_of(system="s", temperature=1), "chatgpt")
    assert outcome.json["stream"] is True
    assert not {"max_output_tokens", "temperature"} & outcome.json.keys()
    assert outcome.dropped == ("max_tokens", "temperature")


def test_stop_sequences_are_found_here() -> None:
    """The Responses API has no field for them."""
    assert "stop" not in sent(stop_sequences=["END"])
    assert asked_of(stop_sequences=["END"]).stop_here == ("END",)


@pytest.mark.parametrize(
    ("model", "members", "taken"),
    [
        ("gpt-4.1", {}, True),
        ("gpt-5", {}, False),
        ("gpt-5", {"thinking": {"type": "disabled"}}, False),
        ("gpt-5-chat-latest", {}, True),
        ("gpt-5.4", {}, True),
        ("gpt-5.4", {"output_config": {"effort": "low"}}, False),
        ("gpt-5.6", {}, False),
        ("gpt-5.6", {"thinking": {"type": "disabled"}}, True),
        ("gpt-6-astra", {"thinking": {"type": "disabled"}}, False),
        ("o3", {}, False),
    ],
)
def test_sampling_beside_reasoning(model: str, members: dict[str, Any], taken: bool) -> None:
    """OpenAI's models take it only without reasoning, and top_k never."""
    outcome = translated(request_of(model=model, temperature=0.5, top_p=0.9, top_k=4, **members))
    assert ("temperature" in outcome.json, "top_p" in outcome.json) == (taken, taken)
    assert ("temperature" in outcome.dropped) is not taken
    assert "top_k" in outcome.dropped


def test_a_user_id_is_sent_as_a_hash() -> None:
    """The same one for the same user; a vendor without the field gets none, and that is listed."""
    first, again = (sent(metadata={"user_id": "ann@example.com"})["safety_identifier"] for _ in range(2))
    assert first == again != sent(metadata={"user_id": "bob"})["safety_identifier"]
    assert len(first) == 64
    assert translated(request_of(metadata={"user_id": "bob"}), "xai").dropped == ("metadata.user_id",)


def test_tiers() -> None:
    """`standard_only` keeps a request off the project's own default."""
    assert sent(service_tier="standard_only")["service_tier"] == "default"
    assert "service_tier" not in sent(service_tier="auto")
    assert "speed" in str(translated(request_of(speed="fast")).refusal)


# The answer's form


@pytest.mark.parametrize(("schema", "strict"), [(CLOSED, True), (OPEN, False), ({"type": "array"}, False)])
def test_a_schema_for_the_answer(schema: dict[str, Any], strict: bool) -> None:
    """Unchanged, and strict only where that asks for nothing more."""
    outcome = translated(request_of(output_config={"format": {"type": "json_schema", "schema": schema}}))
    form = {"type": "json_schema", "name": "output", "schema": schema, "strict": strict}
    assert outcome.json["text"] == {"format": form}
    assert outcome.dropped == (() if strict else ("output_config.format",))


def test_a_schema_for_a_vendor_without() -> None:
    """Refused: the answer could have any form."""
    config = {"format": {"type": "json_schema", "schema": OPEN}}
    refusal = translated(request_of(output_config=config), "qwen").refusal
    assert refusal == "output_config.format: this upstream takes no schema for its answer"


# Tools


@pytest.mark.parametrize(
    ("members", "strict"),
    [
        ({}, False),
        ({"strict": False}, False),
        ({"strict": True}, False),
        ({"strict": True, "input_schema": CLOSED}, True),
        ({"input_schema": CLOSED}, False),
    ],
)
@pytest.mark.parametrize("vendor", ["openai", "xai"])
def test_strict_is_always_sent(members: dict[str, Any], strict: bool, vendor: str) -> None:
    """Left out it means true, and OpenAI then makes every member of the schema mandatory."""
    given = tool(**members)
    outcome = translated(request_of(tools=[given]), vendor)
    assert outcome.json["tools"] == [
        {"type": "function", "name": "look", "parameters": given["input_schema"], "strict": strict}
    ]
    assert ("tools[0].strict" in outcome.dropped) is (bool(members.get("strict")) and not strict)


def test_a_vendor_that_enforces_no_schema_is_told_so() -> None:
    """`strict` would be a promise that it does not keep."""
    outcome = translated(request_of(tools=[tool(strict=True, input_schema=CLOSED)]), "lmstudio")
    assert outcome.json["tools"][0]["strict"] is False
    assert outcome.dropped == ("tools[0].strict",)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "look"}, {"type": "function", "name": "look"}),
    ],
)
def test_tool_choices(choice: dict[str, Any], expected: Any) -> None:
    """In the vendor's words; a vendor that cannot be forced gets `auto`, and that is listed."""
    request = request_of(tools=[tool()], tool_choice=choice)
    assert translated(request).json["tool_choice"] == expected
    unforced = translated(request, "bedrock")
    forced = choice["type"] in ("any", "tool")
    assert unforced.json["tool_choice"] == ("auto" if forced else expected)
    assert unforced.dropped == (("tool_choice",) if forced else ())
    assert "tool_choice" not in translated(request, "ollama").json


def test_one_call_at_a_time() -> None:
    """By the vendor's field; where it refuses that, only the first call of the answer counts."""
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    members: dict[str, Any] = {"tools": [tool()], "tool_choice": choice}
    assert sent(**members)["parallel_tool_calls"] is False
    assert not asked_of(**members).one_call
    assert "parallel_tool_calls" not in sent(vendor="deepseek", **members)
    assert asked_of("deepseek", **members).one_call


def test_a_choice_at_the_top_of_a_schema() -> None:
    """Some models of OpenAI refuse it there."""
    schema = {**OPEN, "anyOf": [{"required": ["a"]}]}
    request = request_of(tools=[tool(input_schema=schema)], model="gpt-4.1")
    outcome = translated(request)
    assert outcome.json["tools"][0]["parameters"] == OPEN
    assert outcome.dropped == ("tools[0].input_schema.anyOf",)
    assert translated({**request, "model": "gpt-5.6"}).json["tools"][0]["parameters"] == schema


# The vendor's search


def test_a_search_of_the_web_is_carried_where_the_route_allows_it() -> None:
    """With its domains, its place and its bound, and its sources in the answer."""
    place = {"type": "approximate", "city": "Paris", "country": "FR"}
    given = {**SEARCH, "allowed_domains": ["a.com"], "user_location": place, "max_uses": 3}
    outcome = translated(request_of(tools=[given]), server_tools="carry")
    search = {"type": "web_search", "filters": {"allowed_domains": ["a.com"]}, "user_location": place}
    assert outcome.json["tools"] == [search]
    assert outcome.json["max_tool_calls"] == 3
    assert outcome.json["include"] == ["web_search_call.action.sources"]
    assert outcome.dropped == ()


def test_a_search_may_be_the_tool_of_choice() -> None:
    """Which names a type and no function."""
    choice = {"type": "tool", "name": "web_search"}
    body = translated(request_of(tools=[SEARCH], tool_choice=choice), server_tools="carry").json
    assert body["tool_choice"] == {"type": "web_search"}


@pytest.mark.parametrize(
    ("vendor", "server_tools", "given", "refusal"),
    [
        ("openai", "refuse", {}, "tools.0: 'web_search_20250305' cannot be offered to this upstream"),
        ("vllm", "carry", {}, "tools.0: 'web_search_20250305' cannot be offered to this upstream"),
        ("openai", "carry", {"type": "web_fetch_20250910", "name": "web_fetch"}, "cannot be offered"),
        (
            "xai",
            "carry",
            {"blocked_domains": ["a.com"]},
            "this upstream takes domains to search only",
        ),
        ("xai", "carry", {"allowed_domains": ["a.com"] * 6}, "takes at most 5 domains"),
        ("openai", "carry", {"allowed_domains": "a.com"}, "Input should be a valid list of strings"),
        ("openai", "carry", {"max_uses": 0}, "max_uses: Input should be a positive integer"),
        ("openai", "carry", {"user_location": "Paris"}, "user_location: Input should be a valid dictionary"),
    ],
)
def test_a_search_that_cannot_be_carried(vendor: str, server_tools: str, given: Any, refusal: str) -> None:
    """Refused, with what and where."""
    outcome = translated(request_of(tools=[{**SEARCH, **given}]), vendor, server_tools=server_tools)
    assert refusal in str(outcome.refusal)


def test_a_search_may_be_dropped() -> None:
    """Where the route says so, for clients that always list it."""
    outcome = translated(request_of(tools=[SEARCH, tool()]), server_tools="drop")
    assert [tool["type"] for tool in outcome.json["tools"]] == ["function"]
    assert outcome.dropped == ("tools[0]",)


def test_every_leaf_of_a_search_and_of_a_compaction() -> None:
    """Another value is sent, listed or refused; only the edition of the tool does not matter."""
    place = {"type": "approximate", "city": "Paris", "region": "IdF", "country": "FR", "timezone": "UTC"}
    trigger = {"type": "input_tokens", "value": 60_000, "x_new": 1}
    edits = [{"type": "compact_20260112", "trigger": trigger, "x_new": 1}]
    for domains in ("allowed_domains", "blocked_domains"):
        search = {**SEARCH, domains: ["a.com"], "user_location": place, "max_uses": 3, "x_new": 1}
        request = request_of(tools=[search], context_management={"edits": edits})
        before = translated(request, server_tools="carry")
        for path, value in list(leaves(request)):
            other = value + 1 if isinstance(value, int) else f"{value}x"
            after = translated(_with(request, path, other), server_tools="carry")
            same = after.refusal is None and after.body == before.body
            assert not same or named(path) in after.dropped or path == ("tools", 0, "type"), path


def _with(request: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    return changed(request, path[:-1], lambda inside: inside.__setitem__(path[-1], value))


def test_a_search_that_only_code_may_call() -> None:
    """Refused: code runs at Anthropic only."""
    search = {**SEARCH, "allowed_callers": ["code_execution_20260120"]}
    refusal = translated(request_of(tools=[search]), server_tools="carry").refusal
    assert refusal == "tools.0.allowed_callers: code execution runs at Anthropic only"


# Compaction


def test_a_compaction_is_asked_for() -> None:
    """At the number of tokens that the client says, 150,000 by default as at Anthropic."""
    edit: dict[str, Any] = {"type": "compact_20260112"}
    assert sent(context_management={"edits": [edit]})["context_management"] == [
        {"type": "compaction", "compact_threshold": 150_000}
    ]
    edit["trigger"] = {"type": "input_tokens", "value": 60_000}
    clear = {"type": "clear_thinking_20251015", "keep": "all"}
    outcome = translated(request_of(context_management={"edits": [clear, edit]}))
    assert outcome.json["context_management"][0]["compact_threshold"] == 60_000
    assert outcome.dropped == ()


@pytest.mark.parametrize(
    ("vendor", "members"),
    [
        ("azure", {}),
        ("openai", {"instructions": "keep names"}),
        ("openai", {"pause_after_compaction": True}),
        ("openai", {"trigger": {"type": "tool_uses", "value": 3}}),
    ],
)
def test_a_compaction_that_cannot_be_asked_for(vendor: str, members: dict[str, Any]) -> None:
    """Refused: the client relies on it."""
    edits = [{"type": "compact_20260112", **members}]
    assert "context_management" in str(
        translated(request_of(context_management={"edits": edits}), vendor).refusal
    )
