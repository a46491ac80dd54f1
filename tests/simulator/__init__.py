"""The product's simulator, as strict as OpenAI and with every oddity of its vendors.

What `nexusflow_core.simulator` answers is taken from it; this package adds checks and changes answers.
"""

from __future__ import annotations

from datetime import datetime

from nexusflow_core import simulator
from nexusflow_core.simulator import SimulatedResponse
from nexusflow_core.simulator.cache import BEGINNING, CacheAt, SimulatedCache
from nexusflow_core.upstream import Headers
from tests.simulator.openai_chat import create_chat_completion
from tests.simulator.openai_responses import create_response

__all__ = ["simulate"]


def simulate(
    path: str,
    headers: Headers,
    body: bytes,
    cache: SimulatedCache | None = None,
    at: datetime = BEGINNING,
) -> SimulatedResponse:
    """Answer a POST to `path`. Never raises."""
    held = CacheAt(SimulatedCache() if cache is None else cache, at)
    if path.endswith("/chat/completions"):
        return create_chat_completion(headers, body, held)
    if path.endswith("/responses"):
        return create_response(headers, body, held)
    return simulator.simulate(path, headers, body, held.cache, at)
