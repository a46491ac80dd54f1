"""Reasoning of which each piece says again what was said before it: it is shown once."""

from typing import Any

import pytest

from nexusflow_core.dialects.openai_chat.reasoning import Unrepeated
from tests.core.openai_chat.test_reasoning import CALL, shapes, stream


@pytest.mark.parametrize(
    ("pieces", "news"),
    [
        (["a", "ab", "abc"], "abc"),
        (["a", "b", "c"], "abc"),
        (["a", "a", "b"], "aab"),
        (["1", "11", "111"], "111"),
        (["Let me", "Let me think", "Let me think hard", "Let me think hard"], "Let me think hard"),
        (["Let me", "Let me", "Let me think"], "Let me think"),
        (["Let me", "Let me think", "Let me", "Let me think hard"], "Let me think hard"),
        (["Let me", "Let me"], "Let me"),
        (["让我", "让我想", "让我想想", "让我想想看"], "让我想想看"),
        ([" ", "  x"], "   x"),
        (["\n", "\nThe user", " wants"], "\n\nThe user wants"),
        (["\n", "\nThe user", "\nThe user wants"], "\n\nThe user wants"),
        (["I", "It is", " so"], "IIt is so"),
        (["ha", "ha", "ha", "!"], "hahaha!"),
        (["ha"] * 20, "ha" * 20),
        (["-", "--"], "---"),
        (["I", "It is so"], "IIt is so"),
    ],
)
def test_reasoning_that_repeats_itself(pieces: list[str], news: str) -> None:
    """MiniMax: some versions send all so far each time, others do not."""
    unrepeated = Unrepeated()
    assert "".join([*map(unrepeated.feed, pieces), unrepeated.flush()]) == news
    details = [{"reasoning_details": [{"type": "reasoning.text", "text": piece}]} for piece in pieces]
    for behind in ({"content": "So."}, {"tool_calls": [{"index": 0, **CALL}]}, {"refusal": "No."}, None):
        content = stream(*details, *([behind] if behind else []), vendor="minimax")
        assert shapes(content)[0] == ("thinking", news)
        assert len(content) == (2 if behind else 1)


def test_reasoning_that_repeats_itself_in_each_round() -> None:
    """Behind a text thinking begins anew; a chunk of text may bring all of it once more."""

    def say(text: str, **more: Any) -> dict[str, Any]:
        return {"reasoning_details": [{"type": "reasoning.text", "text": text}], **more}

    told = [say("Let me"), say("Let me think"), say("Let me think", content="So"), {"content": "."}]
    told += [say("Now what"), say("Now what else"), {"content": "That."}]
    assert shapes(stream(*told, vendor="minimax")) == [
        ("thinking", "Let me think"),
        ("text", "So."),
        ("thinking", "Now what else"),
        ("text", "That."),
    ]
