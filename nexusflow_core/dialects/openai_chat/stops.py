"""Stop strings that the upstream was not given: found on the text as it passes."""

from collections.abc import Sequence

__all__ = ["StopFinder", "longest_beginning"]


def longest_beginning(text: str, word: str) -> int:
    """How many characters at the end of a text could be the beginning of a word, short of the whole."""
    longest = min(len(word) - 1, len(text))
    return next((n for n in range(longest, 0, -1) if text.endswith(word[:n])), 0)


class StopFinder:
    """Passes text on until a stop string is complete; holds back only what could be the beginning of one.

    `echo`: what the client began the answer with, which is left out where the answer begins with it too.
    """

    def __init__(self, stops: Sequence[str], echo: str = "") -> None:
        self._stops = [stop for stop in stops if stop]
        self._echo = echo
        self._held: str = ""
        self.found: str | None = None

    def feed(self, text: str) -> str:
        """The text that may go out. Sets `found`, after which nothing more does."""
        if self._echo:
            text = self._held + text
            if len(text) < len(self._echo) and self._echo.startswith(text):
                self._held = text
                return ""
            text, self._echo, self._held = text.removeprefix(self._echo), "", ""
        if not self._stops:
            return text
        if self.found is not None:
            return ""
        text = self._held + text
        # The stop string that is whole first, as whoever reads the text letter by letter finds it.
        hits = [(at + len(stop), at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if hits:
            _, at, self.found = min(hits)
            self._held = ""
            return text[:at]
        keep = max((longest_beginning(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """What was held back, at the end."""
        held, self._held, self._echo = self._held, "", ""
        return held
