"""ChatTranslation and ChatRequestFacts: what Chat Completions adds to a translation."""

from typing import Any

from nexusflow_core.dialects.openai_chat.vendors import Vendor
from nexusflow_core.translation.context import RequestFacts, Translation

__all__ = ["ChatRequestFacts", "ChatTranslation"]


class ChatTranslation(Translation, frozen=True):
    """One request for a Chat Completions upstream. `body` is built step by step."""

    vendor: Vendor
    body: dict[str, Any]


class ChatRequestFacts(RequestFacts, frozen=True, kw_only=True):
    """Facts of the request, and its vendor, that the translation of its answer needs."""

    vendor: Vendor
