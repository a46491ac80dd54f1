"""Chat Completions upstreams: requests and answers translated, with nothing lost in silence."""

from nexusflow_core.dialects.openai_chat.dialect import OpenAIChatDialect
from nexusflow_core.dialects.openai_chat.leg import ChatLeg
from nexusflow_core.dialects.openai_chat.vendors import VENDORS, Vendor

__all__ = ["VENDORS", "ChatLeg", "OpenAIChatDialect", "Vendor"]
