"""Whatever arrives as a Responses request, an answer goes back, always the same."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nexusflow_core import simulator
from nexusflow_core.simulator import FAILURES
from tests.core.simulator.asking_responses import KEY, PATH, TOOLS
from tests.core.simulator.test_simulator_openai_properties import anything

texts = st.sampled_from(["hello", "call get_weather", "simulate truncation", "simulate 40 tokens"]) | st.text()
errors = st.sampled_from(sorted(FAILURES)).map("simulate stream error {}".format)
parts = st.fixed_dictionaries(
    {"type": st.sampled_from(["input_text", "output_text", "input_image", "input_file", "hologram"])},
    optional={"text": texts | anything, "image_url": anything, "prompt_cache_breakpoint": anything},
)
contents = texts | errors | st.lists(parts, max_size=3) | anything
items = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(
            ["message", "function_call", "function_call_output", "reasoning", "item_reference"]
        )
        | anything,
        "role": st.sampled_from(["user", "assistant", "developer"]) | anything,
        "content": contents,
        "output": contents,
        "call_id": st.sampled_from(["c1", "c2"]) | anything,
        "encrypted_content": st.text() | anything,
        "name": anything,
        "arguments": anything,
    },
)
requests = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["gpt-5.6", "gpt-4.1"]) | st.text(),
        "input": texts | errors | st.lists(items, max_size=6),
    },
    optional={
        "stream": st.booleans(),
        "tools": st.just(TOOLS) | st.lists(st.dictionaries(st.text(), anything), max_size=2),
        "tool_choice": st.sampled_from(["auto", "required"]) | st.dictionaries(st.text(), anything),
        "reasoning": st.dictionaries(st.sampled_from(["effort", "summary"]), anything),
        "include": st.just(["reasoning.encrypted_content"]),
        "text": st.dictionaries(st.just("format"), anything),
        "max_output_tokens": st.integers(10, 60),
        "prompt_cache_options": st.dictionaries(st.sampled_from(["mode", "ttl"]), anything),
        "instructions": st.text(),
    },
)


@given(requests)
def test_any_request_is_answered(made: dict[str, Any]) -> None:
    """JSON or events, or a 400 in OpenAI's form; the same for the same bytes."""
    body = json.dumps(made).encode()
    answer = simulator.simulate(PATH, KEY, body)
    assert answer.body == simulator.simulate(PATH, KEY, body).body
    if answer.status != 200:
        assert answer.status in {400, *(failure.status for failure in FAILURES.values())}
        assert json.loads(answer.body)["error"]["message"]
    elif not made.get("stream"):
        assert json.loads(answer.body)["status"] in ("completed", "incomplete")


@given(st.binary(max_size=60) | anything.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_answered(body: bytes) -> None:
    """What is no request gets a 400."""
    assert simulator.simulate(PATH, KEY, body).status in (200, 400)
