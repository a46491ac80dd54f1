"""OpenAIResponsesDialect: opens Messages calls as Responses requests, and lists capabilities of models."""

from collections.abc import Mapping
from typing import Any, Final

from nexusflow_core.call import Call
from nexusflow_core.dialect import Leg
from nexusflow_core.dialects.openai_responses.errors import origin_of
from nexusflow_core.dialects.openai_responses.leg import ResponsesLeg
from nexusflow_core.dialects.openai_responses.request import responses_request
from nexusflow_core.dialects.openai_responses.vendors import VENDORS, ResponsesRequestFacts, vendor_row
from nexusflow_core.messages import MessagesRequest
from nexusflow_core.routing import Target
from nexusflow_core.translation.count_leg import Counter
from nexusflow_core.translation.losses import Losses
from nexusflow_core.translation.translated_dialect import TranslatedDialect, capabilities_of
from nexusflow_core.upstream import Upstream, UpstreamRequest

__all__ = ["OpenAIResponsesDialect"]

_COUNTED: Final = tuple("model input instructions tools tool_choice parallel_tool_calls reasoning text".split())
"""Members that the vendor's token counter accepts. It refuses others."""


class OpenAIResponsesDialect(TranslatedDialect[ResponsesRequestFacts]):
    """The Responses API of OpenAI and of compatible vendors."""

    path = "/responses"
    endings = ("/responses",)
    options: frozenset[str] = frozenset(
        "strict images tool_images server_tools server_tools.carry max_tokens count_tokens".split()
    )

    @property
    def vendors(self) -> Mapping[str, str | None]:
        return {name: row.prices for name, row in VENDORS.items()}

    def translate(
        self, request: MessagesRequest, call: Call, target: Target, losses: Losses
    ) -> tuple[bytes, ResponsesRequestFacts]:
        return responses_request(request, call, target, losses)

    def leg(self, sent: UpstreamRequest, call: Call, facts: ResponsesRequestFacts, losses: Losses) -> Leg:
        return ResponsesLeg(sent, call, facts, losses)

    def counter(self, call: Call, upstream: Upstream) -> Counter | None:
        row = vendor_row(upstream.vendor)
        origin = origin_of(row, call.model, upstream, call.credential)
        url = f"{upstream.base_url}{self.path}/input_tokens"
        return Counter(url, _COUNTED, "input_tokens", origin) if row.counts else None

    def streams(self, call: Call, upstream: Upstream) -> bool:
        return call.stream or vendor_row(upstream.vendor).stream_only

    def capabilities(self, upstream: Upstream, model: str) -> dict[str, Any] | None:
        """Returns the model's capabilities by the vendor's row; None for a vendor without a row."""
        row = VENDORS.get(upstream.vendor or "")
        if row is None:
            return None
        return capabilities_of(
            row.thinking_of(model), images=row.vision, pdf=row.pdf, schemas=row.response_format
        )
