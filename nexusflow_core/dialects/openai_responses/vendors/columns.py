"""The columns of the vendor table, and a translation with its row. A default is the protocol as OpenAI has it.

Brackets give the source of a column's values. *Recorded* means seen in traffic. *Docs* means read in a vendor's
reference or SDK. A row's `uncertain` lists values with a weaker source.
"""

import hashlib
from typing import Any, Literal, TypeAlias

from nexusflow_core.routing import ToolImages
from nexusflow_core.translation.context import RequestFacts, Translation
from nexusflow_core.translation.translated_dialect import VendorRow, fits

__all__ = ["WRAPPERS", "ResponsesRequestFacts", "ResponsesTranslation", "Vendor", "WebSearch"]

WRAPPERS = frozenset({"parallel", "multi_tool_use.parallel"})

WebSearch: TypeAlias = Literal["allowed", "blocked"]


class Vendor(VendorRow, frozen=True, kw_only=True):
    """One row of the vendor table."""

    refuses: frozenset[str] = frozenset()
    """Members of the body that the vendor refuses, or ignores in silence [docs, recorded]."""
    instructions: bool = True
    """Takes the system prompt as `instructions`. If false, it is the first item [docs]."""
    system_role: Literal["developer", "system"] = "system"
    """Role of a system message between others [recorded]."""
    system_anywhere: bool = True
    """Takes a system message between others [docs, recorded]."""
    pdf: bool = True
    """Takes PDF documents as `input_file` [docs, recorded]."""
    pdf_urls: bool = False
    """Fetches PDF documents by URL [docs]."""
    tool_images: ToolImages = "inline"
    """Where images and files in tool results go [recorded]."""
    tool_choice: Literal["named", "auto"] = "named"
    """Strongest tool choice that the vendor takes [docs]."""
    open_schemas: str | None = None
    """Pattern of models that refuse `anyOf`, `enum` and others at the top of a tool's schema [docs]."""
    response_format: bool = True
    """Takes a JSON schema for the answer [docs, recorded]."""
    web_search: WebSearch | None = None
    """Searches the web. `allowed`: takes domains to search; `blocked`: also domains to exclude [docs]."""
    search_domains: int = 100
    """Maximum number of domains for a search [docs]."""
    thinking_alone: bool = False
    """Takes no sampling fields while a model reasons [recorded]."""
    summary: bool = False
    """Shows a summary of the reasoning on request [docs]."""
    context_models: str | None = None
    """Pattern of models that read the reasoning of all turns only on request [docs]."""
    replay: bool = True
    """Takes reasoning items of earlier turns [recorded]."""
    phase_models: str | None = None
    """Pattern of models whose messages have a `phase`, to be sent back [docs, recorded]."""
    safety_identifier: bool = False
    """Takes the user's id, as a hash [docs]."""
    service_tiers: bool = False
    """Has service tiers beside the standard one [docs]."""
    cache_models: str | None = None
    """Pattern of models that take `prompt_cache_breakpoint` [docs]."""
    cache_key: bool = False
    """Takes `prompt_cache_key` [docs, recorded]."""
    compaction: bool = False
    """Compacts conversations on request [docs, recorded]."""
    stream_only: bool = False
    """Answers only with streams. We fold a stream for clients that want a whole answer [docs]."""
    counts: bool = False
    """Counts tokens at `/responses/input_tokens` [docs, recorded]."""
    ends_at_limit: bool = False
    """Reports `completed` for an answer that the output limit cut [recorded]."""

    def takes_markers(self, model: str) -> bool:
        """Returns whether this model takes cache markers."""
        return fits(self.cache_models, model)

    def phased(self, model: str) -> bool:
        """Returns whether messages of this model have a phase."""
        return fits(self.phase_models, model)


class ResponsesTranslation(Translation, frozen=True):
    """One request that is translated for a Responses upstream. Each step adds members to `body`."""

    vendor: Vendor
    body: dict[str, Any]

    @property
    def thinker(self) -> str:
        """The owner of the answer's reasoning: the vendor, and a hash of the upstream's name and address.

        Only the account that made encrypted reasoning can read it.
        """
        upstream = self.target.upstream
        account = hashlib.sha256(f"{upstream.name} {upstream.base_url}".encode()).hexdigest()[:8]
        return f"{upstream.vendor or upstream.name}@{account}"


class ResponsesRequestFacts(RequestFacts, frozen=True, kw_only=True):
    """Facts of the request and its vendor that the translation of the answer needs."""

    vendor: Vendor
    most_tokens: int
    """The output limit in tokens, as sent. Some vendors report `completed` for an answer cut there."""
    thinks: bool = False
    """The client requested thinking. It also gets an empty block for reasoning without text."""
    searches: bool = False
    """The request has a web search. The client gets its searches and citations."""
    wrappers: frozenset[str] = WRAPPERS
    """Names of undeclared tools. Models call them to make several calls at once."""
