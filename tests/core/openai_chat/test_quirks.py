"""Every oddity of a vendor that the simulator can show: the client gets what it would have got without it."""

from typing import Any

import pytest

from nexusflow_core.exchange import Send
from tests.core.translation.driving import Driven, asking, drive, exchange_of
from tests.core.translation.folding import by_hand
from tests.core.translation.grammar import checked
from tests.simulator import simulate
from tests.simulator.openai_chat import QUIRKS

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [
    {"name": "get_weather", "input_schema": SCHEMA},
    {"name": "get_time", "input_schema": {"type": "object", "properties": {}}},
]
WEATHER, TIME = ("get_weather", {"city": "example"}), ("get_time", {})
BOTH: Any = ([WEATHER, TIME], "tool_use")
CUT = "error in the stream"

OTHERWISE: dict[str, tuple[Any, Any]] = {
    "text_after_call": (
        (["I have asked the tools.", WEATHER, TIME], "tool_use"),
        ([WEATHER, TIME, "I have asked the tools."], "tool_use"),
    ),
    "refusal": ((["I'm sorry, but I can't assist with that request."], "refusal"),) * 2,
    "content_filter": (([], "refusal"),) * 2,
    "empty_answer": (([], "end_turn"),) * 2,
    "empty_arguments": (([("get_weather", {}), TIME], "tool_use"),) * 2,
    "null_arguments": (([("get_weather", {}), TIME], "tool_use"),) * 2,
    "broken_arguments": (502, CUT),
    "error_in_200": (502, 502),
}
"""What a quirk is about: the whole answer, the stream."""

THOUGHTS = {"think_tags"}
"""Thoughts inside the text, which a row has to know of."""


def asked(text: str, *, stream: bool, model: str) -> Driven:
    """The simulator's answer, translated."""
    body = asking(
        stream=stream, model=model, tools=TOOLS, max_tokens=500, messages=[{"role": "user", "content": text}]
    )
    exchange = exchange_of(body)
    exchange.start(0.0)
    assert isinstance(exchange.order, Send)
    sent = exchange.order.request
    simulated = simulate("/v1/chat/completions", sent.headers, sent.body)
    return drive(exchange_of(body), list(simulated.chunks), status=simulated.status, headers=simulated.headers)


def said(driven: Driven, *, stream: bool) -> Any:
    """Texts, calls and the stop reason; the status of an error."""
    if driven.status != 200:
        return driven.status
    if stream and checked(driven.body)[-1]["type"] == "error":
        return CUT
    message = by_hand(checked(driven.body)) if stream else driven.json
    content = [
        block["text"] if block["type"] == "text" else (block["name"], block["input"])
        for block in message["content"]
        if block["type"] in ("text", "tool_use")
    ]
    return content, message["stop_reason"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["gpt-5.1", "deepseek-v4-flash"])
@pytest.mark.parametrize("name", sorted(QUIRKS.keys() - THOUGHTS))
def test_an_oddity_does_not_show(name: str, model: str, stream: bool) -> None:
    """Two calls are two calls, with their names and inputs."""
    driven = asked(f"call get_weather and get_time simulate quirk {name}", stream=stream, model=model)
    assert said(driven, stream=stream) == OTHERWISE.get(name, (BOTH, BOTH))[stream]


@pytest.mark.parametrize("name", sorted(QUIRKS.keys() - {"no_usage", "error_in_200", "no_finish"}))
def test_usage_is_the_same_either_way(name: str) -> None:
    """Wherever in a stream it stands, however often, and whatever the zeros around it."""
    text = f"call get_weather simulate quirk {name}"
    whole = asked(text, stream=False, model="gpt-5.1")
    stream = asked(text, stream=True, model="gpt-5.1")
    if name == "broken_arguments":
        assert (whole.status, stream.record.usage_source) == (502, "partial")
        return
    assert whole.record.usage == stream.record.usage == checked(stream.body)[-2]["usage"]
    assert whole.record.usage_source == stream.record.usage_source == "upstream"
