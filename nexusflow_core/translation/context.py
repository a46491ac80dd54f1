"""What travels together through a translation: the request on its way, and what its answer must know of it."""

from msgspec import Struct

from nexusflow_core.call import Call
from nexusflow_core.messages import MessagesRequest, ToolUseBlock
from nexusflow_core.messages.marks import Mark, MarkKind
from nexusflow_core.routing import Target, TargetOptions
from nexusflow_core.translation.ids import ToolNames, UsedIds, tool_id
from nexusflow_core.translation.losses import Losses

__all__ = ["Asked", "Translation"]


class Translation(Struct, frozen=True):
    """One request on its way to one target. A dialect adds what it needs in a subclass."""

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
        """Whose reasoning the answer brings: the vendor, or the upstream where no vendor is configured."""
        return self.target.upstream.vendor or self.target.upstream.name

    @property
    def tenant(self) -> str:
        """The caller's id, "" for an anonymous one."""
        return self.call.principal.id if self.call.principal is not None else ""

    def call_ids(self) -> list[str]:
        """Returns the ids of all tool calls in the conversation, in order."""
        turns = [message.content for message in self.request.messages if message.role == "assistant"]
        return [block.id for blocks in turns for block in blocks if isinstance(block, ToolUseBlock)]


class Asked(Struct, frozen=True, kw_only=True):
    """What the translation of an answer must know of the request.

    `model` is the client's name of the model, `upstream_model` the upstream's. `vendor_name` is the vendor in
    the configuration; `thinker` that or else the upstream's name, whose reasoning the answer brings.
    """

    request_id: str
    model: str
    upstream_model: str
    vendor_name: str | None
    thinker: str
    names: ToolNames
    used_ids: UsedIds
    """The ids of the calls in the conversation: no call of the answer may have one of them again."""
    stops: tuple[str, ...] = ()
    """What the client asked to stop at."""
    stop_here: tuple[str, ...] = ()
    """Stop strings that the upstream was not given, to be found on the text."""
    echo: str = ""
    """What the answer repeats of the client's own beginning of it."""
    one_call: bool = False
    """Only the first tool call counts: the upstream has no field that says so."""
    hide_thinking: bool = False
    """The client wants thinking blocks without their text."""
    prompt_tokens: int = 0
    """An estimate, for as long as the upstream tells nothing."""

    def tool_id(self, id: str | None, number: int) -> str:
        """The client's id of the answer's call of this number; `id` is the upstream's."""
        return tool_id(id, self.request_id, number, self.used_ids)

    def mark(self, kind: MarkKind, payload: object = None) -> str:
        """The signature of a thinking block made of this upstream's reasoning."""
        return Mark(vendor=self.thinker, model=self.upstream_model, kind=kind, payload=payload).signature()
