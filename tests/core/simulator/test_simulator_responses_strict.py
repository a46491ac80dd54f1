"""The strict simulator of Responses refuses what OpenAI refuses, and what the gateway promises not to send."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.core.openai_chat.test_recorded_requests import needs_recordings, recorded
from tests.core.openai_responses.asking import translated
from tests.core.simulator.asking_responses import TOOLS, WEATHER, called, post, request
from tests.simulator import simulate

Change = Callable[[Any], Any]


def refusal(body: dict[str, Any]) -> str | None:
    """The message that the strict simulator refuses a request with."""
    answer = post(body, simulate=simulate)
    if answer.status == 200:
        return None
    assert answer.status == 400
    message: str = json.loads(answer.body)["error"]["message"]
    return message


def good() -> dict[str, Any]:
    """A request with everything that the strict simulator looks at."""
    items = called("sunny", "noon")
    part = {"type": "input_text", "text": "go on", "prompt_cache_breakpoint": {"mode": "explicit"}}
    form = {"type": "json_schema", "name": "output", "schema": WEATHER["parameters"], "strict": False}
    answer = {"type": "message", "role": "assistant", "content": "ok", "phase": "final_answer"}
    return request(
        [*items, answer, {"type": "message", "role": "user", "content": [part]}],
        tools=TOOLS,
        text={"format": form},
        prompt_cache_options={"mode": "explicit"},
        max_output_tokens=100,
    )


def test_a_good_request_passes():
    """So the refusals below come from their changes."""
    assert refusal(good()) is None


FIELDS: list[tuple[str, Change]] = [
    ("Unknown parameter: 'stop'", lambda body: body.update(stop=["x"])),
    ("Unknown parameter: 'top_k'", lambda body: body.update(top_k=1)),
    ("Missing required parameter: 'store'", lambda body: body.pop("store")),
    ("'store' must be false", lambda body: body.update(store=True)),
    ("Invalid value: 'everything'", lambda body: body.update(include=["everything"])),
    ("'stream_options' is only allowed", lambda body: body.update(stream_options={})),
    ("Invalid value: 'minimal'", lambda body: body.update(reasoning={"effort": "minimal"})),
    ("Invalid value: 'none'", lambda body: body.update(model="gpt-6-astra", reasoning={"effort": "none"})),
    ("Invalid value: 'max'", lambda body: body.update(model="gpt-5.5", reasoning={"effort": "max"})),
    ("'reasoning.effort' is not supported", lambda body: body.update(model="gpt-4.1")),
    ("'temperature' is not supported", lambda body: body.update(temperature=1)),
    ("Missing required parameter: 'tools[0].strict'", lambda body: body["tools"][0].pop("strict")),
    ("must be true or false", lambda body: body["tools"][0].update(strict=None)),
    ("Invalid schema", lambda body: body["tools"][0].update(strict=True)),
    ("does not match pattern", lambda body: body["tools"][0].update(name="a b")),
    ("Tool choice", lambda body: body.update(tool_choice={"type": "function", "name": "other"})),
    ("Missing required parameter: 'text.format.strict'", lambda body: body["text"]["format"].pop("strict")),
    ("Invalid schema", lambda body: body["text"]["format"].update(strict=True)),
    ("'prompt_cache_options' is not supported", lambda body: body.update(model="gpt-5.4")),
    ("below minimum value", lambda body: body.update(max_output_tokens=5)),
]


@pytest.mark.parametrize(
    ("message", "change"), FIELDS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_fields(message: str, change: Change):
    """One change, one refusal."""
    body = json.loads(json.dumps(good()))
    change(body)
    assert message in (refusal(body) or "nothing was refused")


USER, REASONING, CALL, OTHER, OUTPUT, LAST = 0, 1, 2, 3, 4, -1
ITEMS: list[tuple[str, Change]] = [
    ("Missing required parameter: 'input[0].type'", lambda items: items[USER].pop("type")),
    ("not found", lambda items: items[CALL].update(id="fc_1")),
    ("not found", lambda items: items[REASONING].update(status="completed")),
    ("does not belong to this summary", lambda items: items[REASONING]["summary"].clear()),
    ("does not belong to this summary", lambda items: items[REASONING]["summary"][0].update(text="x")),
    ("could not be verified", lambda items: items[REASONING].update(encrypted_content="x")),
    ("following item", lambda items: items.insert(3, items.pop(REASONING))),
    ("following item", lambda items: items.insert(2, items.pop(OTHER))),
    ("Duplicate call_id", lambda items: items.insert(3, items[CALL])),
    ("No tool output found", lambda items: items.pop(OUTPUT)),
    ("expected an object", lambda items: items[CALL].update(arguments="[]")),
    ("phase", lambda items: items[-2].pop("phase")),
    ("Unknown parameter: 'phase'", lambda items: items[USER].update(phase="commentary")),
    ("Invalid value: 'input_text'", lambda items: items[-2].update(content=items[LAST]["content"])),
    ("Invalid value: 'output_text'", lambda items: items[LAST]["content"][0].update(type="output_text")),
    ("Only the latest 4 of 5", lambda items: items[LAST].update(content=5 * items[LAST]["content"])),
    ("base64 data URL", lambda items: items[LAST]["content"].append({"type": "input_file", "file_data": "x"})),
]


@pytest.mark.parametrize(
    ("message", "change"), ITEMS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_items(message: str, change: Change):
    """One change, one refusal."""
    body = json.loads(json.dumps(good()))
    change(body["input"])
    assert message in (refusal(body) or "nothing was refused")


Items = list[dict[str, Any]]
BROKEN: list[tuple[Callable[[Items], Items], str]] = [
    (lambda items: items[:-1], "No tool output found for function call"),
    (lambda items: items[:1] + items[-1:], "No tool call found for function call output"),
    (lambda items: items[:2], "without its required following item"),
    (lambda items: [*items[:2], items[0], *items[2:]], "without its required following item"),
    (lambda items: [{"type": "item_reference", "id": "rs_1"}, *items], "Item with id 'rs_1' not found"),
]


@pytest.mark.parametrize(("changed", "message"), BROKEN)
def test_a_broken_history_is_refused(changed: Callable[[Items], Items], message: str):
    """A call without its output, an output without its call, reasoning without its follower, a bare id."""
    items = called("sunny", "noon")
    assert message in (refusal(request(changed(items), tools=TOOLS)) or "nothing was refused")
    assert refusal(request(items, tools=TOOLS)) is None


@pytest.mark.parametrize("content", ["", "simulated.rs_1", "x.y", "nxf1.e30.00000000"])
def test_only_its_own_encrypted_content_is_taken(content: str):
    """Anything else could not be verified."""
    items = called("sunny", "noon")
    items[1] = {**items[1], "encrypted_content": content}
    answer = post(request(items, tools=TOOLS), simulate=simulate)
    assert answer.status == 400
    assert json.loads(answer.body)["error"]["code"] == "invalid_encrypted_content"


def test_thoughts_between_calls():
    """Two calls, each with a thought, a word and a thought before it, all of which can be sent back."""
    asked = request("call get_weather and get_time. simulate thoughts between", tools=TOOLS)
    made = json.loads(post(asked, simulate=simulate).body)["output"]
    each = ["message", "reasoning", "function_call"]
    assert [item["type"] for item in made] == ["reasoning", *each, *each]
    assert {item["phase"] for item in made if item["type"] == "message"} == {"commentary"}
    kept = [{name: item[name] for name in item if name not in ("id", "status")} for item in made]
    outputs = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "done"}
        for item in made
        if "call_id" in item
    ]
    asked["input"] += [*kept, *outputs]
    assert refusal(asked) is None


@needs_recordings
@pytest.mark.recorded
@pytest.mark.parametrize("model", ["gpt-6-astra", "gpt-5.6", "gpt-5.4", "gpt-5", "gpt-4.1", "o3"])
def test_recorded_requests_pass(model: str):
    """Whatever clients sent to Anthropic, its translation is taken."""
    taken = 0
    refused: set[str] = set()
    for exchange in recorded():
        made = translated({**exchange.request, "model": model}, "openai")
        if made.refusal is None:
            message = refusal(json.loads(made.body))
            taken += message is None
            refused |= {message} if message else set()
    assert refused <= {
        "Invalid 'temperature': decimal below minimum value. Expected a value >= 0, but got -5.0 instead."
    }
    assert taken >= 864
