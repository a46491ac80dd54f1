"""Chat Completions upstreams: translates requests and answers. Every dropped field is listed."""

from nexusflow_core.dialects.openai_chat.dialect import OpenAIChatDialect
from nexusflow_core.dialects.openai_chat.leg import ChatLeg
from nexusflow_core.dialects.openai_chat.vendors import VENDORS, Vendor

__all__ = ["VENDORS", "ChatLeg", "OpenAIChatDialect", "Vendor"]
