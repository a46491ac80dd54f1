"""OpenAI Responses upstreams: translates requests and answers, and lists every dropped field."""

from nexusflow_core.dialects.openai_responses.dialect import OpenAIResponsesDialect
from nexusflow_core.dialects.openai_responses.leg import ResponsesLeg
from nexusflow_core.dialects.openai_responses.vendors import VENDORS, Vendor

__all__ = ["VENDORS", "OpenAIResponsesDialect", "ResponsesLeg", "Vendor"]
