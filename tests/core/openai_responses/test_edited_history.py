"""A history that a client has edited: the gateway refuses it, or sends what a strict upstream takes."""

import json
from datetime import UTC, datetime
from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nexusflow_asgi.settings import OFFLINE
from nexusflow_core import Call, Gateway, decode_config
from nexusflow_core.exchange import Send
from tests.core.test_moving_conversation import CLAUDE, KEYS, TOOLS, Conversation, results, simulated

MODELS = ("gpt-5.6", "gpt-5.4")
CALLS = "call get_weather and get_weather. simulate thoughts between"

ANOTHER_FOLLOWER = b"Item of type 'reasoning' was provided without its required following item"
"""Reasoning before another item of the model. Only the strict simulator can tell: encrypted reasoning names no
follower, and a stream signs it before its follower is known."""


@cache
def history() -> str:
    """Turns of both models and of Claude, with thoughts, words, calls and results, as JSON."""
    talk = Conversation(simulated)
    for model in (MODELS[0], CLAUDE, MODELS[1]):
        called = talk.turn(model, CALLS, stream=False)
        talk.turn(model, results(called), stream=False)
    talk.messages.append({"role": "user", "content": "go on"})
    return json.dumps(talk.messages)


@cache
def gateway() -> Gateway:
    """The gateway of `nexusflow serve --offline`."""
    config = decode_config(OFFLINE)
    config.resolve(dict.fromkeys(KEYS, "sk-x"))
    return Gateway(config)


def edit(data: st.DataObject, messages: list[dict[str, Any]]) -> None:
    """Changes one block or one turn."""
    turn = data.draw(st.integers(0, len(messages) - 1))
    content = messages[turn]["content"]
    if isinstance(content, str) or not content:
        messages[turn]["content"] = data.draw(st.sampled_from(["", " ", "hello", []]))
        return
    at = data.draw(st.integers(0, len(content) - 1))
    block = content[at]
    match data.draw(st.sampled_from(["cut", "end", "swap", "move", "twice", "text", "turn", "mark"])):
        case "cut":
            del content[at]
        case "end":
            del content[at:]
        case "swap":
            content.reverse()
        case "move":
            messages[data.draw(st.integers(0, len(messages) - 1))]["content"] = [content.pop(at)]
        case "twice":
            content.insert(data.draw(st.integers(0, len(content))), block)
        case "text":
            for name in ("text", "thinking", "signature", "content"):
                if isinstance(block.get(name), str):
                    block[name] = data.draw(st.sampled_from(["", " ", "x", block[name] + "x", block[name][:9]]))
        case "turn":
            del messages[turn]
        case _:
            block["cache_control"] = {"type": "ephemeral"}


@given(st.data(), st.sampled_from(MODELS), st.sampled_from([None, "disabled", "adaptive"]))
@settings(max_examples=300, deadline=None)
def test_the_upstream_takes_what_is_sent(data: st.DataObject, model: str, thinking: str | None) -> None:
    """Up to three edits: blocks and turns cut, moved, repeated, reworded, marked for the cache."""
    messages: list[dict[str, Any]] = json.loads(history())
    for _ in range(data.draw(st.integers(1, 3))):
        if messages:
            edit(data, messages)
    body: dict[str, Any] = {"model": model, "max_tokens": 4000, "tools": TOOLS, "messages": messages}
    if thinking is not None:
        body["thinking"] = {"type": thinking}
    text = json.dumps(body).encode()
    at = datetime(2026, 11, 28, tzinfo=UTC)
    call = Call(endpoint="messages", request_id="req_1", started_at=at, body=text).look(10**8)
    exchange = gateway().open(call, started=0.0)
    exchange.start(0.0)
    if not isinstance(exchange.order, Send):
        assert exchange.record(0.0).status == 400
        return
    request = exchange.order.request
    status, _, chunks = simulated(request.url, request.body)
    answer = b"".join(chunks)
    assert status == 200 or ANOTHER_FOLLOWER in answer, answer
