"""Texts of a translated stream: held in pieces, within a bound, and remembered after they were written."""

from zlib import crc32

from msgspec import Struct

__all__ = ["COMPARED", "HELD_BYTES", "Held", "Pieces", "WrittenDigest", "WrittenHead", "utf8_length"]

HELD_BYTES = 16 * 1024 * 1024
"""Bound on the bytes held for one stream. A whole answer has the same bound."""

COMPARED = 16
"""Characters at the beginning of two texts that are compared."""

_BLOCK = 1000


class Held(Struct):
    """The number of bytes of one answer that are held back or kept."""

    bytes: int = 0


class Pieces:
    """A text that grows piece by piece and is read once. Its UTF-8 bytes count as held until then."""

    __slots__ = ("_blocks", "_held", "_new", "_size")

    def __init__(self, held: Held, text: str = "") -> None:
        self._held = held
        self._size = 0
        # None while empty: a stream has several of these, and fills few.
        self._blocks: list[str] | None = None
        self._new: list[str] | None = None  # short pieces, joined into blocks to save memory
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
        """Returns the whole text, and empties the buffer."""
        text = "".join((self._blocks or []) + (self._new or []))
        self._held.bytes -= self._size
        self._size, self._blocks, self._new = 0, None, None
        return text


class WrittenHead:
    """The size and the beginning of the text written of one kind, without leading blanks."""

    __slots__ = ("head", "size")

    def __init__(self) -> None:
        self.size = 0  # bytes
        self.head = ""

    def add(self, text: str) -> None:
        """Adds text that was written."""
        if not self.size:
            text = text.lstrip()
        self.size += utf8_length(text)
        if len(self.head) < COMPARED:
            self.head = (self.head + text)[:COMPARED]

    def beyond(self, whole: str) -> str | None:
        """Returns the part of a whole text beyond that; None if it is another text."""
        if not self.size:
            return whole
        visible = whole.lstrip()
        if visible[: len(self.head)] != self.head[: len(visible)]:
            return None
        return visible.encode(errors="replace")[self.size :].decode(errors="ignore")


class WrittenDigest:
    """The size and a checksum of the text written, leading blanks included."""

    __slots__ = ("digest", "size")

    def __init__(self) -> None:
        self.size = 0  # bytes
        self.digest = 0

    def add(self, text: str) -> None:
        """Adds text that was written."""
        data = text.encode()
        self.size += len(data)
        self.digest = crc32(data, self.digest)

    def beyond(self, whole: str) -> str | None:
        """Returns the part of a whole text beyond that; None if it is another text."""
        data = whole.encode(errors="replace")
        if crc32(data[: self.size]) != self.digest:
            return None
        return data[self.size :].decode(errors="ignore")


def utf8_length(text: str) -> int:
    """Returns the UTF-8 length of a text. An ASCII text is not encoded for it."""
    return len(text) if text.isascii() else len(text.encode())
