"""Whatever comes in, a usage comes out or InvalidUsageError, on every wire."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexusflow_core import InvalidUsageError, Usage
from nexusflow_core.usage import Wire

WIRES = get_args(Wire)
NAMES = """input_tokens output_tokens cache_creation_input_tokens cache_read_input_tokens cache_creation
    ephemeral_5m_input_tokens ephemeral_1h_input_tokens server_tool_use web_search_requests service_tier
    inference_geo speed iterations type model output_tokens_details thinking_tokens fallback_credit status
    uncached_input_tokens context_window amount currency prompt_tokens completion_tokens total_tokens
    prompt_tokens_details cached_tokens cache_write_tokens completion_tokens_details reasoning_tokens cost
    is_byok prompt_cache_hit_tokens prompt_cache_miss_tokens input_tokens_details inputTokens outputTokens
    cacheReadInputTokens cacheWriteInputTokens cacheDetails ttl usage message""".split()

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(0, 50), st.floats(), st.text(max_size=5), st.just("1h")
)
JSON: Any = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=6)
    ),
    max_leaves=12,
)


def survives(usage: Any, wire: Any) -> None:
    try:
        found = Usage.from_wire(usage, wire)
    except InvalidUsageError:
        return
    buckets = [
        found.input_tokens,
        found.cache_read_tokens,
        found.cache_write_5m_tokens,
        found.cache_write_1h_tokens,
        found.output_tokens,
        found.web_searches,
    ]
    assert all(type(count) is int and count >= 0 for count in buckets)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=8), JSON), st.sampled_from(WIRES))
def test_any_object(usage: Any, wire: str) -> None:
    """Members of every wire, with anything in them."""
    survives(usage, wire)
    survives([usage], wire)
    survives(json.dumps(usage).encode(), wire)
    survives(b"data: " + json.dumps({"usage": usage, "message": {"usage": usage}}).encode() + b"\n\n", wire)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(WIRES))
def test_any_bytes(data: bytes, wire: str) -> None:
    """Noise, alone and inside what looks like usage."""
    survives(data, wire)
    survives(b'{"input_tokens": ' + data + b"}", wire)
    survives(b"data: " + data + b"\n\n", wire)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'[{"a":' * 100_000,
        b'{"input_tokens": 1' + b"0" * 10_000 + b"}",
        b'{"cost": 1' + b"0" * 10_000 + b"}",
        b'{"amount": "1' + b"0" * 10_000 + b'"}',
        b'{"iterations": [' + b"{}," * 5000 + b"{}]}",
        b'{"input_tokens": NaN}',
        b'{"input_tokens": 1e400}',
        b'{"input_tokens": "\xff"}',
        b'{"service_tier": "\\ud800"}',
        b'{"x": 1}' * 2,
    ],
    ids=lambda data: data[:20].decode(errors="replace"),
)
def test_bytes_that_were_made_to_hurt(wire: str, data: bytes) -> None:
    """Deep, long and broken JSON."""
    survives(data, wire)


def test_an_object_nested_too_deep() -> None:
    """A decoded one as well."""
    deep: Any = {}
    for _ in range(5000):
        deep = {"status": deep}
    survives({"fallback_credit": deep}, "anthropic")
    survives([{"fallback_credit": deep}], "anthropic-stream")
