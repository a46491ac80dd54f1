"""count_tokens by the vendor's own counter, if it has one: it counts the prompt as the model would get it."""

from typing import Final

import msgspec

from nexusflow_core.call import Call
from nexusflow_core.counting import NOT_COUNTED, EstimateLeg
from nexusflow_core.dialect import Leg
from nexusflow_core.dialects.openai_chat.errors import origin_of
from nexusflow_core.dialects.openai_chat.request import chat_request
from nexusflow_core.dialects.openai_chat.vendors import Vendor
from nexusflow_core.errors import NotFoundError
from nexusflow_core.messages import read_body
from nexusflow_core.routing import Target
from nexusflow_core.translation.count_leg import CountLeg, counted_request
from nexusflow_core.translation.losses import Losses
from nexusflow_core.upstream import UpstreamRequest, json_headers, split_url

__all__ = ["open_count"]

_COUNTED: Final = (
    "model",
    "messages",
    "tools",
    "chat_template_kwargs",
    "continue_final_message",
    "add_generation_prompt",
)
"""Members of a chat request that belong to the prompt."""


def open_count(call: Call, target: Target, vendor: Vendor) -> Leg:
    """Returns the leg of a count: by the vendor's counter, else by an estimate if the route allows it.

    Raises NotFoundError without either, and InvalidRequestError for a request that would be refused.
    """
    upstream, estimates = target.upstream, target.options.count_tokens is not None
    if vendor.counts_at is None and not estimates:
        raise NotFoundError(NOT_COUNTED)
    request = counted_request(call)
    if vendor.counts_at is None:
        return EstimateLeg(read_body(call.text, call.max_values), call.request_id)
    losses = Losses(strict=target.strict)
    made = msgspec.json.decode(chat_request(request, call, target, losses).body)
    body = msgspec.json.encode({name: made[name] for name in _COUNTED if name in made})
    url = _beside(upstream.base_url, vendor.counts_at)
    sent = UpstreamRequest(upstream, "POST", url, json_headers(stream=False), body)
    origin = origin_of(vendor, call.model, upstream, call.credential)
    return CountLeg(sent, call, origin, losses.found, count="count", body=call.text if estimates else None)


def _beside(base_url: str, path: str) -> str:
    """Returns the URL of a path beside the API: `http://host:8000/tokenize` for `http://host:8000/v1`."""
    server, own = split_url(base_url)
    return server + own.rpartition("/")[0] + path
