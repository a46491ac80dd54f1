"""Reasoning in an answer, wherever a vendor puts it: fields, details, parts of the content, <think> tags."""

from collections.abc import Sequence
from enum import Enum, auto
from typing import Any, NamedTuple

import msgspec

from nexusflow_core.dialects.openai_chat.pieces import Held, Pieces
from nexusflow_core.dialects.openai_chat.schema import Delta
from nexusflow_core.dialects.openai_chat.stops import longest_beginning
from nexusflow_core.dialects.openai_chat.vendors import Vendor
from nexusflow_core.untyped import is_list, object_of

__all__ = ["Details", "Piece", "ThinkTags", "Words", "parts", "read_words", "reasoning_text"]

_OPEN, _CLOSE = "<think>", "</think>"


class Piece(NamedTuple):
    """Text, of the answer or of the thinking before it."""

    thinking: bool
    text: str


def reasoning_text(delta: Delta) -> str:
    """The reasoning beside the content. Vendors that tell it in two fields say the same in both."""
    told = delta.reasoning_content or delta.reasoning
    if isinstance(told, str) and told:
        return told
    texts = [
        detail.get("text") or detail.get("summary") for detail in map(object_of, _list(delta.reasoning_details))
    ]
    return "".join(text for text in texts if isinstance(text, str))


def parts(content: Sequence[Any]) -> list[Piece]:
    """A content that is a list (Mistral): its thinking and text in order, neighbours of one kind as one."""
    found: list[tuple[bool, list[str]]] = []
    for part in map(object_of, content):
        thinking = part.get("type") == "thinking"
        if thinking:
            inner = part.get("thinking")
            told = [inner] if isinstance(inner, str) else [object_of(one).get("text") for one in _list(inner)]
            texts = [text for text in told if isinstance(text, str)]
        else:
            texts = [str(part.get("text") or "") if part.get("type") == "text" else ""]
        if found and found[-1][0] is thinking:
            found[-1][1].extend(texts)
        else:
            found.append((thinking, texts))
    return [Piece(thinking, "".join(texts)) for thinking, texts in found]


class Details:
    """OpenRouter's `reasoning_details` of one answer, put together from their fragments, so that they can go
    back unchanged."""

    def __init__(self, held: Held | None = None) -> None:
        self._held = held or Held()
        self._size = 0  # of what is held, beside texts in pieces
        self._found: list[dict[str, Any]] = []
        self._texts: dict[str, Pieces] = {}  # of the last one: as far as they have come in fragments

    def add(self, details: Any, *, whole: bool = False) -> None:
        """Those of a delta, or of a whole message: there none is a fragment."""
        for number, detail in enumerate(map(object_of, _list(details))):
            last = self._found[-1] if self._found else {}
            if not detail:
                continue
            if not whole and _goes_on(last, detail, neighbours=number > 0):
                self._merge(last, detail)
            else:
                self._close()
                self._found.append(dict(detail))
                self._count(detail)

    def take(self) -> list[dict[str, Any]]:
        """All so far, once."""
        self._close()
        self._held.bytes -= self._size
        found, self._found, self._size = self._found, [], 0
        return found

    def _merge(self, last: dict[str, Any], fragment: dict[str, Any]) -> None:
        for name, value in fragment.items():
            before = last.get(name)
            if name in ("text", "summary") and isinstance(value, str) and isinstance(before, str):
                if name not in self._texts:
                    self._texts[name] = Pieces(self._held, before)
                self._texts[name].add(value)
            elif value != before and (value is not None or name not in last):
                last[name] = value
                self._count(value)

    def _close(self) -> None:
        for name, pieces in self._texts.items():
            self._found[-1][name] = text = pieces.take()
            self._count(text)
        self._texts = {}

    def _count(self, value: Any) -> None:
        size = len(msgspec.json.encode(value))
        self._held.bytes += size
        self._size += size


def _goes_on(last: dict[str, Any], detail: dict[str, Any], *, neighbours: bool) -> bool:
    """Whether a detail is a fragment of the last one: of its kind and index, and of no other id or signature.
    Without an index, two in one delta are two, and what is signed is whole."""
    kind, index, signature = detail.get("type"), detail.get("index"), last.get("signature")
    if kind == "reasoning.encrypted" or (kind, index) != (last.get("type"), last.get("index")):
        return False
    if index is None and (neighbours or signature):
        return False
    return all(
        not last.get(name) or not detail.get(name) or last[name] == detail[name] for name in ("id", "signature")
    )


class _Where(Enum):
    BEGINNING = auto()
    INSIDE = auto()
    BEHIND = auto()  # the closing tag: blanks there belong to it
    OUTSIDE = auto()


class ThinkTags:
    """Parts `<think>...</think>` at the very beginning of a text from the rest, in any cut. Without its end all
    of it is thinking. Blanks around the tags belong to them."""

    def __init__(self, held: Held | None = None) -> None:
        self._where = _Where.BEGINNING
        self._blanks = Pieces(held or Held())  # at the beginning: the tag's, or the text's
        self._held = ""  # a part of a tag, perhaps

    def feed(self, text: str) -> list[Piece]:
        if self._where is _Where.OUTSIDE:
            return [Piece(False, text)]
        if not self._held and self._where is not _Where.INSIDE and not text.strip():
            if self._where is _Where.BEGINNING:
                self._blanks.add(text)
            return []
        self._held += text
        found: list[Piece] = []
        if self._where is _Where.BEGINNING:
            self._begin(found)
        if self._where is _Where.INSIDE:
            self._inside(found)
        if self._where is _Where.BEHIND:
            self._behind(found)
        return [piece for piece in found if piece.text]

    def flush(self) -> list[Piece]:
        """What was held back, at the end."""
        thinking = self._where is _Where.INSIDE
        held = self._release()
        return [Piece(thinking, held)] if held else []

    def _begin(self, found: list[Piece]) -> None:
        visible = self._held.lstrip()
        if visible.startswith(_OPEN):
            self._where = _Where.INSIDE
            self._blanks.take()
            self._held = visible.removeprefix(_OPEN)
        elif not _OPEN.startswith(visible):
            self._where = _Where.OUTSIDE
            found.append(Piece(False, self._release()))

    def _inside(self, found: list[Piece]) -> None:
        thought, closed, rest = self._held.partition(_CLOSE)
        if closed:
            self._where = _Where.BEHIND
            self._held = rest
        else:
            keep = longest_beginning(thought, _CLOSE)
            thought, self._held = thought[: len(thought) - keep], thought[len(thought) - keep :]
        found.append(Piece(True, thought))

    def _behind(self, found: list[Piece]) -> None:
        self._held = self._held.lstrip()
        if self._held:
            self._where = _Where.OUTSIDE
            found.append(Piece(False, self._release()))

    def _release(self) -> str:
        held, self._held = self._blanks.take() + self._held, ""
        return held


def _list(value: Any) -> list[Any]:
    return value if is_list(value) else []


class Words(NamedTuple):
    """What a whole message says: its thinking, its text, and the details to go back with the thinking."""

    thinking: str
    text: str
    details: list[dict[str, Any]]


def read_words(message: Delta, vendor: Vendor) -> Words:
    """The words of a whole message."""
    details = Details()
    if vendor.replay == "reasoning_details" and not vendor.cumulative_reasoning:
        details.add(message.reasoning_details, whole=True)
    pieces = [Piece(True, reasoning_text(message))]
    if is_list(message.content):
        pieces += parts(message.content)
    elif vendor.think_tags:
        tags = ThinkTags()
        pieces += [*tags.feed(message.text()), *tags.flush()]
    else:
        pieces.append(Piece(False, message.text()))
    thinking, text = (
        "".join(piece.text for piece in pieces if piece.thinking is kind) for kind in (True, False)
    )
    return Words(thinking, text, details.take())
