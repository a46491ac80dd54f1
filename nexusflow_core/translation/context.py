"""Translation: what the translation of a request needs; RequestFacts: what that of its answer needs."""

from typing import Any

from msgspec import Struct

from nexusflow_core.call import Call
from nexusflow_core.messages import MessagesRequest, ToolUseBlock
from nexusflow_core.messages.marks import Mark, MarkKind
from nexusflow_core.routing import Target, TargetOptions
from nexusflow_core.translation.ids import ToolNames, UsedIds, tool_id
from nexusflow_core.translation.losses import Losses

__all__ = ["RequestFacts", "Translation"]


class Translation(Struct, frozen=True):
    """One request and its target. A dialect adds members in a subclass."""

    call: Call
    target: Target
    request: MessagesRequest
    losses: Losses

    @property
    def model(self) -> str:
        """The upstream's name of the model."""
        return self.target.model or self.call.model

    @property
    def options(self) -> TargetOptions:
        return self.target.options

    @property
    def thinker(self) -> str:
        """The source of the answer's reasoning: the vendor, or the upstream if no vendor is configured."""
        return self.target.upstream.vendor or self.target.upstream.name

    @property
    def tenant(self) -> str:
        """The caller's id; "" for an anonymous caller."""
        return self.call.principal.id if self.call.principal is not None else ""

    def call_ids(self) -> list[str]:
        """Returns the ids of all tool calls in the conversation, in order."""
        turns = [message.content for message in self.request.messages if message.role == "assistant"]
        return [block.id for blocks in turns for block in blocks if isinstance(block, ToolUseBlock)]

    def request_facts(self) -> dict[str, Any]:
        """Returns the members of `RequestFacts` that every dialect takes from the request alike."""
        return {
            "request_id": self.call.request_id,
            "model": self.call.model,
            "upstream_model": self.model,
            "vendor_name": self.target.upstream.vendor,
            "thinker": self.thinker,
            "names": ToolNames(tool.name for tool in self.request.tools),
            "used_ids": UsedIds(self.call_ids()),
            "stops": tuple(self.request.stop_sequences),
        }


class RequestFacts(Struct, frozen=True, kw_only=True):
    """Facts of the request that the translation of its answer needs.

    `model` is the client's name of the model, `upstream_model` the upstream's. `vendor_name` is the configured
    vendor. `thinker` is the source of the answer's reasoning: that vendor, or the upstream's name.
    """

    request_id: str
    model: str
    upstream_model: str
    vendor_name: str | None
    thinker: str
    names: ToolNames
    used_ids: UsedIds
    """The ids of tool calls in the conversation. No call in the answer may reuse one."""
    stops: tuple[str, ...] = ()
    """The client's stop sequences."""
    stop_here: tuple[str, ...] = ()
    """Stop sequences that are not sent upstream, but searched in the text here."""
    echo: str = ""
    """The client's beginning of the answer, if the upstream repeats it."""
    one_call: bool = False
    """Only the first tool call counts, because the upstream has no field to limit them."""
    hide_thinking: bool = False
    """The client wants thinking blocks without text."""
    prompt_tokens: int = 0
    """An estimate, used until the upstream reports usage."""

    def tool_id(self, id: str | None, number: int) -> str:
        """Returns the client's id of the answer's call `number`; `id` is the upstream's."""
        return tool_id(id, self.request_id, number, self.used_ids)

    def mark(self, kind: MarkKind, payload: object = None) -> str:
        """Returns the signature of a thinking block made from this upstream's reasoning."""
        return Mark(vendor=self.thinker, model=self.upstream_model, kind=kind, payload=payload).signature()
