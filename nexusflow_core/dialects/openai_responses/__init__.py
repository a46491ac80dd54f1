"""OpenAI Responses upstreams: requests and answers translated, with nothing lost in silence."""

from nexusflow_core.dialects.openai_responses.dialect import OpenAIResponsesDialect
from nexusflow_core.dialects.openai_responses.leg import ResponsesLeg
from nexusflow_core.dialects.openai_responses.vendors import VENDORS, Vendor

__all__ = ["VENDORS", "OpenAIResponsesDialect", "ResponsesLeg", "Vendor"]
