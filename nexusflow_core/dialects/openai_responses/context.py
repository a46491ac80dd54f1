"""What the Responses API adds to a translation: the vendor's row, and whose reasoning it is."""

import hashlib
from typing import Any

from nexusflow_core.dialects.openai_responses.vendors import Vendor
from nexusflow_core.translation.context import Asked, Translation

__all__ = ["WRAPPERS", "ResponsesAsked", "ResponsesTranslation"]

WRAPPERS = frozenset({"parallel", "multi_tool_use.parallel"})


class ResponsesTranslation(Translation, frozen=True):
    """One request on its way to a Responses upstream. `body` grows step by step."""

    vendor: Vendor
    body: dict[str, Any]

    @property
    def thinker(self) -> str:
        """Whose reasoning the answer brings. Encrypted reasoning is of use to the account that it came from,
        so the upstream's name and address are part of it."""
        upstream = self.target.upstream
        account = hashlib.sha256(f"{upstream.name} {upstream.base_url}".encode()).hexdigest()[:8]
        return f"{upstream.vendor or upstream.name}@{account}"


class ResponsesAsked(Asked, frozen=True, kw_only=True):
    """What the translation of an answer must know of the request, and of its vendor."""

    vendor: Vendor
    most_tokens: int
    """The output limit that was sent. Some vendors call an answer complete that ends there."""
    thinks: bool = False
    """The client asked for thinking: it gets blocks for reasoning without text too."""
    searches: bool = False
    """The upstream searches the web: its searches and citations are shown."""
    wrappers: frozenset[str] = WRAPPERS
    """Names of tools that nobody declared, and that a model calls to make several calls at once."""
