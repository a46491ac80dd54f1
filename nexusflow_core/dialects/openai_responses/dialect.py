"""The dialect: a Messages call opened as a Responses request, and what its models can be asked for."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from nexusflow_core.call import Call
from nexusflow_core.dialect import Leg, UpstreamDialect
from nexusflow_core.dialects.openai_responses.errors import origin_of
from nexusflow_core.dialects.openai_responses.leg import ResponsesLeg
from nexusflow_core.dialects.openai_responses.request import responses_request
from nexusflow_core.dialects.openai_responses.vendors import VENDORS, vendor_row
from nexusflow_core.messages import MessagesRequest, read_request
from nexusflow_core.routing import Target
from nexusflow_core.translation.capabilities import capabilities_of
from nexusflow_core.translation.count_leg import Counter, open_count
from nexusflow_core.translation.losses import Losses
from nexusflow_core.upstream import AuthScheme, Upstream, UpstreamRequest, json_headers

__all__ = ["OpenAIResponsesDialect"]

_COUNTED: Final = (
    "model",
    "input",
    "instructions",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning",
    "text",
)
"""Members that the token counter takes. It refuses others."""


class OpenAIResponsesDialect(UpstreamDialect):
    """The Responses API of OpenAI and of those who follow it."""

    path = "/responses"
    endings = ("/responses",)
    default_auth: AuthScheme | None = "bearer"
    options: frozenset[str] = frozenset(
        "strict images tool_images server_tools server_tools.carry max_tokens count_tokens".split()
    )

    vendors: Mapping[str, str | None] = {name: row.prices for name, row in VENDORS.items()}

    def open(self, call: Call, target: Target, at: datetime) -> Leg:
        """Returns a leg. Raises InvalidRequestError for what the upstream cannot be asked, NotFoundError for
        count_tokens."""
        upstream = target.upstream
        row = vendor_row(upstream.vendor)
        if call.endpoint == "count_tokens":
            origin = origin_of(row, call.model, upstream, call.credential)
            url = f"{upstream.base_url}{self.path}/input_tokens"
            counter = Counter(url, _COUNTED, "input_tokens", origin) if row.counts else None
            leg = open_count(call, target, counter, _sends)
            if leg.request is not None:
                leg.request.headers = self.sign(leg.request, upstream, call.credential, at)
            return leg
        losses = Losses(strict=target.strict)
        made = responses_request(read_request(call.text, call.max_values), call, target, losses)
        headers = json_headers(stream=call.stream or row.stream_only)
        sent = UpstreamRequest(upstream, "POST", upstream.base_url + self.path, headers, made.body)
        sent.headers = self.sign(sent, upstream, call.credential, at)
        return ResponsesLeg(sent, call, made.asked, losses)

    def capabilities(self, upstream: Upstream, model: str) -> dict[str, Any] | None:
        """Returns what a model can be asked for, by the vendor's row; None for a vendor without one."""
        row = VENDORS.get(upstream.vendor or "")
        if row is None:
            return None
        return capabilities_of(
            row.thinking_of(model), images=row.vision, pdf=row.pdf, schemas=row.response_format
        )


def _sends(request: MessagesRequest, call: Call, target: Target, losses: Losses) -> bytes:
    return responses_request(request, call, target, losses).body
