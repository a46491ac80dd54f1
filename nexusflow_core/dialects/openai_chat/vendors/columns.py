"""The columns of the vendor table. A default describes the protocol as OpenAI documents it.

In brackets where a column's values come from: *recorded* was seen in traffic, *docs* read in a vendor's
reference or SDK; what rests on less is named in the row's `uncertain`.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from nexusflow_core.routing import ToolImages
from nexusflow_core.translation.ids import IdForm

__all__ = ["Prefill", "Thinking", "Vendor", "ladder"]

ToolChoices: TypeAlias = Literal["named", "required", "auto"]
WithTools: TypeAlias = Literal["any", "off", "never"]
Replay: TypeAlias = Literal["reasoning_content", "reasoning", "reasoning_details", "parts"]

_KIMI = re.compile(r"(?i)(?<![a-z])kimi")
"""Models of Moonshot's family, whoever runs them."""

_WORDS = ("low", "medium", "high", "xhigh", "max")


def ladder(listed: str) -> dict[str, str]:
    """Anthropic's words of effort as a model's: the same word where it is listed, else the next lower one."""
    words = [word for word in _WORDS if word in listed.split()]
    lower = {word: [one for one in words if _WORDS.index(one) <= _WORDS.index(word)] for word in _WORDS}
    return {word: found[-1] if found else words[0] for word, found in lower.items()}


class Thinking(Struct, frozen=True, kw_only=True):
    """How some models are told to think, and how hard."""

    models: str = ""
    """Pattern that a model's name begins with."""
    on: Mapping[str, Any] = {}
    """Members of the body that switch thinking on; none where it is on anyway."""
    off: Mapping[str, Any] | None = None
    """Members that switch it off; None where nothing does."""
    by_default: bool = False
    """Thinks unless told not to."""
    efforts: Mapping[str, str] = {}
    """Anthropic's word of effort -> the vendor's; empty where effort is not steered."""
    effort_at: tuple[str, ...] = ("reasoning_effort",)
    budget_at: tuple[str, ...] | None = None
    """Where a budget in tokens goes; then never an effort beside it (PITFALLS E10)."""
    with_tools: WithTools = "any"
    """What a request with tools may ask for. `off`: only no thinking; `never`: nothing, tools are refused there
    (PITFALLS E9)."""
    checked: str = ""
    """When these facts were read, as YYYY-MM."""
    forced_choice: bool = True
    """False: while thinking, no tool can be forced."""


class Prefill(Struct, frozen=True, kw_only=True):
    """How an answer that the client began is continued: members of the last message, and of the body."""

    message: Mapping[str, Any] = {}
    body: Mapping[str, Any] = {}
    echoed: bool = False
    """The answer repeats the beginning before it goes on."""


class Vendor(Struct, frozen=True, kw_only=True):
    """One row."""

    prices: str | None = None
    """Whose rows of the price book hold; None looks through all. Whoever runs others' models has a name of its
    own, with rows only where a price file brings them."""
    max_tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """The output cap's name [docs, recorded]."""
    stream_options: bool = True
    """Takes `stream_options.include_usage` [docs]."""
    stop: int = 4
    """Most stop strings; what is beyond is cut here, on the text [docs]."""
    stop_bytes: int | None = None
    """Longest stop string [docs]."""
    sampling: frozenset[str] = frozenset({"temperature", "top_p"})
    """Sampling fields taken [docs]."""
    reasoning_models: str | None = None
    """Models, as a pattern, that take neither sampling fields nor stop strings [docs]."""
    tool_choice: ToolChoices = "named"
    """The most that a tool choice can ask for [docs, recorded]."""
    required: str = "required"
    """The word for "some tool must be called" [docs]."""
    parallel_tool_calls: bool = True
    """Takes `parallel_tool_calls` [docs]."""
    strict_tools: bool = False
    """Enforces a tool's schema [docs]."""
    schema_refuses: frozenset[str] = frozenset()
    """Keywords of a tool's schema that are refused [docs]."""
    system_anywhere: bool = True
    """Takes a system message between others [docs]."""
    string_content: bool = False
    """Text goes as one string, not as a list of parts [docs]."""
    null_content: bool = True
    """An assistant's turn of calls alone says `content: null`; elsewhere a null member is refused [docs]."""
    vision: bool = True
    """Takes images [docs]."""
    image_urls: bool = True
    """Fetches images by URL [docs]."""
    tool_images: ToolImages = "hoist"
    """What becomes of images in tool results [docs, recorded]."""
    pdf: bool = False
    """Takes PDF documents as `file` parts [docs]."""
    response_format: Literal["json_schema", "json_object"] = "json_schema"
    """The most that a form of the answer can ask for [docs, recorded]."""
    schema_alone: bool = False
    """A schema goes with neither tools nor a stream [docs]."""
    prefill: Prefill | None = None
    """How a begun answer is continued; None: it cannot be [docs]."""
    thinking: tuple[Thinking, ...] = ()
    """How thinking is steered, the first pattern that fits [docs, recorded]."""
    think_tags: bool = False
    """Reasoning may stand as <think>...</think> at the beginning of the text [recorded]."""
    cumulative_reasoning: bool = False
    """Each piece of reasoning in a stream may repeat all before it [docs]."""
    replay: Replay | None = None
    """Where reasoning of earlier turns goes; None: the vendor takes none [docs]."""
    replay_blank: Literal["calls", "history"] | None = None
    """Reasoning must not be missing: on turns with calls, or on every turn of a history with calls; where
    the history has none, a blank is the least that is taken [docs]."""
    thought_signatures: bool = False
    """Calls carry `extra_content.google.thought_signature`, which must come back [docs]."""
    unsigned_models: str | None = None
    """Models, as a pattern, that take calls without such a signature [docs]."""
    user_field: str | None = None
    """Where the user's id goes [docs]."""
    tool_ids: IdForm = "any"
    """Form of a call's id. `nine`: exactly nine letters and digits; `functions`: `functions.NAME:N`, which
    Kimi models get wherever they run [docs]."""
    service_tiers: bool = False
    """Knows tiers of service beside the standard [docs]."""
    caches_itself: bool = False
    """Prefixes are cached without being asked: a cache marker loses nothing [docs]."""
    cache_markers: Literal["cache_control", "prompt_cache_breakpoint"] | None = None
    """How a content part is marked for caching [docs]."""
    cache_models: str = ""
    """Models, as a pattern, that take markers [docs]."""
    cache_ttls: frozenset[str] = frozenset({"5m"})
    """Lifetimes that a marker can ask for [docs]."""
    cache_results: bool = False
    """Tool messages, as lists of parts, are marked too [docs]."""
    cache_top_level: bool = False
    """Takes a marker on the whole request [docs]."""
    cache_key: str | None = None
    """Field that keeps calls of one prefix on one cache [docs]."""
    counts_at: str | None = None
    """Path, beside the base URL's own, that counts tokens [docs]."""
    output_by_total: bool = False
    """`completion_tokens` may leave out thoughts: the total less the prompt has them [docs]."""
    unknown_model: str | None = None
    """What a 400 says that means an unknown model [recorded]."""
    uncertain: frozenset[str] = frozenset()
    """Columns of this row that no traffic and no reference settles."""

    def reasons(self, model: str) -> bool:
        """Whether a model takes neither sampling fields nor stop strings."""
        return self.reasoning_models is not None and re.match(self.reasoning_models, model) is not None

    def id_form(self, model: str) -> IdForm:
        """How this model takes the ids of calls."""
        return "functions" if self.tool_ids == "any" and _KIMI.search(model) else self.tool_ids

    def signs_calls(self, model: str) -> bool:
        """Whether this model refuses a call without a signature."""
        takes_all = self.unsigned_models is not None and re.match(self.unsigned_models, model) is not None
        return self.thought_signatures and not takes_all

    def thinking_of(self, model: str) -> Thinking | None:
        """How this model is told to think; None where nothing is known to do that."""
        return next((row for row in self.thinking if re.match(row.models, model)), None)

    def takes_markers(self, model: str) -> bool:
        """Whether this model takes cache markers."""
        return self.cache_markers is not None and re.match(self.cache_models, model) is not None
