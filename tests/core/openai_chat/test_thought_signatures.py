"""Calls without a thought signature on their way to Gemini, which refuses them from version 3 on."""

from typing import Any

import pytest

from tests.core.translation.asking import request_of, translated

STAND_IN = "skip_thought_signature_validator"
FOREIGN = {"type": "thinking", "thinking": "t", "signature": "EqQBb3RoZXI="}


def call(id: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": "look", "input": {}}


def asked(model: str, *turns: list[dict[str, Any]]) -> dict[str, Any]:
    """A conversation with these turns of the assistant's, and the results of their calls."""
    messages: list[Any] = ["hi"]
    for turn in turns:
        uses = [block for block in turn if block["type"] == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": use["id"], "content": "ok"} for use in uses]
        messages += [{"role": "assistant", "content": turn}, {"role": "user", "content": results}]
    return request_of(*messages, model=model)


def signatures(request: dict[str, Any], vendor: str = "gemini") -> list[list[Any]]:
    """What each call of each turn carries."""
    sent = translated(request, vendor).json["messages"]
    return [
        [one.get("extra_content", {}).get("google", {}).get("thought_signature") for one in turn["tool_calls"]]
        for turn in sent
        if "tool_calls" in turn
    ]


@pytest.mark.parametrize("model", ["gemini-3.1-pro-preview", "gemini-3-flash", "gemini-4-argon", "an-alias"])
def test_a_history_of_another_model_goes_with_googles_stand_in(model: str) -> None:
    """On the first call of each turn: that is where a signature is looked for. It is named once."""
    request = asked(model, [FOREIGN, call("a"), call("b")], [call("c")])
    assert signatures(request) == [[STAND_IN, None], [STAND_IN]]
    dropped = translated(request, "gemini").dropped
    assert dropped.count("messages[1].thinking") == 1
    assert "messages[3].thinking" not in dropped
    assert translated(asked(model, [call("c")]), "gemini", strict=True).refusal is None, "the answer is right"


@pytest.mark.parametrize("model", ["gemini-2.5-pro", "google/gemini-2.0-flash", "gemma-3-27b-it"])
def test_models_that_do_not_look_for_one_get_none(model: str) -> None:
    """Nothing is made up without need."""
    assert signatures(asked(model, [call("a")])) == [[None]]


def test_other_vendors_get_none() -> None:
    """They would refuse an unknown member."""
    assert signatures(asked("gemini-3-pro", [call("a")]), "openai") == [[None]]
