"""ThinkingPart: writes one item of reasoning, which arrives whole or in pieces, as a block."""

from nexusflow_core.translation.held import Pieces, utf8_length
from nexusflow_core.translation.json_lenient import Joint
from nexusflow_core.translation.text_part import AnswerState

__all__ = ["ThinkingPart"]

_BETWEEN = "\n\n"


class ThinkingPart:
    """Reasoning in one or more parts, with an empty line between them. `hidden`: writes no text."""

    def __init__(self, state: AnswerState, *, hidden: bool) -> None:
        self._state = state
        self._hidden = hidden
        self._text = Pieces(state.held)
        self._any = False
        self._joint = Joint()
        self._part: int | None = None
        self._begun = False  # True after the first text of the current part

    def add(self, text: str, part: int, out: list[bytes]) -> None:
        """Takes a piece of the part with this index."""
        self._at(part)
        self._add(self._joint.feed(text), out)

    def whole(self, text: str, part: int, out: list[bytes]) -> None:
        """Takes a whole part. Ignores it after pieces of the part: `end` writes missing text."""
        self._at(part)
        if not self._begun:
            self._add(text, out)

    def end(self, whole: str, out: list[bytes]) -> str:
        """Takes the whole text, and writes its missing end. Returns the text; "" if it is blank."""
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
