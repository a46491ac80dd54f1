"""ResponsesUsage: reads an answer's usage, its tier, and the tools that the vendor ran for it."""

from typing import Any

from nexusflow_core.dialects.openai_responses.context import ResponsesAsked
from nexusflow_core.dialects.openai_responses.schema import Response
from nexusflow_core.translation.usage import UsageTap
from nexusflow_core.untyped import is_object, object_of
from nexusflow_core.usage.responses import web_searches

__all__ = ["ResponsesUsage"]


class ResponsesUsage(UsageTap):
    """Reads usage from the last event of a stream, or from a whole answer."""

    def __init__(self, asked: ResponsesAsked) -> None:
        super().__init__(asked.vendor_name, asked.prompt_tokens)
        self._searches = 0

    def take(self, response: Response) -> None:
        """Takes an answer, whole or in an event."""
        if isinstance(response.service_tier, str):
            self.service_tier = response.service_tier
        if is_object(response.usage):
            self.add(response.usage)
        self._searches = web_searches(object_of(response.tool_usage)) or self._searches

    def counts(self) -> dict[str, Any] | None:
        found = super().counts()
        if found is not None and self._searches:
            found["server_tool_use"] = {"web_search_requests": self._searches}
        return found
