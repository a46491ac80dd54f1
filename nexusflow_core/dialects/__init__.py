"""The wire protocols, by the names that a configuration calls them."""

from collections.abc import Mapping
from typing import Final

from nexusflow_core.dialect import UpstreamDialect
from nexusflow_core.dialects.anthropic import AnthropicDialect
from nexusflow_core.dialects.openai_chat import VENDORS, OpenAIChatDialect

__all__ = ["DIALECTS", "VENDORS"]

DIALECTS: Final[Mapping[str, UpstreamDialect]] = {
    "anthropic": AnthropicDialect(),
    "openai-chat": OpenAIChatDialect(),
}
