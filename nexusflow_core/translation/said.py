"""Said: remembers how much of a text was written, to find the rest when the whole text comes."""

from zlib import crc32

from nexusflow_core.translation.held import utf8_length

__all__ = ["COMPARED", "Said", "SaidExactly"]

COMPARED = 16
"""Characters at the beginning of two texts that are compared."""


class Said:
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


class SaidExactly:
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
