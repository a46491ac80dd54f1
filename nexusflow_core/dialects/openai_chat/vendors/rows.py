"""The vendor table. A vendor without a row gets `GENERIC`, which asks for nothing unusual."""

from typing import Final

from nexusflow_core.dialects.openai_chat.vendors.columns import Prefill, Vendor
from nexusflow_core.dialects.openai_chat.vendors.openai import OPENAI
from nexusflow_core.translation.thinking import Thinking, ladder

__all__ = ["GENERIC", "VENDORS", "vendor_row"]

_WITH_TOP_K: Final = frozenset({"temperature", "top_p", "top_k"})
_THREE: Final = ladder("low medium high")
_SWITCH: Final = Thinking(on={"thinking": {"type": "enabled"}}, off={"thinking": {"type": "disabled"}})
_TEMPLATE: Final = Thinking(
    on={"chat_template_kwargs": {"enable_thinking": True}},
    off={"chat_template_kwargs": {"enable_thinking": False}},
)
_NO_EFFORT: Final = {"reasoning_effort": "none"}

GENERIC: Final = Vendor(think_tags=True)

VENDORS: Final[dict[str, Vendor]] = {
    "openai": Vendor(
        prices="openai",
        max_tokens="max_completion_tokens",
        reasoning_models=r"o\d|gpt-[5-9]",
        strict_tools=True,
        pdf=True,
        thinking=OPENAI,
        user_field="safety_identifier",
        service_tiers=True,
        caches_itself=True,
        cache_markers="prompt_cache_breakpoint",
        cache_models=r"gpt-5\.[6-9]|gpt-[6-9]",
        cache_results=True,
        cache_key="prompt_cache_key",
        uncertain=frozenset({"thinking"}),
    ),
    "azure": Vendor(
        prices="openai",
        max_tokens="max_completion_tokens",
        reasoning_models=r"o\d|gpt-[5-9]",
        strict_tools=True,
        thinking=OPENAI,
        user_field="user",
        caches_itself=True,
        uncertain=frozenset({"thinking", "user_field"}),
    ),
    "deepseek": Vendor(
        prices="deepseek",
        string_content=True,
        vision=False,
        parallel_tool_calls=False,
        response_format="json_object",
        prefill=Prefill(message={"prefix": True}),  # only at the /beta base URL; others answer with an error
        thinking=(
            Thinking(
                on={"thinking": {"type": "enabled"}},
                off={"thinking": {"type": "disabled"}},
                by_default=True,
                efforts={"low": "low", "medium": "high", "high": "high", "xhigh": "max", "max": "max"},
                forced_choice=False,
            ),
        ),
        replay="reasoning_content",
        replay_blank="history",
        user_field="user_id",
        caches_itself=True,
        unknown_model=r"The supported API model names are",
    ),
    "qwen": Vendor(
        prices="alibaba",
        sampling=_WITH_TOP_K,
        response_format="json_object",
        prefill=Prefill(message={"partial": True}),
        thinking=(
            Thinking(
                on={"enable_thinking": True},
                off={"enable_thinking": False},
                budget_at=("thinking_budget",),
                forced_choice=False,
            ),
        ),
        caches_itself=True,
        cache_markers="cache_control",
        cache_models=r"qwen[34]|qwen-(plus|flash|max|turbo)",
        cache_results=True,
        uncertain=frozenset({"response_format", "cache_models", "cache_results"}),
    ),
    "kimi": Vendor(
        prices="moonshot",
        stop=5,
        stop_bytes=32,
        string_content=True,
        reasoning_models=r"kimi-k2-thinking|kimi-k2\.[5-9]|kimi-k[3-9]",
        tool_choice="auto",
        parallel_tool_calls=False,
        response_format="json_object",
        prefill=Prefill(message={"partial": True}),
        thinking=(
            Thinking(models=r"kimi-k2\.[5-9]", on=_SWITCH.on, off=_SWITCH.off, by_default=True),
            Thinking(models=r"kimi-k[3-9]", by_default=True, efforts=_THREE),
            Thinking(models=r"kimi-k2-thinking", by_default=True),
        ),
        replay="reasoning_content",
        replay_blank="calls",
        tool_ids="functions",
        user_field="safety_identifier",
        caches_itself=True,
        cache_key="prompt_cache_key",
        uncertain=frozenset({"thinking", "response_format"}),
    ),
    "glm": Vendor(
        prices="zai",
        stop=1,
        tool_choice="auto",
        parallel_tool_calls=False,
        response_format="json_object",
        thinking=(
            Thinking(
                models=r"glm-5\.3",
                on=_SWITCH.on,
                by_default=True,
                efforts={"low": "low", "medium": "high", "high": "high", "xhigh": "max", "max": "max"},
            ),
            Thinking(on=_SWITCH.on, off=_SWITCH.off, by_default=True),
        ),
        replay="reasoning_content",
        user_field="user_id",
        caches_itself=True,
        uncertain=frozenset({"stop", "response_format", "thinking"}),
    ),
    "minimax": Vendor(
        prices="minimax",
        max_tokens="max_completion_tokens",
        sampling=_WITH_TOP_K,
        vision=False,
        parallel_tool_calls=False,
        response_format="json_object",
        thinking=(
            Thinking(
                models=r"(?i)minimax-m3",
                on={"reasoning_split": True, "thinking": {"type": "adaptive"}},
                off={"thinking": {"type": "disabled"}},
            ),
            Thinking(on={"reasoning_split": True}, by_default=True),
        ),
        think_tags=True,
        cumulative_reasoning=True,
        replay="reasoning_details",
        caches_itself=True,
        uncertain=frozenset({"sampling", "response_format", "cumulative_reasoning"}),
    ),
    "mistral": Vendor(
        prices="mistral",
        stream_options=False,
        required="any",
        schema_refuses=frozenset({"$id", "$schema", "additionalProperties"}),
        null_content=False,
        prefill=Prefill(message={"prefix": True}, echoed=True),
        thinking=(Thinking(models=r"magistral|mistral-(small|medium)", efforts=_THREE, off=_NO_EFFORT),),
        replay="parts",
        tool_ids="nine",
        caches_itself=True,
        cache_key="prompt_cache_key",
        unknown_model=r"invalid_model",
        uncertain=frozenset({"stream_options", "thinking", "schema_refuses"}),
    ),
    "groq": Vendor(
        prices="groq",
        max_tokens="max_completion_tokens",
        string_content=True,
        null_content=False,
        schema_alone=True,
        thinking=(
            Thinking(
                models=r"openai/gpt-oss",
                on={"reasoning_format": "parsed"},
                by_default=True,
                efforts=_THREE,
            ),
            Thinking(models=r"qwen/", on={"reasoning_format": "parsed"}, off=_NO_EFFORT, by_default=True),
        ),
        think_tags=True,
        caches_itself=True,
    ),
    "xai": Vendor(
        prices="xai",
        max_tokens="max_completion_tokens",
        reasoning_models=r"grok-[4-9]|grok-3-mini",
        thinking=(Thinking(models=r"grok-3-mini", by_default=True, efforts=ladder("low high")),),
        caches_itself=True,
        uncertain=frozenset({"thinking"}),
    ),
    "gemini": Vendor(
        prices="google",
        image_urls=False,
        thinking=(
            Thinking(models=r"gemini-2\.5-flash", efforts=_THREE, off=_NO_EFFORT),
            Thinking(models=r"gemini-", by_default=True, efforts=_THREE),
        ),
        thought_signatures=True,
        unsigned_models=r"(?:.*/)?(?:gemini-[12]\b|gemma)",
        caches_itself=True,
        output_by_total=True,
        uncertain=frozenset({"thinking", "output_by_total"}),
    ),
    "openrouter": Vendor(
        sampling=_WITH_TOP_K,
        strict_tools=True,
        pdf=True,
        thinking=(
            Thinking(
                on={"reasoning": {"enabled": True}},
                off={"reasoning": {"enabled": False}},
                efforts=ladder("low medium high xhigh"),
                effort_at=("reasoning", "effort"),
                budget_at=("reasoning", "max_tokens"),
            ),
        ),
        think_tags=True,
        replay="reasoning_details",
        user_field="user",
        cache_markers="cache_control",
        cache_ttls=frozenset({"5m", "1h"}),
        cache_results=True,
        cache_top_level=True,
        unknown_model=r"is not a valid model ID",
    ),
    "together": Vendor(
        prices="together",
        sampling=_WITH_TOP_K,
        thinking=(Thinking(models=r"openai/gpt-oss", by_default=True, efforts=_THREE),),
        think_tags=True,
        uncertain=frozenset({"thinking"}),
    ),
    "vllm": Vendor(
        prices="vllm",
        sampling=_WITH_TOP_K,
        prefill=Prefill(body={"continue_final_message": True, "add_generation_prompt": False}),
        thinking=(_TEMPLATE,),
        think_tags=True,
        replay="reasoning_content",
        caches_itself=True,
        counts_at="/tokenize",
        uncertain=frozenset({"replay"}),
    ),
    "ollama": Vendor(
        prices="ollama",
        tool_choice="auto",
        parallel_tool_calls=False,
        image_urls=False,
        thinking=(Thinking(efforts=_THREE, off=_NO_EFFORT),),
        think_tags=True,
        caches_itself=True,
        uncertain=frozenset({"thinking"}),
    ),
    "llamacpp": Vendor(
        prices="llamacpp",
        sampling=_WITH_TOP_K,
        thinking=(_TEMPLATE,),
        think_tags=True,
        replay="reasoning_content",
        caches_itself=True,
        uncertain=frozenset({"thinking", "replay"}),
    ),
}


def vendor_row(name: str | None) -> Vendor:
    """Returns the row of a vendor, or `GENERIC` for a name without a row."""
    return VENDORS.get(name or "", GENERIC)
