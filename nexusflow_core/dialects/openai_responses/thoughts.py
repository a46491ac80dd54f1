"""The slot of an item of reasoning: a thinking block whose signature has what must go back."""

from typing import Any

from nexusflow_core.dialects.openai_responses.context import ResponsesAsked
from nexusflow_core.dialects.openai_responses.reasoning import reasoning_signature, reasoning_text
from nexusflow_core.dialects.openai_responses.schema import Event, Item, number
from nexusflow_core.translation.held import Pieces, utf8_length
from nexusflow_core.translation.json_lenient import Joint
from nexusflow_core.translation.slots import Slot
from nexusflow_core.translation.text_part import AnswerState
from nexusflow_core.untyped import is_blank

__all__ = ["ReasoningSlot"]

_BETWEEN = "\n\n"
_PARTS = {"summary": "summary_text", "content": "reasoning_text"}


class ReasoningSlot(Slot[Event, Item]):
    """Reasoning, as a summary or in full. Encrypted content is taken from the end of the item only."""

    kind = "reasoning"

    def __init__(self, asked: ResponsesAsked, state: AnswerState) -> None:
        super().__init__(state)
        self._asked = asked
        self._shown = Pieces(state.held)
        self._any = False
        self._joint = Joint()
        self._place = ""  # the member of the item that the texts belong to
        self._part: int | None = None
        self._part_came = False  # True once a piece of the current part has come

    def take(self, event: Event, out: list[bytes]) -> None:
        place = "summary" if "summary" in event.type else "content"
        if self._place and place != self._place:
            return  # the full text beside its summary: the item has it
        self._place = place
        index = number(event.summary_index if place == "summary" else event.content_index) or 0
        if index != self._part:
            self._part, self._part_came = index, False
        if event.type.endswith(".delta"):
            self._add(self._joint.feed(event.new_text()), out)
        elif not self._part_came:
            self._add(event.whole_text(), out)

    def end(self, item: Item | None, out: list[bytes]) -> None:
        shown = self._shown.take()
        raw = item.raw if item is not None else self._made(shown)
        whole = reasoning_text(raw)
        if not shown:
            shown = self._write(whole, out)
        elif whole.startswith(shown):
            shown += self._write(whole[len(shown) :], out)
        self.ended = True
        shown = shown if shown.strip() else ""
        asked, writer = self._asked, self._state.writer
        if not shown and is_blank(raw.get("encrypted_content")):
            return
        signature = reasoning_signature(raw, "" if asked.hide_thinking else shown, asked)
        if shown or asked.thinks:
            writer.sign(signature, out)
        else:
            writer.whole({"type": "redacted_thinking", "data": signature}, out)

    def _add(self, text: str, out: list[bytes]) -> None:
        if not text:
            return
        if self._any and not self._part_came:
            text = _BETWEEN + text
        self._part_came = True
        self._shown.add(self._write(text, out))

    def _write(self, text: str, out: list[bytes]) -> str:
        self._any = self._any or bool(text)
        self._state.written += utf8_length(text)
        if text and not self._asked.hide_thinking:
            self._state.writer.thinking(text, out)
        return text

    def _made(self, shown: str) -> dict[str, Any]:
        """Returns an item for texts whose own item never came whole."""
        place = self._place or "summary"
        return {"type": "reasoning", place: [{"type": _PARTS[place], "text": shown}] if shown else []}
