"""Whatever arrives as a Chat Completions request, an answer goes back, always the same."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nexusflow_core import simulator
from nexusflow_core.simulator import SimulatedResponse
from tests.core.simulator.asking_openai import KEY, PATH
from tests.core.simulator.folding_openai import read_stream, read_sync
from tests.simulator import simulate
from tests.simulator.openai_chat import FAILURES, QUIRKS

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.sampled_from(["user", "tool", "text", "auto", "function", "object", "call a and b", "json"]),
)
KEYWORDS = """
    type text content role name arguments function id tool_calls tool_call_id parameters image_url url schema
    json_schema properties required items anyOf $ref enum const minItems minLength include_usage
"""
keys = st.text(max_size=5) | st.sampled_from(KEYWORDS.split())
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=20
)
quirks = st.lists(st.sampled_from(sorted(QUIRKS)), max_size=5).map(
    lambda names: " ".join(f"simulate quirk {name}" for name in names)
)
orders = st.one_of(
    st.sampled_from(["hello there", "call a and b", "call a", "simulate truncation", "simulate 40 tokens"]),
    st.sampled_from(sorted(FAILURES)).map("simulate error {}".format),
    st.sampled_from(sorted(FAILURES)).map("simulate stream error {}".format),
)
texts = st.tuples(orders | st.text(), quirks).map(" ".join)
parts = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "file", "refusal", "thinking", "hologram"])},
    optional={"text": texts, "image_url": st.just({"url": "https://x"}) | anything, "refusal": anything},
)
calls = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["c1", "c2"]),
        "function": st.fixed_dictionaries({"name": st.sampled_from(["a", "b"]), "arguments": st.text()}),
    },
    optional={"type": st.just("function") | anything},
)
messages = st.lists(
    st.one_of(
        st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "developer"]), "content": texts}),
        st.fixed_dictionaries({"role": st.just("user"), "content": st.lists(parts, min_size=1, max_size=3)}),
        st.fixed_dictionaries(
            {"role": st.just("assistant"), "content": st.text() | st.none()},
            optional={"tool_calls": st.lists(calls, min_size=1, max_size=2)},
        ),
        st.fixed_dictionaries(
            {"role": st.just("tool"), "content": st.text(), "tool_call_id": st.sampled_from(["c1", "c2"])}
        ),
    ),
    min_size=1,
    max_size=4,
)
schemas = st.dictionaries(keys, anything, max_size=4)
tools = st.lists(
    st.sampled_from(["a", "b"]).flatmap(
        lambda name: st.fixed_dictionaries(
            {
                "type": st.just("function"),
                "function": st.fixed_dictionaries({"name": st.just(name)}, optional={"parameters": schemas}),
            }
        )
    ),
    min_size=1,
    max_size=3,
)
near_requests = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["gpt-4.1", "deepseek-v4", "qwen3", "x"]) | st.text(min_size=1),
        "messages": messages,
    },
    optional={
        "max_tokens": st.integers(1, 60),
        "tools": tools,
        "tool_choice": st.sampled_from(
            ["auto", "none", "required", "any", {"type": "function", "function": {"name": "a"}}]
        ),
        "parallel_tool_calls": st.booleans(),
        "stop": st.text(max_size=3) | st.lists(st.text(max_size=3), min_size=1, max_size=4),
        "reasoning_effort": st.sampled_from(["none", "low", "max"]),
        "thinking": st.sampled_from([{"type": "enabled"}, {"type": "disabled"}]),
        "enable_thinking": st.booleans(),
        "response_format": st.fixed_dictionaries(
            {
                "type": st.just("json_schema"),
                "json_schema": st.fixed_dictionaries({"name": st.just("x"), "schema": schemas}),
            }
        ),
        "temperature": anything,
    },
)
FIELDS = """model messages tools tool_choice parallel_tool_calls max_tokens max_completion_tokens stop stream
    stream_options response_format reasoning_effort thinking enable_thinking temperature n""".split()


def answered(body: bytes) -> SimulatedResponse:
    """Send it and check what holds for every answer."""
    response = simulate(PATH, KEY, body)
    again = simulate(PATH, KEY, body)
    assert (response.status, response.headers, response.body) == (again.status, again.headers, again.body)
    if dict(response.headers)[b"content-type"] == b"application/json":
        json.loads(response.body)
    else:
        assert response.status == 200
    return response


@settings(deadline=None)
@given(st.binary() | anything.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_request_is_refused_by_the_product_too(body: bytes):
    """`serve --offline` checks less than OpenAI, and never raises."""
    response = simulator.simulate(PATH, KEY, body)
    assert 400 <= response.status < 500
    assert json.loads(response.body)["error"]["type"] == "invalid_request_error"


@settings(deadline=None, max_examples=300)
@given(near_requests, st.sampled_from(FIELDS), anything, st.booleans())
def test_one_odd_field_gets_an_answer_of_the_product(
    body: dict[str, Any], field: str, value: Any, stream: bool
):
    """An odd value is refused or passed by; what is answered is an answer."""
    sent = {"stream_options": {"include_usage": True}, **body, "stream": stream, field: value}
    response = simulator.simulate(PATH, KEY, json.dumps(sent).encode())
    assert response.status in (200, 400)
    if dict(response.headers)[b"content-type"] == b"application/json":
        assert ("error" in json.loads(response.body)) == (response.status == 400)
    else:
        assert read_stream(response.body).finish in ("stop", "length", "tool_calls")


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_get_an_answer(body: bytes):
    """Refused, as they are no JSON."""
    assert 400 <= answered(body).status < 500


@settings(deadline=None)
@given(anything)
def test_any_json_gets_an_answer(body: Any):
    """Values of every type where a request was expected."""
    answered(json.dumps(body).encode())


@settings(deadline=None, max_examples=300)
@given(near_requests, st.sampled_from(FIELDS), anything, st.booleans())
def test_one_field_of_another_kind_gets_an_answer(body: dict[str, Any], field: str, value: Any, stream: bool):
    """Each known field may hold anything."""
    answered(json.dumps({**body, "stream": stream, field: value}).encode())


@settings(deadline=None, max_examples=400)
@given(near_requests)
def test_stream_and_sync_agree_whatever_quirks_are_combined(body: dict[str, Any]):
    """One status, one text and reasoning, one refusal; and the same usage where the stream tells it."""
    options = {"stream": True, "stream_options": {"include_usage": True}}
    whole = answered(json.dumps(body).encode())
    stream = answered(json.dumps({**body, **options}).encode())
    asked = json.dumps(body)
    assert whole.status == stream.status or "simulate stream error" in asked
    breaks = any(word in asked for word in ("simulate truncation", "error_in_200", "simulate stream error"))
    if whole.status != 200 or stream.status != 200 or breaks:
        return
    sync, folded = read_sync(json.loads(whole.body)), read_stream(stream.body)
    assert (folded.text, folded.reasoning, folded.refusal) == (sync.text, sync.reasoning, sync.refusal)
    assert folded.finish == sync.finish or "no_finish" in asked
    assert folded.usage == sync.usage or "no_usage" in asked


@settings(deadline=None)
@given(near_requests, st.integers(1, 60))
def test_the_limit_holds(body: dict[str, Any], most: int):
    """completion_tokens is never above max_tokens, unless a quirk says something of its own."""
    response = answered(json.dumps({**body, "max_tokens": most}).encode())
    if response.status == 200 and "simulate quirk" not in json.dumps(body):
        assert json.loads(response.body)["usage"]["completion_tokens"] <= most
