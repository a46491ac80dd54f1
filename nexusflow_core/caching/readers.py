"""The table of readers: one for each form of request."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from nexusflow_core.caching.messages_prompt import read_messages_prompt
from nexusflow_core.caching.prompt import Prompt
from nexusflow_core.caching.responses_prompt import read_responses_prompt
from nexusflow_core.caching.rules import Rules, Wire

__all__ = ["READERS", "read_prompt"]


class Reader(Protocol):
    """Reads a decoded request body. Raises InvalidRequestError for breakpoints that the API refuses."""

    def __call__(
        self, request: Mapping[str, Any], *, rules: Rules, model: str | None, scope: str
    ) -> Prompt: ...


READERS: Final[Mapping[Wire, Reader]] = {
    "anthropic": read_messages_prompt,
    "openai-responses": read_responses_prompt,
}


def read_prompt(
    request: Mapping[str, Any], rules: Rules, *, model: str | None = None, scope: str = ""
) -> Prompt:
    """Returns a request as a cache with these rules sees it. Raises InvalidRequestError."""
    return READERS[rules.wire](request, rules=rules, model=model, scope=scope)
