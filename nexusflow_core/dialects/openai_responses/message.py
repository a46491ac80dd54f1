"""The slot of a message: texts and refusals, each part in a block of its own."""

from typing import Any

from nexusflow_core.dialects.openai_responses.schema import Event, Item, Part, number
from nexusflow_core.dialects.openai_responses.slots import Slot, Told
from nexusflow_core.translation.held import Pieces
from nexusflow_core.translation.json_lenient import Joint
from nexusflow_core.translation.said import SaidExactly
from nexusflow_core.translation.think_tags import ThinkTags
from nexusflow_core.untyped import is_zero, object_of

__all__ = ["MessageSlot", "TextPart"]

_PART_BYTES = 1500
_TEXTS = ("output_text", "text", "input_text")


class TextPart:
    """One part of a message, as it is written."""

    def __init__(self, told: Told, index: int, *, refusal: bool) -> None:
        asked = told.asked
        self.index = index
        self.said = SaidExactly()
        self.refusal = refusal
        self.closed = False
        self.cited = 0
        """Sources that arrived."""
        self._told = told
        self._joint = Joint()
        self._stops = told.stops if not refusal else None
        self._tags = ThinkTags(told.held) if asked.vendor.think_tags and not refusal else None
        self._text = Pieces(told.held) if asked.searches else None  # that sources point into
        self._kept = ""
        told.held.bytes += _PART_BYTES

    @property
    def closely(self) -> bool:
        """True while text must be examined before it is written: for tags, stop strings, sources and cut
        characters."""
        examined = self._stops is not None or self._tags is not None or self._text is not None
        return examined or self.refusal or bool(self._joint)

    def add(self, text: str, out: list[bytes]) -> None:
        """Takes a piece of text."""
        if text := self._joint.feed(text):
            self._add(text, out)

    def whole(self, text: str, out: list[bytes]) -> None:
        """Takes the whole text, and writes what is new in it."""
        self._joint = Joint()  # half a character is whole there
        rest = self.said.beyond(text)
        if rest is None or (rest and self.closed):
            self._told.notice("message")
        elif rest:
            self._add(rest, out)

    def close(self, out: list[bytes]) -> None:
        """Writes what was held back, and closes the block."""
        if self.closed:
            return
        if self._joint:
            self._add(self._joint.flush(), out)
        for piece in self._tags.flush() if self._tags is not None else ():
            self._piece(piece.text, out, thinking=piece.thinking)
        if self._stops is not None and self._stops.found is None:
            self._write(self._stops.flush(), out)
        if self._told.found is None:
            self.closed = True
            self._told.written += self.said.size
            self._told.writer.close(out)

    def cite(self, annotation: Any, out: list[bytes]) -> None:
        """Takes a source of the text. It is shown if the client asked for a search of the web."""
        self.cited += 1
        told, source = object_of(annotation), self._text
        if source is None or self.closed or told.get("type") != "url_citation":
            if not is_zero(annotation):
                self._told.notice("annotations")
            return
        self._kept += (new := source.take())
        self._told.held.bytes += len(new)
        start, end = number(told.get("start_index")), number(told.get("end_index"))
        between = start is not None and end is not None
        self._told.writer.cite(
            {
                "type": "web_search_result_location",
                "url": str(told.get("url") or ""),
                "title": told.get("title") if isinstance(told.get("title"), str) else None,
                "cited_text": self._kept[start:end] if between else "",
                "encrypted_index": "",
            },
            out,
        )

    def _add(self, text: str, out: list[bytes]) -> None:
        self.said.add(text)
        if self.refusal:
            self._told.refusal.add(text)
        if self._tags is None:
            self._piece(text, out)
            return
        for piece in self._tags.feed(text):
            if not piece.thinking:
                self._tags = None  # tags occur only at the beginning
            self._piece(piece.text, out, thinking=piece.thinking)

    def _piece(self, text: str, out: list[bytes], *, thinking: bool = False) -> None:
        if thinking:
            self._told.writer.thinking(text, out)
        elif self._stops is None:
            self._write(text, out)
        else:
            self._write(self._stops.feed(text), out)
            self._told.found = self._stops.found

    def _write(self, text: str, out: list[bytes]) -> None:
        if text:
            if self._text is not None:
                self._text.add(text)
            self._told.writer.text(text, out)


class MessageSlot(Slot):
    """A message. Most have one part."""

    kind = "message"

    def __init__(self, told: Told) -> None:
        super().__init__(told)
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
            part.cite(event.annotation, out)
        else:
            part.whole(event.whole_text(), out)

    def end(self, item: Item | None, out: list[bytes]) -> None:
        for index, part in enumerate(item.parts() if item is not None else ()):
            self._whole(part, index, out)
            if self._told.found is not None:
                return
        if self.part is not None:
            self.part.close(out)
        self.ended = True

    def _whole(self, part: Part, index: int, out: list[bytes]) -> None:
        if part.type not in _TEXTS and not part.refusal:
            self._told.notice(part.type)
            return
        known = self._at(index, out, refusal=part.refusal)
        known.whole(part.text, out)
        for annotation in part.annotations[known.cited :]:
            known.cite(annotation, out)

    def _at(self, index: int, out: list[bytes], *, refusal: bool) -> TextPart:
        """Returns the part with this index. A new one closes the open one."""
        part = self._parts.get(index)
        if part is None:
            if self.part is not None:
                self.part.close(out)
            part = self.part = self._parts[index] = TextPart(self._told, index, refusal=refusal)
        return part
