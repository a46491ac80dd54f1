"""ThinkingPart: one piece of reasoning, whole or in pieces, written once in its own block."""

from nexusflow_core.translation.held import Pieces, utf8_length
from nexusflow_core.translation.json_lenient import Joint
from nexusflow_core.translation.text_part import AnswerState

__all__ = ["ThinkingPart"]

_BETWEEN = "\n\n"


class ThinkingPart:
    """Reasoning in one or several parts, with an empty line between them. `hidden`: its text is not shown."""

    def __init__(self, state: AnswerState, *, hidden: bool) -> None:
        self._state = state
        self._hidden = hidden
        self._text = Pieces(state.held)
        self._any = False
        self._joint = Joint()
        self._part: int | None = None
        self._begun = False  # True once text of the current part has come

    def add(self, text: str, part: int, out: list[bytes]) -> None:
        """Takes a piece of a part."""
        self._at(part)
        self._add(self._joint.feed(text), out)

    def whole(self, text: str, part: int, out: list[bytes]) -> None:
        """Takes the whole of a part. After pieces it says nothing new: `end` finds what is missing."""
        self._at(part)
        if not self._begun:
            self._add(text, out)

    def end(self, whole: str, out: list[bytes]) -> str:
        """Takes the whole text, and writes what is new in it. Returns the text written, "" for a blank one."""
        text = self._text.take()
        if whole.startswith(text):
            self._write(whole[len(text) :], out)
            text = whole
        return text if text.strip() else ""

    def _at(self, part: int) -> None:
        if part != self._part:
            self._part, self._begun = part, False

    def _add(self, text: str, out: list[bytes]) -> None:
        if text:
            text = _BETWEEN + text if self._any and not self._begun else text
            self._any = self._begun = True
            self._text.add(text)
            self._write(text, out)

    def _write(self, text: str, out: list[bytes]) -> None:
        self._state.written += utf8_length(text)
        if text and not self._hidden:
            self._state.writer.thinking(text, out)
