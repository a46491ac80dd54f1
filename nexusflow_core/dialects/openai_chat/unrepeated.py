"""Reasoning of which each piece may repeat all before it: some versions of some vendors do, others do not."""

__all__ = ["Unrepeated"]

_SURE = 4
"""Letters and digits of a beginning that come again by no accident."""

_MOST_HELD = 8


class Unrepeated:
    """Takes out of each piece what it repeats of those before it, once the pieces have shown that they do.

    A piece that begins as the one before it shows that, if that was of some length, or if it happens twice;
    until then it is held back. Blanks show nothing.
    """

    def __init__(self) -> None:
        self._repeats: bool | None = None
        self._before = ""  # the last piece: all so far, where pieces repeat
        self._told = 0  # how much of that has gone out
        self._held: list[str] = []
        self._ended = False  # something else has come: nothing more is held back

    def feed(self, text: str) -> str:
        """The news of a piece."""
        if not text or self._repeats is False:
            return text
        if self._repeats:
            return self._news(text)
        if not self._before.strip():
            self._before, self._told = text, len(text)
            return text
        if not text.startswith(self._before) or (self._ended and not self._long()):
            return self._plain(text)
        longer = [piece for piece in (*self._held, text) if len(piece) > self._told]
        if longer and (self._long() or len(longer) > 1):
            return self._cumulative(text)
        self._held.append(text)
        self._before = text
        return self._plain("") if len(self._held) > _MOST_HELD else ""

    def flush(self) -> str:
        """What was held back, as something else comes or the answer ends."""
        self._ended = True
        if self._held and self._long() and len(self._before) == self._told:  # nothing but the same again
            self._cumulative(self._before)
        return self._plain("") if self._held else ""

    def _long(self) -> bool:
        return sum(map(str.isalnum, self._before)) >= _SURE

    def _plain(self, text: str) -> str:
        self._repeats, held = False, self._held
        self._before, self._held = "", []
        return "".join(held) + text

    def _cumulative(self, text: str) -> str:
        self._repeats, self._held = True, []
        news, self._before = text[self._told :], text
        return news

    def _news(self, text: str) -> str:
        if self._before.startswith(text):
            return ""
        if text.startswith(self._before):
            news, self._before = text[len(self._before) :], text
            return news
        if not self._ended:
            return self._plain(text)
        self._before, self._ended = text, False  # thinking begins anew, behind text or a call
        return text
