"""OpenAIChatDialect: opens Messages calls as Chat Completions requests, and knows its models' capabilities."""

from collections.abc import Mapping
from typing import Any, Final

from nexusflow_core.call import Call
from nexusflow_core.dialect import Leg
from nexusflow_core.dialects.openai_chat.errors import origin_of
from nexusflow_core.dialects.openai_chat.leg import ChatLeg
from nexusflow_core.dialects.openai_chat.request import chat_request
from nexusflow_core.dialects.openai_chat.vendors import VENDORS, ChatRequestFacts, Vendor, vendor_row
from nexusflow_core.messages import MessagesRequest
from nexusflow_core.routing import Target
from nexusflow_core.translation.count_leg import Counter
from nexusflow_core.translation.losses import Losses
from nexusflow_core.translation.translated_dialect import TranslatedDialect, capabilities_of
from nexusflow_core.upstream import Upstream, UpstreamRequest, split_url

__all__ = ["OpenAIChatDialect", "tools_limit"]


_COUNTED: Final = (
    "model",
    "messages",
    "tools",
    "chat_template_kwargs",
    "continue_final_message",
    "add_generation_prompt",
)
"""Members of a chat request that belong to the prompt."""


class OpenAIChatDialect(TranslatedDialect[ChatRequestFacts]):
    """Chat Completions, by OpenAI and compatible vendors."""

    path = "/chat/completions"
    endings = ("/chat/completions",)
    options: frozenset[str] = frozenset(
        "strict images tool_images server_tools max_tokens count_tokens".split()
    )

    @property
    def vendors(self) -> Mapping[str, str | None]:
        return {name: row.prices for name, row in VENDORS.items()}

    def translate(
        self, request: MessagesRequest, call: Call, target: Target, losses: Losses
    ) -> tuple[bytes, ChatRequestFacts]:
        return chat_request(request, call, target, losses)

    def leg(self, sent: UpstreamRequest, call: Call, facts: ChatRequestFacts, losses: Losses) -> Leg:
        return ChatLeg(sent, call, facts, losses)

    def counter(self, call: Call, upstream: Upstream) -> Counter | None:
        row = vendor_row(upstream.vendor)
        if row.counts_at is None:
            return None
        origin = origin_of(row, call.model, upstream, call.credential)
        return Counter(_beside(upstream.base_url, row.counts_at), _COUNTED, "count", origin)

    def capabilities(self, upstream: Upstream, model: str) -> dict[str, Any] | None:
        """Returns the capabilities in the vendor's row; None for a vendor without one."""
        row = VENDORS.get(upstream.vendor or "")
        if row is None:
            return None
        schemas = row.response_format == "json_schema"
        return capabilities_of(row.thinking_of(model), images=row.vision, pdf=row.pdf, schemas=schemas)

    def tools_limit(self, upstream: Upstream, model: str) -> str | None:
        row = VENDORS.get(upstream.vendor or "")
        return tools_limit(row, model) if row is not None else None


def tools_limit(vendor: Vendor, model: str) -> str | None:
    """Returns a sentence on a limit of the model's tools on Chat Completions, or None without a limit."""
    thinking = vendor.thinking_of(model)
    if thinking is None or thinking.with_tools == "any":
        return None
    if thinking.with_tools == "off":
        return (
            f"{model} takes tools on Chat Completions only without thinking, which is switched off for them; "
            'with dialect = "openai-responses" it has both'
        )
    return (
        f'{model} takes no tools on Chat Completions: they are refused; it needs dialect = "openai-responses"'
    )


def _beside(base_url: str, path: str) -> str:
    """Returns the URL of a path beside the API: `http://host:8000/tokenize` for `http://host:8000/v1`."""
    server, own = split_url(base_url)
    return server + own.rpartition("/")[0] + path
