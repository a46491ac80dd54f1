"""What holds for every request, well formed or not: the same input makes the same bytes, and what cannot be
read is refused with its path, and does nothing else."""

import json
import re
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.translation.apart import at, leaves, objects
from tests.core.translation.asking import ROWS, request_of, translated
from tests.core.translation.maximal import MAXIMAL, PLAIN
from tests.core.translation.test_leaf import CASES, accepted
from tests.odd_json import oddly, without_unknown

ROOT = Path(__file__).parents[3]
VENDORS = st.sampled_from(list(ROWS))
NAMES = sorted({name for path, _ in leaves(MAXIMAL) for name in path if isinstance(name, str)})
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-2, 2**70),
        st.floats(),
        st.text(max_size=4),
        st.sampled_from(["text", "image", "tool_use", "tool_result", "user", "assistant", "base64", "any"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=10,
)


def judged(text: bytes, vendor: str, strict: bool) -> None:
    """Translated, or refused with a message; `translated` raises whatever else comes of it."""
    outcome = translated(text, vendor, strict=strict)
    if outcome.refusal is None:
        assert isinstance(json.loads(outcome.body), dict)
        assert all(path and path.isprintable() for path in outcome.dropped)
    else:
        assert outcome.refusal


@given(VALUES, VENDORS, st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_json_is_translated_or_refused(value: Any, vendor: str, strict: bool) -> None:
    """A body of any shape, with the members of a request here and there."""
    judged(json.dumps(value).encode(), vendor, strict)
    judged(json.dumps({**request_of(), **(value if isinstance(value, dict) else {})}).encode(), vendor, strict)


@given(st.binary(max_size=40), VENDORS)
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_translated_or_refused(text: bytes, vendor: str) -> None:
    """No JSON at all, or JSON with bytes in it that are no text."""
    judged(text, vendor, False)
    judged(
        b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"' + text + b'"}]}', vendor, False
    )


@given(st.data(), VENDORS, st.booleans(), st.sampled_from([MAXIMAL, PLAIN]))
@settings(max_examples=300, deadline=None)
def test_a_request_with_anything_anywhere(data: st.DataObject, vendor: str, strict: bool, whole: Any) -> None:
    """Any value in place of any other, and any member added."""
    request = json.loads(json.dumps(accepted(vendor, whole["model"])[0] if whole is MAXIMAL else whole))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([path for path, _ in leaves(request)] + list(objects(request))[1:]))
        name = data.draw(st.sampled_from(NAMES))
        length = data.draw(st.integers(0, len(path) - 1))
        holder, key = at(request, path[:length]), path[length]
        holder[key] = data.draw(VALUES)
        if isinstance(holder, dict):
            holder[name] = data.draw(VALUES)
    judged(json.dumps(request).encode(), vendor, strict)


@given(st.integers(0, 2**32), st.sampled_from(CASES))
@settings(max_examples=60, deadline=None)
def test_the_spelling_of_the_json_does_not_matter(seed: int, case: tuple[str, str]) -> None:
    """Other white space, escapes and spellings of numbers, keys repeated and in another order: the same request
    upstream. The order of keys inside an input or a schema is the client's."""
    request = accepted(*case)[0]
    body = oddly(request, Random(seed), unknown=False)
    assert without_unknown(json.loads(body)) == request
    assert _unordered(translated(body, case[0]).body) == _unordered(translated(request, case[0]).body)
    assert sorted(translated(body, case[0]).dropped) == sorted(translated(request, case[0]).dropped)


def _unordered(body: bytes) -> Any:
    sent = json.loads(body)
    sent.pop("prompt_cache_key", None)  # another order is another prefix
    for item in sent.get("input", ()):
        if "arguments" in item:
            item["arguments"] = json.loads(item["arguments"])
        if "output" in item:  # a browser's state stands there as JSON text
            item["output"] = sorted(json.dumps(item["output"]))
    for message in sent.get("messages", ()):  # a toy has turns, and no text that is JSON
        if message["role"] in ("tool", "system"):  # a browser's state and a schema stand there as JSON text
            message["content"] = sorted(json.dumps(message["content"]))
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    for tool in sent.get("tools", ()):
        function = tool["function"] if "messages" in sent else tool
        function["description"] = sorted(function.get("description", ""))  # it has the examples, as JSON
    return sent


def test_the_same_input_makes_the_same_bytes() -> None:
    """In every process, whatever its hashes: another order of members is another prefix, and no cache hit."""
    code = (
        "from tests.core.translation.test_leaf import CASES, accepted\n"
        "from tests.core.translation.asking import translated\n"
        "import hashlib\n"
        "for case in CASES:\n"
        "    print(*case, hashlib.sha256(translated(accepted(*case)[0], case[0]).body).hexdigest())\n"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert printed[0] == printed[1]
    assert len(printed[0].splitlines()) == len(CASES)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("where", ["input_schema", "content", "metadata", "x_new"])
def test_a_deep_nest_is_refused(opening: str, where: str) -> None:
    """Deeper than can be read, or than can be written again: 400, whatever member it is in."""
    for depth in (200, 900, 5_000, 100_000):
        nest = opening * depth + "1" + ("]" if opening == "[" else "}") * depth
        tool = '{"name":"f","input_schema":{"x":%s}}' % (nest if where == "input_schema" else "1")
        content = nest if where == "content" else '"hi"'
        more = (
            f',"metadata":{{"x":{nest}}}'
            if where == "metadata"
            else f',"x_new":{nest}'
            if where == "x_new"
            else ""
        )
        body = '{"model":"m","max_tokens":1,"tools":[%s],"messages":[{"role":"user","content":%s}]%s}'
        judged((body % (tool, content, more)).encode(), "generic", False)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"messages": None}, "messages: Field required"),
    ({"messages": []}, "messages: at least one message is required"),
    ({"messages": "hi"}, "messages: Input should be a valid list"),
    ({"messages": [1]}, "messages.0: Input should be a valid dictionary"),
    ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
    ({"messages": [{"content": "hi"}]}, "messages.0.role: Field required"),
    (
        {"messages": [{"role": "bot", "content": "hi"}]},
        "messages.0.role: Input should be 'user', 'assistant' or",
    ),
    ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content: Input should be a valid list"),
    ({"messages": [{"role": "user", "content": [{}]}]}, "messages.0.content.0.type: Field required"),
    (
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        "messages.0.content.0.text: Field required",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": 7}]}]},
        "messages.0.content.0.text: Input should be a valid string",
    ),
    (
        {
            "messages": [
                {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": "a"}}]}
            ]
        },
        "messages.0.content.0.source.base64.media_type: Field required",
    ),
    ({"max_tokens": None}, "max_tokens: Field required"),
    ({"max_tokens": "9"}, "max_tokens: Input should be a valid integer"),
    ({"max_tokens": -1}, "max_tokens: Input should be greater than or equal to 0"),
    ({"temperature": "warm"}, "temperature: Input should be a valid number"),
    ({"stop_sequences": [1]}, "stop_sequences.0: Input should be a valid string"),
    ({"system": [{"type": "image", "source": {}}]}, "system.0.type: Input should be 'text'"),
    ({"tools": [{"name": "f"}]}, "tools.0.custom.input_schema: Field required"),
    ({"tools": [{"input_schema": {}}]}, "tools.0.custom.name: Field required"),
    ({"tools": [{"name": "f", "input_schema": {}}] * 2}, "tools: Tool names must be unique."),
    ({"tool_choice": {"type": "any"}}, "tool_choice: needs tools to choose from"),
    ({"tool_choice": {"type": "tool"}}, "tool_choice.tool.name: Field required"),
    ({"service_tier": "best"}, "service_tier: Input should be 'auto' or 'standard_only'"),
    ({"speed": "fast"}, "speed: only 'standard' is possible on this upstream"),
    ({"inference_geo": "us"}, "inference_geo: this upstream promises no region"),
]


@pytest.mark.parametrize(("members", "message"), WRONG, ids=lambda value: str(value)[:50])
def test_what_is_wrong_is_said_with_its_path(members: dict[str, Any], message: str) -> None:
    """In Anthropic's words, as far as they are known."""
    refusal = translated({**request_of(), **members}).refusal
    assert refusal is not None
    assert refusal.startswith(message)
    assert re.match(r"[a-z_]+(\.[a-z_0-9]+)*: ", refusal)
