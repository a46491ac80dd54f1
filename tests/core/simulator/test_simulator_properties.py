"""Whatever arrives, an answer goes back: the simulator never raises and never disagrees with itself."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nexusflow_core.simulator import SimulatedResponse, simulate
from tests.core.simulator.asking import KEY, assert_grammar, event_of

PATHS = ["/v1/messages", "/v1/messages/count_tokens"]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.sampled_from(
        ["user", "text", "tool", "auto", "object", "#", "#/x", "call a and b", "simulate 9 tokens"]
    ),
)
KEYWORDS = """
    type text content role name input input_schema source cache_control ttl schema format properties required
    items anyOf oneOf allOf $ref enum const not minItems minLength minimum maximum multipleOf uniqueItems
"""
keys = st.text(max_size=5) | st.sampled_from(KEYWORDS.split())
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=20
)
orders = st.sampled_from(
    [
        "hello there",
        "call a and b",
        "call a",
        "simulate error api_error",
        "simulate stream error timeout_error",
        "simulate truncation",
        "simulate 40 tokens",
    ]
)
kinds = st.sampled_from(["text", "image", "document", "thinking", "tool_use", "tool_result", "hologram"])
blocks = st.fixed_dictionaries(
    {"type": kinds},
    optional={
        "text": orders | st.text(),
        "content": anything,
        "input": anything,
        "name": anything,
        "source": anything,
        "cache_control": st.fixed_dictionaries({"type": st.just("ephemeral")}, optional={"ttl": anything}),
    },
)
messages = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["user", "user", "assistant", "system"]),
            "content": orders | st.text(min_size=1) | st.lists(blocks, min_size=1, max_size=3),
        }
    ),
    min_size=1,
    max_size=4,
)
schemas = st.dictionaries(keys, anything, max_size=4)
tools = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["a", "b", ""]) | st.text(),
            "input_schema": schemas,
        },
        optional={
            "type": st.sampled_from(["custom", "bash_20250124", "web_search_20250305"]),
            "cache_control": anything,
        },
    ),
    max_size=3,
)
near_requests = st.fixed_dictionaries(
    {"model": st.text(min_size=1), "messages": messages, "max_tokens": st.integers(0, 60) | st.just(10_000)},
    optional={
        "stream": st.booleans(),
        "system": st.text() | st.lists(blocks, max_size=2),
        "tools": tools,
        "tool_choice": st.sampled_from(
            [{"type": "any"}, {"type": "tool", "name": "a"}, {"type": "none"}, {"type": "auto"}]
        ),
        "thinking": st.sampled_from([{"type": "adaptive"}, {"type": "enabled", "display": "omitted"}]),
        "stop_sequences": st.lists(
            st.sampled_from(["a", " s", "You", "said: "]) | st.text(max_size=3), max_size=3
        ),
        "output_config": st.fixed_dictionaries(
            {"format": st.fixed_dictionaries({"type": st.just("json_schema"), "schema": schemas})}
        ),
        "cache_control": anything,
        "inference_geo": anything,
    },
)


def answered(path: str, body: bytes) -> SimulatedResponse:
    """Send it and check what holds for every answer."""
    response = simulate(path, KEY, body)
    again = simulate(path, KEY, body)
    assert (response.status, response.headers, response.body) == (again.status, again.headers, again.body)
    headers = dict(response.headers)
    if headers[b"content-type"] == b"application/json":
        value = json.loads(response.body)
        assert (value.get("type") == "error") == (response.status >= 400)
    else:
        assert response.status == 200
        stream = [event_of(chunk) for chunk in response.chunks]
        if stream[-1]["type"] == "message_stop":
            assert_grammar(stream)
    return response


@settings(deadline=None)
@given(st.sampled_from(PATHS) | st.text(), st.binary())
def test_any_bytes_get_an_answer(path: str, body: bytes):
    """Also on any path."""
    answered(path, body)


@settings(deadline=None)
@given(st.sampled_from(PATHS), anything)
def test_any_json_gets_an_answer(path: str, body: Any):
    """Values of every type where a request was expected."""
    answered(path, json.dumps(body).encode())


@settings(deadline=None, max_examples=400)
@given(st.sampled_from(PATHS), near_requests)
def test_near_requests_get_an_answer_that_follows_the_grammar(path: str, body: dict[str, Any]):
    """Right field names with odd values: refused or answered, never an exception."""
    answered(path, json.dumps(body).encode())


@settings(deadline=None)
@given(
    near_requests,
    st.sampled_from(["model", "messages", "max_tokens", "system", "tools", "thinking", "stop_sequences"]),
    anything,
)
def test_one_field_of_another_kind_gets_an_answer(body: dict[str, Any], field: str, value: Any):
    """Each known field may hold anything."""
    answered(PATHS[0], json.dumps({**body, field: value}).encode())


@settings(deadline=None)
@given(near_requests)
def test_stream_and_sync_agree(body: dict[str, Any]):
    """The deltas of a stream add up to the content of the sync Message, with the same usage."""
    whole = simulate(PATHS[0], KEY, json.dumps({**body, "stream": False}).encode())
    stream = simulate(PATHS[0], KEY, json.dumps({**body, "stream": True}).encode())
    assert (whole.status < 400) == (stream.status < 400) or "simulate stream error" in json.dumps(body)
    if whole.status != 200 or stream.status != 200:
        return
    message = json.loads(whole.body)
    events = [event_of(chunk) for chunk in stream.chunks]
    if events[-1]["type"] != "message_stop":
        return
    assert folded(events) == [content_of(block) for block in message["content"]]
    assert events[-2]["delta"]["stop_reason"] == message["stop_reason"]
    assert events[-2]["usage"].items() <= message["usage"].items()
    assert message["usage"]["output_tokens"] <= body["max_tokens"]


def folded(events: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """(type, text or input) of each block of a stream."""
    fields = {"text": "text", "thinking": "thinking", "tool_use": "partial_json"}
    found: list[tuple[str, Any]] = []
    for event in events:
        if event["type"] == "content_block_start":
            found.append((event["content_block"]["type"], ""))
        elif event["type"] == "content_block_delta":
            kind, text = found[-1]
            found[-1] = (kind, text + event["delta"].get(fields[kind], ""))
    return [(kind, json.loads(text) if kind == "tool_use" else text) for kind, text in found]


def content_of(block: dict[str, Any]) -> tuple[str, Any]:
    fields = {"text": "text", "thinking": "thinking", "tool_use": "input"}
    return block["type"], block[fields[block["type"]]]
