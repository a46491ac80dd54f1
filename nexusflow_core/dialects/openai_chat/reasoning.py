"""Reasoning in an answer, wherever a vendor puts it: fields, details, parts of the content, <think> tags."""

from collections.abc import Sequence
from enum import Enum, auto
from typing import Any, NamedTuple

from nexusflow_core.dialects.openai_chat.schema import Delta
from nexusflow_core.dialects.openai_chat.stops import longest_beginning
from nexusflow_core.dialects.openai_chat.vendors import Vendor
from nexusflow_core.untyped import is_list, object_of

__all__ = ["Details", "Piece", "ThinkTags", "Unrepeated", "Words", "parts", "read_words", "reasoning_text"]

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
    found: list[Piece] = []
    for part in map(object_of, content):
        if part.get("type") == "thinking":
            inner = part.get("thinking")
            texts = [inner] if isinstance(inner, str) else [object_of(one).get("text") for one in _list(inner)]
            piece = Piece(True, "".join(text for text in texts if isinstance(text, str)))
        else:
            piece = Piece(False, str(part.get("text") or "") if part.get("type") == "text" else "")
        if found and found[-1].thinking is piece.thinking:
            piece = Piece(piece.thinking, found.pop().text + piece.text)
        found.append(piece)
    return found


class Details:
    """OpenRouter's `reasoning_details` of one answer, put together from their fragments, so that they can go
    back unchanged."""

    def __init__(self) -> None:
        self._found: list[dict[str, Any]] = []

    def add(self, details: Any) -> None:
        for detail in _list(details):
            news = {name: value for name, value in object_of(detail).items() if value is not None}
            last = self._found[-1] if self._found else {}
            kind = news.get("type")
            if kind != "reasoning.encrypted" and (kind, news.get("index")) == (
                last.get("type"),
                last.get("index"),
            ):
                for name in ("text", "summary"):
                    if isinstance(news.get(name), str) and isinstance(last.get(name), str):
                        news[name] = last[name] + news[name]
                last.update(news)
            elif news:
                self._found.append(news)

    def take(self) -> list[dict[str, Any]]:
        """All so far, once."""
        found, self._found = self._found, []
        return found


class Unrepeated:
    """Takes out of each piece what it repeats of those before it. Some versions of some vendors do; which, the
    second piece tells."""

    def __init__(self) -> None:
        self._before = ""
        self._repeats: bool | None = None

    def feed(self, text: str) -> str:
        if not self._before or not text or self._repeats is False:
            self._before = self._before or text
            return text
        self._repeats = len(text) > len(self._before) and text.startswith(self._before)
        if not self._repeats:
            return text
        news, self._before = text[len(self._before) :], text
        return news


class _Where(Enum):
    BEGINNING = auto()
    INSIDE = auto()
    BEHIND = auto()  # the closing tag: blanks there belong to it
    OUTSIDE = auto()


class ThinkTags:
    """Parts `<think>...</think>` at the very beginning of a text from the rest, in any cut. Without its end all
    of it is thinking. Blanks around the tags belong to them."""

    def __init__(self) -> None:
        self._where = _Where.BEGINNING
        self._held = ""

    def feed(self, text: str) -> list[Piece]:
        if self._where is _Where.OUTSIDE:
            return [Piece(False, text)]
        self._held += text
        found: list[Piece] = []
        if self._where is _Where.BEGINNING:
            self._begin(found)
        if self._where is _Where.INSIDE:
            self._inside(found)
        if self._where is _Where.BEHIND and self._held.lstrip():
            self._where = _Where.OUTSIDE
            found.append(Piece(False, self._release().lstrip()))
        return [piece for piece in found if piece.text]

    def flush(self) -> list[Piece]:
        """What was held back, at the end."""
        thinking = self._where is _Where.INSIDE
        held = self._release()
        return [] if not held or self._where is _Where.BEHIND else [Piece(thinking, held)]

    def _begin(self, found: list[Piece]) -> None:
        visible = self._held.lstrip()
        if visible.startswith(_OPEN):
            self._where = _Where.INSIDE
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

    def _release(self) -> str:
        held, self._held = self._held, ""
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
        details.add(message.reasoning_details)
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
