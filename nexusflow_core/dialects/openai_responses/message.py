"""MessageSlot: writes the texts and refusals of a message, one block per part."""

from typing import Any

from nexusflow_core.dialects.openai_responses.schema import Event, Item, Part, number
from nexusflow_core.dialects.openai_responses.vendors import ResponsesRequestFacts
from nexusflow_core.translation.slots import Slot
from nexusflow_core.translation.text_part import AnswerState, TextPart
from nexusflow_core.untyped import is_zero, object_of

__all__ = ["MessageSlot"]

_TEXTS = ("output_text", "text", "input_text")


class MessageSlot(Slot[Event, Item]):
    """A message. Most messages have one part."""

    kind = "message"

    def __init__(self, facts: ResponsesRequestFacts, state: AnswerState) -> None:
        super().__init__(state)
        self._facts = facts
        self.part: TextPart | None = None
        """The open part."""
        self._parts: dict[int, TextPart] = {}

    def take(self, event: Event, out: list[bytes]) -> None:
        if event.type == "response.content_part.done":
            if (given := event.its_part()) is not None:
                self._whole(given, number(event.content_index) or 0, out)
            return
        refusal = event.type.startswith("response.refusal")
        part = self._at(number(event.content_index) or 0, out, refusal=refusal)
        if event.type.endswith(".delta"):
            part.add(event.new_text(), out)
        elif event.type.endswith(".annotation.added"):
            self._cite(part, event.annotation, out)
        else:
            part.whole(event.whole_text(), out)

    def end(self, item: Item | None, out: list[bytes]) -> None:
        for index, part in enumerate(item.parts() if item is not None else ()):
            self._whole(part, index, out)
            if self._state.found is not None:
                return
        if self.part is not None:
            self.part.close(out)
        self.ended = True

    def _whole(self, part: Part, index: int, out: list[bytes]) -> None:
        if part.type not in _TEXTS and not part.refusal:
            self._state.notice(part.type)
            return
        known = self._at(index, out, refusal=part.refusal)
        known.whole(part.text, out)
        for annotation in part.annotations[known.cited :]:
            self._cite(known, annotation, out)

    def _cite(self, part: TextPart, annotation: Any, out: list[bytes]) -> None:
        """Writes a citation of a text if the request has a web search. Else lists it."""
        part.cited += 1
        source = object_of(annotation)
        if not self._facts.searches or part.closed or source.get("type") != "url_citation":
            if not is_zero(annotation):
                self._state.notice("annotations")
            return
        page = {
            "type": "web_search_result_location",
            "url": str(source.get("url") or ""),
            "title": source.get("title") if isinstance(source.get("title"), str) else None,
            "encrypted_index": "",
        }
        part.cite(page, number(source.get("start_index")), number(source.get("end_index")), out)

    def _at(self, index: int, out: list[bytes], *, refusal: bool) -> TextPart:
        """Returns the part with this index. A new part closes the open part."""
        part = self._parts.get(index)
        if part is None:
            if self.part is not None:
                self.part.close(out)
            part = self.part = self._parts[index] = TextPart(
                self._state,
                index,
                refusal=refusal,
                tags=self._facts.vendor.think_tags,
                cites=self._facts.searches,
            )
        return part
