"""Reasoning that stands in the text, between `<think>` and `</think>`."""

from enum import Enum, auto
from typing import NamedTuple

from nexusflow_core.translation.held import Held, Pieces
from nexusflow_core.translation.stops import longest_beginning

__all__ = ["Piece", "ThinkTags", "before_lone_end"]

_OPEN, _CLOSE = "<think>", "</think>"


class Piece(NamedTuple):
    """Text, of the answer or of the thinking before it."""

    thinking: bool
    text: str
    refusal: bool = False


class _Where(Enum):
    BEGINNING = auto()
    INSIDE = auto()
    BEHIND = auto()  # the closing tag: blanks there belong to it
    OUTSIDE = auto()


class ThinkTags:
    """Parts `<think>...</think>` at the very beginning of a text from the rest, in any cut. Without its end all
    of it is thinking. Blanks around the tags belong to them. A closing tag alone there is dropped."""

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
        elif visible.startswith(_CLOSE):
            self._where = _Where.BEHIND
            self._blanks.take()
            self._held = visible.removeprefix(_CLOSE)
        elif not (_OPEN.startswith(visible) or _CLOSE.startswith(visible)):
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


def before_lone_end(text: str) -> tuple[str, str] | None:
    """Returns what stands before and behind a closing tag that nothing opened; None where there is none. Some
    templates begin the thinking themselves, so that an answer has its end alone."""
    before, closed, behind = text.partition(_CLOSE)
    return (before, behind.lstrip()) if closed and _OPEN not in before else None
