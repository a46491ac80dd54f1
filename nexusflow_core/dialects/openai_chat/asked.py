"""What the translation of an answer must know of the request."""

from msgspec import Struct

from nexusflow_core.dialects.openai_chat.vendors import Vendor
from nexusflow_core.messages.marks import Mark, MarkKind
from nexusflow_core.translation.ids import ToolNames, UsedIds, tool_id

__all__ = ["Asked"]


class Asked(Struct, frozen=True, kw_only=True):
    """`model` is the client's name of it, `upstream_model` the upstream's; `vendor_name` what the
    configuration calls the vendor; `thinker` that or else the upstream's name, whose reasoning it will be."""

    request_id: str
    model: str
    upstream_model: str
    vendor_name: str | None
    thinker: str
    vendor: Vendor
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
