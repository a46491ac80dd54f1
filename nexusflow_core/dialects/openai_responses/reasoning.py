"""Stores reasoning items in the signatures of thinking blocks, and restores them from there.

A restored item equals the original without `id` and `status`. The thinking block holds the item's text, so the
signature stores only the length of each text. ReasoningSlot writes a block while its item arrives.
"""

from typing import Any, Final

from nexusflow_core.dialects.openai_responses.schema import Event, Item, number
from nexusflow_core.dialects.openai_responses.vendors import ResponsesRequestFacts
from nexusflow_core.messages import OtherBlock, RedactedThinkingBlock, ThinkingBlock
from nexusflow_core.messages.marks import read_mark
from nexusflow_core.translation.documents import Part
from nexusflow_core.translation.losses import Losses
from nexusflow_core.translation.slots import Slot
from nexusflow_core.translation.text_part import AnswerState, ThinkingPart
from nexusflow_core.untyped import is_blank, is_list, object_of

__all__ = [
    "ReasoningSlot",
    "carried_item",
    "item_signature",
    "reasoning_item",
    "reasoning_signature",
    "reasoning_text",
]

_BETWEEN: Final = "\n\n"
_NOT_SENT: Final = ("id", "status", "type")
_PLACES: Final = {"summary": "summary_text", "content": "reasoning_text"}
"""Members with an item's texts, and the type of their parts. The block shows the first with a text."""
_CARRIED: Final = {"web_search_tool_result": "web_search_call", "compaction": "compaction"}
"""Blocks that hold a whole item in `encrypted_content`, and the item's type. A search holds it in its first
result."""


def reasoning_text(item: Part) -> str:
    """Returns the text of a reasoning item for its thinking block; "" for an item without text."""
    place = _shown_place(item)
    return _BETWEEN.join(filter(None, map(_text_of, item[place]))) if place is not None else ""


def reasoning_signature(item: Part, shown: str, facts: ResponsesRequestFacts) -> str:
    """Returns the signature of a reasoning item's block. `shown` is the block's text, or "" if hidden."""
    kept = _kept(item)
    place = _shown_place(item)
    if place is not None and shown == reasoning_text(item):
        kept[place] = [_length(part, _PLACES[place]) for part in kept[place]]
    return facts.mark("item", kept)


def item_signature(item: Part, facts: ResponsesRequestFacts) -> str:
    """Returns a mark that holds a whole item, for a block without members for its content."""
    return facts.mark("item", {"type": item.get("type"), **_kept(item)})


def reasoning_item(
    block: ThinkingBlock | RedactedThinkingBlock, path: str, thinker: str, losses: Losses
) -> Part | None:
    """Returns the reasoning item of a thinking block.

    For a block that `thinker` did not make, or with a changed text, lists the block and returns None.
    """
    shown, sign = (block.thinking, block.signature) if isinstance(block, ThinkingBlock) else ("", block.data)
    mark = read_mark(sign)
    if mark is None or mark.vendor != thinker or mark.kind != "item":
        losses.drop(path, "thinking of another model is not shown to this upstream")
        return None
    item: Part = {"summary": [], **object_of(mark.payload), "type": "reasoning"}
    for place, kind in _PLACES.items():
        parts = item.get(place)
        if is_list(parts) and any(isinstance(part, int) for part in parts):
            filled = _filled(parts, kind, shown)
            if filled is None:
                losses.drop(path, "its text is not the one that was signed")
                return None
            item[place] = filled
    return item


def carried_item(block: OtherBlock, thinker: str) -> Part | None:
    """Returns the item that a search result or a compaction holds; None if `thinker` did not make it."""
    given = block.data.get("encrypted_content")
    if block.kind == "web_search_tool_result":
        results = block.data.get("content")
        given = object_of(results[0]).get("encrypted_content") if is_list(results) and results else None
    mark = read_mark(given) if isinstance(given, str) else None
    item = object_of(mark.payload) if mark is not None and mark.vendor == thinker else {}
    return item if item.get("type") == _CARRIED.get(block.kind, "") else None


def _kept(item: Part) -> Part:
    return {name: value for name, value in item.items() if name not in _NOT_SENT and not is_blank(value)}


def _shown_place(item: Part) -> str | None:
    lists = {place: item[place] for place in _PLACES if is_list(item.get(place))}
    return next((place for place, parts in lists.items() if any(map(_text_of, parts))), None)


def _text_of(part: Any) -> str:
    text = object_of(part).get("text")
    return text if isinstance(text, str) else ""


def _length(part: Any, kind: str) -> Any:
    text = _text_of(part)
    return len(text) if text and part == {"type": kind, "text": text} else part


def _filled(parts: list[Any], kind: str, shown: str) -> list[Part] | None:
    """Returns the parts with their texts, cut out of the block's text; None for a changed text."""
    filled: list[Part] = []
    at = 0
    for part in parts:
        length = part if isinstance(part, int) else len(_text_of(part))
        text = shown[at : at + length]
        if isinstance(part, int):
            part = {"type": kind, "text": text}
        if len(text) != length or _text_of(part) != text:
            return None
        filled.append(part)
        at += length
        if length and shown[at : at + len(_BETWEEN)] == _BETWEEN:
            at += len(_BETWEEN)
    return filled if at == len(shown) else None


class ReasoningSlot(Slot[Event, Item]):
    """A reasoning item, as summary or full text. Only its last event has the final encrypted content."""

    kind = "reasoning"

    def __init__(self, facts: ResponsesRequestFacts, state: AnswerState) -> None:
        super().__init__(state)
        self._facts = facts
        self._thinking = ThinkingPart(state, hidden=facts.hide_thinking)
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
        raw = item.raw if item is not None else {place: [{"type": _PLACES[place], "text": shown}]}
        if not shown and is_blank(raw.get("encrypted_content")):
            return
        signature = reasoning_signature(raw, "" if self._facts.hide_thinking else shown, self._facts)
        if shown or self._facts.thinks:
            self._state.writer.sign(signature, out)
        else:
            self._state.writer.whole({"type": "redacted_thinking", "data": signature}, out)
