"""An upstream as a pure function: the same request gives the same answer, byte by byte.

What the model "says" is decided in `reply`; `anthropic` speaks the Messages protocol, `openai_chat`
Chat Completions and its vendors' dialects. The phrases that order errors, sizes and tool calls are in
`directives`, those that order a vendor's oddities in `openai_chat.quirks`, the token estimate in `tokens`.
"""

from __future__ import annotations

from collections.abc import Sequence

from nexusflow_core.simulator.anthropic import count_tokens, create_message, error_response
from nexusflow_core.simulator.failures import FAILURES, Failure
from nexusflow_core.simulator.openai_chat import create_chat_completion
from nexusflow_core.simulator.response import SimulatedResponse

__all__ = ["FAILURES", "Failure", "SimulatedResponse", "simulate"]


def simulate(path: str, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> SimulatedResponse:
    """Answer a POST to `path` (the tail decides, as a base URL may have a path). Never raises."""
    if path.endswith("/v1/messages"):
        return create_message(headers, body)
    if path.endswith("/v1/messages/count_tokens"):
        return count_tokens(headers, body)
    if path.endswith("/chat/completions"):
        return create_chat_completion(headers, body)
    return error_response(Failure(404, "not_found_error", "Not found"), body)
