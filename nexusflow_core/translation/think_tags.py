"""ThinkTags: separates reasoning between `<think>` and `</think>` from the text."""

from enum import Enum, auto
from typing import NamedTuple

from nexusflow_core.translation.held import Held, Pieces
from nexusflow_core.translation.stops import longest_beginning

__all__ = ["Piece", "ThinkTags", "before_lone_end"]

_OPEN, _CLOSE = "<think>", "</think>"


class Piece(NamedTuple):
    """Text of the answer, or of the thinking before it."""

    thinking: bool
    text: str
    refusal: bool = False


class _Where(Enum):
    BEGINNING = auto()
    INSIDE = auto()
    BEHIND = auto()  # after the closing tag, where blanks are dropped
    OUTSIDE = auto()


class ThinkTags:
    """Separates `<think>...</think>` at the beginning of a text, in any pieces.

    Without a closing tag everything is thinking. Blanks around the tags are dropped, and so is a lone closing
    tag at the beginning.
    """

    def __init__(self, held: Held | None = None) -> None:
        self._where = _Where.BEGINNING
        self._blanks = Pieces(held or Held())  # blanks at the beginning, of the tag or of the text
        self._held = ""  # a possible part of a tag

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
        """Returns the text held back, at the end of the answer."""
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
    """Returns the texts before and after a closing tag without an opening one, or None.

    Some chat templates open the thinking themselves, so that the answer contains only its end.
    """
    before, closed, behind = text.partition(_CLOSE)
    return (before, behind.lstrip()) if closed and _OPEN not in before else None
