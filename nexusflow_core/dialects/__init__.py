"""The wire protocols, by the names that a configuration calls them."""

from collections.abc import Mapping
from typing import Final

from nexusflow_core.dialect import UpstreamDialect
from nexusflow_core.dialects.anthropic import AnthropicDialect
from nexusflow_core.dialects.openai_chat import VENDORS, OpenAIChatDialect
from nexusflow_core.dialects.openai_chat import tools_limit as _tools_limit
from nexusflow_core.upstream import Upstream

__all__ = ["DIALECTS", "VENDORS", "tools_limit"]

DIALECTS: Final[Mapping[str, UpstreamDialect]] = {
    "anthropic": AnthropicDialect(),
    "openai-chat": OpenAIChatDialect(),
}


def tools_limit(upstream: Upstream, model: str) -> str | None:
    """Returns in a sentence how far a model of this upstream takes tools; None where nothing limits them."""
    row = VENDORS.get(upstream.vendor or "")
    return _tools_limit(row, model) if row is not None and upstream.dialect == "openai-chat" else None
