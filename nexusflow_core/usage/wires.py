"""Fills the table of readers: one for each form of usage object."""

from nexusflow_core.usage.anthropic import read_answer, read_cost_report, read_stream, read_usage_report
from nexusflow_core.usage.buckets import READERS
from nexusflow_core.usage.others import (
    read_bedrock,
    read_chat,
    read_deepseek,
    read_openrouter,
    read_responses,
)

__all__ = ["READERS"]

READERS.update(
    {
        "anthropic": read_answer,
        "anthropic-stream": read_stream,
        "anthropic-usage-report": read_usage_report,
        "anthropic-cost-report": read_cost_report,
        "openai-chat": read_chat,
        "openai-responses": read_responses,
        "deepseek-chat": read_deepseek,
        "bedrock-converse": read_bedrock,
        "openrouter": read_openrouter,
    }
)
