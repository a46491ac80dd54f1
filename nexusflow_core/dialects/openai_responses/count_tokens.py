"""count_tokens at `/responses/input_tokens`: the prompt as the model would get it, counted by the vendor."""

from typing import Final

import msgspec

from nexusflow_core.call import Call
from nexusflow_core.counting import NOT_COUNTED, EstimateLeg
from nexusflow_core.dialect import Leg
from nexusflow_core.dialects.openai_responses.errors import origin_of
from nexusflow_core.dialects.openai_responses.request import responses_request
from nexusflow_core.dialects.openai_responses.vendors import Vendor
from nexusflow_core.errors import NotFoundError
from nexusflow_core.messages import read_body
from nexusflow_core.routing import Target
from nexusflow_core.translation.count_leg import CountLeg, counted_request
from nexusflow_core.translation.losses import Losses
from nexusflow_core.upstream import UpstreamRequest, json_headers

__all__ = ["open_count"]

_PATH: Final = "/responses/input_tokens"
_COUNTED: Final = "model input instructions tools tool_choice parallel_tool_calls reasoning text".split()
"""Members that the counter takes. It refuses others."""


def open_count(call: Call, target: Target, vendor: Vendor) -> Leg:
    """Returns the leg of a count: by the vendor's counter, else by an estimate if the route allows it.

    Raises NotFoundError without either, and InvalidRequestError for a request that would be refused.
    """
    upstream, estimates = target.upstream, target.options.count_tokens is not None
    if not vendor.counts and not estimates:
        raise NotFoundError(NOT_COUNTED)
    request = counted_request(call)
    if not vendor.counts:
        return EstimateLeg(read_body(call.text, call.max_values), call.request_id)
    losses = Losses(strict=target.strict)
    made = msgspec.json.decode(responses_request(request, call, target, losses).body)
    body = msgspec.json.encode({name: made[name] for name in _COUNTED if name in made})
    sent = UpstreamRequest(upstream, "POST", upstream.base_url + _PATH, json_headers(stream=False), body)
    origin = origin_of(vendor, call.model, upstream, call.credential)
    return CountLeg(
        sent, call, origin, losses.found, count="input_tokens", body=call.text if estimates else None
    )
