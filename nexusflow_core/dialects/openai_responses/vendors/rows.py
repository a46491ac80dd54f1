"""The vendor table. `GENERIC` is the row of every other vendor."""

from typing import Final

from msgspec.structs import replace

from nexusflow_core.dialects.openai_responses.vendors.columns import Vendor
from nexusflow_core.dialects.openai_responses.vendors.openai import OPENAI, THREE, reasons
from nexusflow_core.translation.thinking import Thinking

__all__ = ["GENERIC", "VENDORS", "vendor_row"]

_GPT_OSS: Final = (reasons(r"(?:openai[/.])?gpt-oss", THREE),)


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
        thinking=(reasons(r"grok-3-mini", "low high"), reasons(r"grok-[4-9]", "", checked="")),
        cache_key=True,
        caches_itself=True,
        unknown_model=r"Model not found",
        uncertain=_unsure("thinking cache_key"),
    ),
    "openrouter": Vendor(
        pdf_urls=True,
        thinking=(reasons("", "low medium high xhigh", off="none", default="medium"),),
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
        thinking=(reasons("", "low high max", off="none"),),
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
        thinking=(reasons("", THREE, off="none"),),
        uncertain=_unsure("thinking tool_images image_urls"),
    ),
    "lmstudio": _LOCAL,
    "llamacpp": replace(_LOCAL, prices="llamacpp", thinking=(), think_tags=True),
}


def vendor_row(name: str | None) -> Vendor:
    """Returns the row of a vendor; `GENERIC` for a vendor without a row."""
    return VENDORS.get(name or "", GENERIC)
