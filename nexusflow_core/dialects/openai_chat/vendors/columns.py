"""The columns of the vendor table, and a translation with its row. A default is the protocol as OpenAI has it.

Brackets give the source of a column's values: *recorded* means seen in traffic, *docs* means read in a vendor's
reference or SDK. A row's `uncertain` lists values with a weaker source.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from nexusflow_core.translation.context import RequestFacts, Translation
from nexusflow_core.translation.ids import IdForm
from nexusflow_core.translation.translated_dialect import VendorRow, fits

__all__ = ["ChatRequestFacts", "ChatTranslation", "Prefill", "Vendor"]

ToolChoices: TypeAlias = Literal["named", "required", "auto"]
Replay: TypeAlias = Literal["reasoning_content", "reasoning", "reasoning_details", "parts"]

_KIMI = re.compile(r"(?i)(?<![a-z])kimi")
"""Models of Moonshot's family, at any host."""


class Prefill(Struct, frozen=True, kw_only=True):
    """Members of the last message and of the body that continue an answer that the client began."""

    message: Mapping[str, Any] = {}
    body: Mapping[str, Any] = {}
    echoed: bool = False
    """True if the answer repeats the client's beginning."""


class Vendor(VendorRow, frozen=True, kw_only=True):
    """One row of the vendor table."""

    max_tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """Name of the output limit [docs, recorded]."""
    stream_options: bool = True
    """Takes `stream_options.include_usage` [docs]."""
    stop: int = 4
    """Maximum number of stop sequences. We search the text for further ones ourselves [docs]."""
    stop_bytes: int | None = None
    """Maximum length of a stop sequence, in bytes [docs]."""
    sampling: frozenset[str] = frozenset({"temperature", "top_p"})
    """Accepted sampling fields [docs]."""
    reasoning_models: str | None = None
    """Pattern of models that take neither sampling fields nor stop sequences [docs]."""
    tool_choice: ToolChoices = "named"
    """Strongest tool choice that the vendor takes [docs, recorded]."""
    required: str = "required"
    """Word for "call some tool" [docs]."""
    parallel_tool_calls: bool = True
    """Takes `parallel_tool_calls` [docs]."""
    schema_refuses: frozenset[str] = frozenset()
    """Keywords in a tool's schema that the vendor refuses [docs]."""
    string_content: bool = False
    """Takes text as one string, not as a list of parts [docs]."""
    null_content: bool = True
    """Takes `content: null` in an assistant's turn with calls alone. If false, the vendor refuses it [docs]."""
    pdf: bool = False
    """Takes PDF documents as `file` parts [docs]."""
    response_format: Literal["json_schema", "json_object"] = "json_schema"
    """Strongest `response_format` that the vendor takes [docs, recorded]."""
    schema_alone: bool = False
    """Takes a schema only without tools and without a stream [docs]."""
    prefill: Prefill | None = None
    """How to continue an answer that the client began; None: the vendor cannot [docs]."""
    cumulative_reasoning: bool = False
    """A piece of reasoning in a stream may repeat all earlier pieces [docs]."""
    replay: Replay | None = None
    """Field for the reasoning of earlier turns; None: the vendor takes none [docs]."""
    replay_blank: Literal["calls", "history"] | None = None
    """The vendor rejects turns without reasoning: turns with calls, or every turn of a history with calls. If
    there is none, a blank is sent [docs]."""
    thought_signatures: bool = False
    """Calls have `extra_content.google.thought_signature`; the vendor wants it back [docs]."""
    unsigned_models: str | None = None
    """Pattern of models that take calls without such a signature [docs]."""
    user_field: str | None = None
    """Field for the user's id [docs]."""
    tool_ids: IdForm = "any"
    """Form of a call's id. `nine`: exactly nine letters and digits. `functions`: `functions.NAME:N`, used for
    Kimi models at every host [docs]."""
    service_tiers: bool = False
    """Has service tiers beside the standard one [docs]."""
    cache_markers: Literal["cache_control", "prompt_cache_breakpoint"] | None = None
    """Field that marks a content part for caching [docs]."""
    cache_models: str = ""
    """Pattern of models that take markers [docs]."""
    cache_ttls: frozenset[str] = frozenset({"5m"})
    """Lifetimes that a marker may have [docs]."""
    cache_results: bool = False
    """Takes markers in tool messages, as lists of parts [docs]."""
    cache_top_level: bool = False
    """Takes a marker on the whole request [docs]."""
    cache_key: str | None = None
    """Field that keeps calls of one prefix on one cache [docs]."""
    counts_at: str | None = None
    """Path of the token counter, at the base URL's host [docs]."""
    output_by_total: bool = False
    """`completion_tokens` may omit thoughts; the total minus the prompt includes them [docs]."""

    def reasons(self, model: str) -> bool:
        """Returns True if a model takes neither sampling fields nor stop sequences."""
        return fits(self.reasoning_models, model)

    def id_form(self, model: str) -> IdForm:
        """Returns the form of call ids for this model."""
        return "functions" if self.tool_ids == "any" and _KIMI.search(model) else self.tool_ids

    def signs_calls(self, model: str) -> bool:
        """Returns True if this model refuses a call without a signature."""
        return self.thought_signatures and not fits(self.unsigned_models, model)

    def takes_markers(self, model: str) -> bool:
        """Returns True if this model takes cache markers."""
        return self.cache_markers is not None and fits(self.cache_models, model)


class ChatTranslation(Translation, frozen=True):
    """One request for a Chat Completions upstream. `body` is built step by step."""

    vendor: Vendor
    body: dict[str, Any]


class ChatRequestFacts(RequestFacts, frozen=True, kw_only=True):
    """Facts of the request, and its vendor, that the translation of its answer needs."""

    vendor: Vendor
