"""Whether a model thinks, and how hard, in each vendor's own words (translation.md 1.1)."""

from typing import Any

import pytest

from tests.core.translation.asking import request_of, translated

ENABLED = {"type": "enabled", "budget_tokens": 5000}
ADAPTIVE = {"type": "adaptive"}
DISABLED = {"type": "disabled"}
TOOLS = [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]
_NOT_STEERING = frozenset(
    "model messages max_tokens max_completion_tokens tools tool_choice prompt_cache_key".split()
)


def steered(vendor: str, model: str, **members: Any) -> tuple[dict[str, Any], list[str]]:
    """What of the upstream's body steers thinking, and what is named as lost."""
    outcome = translated({**request_of(), "model": model, **members}, vendor)
    sent = {name: value for name, value in outcome.json.items() if name not in _NOT_STEERING}
    return sent, list(outcome.dropped)


def effort(word: str) -> dict[str, Any]:
    return {"output_config": {"effort": word}}


CASES: list[tuple[str, str, dict[str, Any], dict[str, Any], list[str]]] = [
    # OpenAI: words of effort, by what the model lists
    ("openai", "gpt-5.5", effort("xhigh"), {"reasoning_effort": "xhigh"}, []),
    ("openai", "gpt-5.5", effort("max"), {"reasoning_effort": "xhigh"}, ["output_config.effort"]),
    ("openai", "gpt-5.1", effort("max"), {"reasoning_effort": "high"}, ["output_config.effort"]),
    ("openai", "gpt-6", effort("max"), {"reasoning_effort": "max"}, []),
    ("openai", "o3", {"thinking": ENABLED}, {"reasoning_effort": "medium"}, ["thinking.budget_tokens"]),
    ("openai", "gpt-5.5", {"thinking": DISABLED}, {"reasoning_effort": "none"}, []),
    ("openai", "gpt-5-mini", {"thinking": DISABLED}, {"reasoning_effort": "minimal"}, []),
    ("openai", "o3", {"thinking": DISABLED}, {}, ["thinking"]),
    ("openai", "gpt-5.4", {"thinking": ADAPTIVE}, {}, ["thinking"]),
    ("openai", "gpt-5.5", {"thinking": ADAPTIVE}, {}, []),
    ("openai", "gpt-5", {"thinking": ADAPTIVE}, {}, []),
    ("openai", "gpt-4.1", {"thinking": ADAPTIVE, **effort("low")}, {}, ["thinking", "output_config.effort"]),
    # one switch and words of their own
    ("deepseek", "deepseek-v4-pro", {"thinking": DISABLED}, {"thinking": DISABLED}, []),
    (
        "deepseek",
        "deepseek-v4-pro",
        {"thinking": ADAPTIVE, **effort("xhigh")},
        {"thinking": {"type": "enabled"}, "reasoning_effort": "max"},
        ["output_config.effort"],
    ),
    ("glm", "glm-4.7", {"thinking": ADAPTIVE}, {"thinking": {"type": "enabled"}}, []),
    ("glm", "glm-5.3", {"thinking": DISABLED}, {}, ["thinking"]),
    ("kimi", "kimi-k2.6", {"thinking": DISABLED}, {"thinking": DISABLED}, []),
    ("kimi", "kimi-k3", effort("low"), {"reasoning_effort": "low"}, []),
    ("kimi", "kimi-k3", {"thinking": DISABLED}, {}, ["thinking"]),
    # a budget in tokens
    ("qwen", "qwen3.7-plus", {"thinking": ENABLED}, {"enable_thinking": True, "thinking_budget": 5000}, []),
    ("qwen", "qwen3.7-plus", {"thinking": DISABLED}, {"enable_thinking": False}, []),
    ("qwen", "qwen3.7-plus", effort("low"), {}, ["output_config.effort"]),
    (
        "qwen",
        "qwen3.7-plus",
        {"thinking": ENABLED, **effort("low")},
        {"enable_thinking": True, "thinking_budget": 5000},
        ["output_config.effort"],
    ),
    ("openrouter", "z/glm", {"thinking": ENABLED}, {"reasoning": {"max_tokens": 5000}}, []),
    ("openrouter", "z/glm", {"thinking": ADAPTIVE}, {"reasoning": {"enabled": True}}, []),
    ("openrouter", "z/glm", {"thinking": ADAPTIVE, **effort("high")}, {"reasoning": {"effort": "high"}}, []),
    ("openrouter", "z/glm", {"thinking": DISABLED}, {"reasoning": {"enabled": False}}, []),
    # others
    ("minimax", "MiniMax-M2.5", {"thinking": ADAPTIVE}, {"reasoning_split": True}, []),
    (
        "minimax",
        "MiniMax-M3",
        {"thinking": ADAPTIVE},
        {"reasoning_split": True, "thinking": {"type": "adaptive"}},
        [],
    ),
    ("groq", "openai/gpt-oss-20b", effort("low"), {"reasoning_effort": "low"}, []),
    ("groq", "qwen/qwen3-32b", {"thinking": DISABLED}, {"reasoning_effort": "none"}, []),
    ("xai", "grok-3-mini", effort("medium"), {"reasoning_effort": "low"}, ["output_config.effort"]),
    ("vllm", "any", {"thinking": ADAPTIVE}, {"chat_template_kwargs": {"enable_thinking": True}}, []),
    ("vllm", "any", {"thinking": DISABLED}, {"chat_template_kwargs": {"enable_thinking": False}}, []),
    ("generic", "any", {"thinking": ADAPTIVE}, {}, ["thinking"]),
    ("generic", "any", {}, {}, []),
]


@pytest.mark.parametrize(("vendor", "model", "wish", "sent", "named"), CASES)
def test_each_vendors_own_words(
    vendor: str, model: str, wish: dict[str, Any], sent: dict[str, Any], named: list[str]
) -> None:
    """At most one control is sent, since vendors refuse two; settings without a counterpart are listed."""
    assert steered(vendor, model, **wish) == (sent, named)


@pytest.mark.parametrize(
    "model", ["gpt-5.6", "gpt-5.6-sol", "gpt-5.6-luna", "gpt-6-sol", "gpt-6-luna-2026-08-01"]
)
@pytest.mark.parametrize("vendor", ["openai", "azure"])
def test_models_that_take_tools_only_without_thinking(vendor: str, model: str) -> None:
    """They refuse any other effort, even their default. The dropped effort is listed."""
    none = {"reasoning_effort": "none"}
    assert steered(vendor, model, **effort("high")) == ({"reasoning_effort": "high"}, [])
    assert steered(vendor, model) == ({}, [])
    assert steered(vendor, model, tools=TOOLS) == (none, ["thinking"])
    assert steered(vendor, model, tools=TOOLS, **effort("high")) == (none, ["output_config.effort"])
    assert steered(vendor, model, tools=TOOLS, thinking=ADAPTIVE) == (none, ["thinking"])
    assert steered(vendor, model, tools=TOOLS, thinking=DISABLED) == (none, [])
    forced = {"tools": TOOLS, "tool_choice": {"type": "any"}}
    assert steered(vendor, model, **forced) == (none, ["thinking"])
    asked = {**request_of(), "model": model, "tools": TOOLS}
    assert translated(asked, vendor, strict=True).refusal is None, "nothing that was asked for is lost"
    assert translated({**asked, **effort("high")}, vendor, strict=True).refusal is not None


@pytest.mark.parametrize("model", ["gpt-6-astra", "gpt-6.1-sol", "gpt-6.1-sol-2026-10-01"])
def test_models_that_take_no_tools_here(model: str) -> None:
    """They always think. The refusal says where they do take tools."""
    refused = translated({**request_of(), "model": model, "tools": TOOLS}, "openai").refusal
    assert refused is not None
    assert refused.startswith("tools: ")
    assert "openai-responses" in refused
    assert steered("openai", model, **effort("max")) == ({"reasoning_effort": "max"}, [])
    assert steered("openai", model, thinking=DISABLED) == ({}, ["thinking"])


@pytest.mark.parametrize(
    ("model", "wish", "sent"),
    [
        ("gpt-5.5", "max", "xhigh"),
        ("gpt-5.4", "max", "xhigh"),
        ("gpt-5.1", "xhigh", "high"),
        ("gpt-5.4-pro", "low", "medium"),
        ("gpt-5-pro", "low", "high"),
        ("gpt-5.2-chat-latest", "high", "medium"),
        ("gpt-5-mini", "max", "high"),
        ("gpt-5-chat-latest", "high", None),
        ("gpt-4.1", "high", None),
    ],
)
def test_openais_words_of_effort(model: str, wish: str, sent: str | None) -> None:
    """The nearest that a model has; some have none, and refuse the field."""
    body, named = steered("openai", model, tools=TOOLS, **effort(wish))
    assert body.get("reasoning_effort") == sent
    assert named == ([] if sent == wish else ["output_config.effort"])


def test_a_forced_tool_where_thinking_forbids_it() -> None:
    """DeepSeek: thinking yields and that is said; a client that asked to think gets the 400 of Anthropic."""
    forced = {"tools": TOOLS, "tool_choice": {"type": "any"}}
    assert steered("deepseek", "deepseek-v4-pro", **forced) == ({"thinking": DISABLED}, ["thinking"])
    refused = translated({**request_of(), **forced, "thinking": ENABLED}, "deepseek")
    assert refused.refusal == "thinking: Thinking may not be enabled when tool_choice forces tool use."


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"thinking": "on"}, "thinking: Input should be a valid dictionary"),
        (
            {"thinking": {"display": "omitted"}},
            "thinking.type: Input should be 'enabled', 'adaptive', 'disabled' or 'between_tools'",
        ),
        (
            {"thinking": {"type": "enabled"}},
            "thinking.enabled.budget_tokens: Input should be a positive integer",
        ),
        (
            {"output_config": {"effort": "huge"}},
            "output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'",
        ),
    ],
)
def test_a_wish_that_is_none(members: dict[str, Any], message: str) -> None:
    """400, with the path, in Anthropic's words."""
    assert translated({**request_of(), **members}, "openai").refusal == message


def test_between_tools_and_displays_of_the_future_are_named() -> None:
    """What comes nearest is sent."""
    wish = {"thinking": {"type": "between_tools", "display": "updates", "block_binding": {}}}
    sent, named = steered("glm", "glm-4.7", **wish)
    assert sent == {"thinking": {"type": "enabled"}}
    assert named == ["thinking.display", "thinking.type", "thinking.block_binding"]
