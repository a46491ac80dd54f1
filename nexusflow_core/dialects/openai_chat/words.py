"""StreamWords: writes text, thinking and refusal of a stream, each part once."""

from nexusflow_core.dialects.openai_chat.reasoning import (
    Details,
    Unrepeated,
    as_parts,
    other_parts,
    parts,
    read_words,
    reasoning_text,
)
from nexusflow_core.dialects.openai_chat.schema import Delta
from nexusflow_core.dialects.openai_chat.vendors import ChatRequestFacts
from nexusflow_core.translation.held import COMPARED, Held, Pieces, WrittenHead
from nexusflow_core.translation.json_lenient import Joint
from nexusflow_core.translation.stops import StopFinder
from nexusflow_core.translation.think_tags import ThinkTags
from nexusflow_core.translation.writer import MessageWriter

__all__ = ["StreamWords"]

_NO_STOPS = StopFinder(())
"""Shared by all streams without stop sequences: it has no state."""


class StreamWords:
    """Takes the texts of deltas and whole messages, and writes their new parts."""

    def __init__(self, facts: ChatRequestFacts, writer: MessageWriter, held: Held, noticed: list[str]) -> None:
        vendor = facts.vendor
        self.text_written = WrittenHead()
        self._facts = facts
        self._writer = writer
        self._held = held
        self._noticed = noticed
        self._stops = StopFinder(facts.stop_here, facts.echo) if facts.stop_here or facts.echo else _NO_STOPS
        self._searches = bool(facts.stop_here)
        self._tags = ThinkTags(held) if vendor.think_tags else None
        self._unrepeated = Unrepeated() if vendor.cumulative_reasoning else None
        self._keeps_details = vendor.replay == "reasoning_details" and not vendor.cumulative_reasoning
        self._details: Details | None = None  # None until the vendor sends some
        self._details_came = False
        self._thought = WrittenHead()
        self._refused = WrittenHead()
        self._refusal = Pieces(held)
        self._blank_refusal = ""  # leading blanks: alone they are not a refusal
        self._text_joint, self._thought_joint, self._refusal_joint = Joint(), Joint(), Joint()
        self._begun = False  # True once text arrived, written or held back
        self._beside = False  # True once reasoning arrived beside the content
        self.closely = True
        """True while text must be examined before it is written: at the beginning, and for tags, stop strings
        and cut characters."""

    @property
    def written(self) -> int:
        """Bytes written of all kinds."""
        return self.text_written.size + self._thought.size + self._refused.size

    @property
    def found(self) -> str | None:
        """The stop string found here, or None."""
        return self._stops.found

    @property
    def any(self) -> bool:
        """True if there is an answer: text or a refusal, not only thinking."""
        return bool(self.text_written.size or self._refused.size)

    def take(self, delta: Delta, out: list[bytes]) -> None:
        """Takes the texts of a delta."""
        reasons, content = delta.reasons(), delta.content
        if reasons:
            if not content:
                self._flush_half(out)
            self._reasoning(delta, out)
        if content or delta.refusal or delta.tool_calls or delta.function_call:
            self._end_thinking(out, joint=not reasons)
        if isinstance(content, str):
            if content:
                self._text(content, out)
        elif content:
            self._content(delta, out)
        if delta.refusal:
            self._refuse(delta.refusal, out)
        self.notice(*delta.unplaced())

    def take_whole(self, message: Delta, out: list[bytes], *, behind_deltas: bool) -> None:
        """Takes the texts of a whole message, and writes the parts that are new."""
        self._end_thinking(out, joint=True)
        if not self.past_text(out):
            return
        words = read_words(message, self._facts.vendor)
        if self._keeps_details and not self._details_came:
            self._kept_details().add(message.reasoning_details, whole=True)
        self._think(self._new(words.thinking, self._thought, behind_deltas=behind_deltas), out)
        text = words.text.removeprefix(self._facts.echo) if self.text_written.size else words.text
        self._say(self._stops.feed(self._new(text, self.text_written, behind_deltas=behind_deltas)), out)
        refusal = self._new(words.refusal, self._refused, behind_deltas=behind_deltas)
        if refusal.strip():
            self._refuse(refusal, out)
        self.notice(*message.unplaced(), *other_parts(message.content))

    def past_text(self, out: list[bytes]) -> bool:
        """Writes text held back. Returns False if it ended in a stop string: nothing may follow then."""
        if self._stops.found is None:
            self._flush_text(out)
        return self._stops.found is None

    def flush(self, out: list[bytes]) -> None:
        """Writes all text held back, at the end."""
        self._end_thinking(out, joint=True)
        self.past_text(out)
        if half := self._refusal_joint.flush():
            self._refuse(half, out)

    def refusal(self) -> str:
        """Returns the text of the refusal, and forgets it."""
        return self._refusal.take()

    def notice(self, *names: str) -> None:
        """Lists dropped members of the answer, each once."""
        self._noticed += [name for name in names if name not in self._noticed]

    # Thinking

    def _reasoning(self, delta: Delta, out: list[bytes]) -> None:
        text = self._thought_joint.feed(reasoning_text(delta))
        self._beside = self._beside or bool(text.strip())
        if self._unrepeated is not None:
            text = self._unrepeated.feed(text)
        elif self._keeps_details and delta.reasoning_details:
            self._details_came = True
            self._kept_details().add(delta.reasoning_details)
        self._think(text, out)

    def _kept_details(self) -> Details:
        if self._details is None:
            self._details = self._writer.carried = Details(self._held)
        return self._details

    def _end_thinking(self, out: list[bytes], *, joint: bool) -> None:
        if self._unrepeated is not None:
            self._think(self._unrepeated.flush(), out)
        if joint and self._thought_joint:
            self._think(self._thought_joint.flush(), out)

    def _think(self, text: str, out: list[bytes]) -> None:
        if text:
            self._thought.add(text)
            self._writer.thinking(text, out)

    # Text

    def _content(self, delta: Delta, out: list[bytes]) -> None:
        content = as_parts(delta.content)
        if content is None:
            self._text(delta.text(), out)
            return
        for piece in parts(content):
            if piece.thinking:
                self._think(piece.text, out)
            elif piece.refusal:
                self._refuse(piece.text, out)
            else:
                self._text(piece.text, out)
        self.notice(*other_parts(content))

    def _text(self, text: str, out: list[bytes]) -> None:
        text = self._text_joint.feed(text)
        if text and self._beside and not self._begun and self._tags is None:
            self._tags = ThinkTags(self._held)  # text may repeat the reasoning, or only its closing tag
        self._begun = self._begun or bool(text)
        if self._tags is None:
            self._say(self._stops.feed(text), out)
        else:
            self._tagged(self._tags, text, out)
        self._look()

    def _tagged(self, tags: ThinkTags, text: str, out: list[bytes]) -> None:
        for piece in tags.feed(text):
            if piece.thinking:
                self._think("" if self._beside else piece.text, out)
            else:
                self._tags = None  # tags occur only at the beginning
                self._say(self._stops.feed(piece.text), out)

    def _flush_half(self, out: list[bytes]) -> None:
        """Writes half a character at the end of a text, whose other half did not arrive."""
        if self._text_joint:
            self._text(self._text_joint.flush(), out)

    def _flush_text(self, out: list[bytes]) -> None:
        """Writes text held back by joints, tags and stop strings."""
        self._flush_half(out)
        for piece in self._tags.flush() if self._tags is not None else ():
            if piece.thinking:
                self._think("" if self._beside else piece.text, out)
            else:
                self._say(self._stops.feed(piece.text), out)
        if self._stops.found is None:
            self._say(self._stops.flush(), out)

    def _look(self) -> None:
        begins = len(self.text_written.head) < COMPARED
        self.closely = begins or self._searches or self._tags is not None or bool(self._text_joint)

    def _say(self, text: str, out: list[bytes]) -> None:
        if text:
            self.text_written.add(text)
            self._writer.text(text, out)

    # Refusals

    def _refuse(self, text: str, out: list[bytes]) -> None:
        text = self._blank_refusal + self._refusal_joint.feed(text)
        self._blank_refusal = ""
        if not self._refused.size and not text.strip():
            self._blank_refusal = text[:COMPARED]
        elif self.past_text(out):
            self._refused.add(text)
            self._refusal.add(text)
            self._writer.text(text, out)

    def _new(self, whole: str, before: WrittenHead, *, behind_deltas: bool) -> str:
        """Returns the part of a whole text beyond the text written of its kind.

        A text that contradicts earlier deltas is dropped and listed. Without deltas it continues the text.
        """
        rest = before.beyond(whole)
        if rest is None and behind_deltas:
            self.notice("message")
            return ""
        return whole if rest is None else rest
