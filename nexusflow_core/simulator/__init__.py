"""An upstream as a pure function of its cache, a request and the time.

`reply` makes the model's answer for all protocols. One module for each protocol reads and writes it. Phrases in
the user's text request errors, sizes and tool calls: see `directives`.
"""

from datetime import datetime

from nexusflow_core.errors import NotFoundError
from nexusflow_core.simulator.anthropic import SERVICE, count_tokens, create_message
from nexusflow_core.simulator.cache import BEGINNING, CacheAt, SimulatedCache
from nexusflow_core.simulator.directives import FAILURES
from nexusflow_core.simulator.endpoint import SimulatedResponse
from nexusflow_core.simulator.openai_chat import create_chat_completion
from nexusflow_core.simulator.openai_responses import count_input_tokens, create_response
from nexusflow_core.upstream import Headers

__all__ = ["FAILURES", "SimulatedCache", "SimulatedResponse", "simulate"]

_ENDPOINTS = {
    "/v1/messages": create_message,
    "/v1/messages/count_tokens": count_tokens,
    "/chat/completions": create_chat_completion,
    "/responses": create_response,
    "/responses/input_tokens": count_input_tokens,
}
"""Endpoints by the end of their path, since a base URL may have a path."""


def simulate(
    path: str,
    headers: Headers,
    body: bytes,
    cache: SimulatedCache | None = None,
    at: datetime = BEGINNING,
) -> SimulatedResponse:
    """Returns the answer to a POST to `path`, sent at `at`. Never raises.

    `cache` holds earlier prompts of a Claude upstream. None: a new, empty cache.
    """
    held = CacheAt(SimulatedCache() if cache is None else cache, at)
    for tail, endpoint in _ENDPOINTS.items():
        if path.endswith(tail):
            return endpoint(headers, body, held)
    return SERVICE.refuse(NotFoundError("Not found"), body)
