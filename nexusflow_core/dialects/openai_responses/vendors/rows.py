"""The vendor table. `GENERIC` is the row of every other vendor."""

from typing import Any, Final

from msgspec.structs import replace

from nexusflow_core.dialects.openai_responses.vendors.columns import Vendor
from nexusflow_core.translation.thinking import Thinking, ladder

__all__ = ["GENERIC", "OPENAI", "VENDORS", "vendor_row"]

_CHECKED: Final = "2026-11"
"""The month in which the facts about OpenAI's models were read."""
_ALL: Final = "low medium high xhigh max"
_TO_XHIGH: Final = "low medium high xhigh"
_THREE: Final = "low medium high"


def _reasons(
    models: str, efforts: str, *, off: str | None = None, default: str | None = "", checked: str = _CHECKED
) -> Thinking:
    """Returns a row. `off`: the effort that disables reasoning.

    `default`: the effort to request if the model does not reason by default; "" if it does.
    """
    return Thinking(
        models=models,
        on=_effort(default) if default else {},
        off=_effort(off) if off else None,
        by_default=not default,
        efforts=ladder(efforts) if efforts else {},
        effort_at=("reasoning", "effort"),
        checked=checked,
    )


def _effort(word: str) -> dict[str, Any]:
    return {"reasoning": {"effort": word}}


OPENAI: Final = (  # the first matching pattern counts
    _reasons(r"gpt-6-astra|gpt-6\.1-sol", _ALL),
    _reasons(r"gpt-6\.2-(?:astra|sol)", _ALL, checked=""),
    _reasons(r"gpt-6-(?:sol|luna)|gpt-6\.1-terra|gpt-5\.6", _ALL, off="none"),
    _reasons(r"gpt-[6-9]", _ALL, off="none", checked=""),
    _reasons(r"gpt-5\.[245]-pro", "medium high xhigh"),
    _reasons(r"gpt-5-pro", "high"),
    _reasons(r"gpt-5\.[123]-chat", "medium"),
    _reasons(r"gpt-5\.5", _TO_XHIGH, off="none"),
    _reasons(r"gpt-5\.[2-4]", _TO_XHIGH, off="none", default="medium"),
    _reasons(r"gpt-5\.1", _THREE, off="none", default="medium"),
    _reasons(r"gpt-5(?!-chat)", _THREE, off="minimal"),
    _reasons(r"o\d", _THREE),
)

_GPT_OSS: Final = (_reasons(r"(?:openai[/.])?gpt-oss", _THREE),)


def _unsure(columns: str) -> frozenset[str]:
    return frozenset(columns.split())


GENERIC: Final = Vendor(think_tags=True)

_GPT: Final = Vendor(  # OpenAI's models, wherever they run
    system_role="developer",
    strict_tools=True,
    thinking=OPENAI,
    thinking_alone=True,
    summary=True,
    phase_models=r"gpt-5\.3-codex|gpt-5\.[4-9]|gpt-[6-9]",
    caches_itself=True,
    uncertain=_unsure("thinking"),
)
_AZURE: Final = replace(
    _GPT,
    prices="openai",
    pdf_urls=True,
    open_schemas=r"gpt-4|gpt-3\.5|o[134]",
    web_search="blocked",
    context_models=r"gpt-5\.[45]",
    safety_identifier=True,
    cache_models=r"gpt-5\.[6-9]|gpt-[6-9]",
    cache_key=True,
    counts=True,
    uncertain=_unsure("thinking cache_models counts"),
)
_TEXT: Final = Vendor(  # hosts of open models: no files, none of OpenAI's newer fields
    refuses=frozenset({"include", "store"}),
    pdf=False,
    tool_images="hoist",
    thinking=_GPT_OSS,
    uncertain=_unsure("refuses pdf tool_images"),
)
_LOCAL: Final = replace(_TEXT, refuses=frozenset({"include", "stream_options"}), caches_itself=True)

VENDORS: Final[dict[str, Vendor]] = {
    "openai": replace(_AZURE, service_tiers=True, compaction=True, uncertain=_unsure("thinking")),
    "azure": _AZURE,
    "github-copilot": replace(_GPT, uncertain=_unsure("thinking summary strict_tools caches_itself")),
    "chatgpt": replace(
        _GPT,
        prices="openai",
        refuses=frozenset({"max_output_tokens", "temperature", "top_p"}),
        cache_key=True,
        stream_only=True,
    ),
    "bedrock": replace(
        _GPT,
        system_role="system",
        summary=False,
        tool_choice="auto",
        thinking=(*_GPT_OSS, *OPENAI),
        uncertain=_unsure("thinking strict_tools tool_choice caches_itself"),
    ),
    "xai": Vendor(
        prices="xai",
        strict_tools=True,
        web_search="allowed",
        search_domains=5,
        thinking=(_reasons(r"grok-3-mini", "low high"), _reasons(r"grok-[4-9]", "", checked="")),
        cache_key=True,
        caches_itself=True,
        unknown_model=r"Model not found",
        uncertain=_unsure("thinking cache_key"),
    ),
    "openrouter": Vendor(
        pdf_urls=True,
        thinking=(_reasons("", "low medium high xhigh", off="none", default="medium"),),
        strict_tools=True,
        cache_key=True,
        unknown_model=r"is not a valid model ID",
        uncertain=_unsure("thinking strict_tools cache_key"),
    ),
    "deepseek": Vendor(
        prices="deepseek",
        refuses=frozenset({"include", "parallel_tool_calls"}),
        vision=False,
        pdf=False,
        tool_images="hoist",
        tool_choice="auto",
        thinking=(_reasons("", "low high max", off="none"),),
        caches_itself=True,
        uncertain=_unsure("thinking refuses"),
    ),
    "perplexity": replace(
        _TEXT,
        refuses=_TEXT.refuses | {"stream_options", "parallel_tool_calls"},
        thinking=(),
        replay=False,
        uncertain=_TEXT.uncertain | {"replay"},
    ),
    "qwen": replace(
        _TEXT,
        prices="alibaba",
        refuses=_TEXT.refuses | {"parallel_tool_calls"},
        instructions=False,
        response_format=False,
        thinking=(Thinking(on={"enable_thinking": True}, off={"enable_thinking": False}, checked="2026-11"),),
        replay=False,
        caches_itself=True,
        uncertain=_TEXT.uncertain | {"response_format", "replay", "caches_itself"},
    ),
    "groq": replace(_TEXT, prices="groq", caches_itself=True),
    "together": replace(_TEXT, prices="together"),
    "vllm": replace(_LOCAL, prices="vllm", system_anywhere=False, think_tags=True, ends_at_limit=True),
    "ollama": replace(
        _LOCAL,
        prices="ollama",
        refuses=_LOCAL.refuses | {"tool_choice"},
        image_urls=False,
        tool_choice="auto",
        thinking=(_reasons("", _THREE, off="none"),),
        uncertain=_unsure("thinking tool_images image_urls"),
    ),
    "lmstudio": _LOCAL,
    "llamacpp": replace(_LOCAL, prices="llamacpp", thinking=(), think_tags=True),
}


def vendor_row(name: str | None) -> Vendor:
    """Returns the row of a vendor; `GENERIC` for a vendor without a row."""
    return VENDORS.get(name or "", GENERIC)
