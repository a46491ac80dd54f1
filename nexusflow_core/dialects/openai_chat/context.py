"""What Chat Completions adds to a translation: the vendor's row, and the body that is being made."""

from typing import Any

from nexusflow_core.dialects.openai_chat.vendors import Vendor
from nexusflow_core.translation.context import Asked, Translation

__all__ = ["ChatAsked", "ChatTranslation"]


class ChatTranslation(Translation, frozen=True):
    """One request on its way to a Chat Completions upstream. `body` grows step by step."""

    vendor: Vendor
    body: dict[str, Any]


class ChatAsked(Asked, frozen=True, kw_only=True):
    """What the translation of an answer must know of the request, and of its vendor."""

    vendor: Vendor
