"""TextPart and ThinkingPart: each writes one text, or one piece of reasoning, of an answer.

AnswerState holds the state that all parts of an answer share.
"""

from typing import Any

from msgspec import Struct, field

from nexusflow_core.translation.held import Held, Pieces, WrittenDigest, utf8_length
from nexusflow_core.translation.json_lenient import Joint
from nexusflow_core.translation.stops import StopFinder
from nexusflow_core.translation.think_tags import ThinkTags
from nexusflow_core.translation.writer import MessageWriter

__all__ = ["AnswerState", "TextPart", "ThinkingPart"]

_BETWEEN_PARTS = "\n\n"
_PART_BYTES = 1500
"""Estimated memory of a text without its characters, in bytes."""
_MOST_NOTICED = 100
_LONGEST_NAME = 80


class AnswerState(Struct):
    """State that all items of an answer share: the writer, and facts for the answer's end."""

    writer: MessageWriter
    held: Held
    noticed: list[str]
    refusal: Pieces
    stops: StopFinder | None
    """Finds the client's stop strings, in one text at a time."""
    found: str | None = None
    """The first stop string found in a text, or None."""
    calls: int = 0
    readable: bool = True
    """True while the arguments of each call are a JSON object."""
    written: int = 0
    """Bytes of all texts, to estimate output tokens."""
    ids: set[str] = field(default_factory=set[str])

    def notice(self, name: str) -> None:
        """Lists a dropped part of the answer. Repeated names are listed once."""
        name = "".join(char for char in name[:_LONGEST_NAME] if char.isalnum() or char in "_.:-") or "unknown"
        if name not in self.noticed and len(self.noticed) < _MOST_NOTICED:
            self.noticed.append(name)


class TextPart:
    """One text of an answer. `tags`: it may begin with reasoning in tags. `cites`: it shows citations."""

    def __init__(
        self, state: AnswerState, index: int, *, refusal: bool, tags: bool = False, cites: bool = False
    ) -> None:
        self.index = index
        self.written = WrittenDigest()
        self.refusal = refusal
        self.closed = False
        self.cited = 0
        """Number of sources so far."""
        self._state = state
        self._joint = Joint()
        self._stops = state.stops if not refusal else None
        self._tags = ThinkTags(state.held) if tags and not refusal else None
        self._text = Pieces(state.held) if cites else None  # sources refer to its characters
        self._kept = ""
        state.held.bytes += _PART_BYTES

    @property
    def closely(self) -> bool:
        """True if text must be examined before it is written.

        It may have tags, a stop string, sources, or a character cut in two.
        """
        examined = self._stops is not None or self._tags is not None or self._text is not None
        return examined or self.refusal or bool(self._joint)

    def add(self, text: str, out: list[bytes]) -> None:
        """Takes a piece of text."""
        if text := self._joint.feed(text):
            self._add(text, out)

    def whole(self, text: str, out: list[bytes]) -> None:
        """Takes the whole text, and writes its missing end."""
        self._joint = Joint()  # the whole text has no cut character
        rest = self.written.beyond(text)
        if rest is None or (rest and self.closed):
            self._state.notice("message")
        elif rest:
            self._add(rest, out)

    def close(self, out: list[bytes]) -> None:
        """Writes the held text, and closes the block."""
        if self.closed:
            return
        if self._joint:
            self._add(self._joint.flush(), out)
        for piece in self._tags.flush() if self._tags is not None else ():
            self._piece(piece.text, out, thinking=piece.thinking)
        if self._stops is not None and self._stops.found is None:
            self._write(self._stops.flush(), out)
        if self._state.found is None:
            self.closed = True
            self._state.written += self.written.size
            self._state.writer.close(out)

    def cite(self, source: dict[str, Any], start: int | None, end: int | None, out: list[bytes]) -> None:
        """Writes a citation for the characters from `start` to `end`. Call it while the text is open."""
        if self._text is not None:
            self._kept += (new := self._text.take())
            self._state.held.bytes += len(new)
        between = start is not None and end is not None
        cited = self._kept[start:end] if between else ""
        self._state.writer.cite({**source, "cited_text": cited}, out)

    def _add(self, text: str, out: list[bytes]) -> None:
        self.written.add(text)
        if self.refusal:
            self._state.refusal.add(text)
        if self._tags is None:
            self._piece(text, out)
            return
        for piece in self._tags.feed(text):
            if not piece.thinking:
                self._tags = None  # tags occur only at the beginning
            self._piece(piece.text, out, thinking=piece.thinking)

    def _piece(self, text: str, out: list[bytes], *, thinking: bool = False) -> None:
        if thinking:
            self._state.writer.thinking(text, out)
        elif self._stops is None:
            self._write(text, out)
        else:
            self._write(self._stops.feed(text), out)
            self._state.found = self._stops.found

    def _write(self, text: str, out: list[bytes]) -> None:
        if text:
            if self._text is not None:
                self._text.add(text)
            self._state.writer.text(text, out)


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
            text = _BETWEEN_PARTS + text if self._any and not self._begun else text
            self._any = self._begun = True
            self._text.add(text)
            self._write(text, out)

    def _write(self, text: str, out: list[bytes]) -> None:
        self._state.written += utf8_length(text)
        if text and not self._hidden:
            self._state.writer.thinking(text, out)
