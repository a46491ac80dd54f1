"""The wire protocols, by their names in the configuration."""

from collections.abc import Mapping
from typing import Final

from nexusflow_core.dialect import UpstreamDialect
from nexusflow_core.dialects.anthropic import AnthropicDialect
from nexusflow_core.dialects.openai_chat import OpenAIChatDialect
from nexusflow_core.dialects.openai_responses import OpenAIResponsesDialect

__all__ = ["DIALECTS"]

_openai_chat = OpenAIChatDialect()

DIALECTS: Final[Mapping[str, UpstreamDialect]] = {
    "anthropic": AnthropicDialect(_openai_chat.vendors),  # several of them speak both protocols
    "openai-chat": _openai_chat,
    "openai-responses": OpenAIResponsesDialect(),
}
