"""Anthropic's protocol: requests and answers pass byte for byte, and usage is read as they pass."""

from nexusflow_core.dialects.anthropic.dialect import AnthropicDialect
from nexusflow_core.dialects.anthropic.relay import RelayLeg
from nexusflow_core.dialects.anthropic.tap import StreamTap

__all__ = ["AnthropicDialect", "RelayLeg", "StreamTap"]
