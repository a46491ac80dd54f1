"""How each Chat Completions vendor deviates: one row a vendor, one column a deviation.

Sources: the vendors' references and SDKs, and recorded traffic; see each column. A vendor without a row gets
`GENERIC`, which asks for nothing unusual.
"""

import re
from typing import Final, Literal, TypeAlias

from msgspec import Struct

__all__ = ["GENERIC", "VENDORS", "Vendor", "vendor_row"]

ToolImages: TypeAlias = Literal["hoist", "inline", "bridge", "placeholder"]
ToolChoices: TypeAlias = Literal["named", "required", "auto"]


class Vendor(Struct, frozen=True, kw_only=True):
    """One row. Columns with a default describe the protocol as OpenAI documents it."""

    prices: str | None = None
    """Whose rows of the price book hold."""
    max_tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    stream_options: bool = True
    stop: int = 4
    """Most stop strings; what is beyond is cut here, on the text."""
    stop_bytes: int | None = None
    sampling: frozenset[str] = frozenset({"temperature", "top_p"})
    reasoning_models: str | None = None
    """Models, as a pattern, that take neither sampling fields nor stop strings."""
    tool_choice: ToolChoices = "named"
    required: str = "required"
    """The word for "some tool must be called"."""
    parallel_tool_calls: bool = True
    strict_tools: bool = False
    system_anywhere: bool = True
    string_content: bool = False
    """Text goes as one string, not as a list of parts."""
    null_content: bool = True
    """An assistant's turn of calls alone says `content: null`; elsewhere a member that is null is refused."""
    vision: bool = True
    image_urls: bool = True
    tool_images: ToolImages = "hoist"
    user_field: str | None = None
    tool_ids: Literal["any", "nine"] = "any"
    """`nine`: exactly nine letters and digits."""
    service_tiers: bool = False
    caches_itself: bool = False
    """Prefixes are cached without being asked: a cache marker loses nothing."""
    adds_reasoning: bool = False
    """`completion_tokens` leaves out reasoning, while the total has it."""
    unknown_model: str | None = None
    """What a 400 says that means an unknown model."""

    def reasons(self, model: str) -> bool:
        """Whether a model takes no sampling fields."""
        return self.reasoning_models is not None and re.match(self.reasoning_models, model) is not None


GENERIC: Final = Vendor()

VENDORS: Final[dict[str, Vendor]] = {
    "openai": Vendor(
        prices="openai",
        max_tokens="max_completion_tokens",
        reasoning_models=r"o\d|gpt-[5-9]",
        strict_tools=True,
        user_field="safety_identifier",
        service_tiers=True,
        caches_itself=True,
    ),
    "azure": Vendor(
        prices="openai",
        max_tokens="max_completion_tokens",
        reasoning_models=r"o\d|gpt-[5-9]",
        strict_tools=True,
        user_field="user",
        caches_itself=True,
    ),
    "deepseek": Vendor(
        prices="deepseek",
        string_content=True,
        vision=False,
        parallel_tool_calls=False,
        user_field="user_id",
        caches_itself=True,
        unknown_model=r"The supported API model names are",
    ),
    "qwen": Vendor(prices="alibaba", sampling=frozenset({"temperature", "top_p", "top_k"}), caches_itself=True),
    "kimi": Vendor(
        prices="moonshot",
        stop=5,
        stop_bytes=32,
        string_content=True,
        reasoning_models=r"kimi-k2-thinking|kimi-k2\.[5-9]|kimi-k[3-9]",
        tool_choice="auto",
        parallel_tool_calls=False,
        user_field="safety_identifier",
        caches_itself=True,
    ),
    "glm": Vendor(
        prices="zai",
        stop=1,
        tool_choice="auto",
        parallel_tool_calls=False,
        user_field="user_id",
        caches_itself=True,
    ),
    "minimax": Vendor(
        prices="minimax",
        max_tokens="max_completion_tokens",
        sampling=frozenset({"temperature", "top_p", "top_k"}),
        vision=False,
        parallel_tool_calls=False,
        caches_itself=True,
    ),
    "mistral": Vendor(
        prices="mistral",
        stream_options=False,
        required="any",
        null_content=False,
        tool_ids="nine",
        caches_itself=True,
        unknown_model=r"1500|invalid_model",
    ),
    "groq": Vendor(
        prices="groq",
        max_tokens="max_completion_tokens",
        string_content=True,
        null_content=False,
        caches_itself=True,
    ),
    "xai": Vendor(
        prices="xai",
        max_tokens="max_completion_tokens",
        reasoning_models=r"grok-[4-9]|grok-3-mini",
        caches_itself=True,
        adds_reasoning=True,
    ),
    "gemini": Vendor(prices="google", image_urls=False, caches_itself=True),
    "openrouter": Vendor(
        sampling=frozenset({"temperature", "top_p", "top_k"}),
        strict_tools=True,
        user_field="user",
        unknown_model=r"is not a valid model ID",
    ),
    "together": Vendor(sampling=frozenset({"temperature", "top_p", "top_k"})),
    "vllm": Vendor(sampling=frozenset({"temperature", "top_p", "top_k"}), caches_itself=True),
    "ollama": Vendor(tool_choice="auto", parallel_tool_calls=False, image_urls=False, caches_itself=True),
    "llamacpp": Vendor(sampling=frozenset({"temperature", "top_p", "top_k"}), caches_itself=True),
}


def vendor_row(name: str | None) -> Vendor:
    """The row of a vendor, `GENERIC` for one that needs none."""
    return VENDORS.get(name or "", GENERIC)
