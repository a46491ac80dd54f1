"""Anthropic's own protocol: requests and answers pass byte for byte, and are metered as they pass."""

from nexusflow_core.dialects.anthropic.relay import AnthropicDialect, RelayLeg
from nexusflow_core.dialects.anthropic.tap import StreamTap

__all__ = ["AnthropicDialect", "RelayLeg", "StreamTap"]
