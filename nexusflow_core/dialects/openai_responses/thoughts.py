"""ReasoningSlot: writes a reasoning item as a thinking block. The signature holds the item."""

from nexusflow_core.dialects.openai_responses.context import ResponsesAsked
from nexusflow_core.dialects.openai_responses.reasoning import reasoning_signature, reasoning_text
from nexusflow_core.dialects.openai_responses.schema import Event, Item, number
from nexusflow_core.translation.slots import Slot
from nexusflow_core.translation.text_part import AnswerState
from nexusflow_core.translation.thinking_part import ThinkingPart
from nexusflow_core.untyped import is_blank

__all__ = ["ReasoningSlot"]

_PARTS = {"summary": "summary_text", "content": "reasoning_text"}


class ReasoningSlot(Slot[Event, Item]):
    """A reasoning item, as summary or full text. Only its last event has the final encrypted content."""

    kind = "reasoning"

    def __init__(self, asked: ResponsesAsked, state: AnswerState) -> None:
        super().__init__(state)
        self._asked = asked
        self._thinking = ThinkingPart(state, hidden=asked.hide_thinking)
        self._place = ""  # `summary` or `content`: the item's member whose text is shown

    def take(self, event: Event, out: list[bytes]) -> None:
        place = "summary" if "summary" in event.type else "content"
        if self._place and place != self._place:
            return  # one text is shown; the whole item has both
        self._place = place
        part = number(event.summary_index if place == "summary" else event.content_index) or 0
        if event.type.endswith(".delta"):
            self._thinking.add(event.new_text(), part, out)
        else:
            self._thinking.whole(event.whole_text(), part, out)

    def end(self, item: Item | None, out: list[bytes]) -> None:
        self.ended = True
        shown = self._thinking.end(reasoning_text(item.raw) if item is not None else "", out)
        place = self._place or "summary"
        raw = item.raw if item is not None else {place: [{"type": _PARTS[place], "text": shown}]}
        if not shown and is_blank(raw.get("encrypted_content")):
            return
        signature = reasoning_signature(raw, "" if self._asked.hide_thinking else shown, self._asked)
        if shown or self._asked.thinks:
            self._state.writer.sign(signature, out)
        else:
            self._state.writer.whole({"type": "redacted_thinking", "data": signature}, out)
