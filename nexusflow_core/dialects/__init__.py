"""The wire protocols, by the names that a configuration calls them."""

from collections.abc import Mapping
from typing import Final

from nexusflow_core.dialect import UpstreamDialect
from nexusflow_core.dialects.anthropic import AnthropicDialect

__all__ = ["DIALECTS"]

DIALECTS: Final[Mapping[str, UpstreamDialect]] = {
    "anthropic": AnthropicDialect(),
}
