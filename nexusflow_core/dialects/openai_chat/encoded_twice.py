"""Arguments that are encoded twice: JSON text inside a JSON string, which may come in pieces."""

import msgspec

from nexusflow_core.dialects.openai_chat.decoding import decode_leniently
from nexusflow_core.dialects.openai_chat.json_end import JSONEnd
from nexusflow_core.dialects.openai_chat.pieces import Held, Pieces

__all__ = ["EncodedTwice"]


class EncodedTwice:
    """Holds the string until it is whole: what is inside cannot be told from its pieces."""

    def __init__(self, held: Held) -> None:
        self._pieces = Pieces(held)
        self._end = JSONEnd()

    def feed(self, fragment: str) -> str | None:
        """Returns the text inside once the string is whole, None until then. What is no JSON stays as it is."""
        self._pieces.add(fragment)
        self._end.feed(fragment)
        if not self._end.reached:
            return None
        text = self._pieces.take()
        try:
            value = decode_leniently(text)
        except msgspec.DecodeError:
            return text
        return value if isinstance(value, str) else text

    def rest(self) -> str:
        """What has come of a string that has no end."""
        return self._pieces.take()
