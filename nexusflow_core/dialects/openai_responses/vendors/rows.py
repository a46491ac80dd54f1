"""The vendor table. A vendor without a row gets `GENERIC`, which asks for nothing unusual."""

from typing import Final

from nexusflow_core.dialects.openai_responses.vendors.columns import Vendor
from nexusflow_core.dialects.openai_responses.vendors.openai import OPENAI, THREE, reasons
from nexusflow_core.translation.thinking import Thinking

__all__ = ["GENERIC", "VENDORS", "vendor_row"]

_PHASED: Final = r"gpt-5\.3-codex|gpt-5\.[4-9]|gpt-[6-9]"
_MARKED: Final = r"gpt-5\.[6-9]|gpt-[6-9]"
_CLOSED_TOP: Final = r"gpt-4|gpt-3\.5|o[134]"
_LOCAL: Final = frozenset({"include", "stream_options"})
_GPT_OSS: Final = reasons(r"(?:openai[/.])?gpt-oss", THREE)

GENERIC: Final = Vendor(think_tags=True)

VENDORS: Final[dict[str, Vendor]] = {
    "openai": Vendor(
        prices="openai",
        system_role="developer",
        pdf_urls=True,
        strict_tools=True,
        open_schemas=_CLOSED_TOP,
        web_search="blocked",
        thinking=OPENAI,
        thinking_alone=True,
        summary=True,
        context_models=r"gpt-5\.[45]",
        phase_models=_PHASED,
        safety_identifier=True,
        service_tiers=True,
        cache_models=_MARKED,
        cache_key=True,
        compaction=True,
        counts=True,
        caches_itself=True,
        uncertain=frozenset({"thinking"}),
    ),
    "azure": Vendor(
        prices="openai",
        system_role="developer",
        pdf_urls=True,
        strict_tools=True,
        open_schemas=_CLOSED_TOP,
        web_search="blocked",
        thinking=OPENAI,
        thinking_alone=True,
        summary=True,
        context_models=r"gpt-5\.[45]",
        phase_models=_PHASED,
        safety_identifier=True,
        cache_models=_MARKED,
        cache_key=True,
        counts=True,
        caches_itself=True,
        uncertain=frozenset({"thinking", "cache_models", "counts"}),
    ),
    "xai": Vendor(
        prices="xai",
        strict_tools=True,
        web_search="allowed",
        search_domains=5,
        thinking=(
            reasons(r"grok-3-mini", "low high"),
            reasons(r"grok-[4-9]", "", checked=""),
        ),
        cache_key=True,
        unknown_model=r"Model not found",
        caches_itself=True,
        uncertain=frozenset({"thinking", "cache_key"}),
    ),
    "openrouter": Vendor(
        pdf_urls=True,
        thinking=(reasons("", "low medium high xhigh", off="none", default="medium"),),
        strict_tools=True,
        cache_key=True,
        unknown_model=r"is not a valid model ID",
        uncertain=frozenset({"thinking", "strict_tools", "cache_key"}),
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
        uncertain=frozenset({"thinking", "refuses"}),
    ),
    "bedrock": Vendor(
        tool_choice="auto",
        thinking=(_GPT_OSS, *OPENAI),
        thinking_alone=True,
        phase_models=_PHASED,
        strict_tools=True,
        caches_itself=True,
        uncertain=frozenset({"thinking", "strict_tools", "tool_choice", "caches_itself"}),
    ),
    "github-copilot": Vendor(
        system_role="developer",
        thinking=OPENAI,
        thinking_alone=True,
        summary=True,
        phase_models=_PHASED,
        strict_tools=True,
        caches_itself=True,
        uncertain=frozenset({"thinking", "summary", "strict_tools", "caches_itself"}),
    ),
    "chatgpt": Vendor(
        prices="openai",
        refuses=frozenset("max_output_tokens temperature top_p".split()),
        system_role="developer",
        thinking=OPENAI,
        thinking_alone=True,
        summary=True,
        phase_models=_PHASED,
        strict_tools=True,
        cache_key=True,
        stream_only=True,
        caches_itself=True,
    ),
    "perplexity": Vendor(
        refuses=frozenset({"include", "store", "stream_options", "parallel_tool_calls"}),
        pdf=False,
        tool_images="hoist",
        replay=False,
        uncertain=frozenset({"refuses", "pdf", "tool_images", "replay"}),
    ),
    "qwen": Vendor(
        prices="alibaba",
        refuses=frozenset({"include", "store", "parallel_tool_calls"}),
        instructions=False,
        pdf=False,
        tool_images="hoist",
        response_format=False,
        thinking=(Thinking(on={"enable_thinking": True}, off={"enable_thinking": False}, checked="2026-11"),),
        replay=False,
        caches_itself=True,
        uncertain=frozenset({"refuses", "pdf", "tool_images", "response_format", "replay", "caches_itself"}),
    ),
    "groq": Vendor(
        prices="groq",
        refuses=frozenset({"include", "store"}),
        pdf=False,
        tool_images="hoist",
        thinking=(_GPT_OSS,),
        caches_itself=True,
        uncertain=frozenset({"refuses", "pdf", "tool_images"}),
    ),
    "together": Vendor(
        prices="together",
        refuses=frozenset({"include", "store"}),
        pdf=False,
        tool_images="hoist",
        thinking=(_GPT_OSS,),
        uncertain=frozenset({"refuses", "pdf", "tool_images"}),
    ),
    "vllm": Vendor(
        prices="vllm",
        refuses=_LOCAL,
        system_anywhere=False,
        pdf=False,
        tool_images="hoist",
        thinking=(_GPT_OSS,),
        think_tags=True,
        ends_at_limit=True,
        caches_itself=True,
        uncertain=frozenset({"refuses", "pdf", "tool_images"}),
    ),
    "ollama": Vendor(
        prices="ollama",
        refuses=_LOCAL | {"tool_choice"},
        image_urls=False,
        pdf=False,
        tool_images="hoist",
        tool_choice="auto",
        thinking=(reasons("", THREE, off="none"),),
        caches_itself=True,
        uncertain=frozenset({"thinking", "tool_images", "image_urls"}),
    ),
    "lmstudio": Vendor(
        refuses=_LOCAL,
        pdf=False,
        tool_images="hoist",
        thinking=(_GPT_OSS,),
        caches_itself=True,
        uncertain=frozenset({"refuses", "pdf", "tool_images"}),
    ),
    "llamacpp": Vendor(
        prices="llamacpp",
        refuses=_LOCAL,
        pdf=False,
        tool_images="hoist",
        think_tags=True,
        caches_itself=True,
        uncertain=frozenset({"refuses", "pdf", "tool_images"}),
    ),
}


def vendor_row(name: str | None) -> Vendor:
    """Returns the row of a vendor, `GENERIC` for one that needs none."""
    return VENDORS.get(name or "", GENERIC)
