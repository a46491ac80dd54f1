"""The context of a translation to the Responses API: the vendor's row, and the owner of reasoning."""

import hashlib
from typing import Any

from nexusflow_core.dialects.openai_responses.vendors import Vendor
from nexusflow_core.translation.context import RequestFacts, Translation

__all__ = ["WRAPPERS", "ResponsesRequestFacts", "ResponsesTranslation"]

WRAPPERS = frozenset({"parallel", "multi_tool_use.parallel"})


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
