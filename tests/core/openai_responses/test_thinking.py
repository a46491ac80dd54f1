"""Reasoning asked for: the effort that each model takes, its summary, and what is listed."""

from typing import Any

import pytest

from nexusflow_core.dialects.openai_responses.vendors import VENDORS
from nexusflow_core.dialects.openai_responses.vendors.rows import OPENAI
from tests.core.openai_responses.asking import asked_of, sent, translated
from tests.core.translation.asking import request_of

EFFORTS = ("low", "medium", "high", "xhigh", "max")
ALL = EFFORTS
TO_XHIGH = ("low", "medium", "high", "xhigh", "xhigh")
THREE = ("low", "medium", "high", "high", "high")
FROM_MEDIUM = ("medium", "medium", "high", "xhigh", "xhigh")


@pytest.mark.parametrize(
    ("model", "words", "off"),
    [
        ("gpt-6-astra", ALL, "low"),
        ("gpt-6.1-sol", ALL, "low"),
        ("gpt-6-sol", ALL, "none"),
        ("gpt-6-luna", ALL, "none"),
        ("gpt-6.1-terra", ALL, "none"),
        ("gpt-5.6", ALL, "none"),
        ("gpt-5.6-terra", ALL, "none"),
        ("gpt-5.5", TO_XHIGH, "none"),
        ("gpt-5.5-pro", FROM_MEDIUM, "medium"),
        ("gpt-5.2-pro", FROM_MEDIUM, "medium"),
        ("gpt-5.4", TO_XHIGH, "none"),
        ("gpt-5.2", TO_XHIGH, "none"),
        ("gpt-5.1", THREE, "none"),
        ("gpt-5.1-chat-latest", ("medium",) * 5, "medium"),
        ("gpt-5", THREE, "minimal"),
        ("gpt-5-mini", THREE, "minimal"),
        ("gpt-5-pro", ("high",) * 5, "high"),
        ("o3", THREE, "low"),
        ("o4-mini", THREE, "low"),
    ],
)
def test_effort_words_of_a_model(model: str, words: tuple[str, ...], off: str) -> None:
    """The same word where the model takes it, else the next lower one, else the lowest; changes are listed."""
    for asked, word in zip(EFFORTS, words, strict=True):
        outcome = translated(request_of(model=model, output_config={"effort": asked}))
        assert outcome.json["reasoning"] == {"effort": word}
        assert outcome.dropped == (() if asked == word else ("output_config.effort",))
    outcome = translated(request_of(model=model, thinking={"type": "disabled"}))
    assert outcome.json["reasoning"] == {"effort": off}
    assert outcome.dropped == (() if off in ("none", "minimal") else ("thinking",))


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-5-chat-latest", "gpt-4o"])
def test_a_model_that_does_not_reason_gets_no_such_field(model: str) -> None:
    """It refuses the field itself."""
    outcome = translated(
        request_of(model=model, thinking={"type": "adaptive"}, output_config={"effort": "low"})
    )
    assert not {"reasoning", "include"} & outcome.json.keys()
    assert outcome.dropped == ("thinking", "output_config.effort")


@pytest.mark.parametrize(
    ("model", "thinking", "expected"),
    [
        ("gpt-5.6", {"type": "adaptive"}, {"summary": "auto"}),
        ("gpt-5.6", {"type": "enabled", "budget_tokens": 2000}, {"effort": "low", "summary": "auto"}),
        ("gpt-5.6", {"type": "enabled", "budget_tokens": 8000}, {"effort": "medium", "summary": "auto"}),
        ("gpt-5.6", {"type": "enabled", "budget_tokens": 20_000}, {"effort": "high", "summary": "auto"}),
        ("gpt-5.4", {"type": "adaptive"}, {"effort": "medium", "summary": "auto"}),
        ("gpt-5.4", {"type": "enabled", "budget_tokens": 2000}, {"effort": "low", "summary": "auto"}),
        ("gpt-5.1", {"type": "adaptive", "display": "omitted"}, {"effort": "medium"}),
    ],
)
def test_thinking_that_is_asked_for(model: str, thinking: dict[str, Any], expected: dict[str, Any]) -> None:
    """With a summary unless the client hides it; a model that rests by default is told to think."""
    assert sent(model=model, thinking=thinking)["reasoning"] == expected


def test_thinking_and_effort_together() -> None:
    """One field has both, whatever the model does by itself."""
    members: dict[str, Any] = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}
    assert sent(model="gpt-5.4", **members)["reasoning"] == {"effort": "high", "summary": "auto"}


@pytest.mark.parametrize("model", ["gpt-5.6", "gpt-5.4", "o3"])
def test_nothing_asked_for_is_nothing_sent(model: str) -> None:
    """But reasoning that comes back all the same can go back again."""
    body = sent(model=model)
    assert "reasoning" not in body
    assert body["include"] == ["reasoning.encrypted_content"]
    assert not asked_of(model=model).thinks


def test_what_the_answer_must_know() -> None:
    """Whether blocks of thinking are shown, and whether their text is."""
    asked = asked_of(model="gpt-5.6", thinking={"type": "adaptive", "display": "omitted"})
    assert (asked.thinks, asked.hide_thinking) == (True, True)
    assert not asked_of(model="gpt-5.6", thinking={"type": "disabled"}).thinks


@pytest.mark.parametrize(
    ("model", "context"), [("gpt-5.4", "all_turns"), ("gpt-5.5", "all_turns"), ("gpt-5.6", None)]
)
def test_all_thinking_is_kept_in_view(model: str, context: str | None) -> None:
    """Where the client asks for it and the model does not do so by itself."""
    edits = [{"type": "clear_thinking_20251015", "keep": "all"}]
    body = sent(model=model, context_management={"edits": edits})
    assert body.get("reasoning", {}).get("context") == context


@pytest.mark.parametrize(
    ("vendor", "model", "expected"),
    [
        ("xai", "grok-4.3", None),
        ("xai", "grok-3-mini", {"effort": "low"}),
        ("deepseek", "deepseek-v4", {"effort": "low"}),
        ("openrouter", "anything", {"effort": "low"}),
        ("groq", "openai/gpt-oss-120b", {"effort": "low"}),
        ("bedrock", "openai.gpt-oss-20b", {"effort": "low"}),
        ("bedrock", "gpt-5.6", {"effort": "low"}),
        ("generic", "anything", None),
    ],
)
def test_other_vendors(vendor: str, model: str, expected: dict[str, str] | None) -> None:
    """By their rows, never with a summary that they do not take."""
    outcome = translated(request_of(model=model, thinking={"type": "enabled", "budget_tokens": 1}), vendor)
    assert outcome.json.get("reasoning") == expected
    assert outcome.dropped


def test_a_tool_cannot_be_forced_while_a_model_thinks() -> None:
    """DeepSeek's models; the choice becomes `auto`, and that is listed."""
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    outcome = translated(request_of(tools=tools, tool_choice={"type": "any"}), "deepseek")
    assert (outcome.json["tool_choice"], outcome.dropped) == ("auto", ("tool_choice",))


def test_facts_about_models_have_a_date() -> None:
    """Those without one are guesses, and the row says so."""
    assert [row.models for row in OPENAI if not row.checked] == [r"gpt-6\.2-(?:astra|sol)", r"gpt-[6-9]"]
    for name, row in VENDORS.items():
        unsure = any(not thinking.checked for thinking in row.thinking)
        assert not unsure or "thinking" in row.uncertain or row.thinking == OPENAI, name
