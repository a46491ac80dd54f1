"""What a translated stream must keep of its answer: texts in pieces, and how much that is in all."""

from msgspec import Struct

__all__ = ["HELD_BYTES", "Held", "Pieces", "utf8_length"]

HELD_BYTES = 16 * 1024 * 1024
"""Bound on what is kept of one stream; a whole answer has the same."""

_BLOCK = 1000


class Held(Struct):
    """Bytes of one answer that have come and not gone out, or are known for good."""

    bytes: int = 0


class Pieces:
    """A text that grows piece by piece and is read once, as one. Its bytes of UTF-8 are held until then."""

    __slots__ = ("_blocks", "_held", "_new", "_size")

    def __init__(self, held: Held, text: str = "") -> None:
        self._held = held
        self._size = 0
        # Nothing, for as long as there is nothing: a stream has some of these, and fills few.
        self._blocks: list[str] | None = None
        self._new: list[str] | None = None  # short ones, each of which would take more room than it counts
        if text:
            self.add(text)

    def add(self, text: str) -> None:
        size = utf8_length(text)
        self._size += size
        self._held.bytes += size
        if self._new is None:
            self._new = []
        self._new.append(text)
        if len(self._new) == _BLOCK:
            self._blocks = self._blocks or []
            self._blocks.append("".join(self._new))
            self._new.clear()

    def take(self) -> str:
        """All of it; nothing is left."""
        text = "".join((self._blocks or []) + (self._new or []))
        self._held.bytes -= self._size
        self._size, self._blocks, self._new = 0, None, None
        return text


def utf8_length(text: str) -> int:
    """Bytes of a text, without making them where it is ASCII."""
    return len(text) if text.isascii() else len(text.encode())
