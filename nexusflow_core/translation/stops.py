"""Finds stop sequences that are not sent upstream, in the text as it passes.

One search finds all of them (Aho and Corasick, 1975). It reads each character once, for any number of strings
and any pieces.
"""

import re
from collections.abc import Sequence

from nexusflow_core.errors import InvalidRequestError

__all__ = ["MAX_STOPS", "MAX_STOP_CHARS", "StopFinder", "check_stops", "longest_beginning"]

MAX_STOPS = 256
"""Bound on the stop sequences of a translated request. Anthropic states none."""

MAX_STOP_CHARS = 16_384
"""Bound on all their characters together: the search tree stays in memory during the answer."""


def check_stops(stops: Sequence[str]) -> None:
    """Raises InvalidRequestError for too many or too long stop sequences."""
    if len(stops) > MAX_STOPS:
        raise InvalidRequestError(
            f"stop_sequences: at most {MAX_STOPS} are possible on this upstream, not {len(stops)}"
        )
    if sum(map(len, stops)) > MAX_STOP_CHARS:
        raise InvalidRequestError(
            f"stop_sequences: at most {MAX_STOP_CHARS} characters together are possible on this upstream"
        )


def longest_beginning(text: str, word: str) -> int:
    """Returns how many characters at the end of a text could begin a word, without being the whole.

    For short words: the time grows with the square of their length.
    """
    longest = min(len(word) - 1, len(text))
    return next((n for n in range(longest, 0, -1) if text.endswith(word[:n])), 0)


class StopFinder:
    """Passes text on until a stop string is complete. It holds back only a possible beginning of one.

    `echo`: the client's beginning of the answer, which is removed if the answer repeats it.
    """

    def __init__(self, stops: Sequence[str], echo: str = "") -> None:
        stops = [stop for stop in stops if stop]
        self._search = _Search(stops) if stops else None
        self._echo = echo
        self._echoed = 0  # characters of the echo received so far, and nothing else
        self._held = ""  # a possible beginning of a stop string
        self.found: str | None = None

    def feed(self, text: str) -> str:
        """Returns the text to pass on. Sets `found` at a stop string; after that it returns ""."""
        if self._echo:
            text = self._behind_echo(text)
        if self._search is None:
            return text
        if self.found is not None:
            return ""
        end, self.found, begun = self._search.read(text)
        text = self._held + text[:end]
        keep = begun if self.found is None else len(self.found)
        out = text[: len(text) - keep]
        self._held = text[len(out) :] if self.found is None else ""
        return out

    def flush(self) -> str:
        """Returns the text held back, at the end of the answer."""
        held = self._echo[: self._echoed] + self._held
        self._held, self._echo = "", ""
        if self._search is not None:
            self._search.restart()
        return held

    def _behind_echo(self, text: str) -> str:
        """Returns the text without the echo at its beginning; "" while it may still be the echo."""
        came = self._echo[self._echoed : self._echoed + len(text)]
        if text.startswith(came) and self._echoed + len(came) == len(self._echo):
            self._echo = ""
            return text[len(came) :]
        if text == came:
            self._echoed += len(text)
            return ""
        text, self._echo = self._echo[: self._echoed] + text, ""
        return text


class _Search:
    """A tree of the stop strings by character, and the current node of the search. Node 0 is the root."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._next: dict[tuple[int, str], int] = {}
        self._depth = [0]  # of each node: its distance from the root in characters
        self._stop: list[str | None] = [None]  # of each node: the longest stop string that ends there
        self._other = [0]  # of each node: the node of its longest proper suffix in the tree
        for stop in stops:
            self._add(stop)
        self._link()
        self._first = re.compile(f"[{''.join({re.escape(stop[0]) for stop in stops})}]")
        self._at = 0

    def read(self, text: str) -> tuple[int, str | None, int]:
        """Returns three facts: the number of characters read, the stop string that ends there or None, and the
        number of characters before that place that could begin one."""
        following, other, ends, node = self._next, self._other, self._stop, self._at
        at, length = 0, len(text)
        while at < length:
            if not node:  # most text cannot begin a stop string
                found = self._first.search(text, at)
                if found is None:
                    break
                at = found.start()
            char = text[at]
            while (onward := following.get((node, char))) is None and node:
                node = other[node]
            node = onward or 0
            at += 1
            if (stop := ends[node]) is not None:
                return at, stop, 0
        self._at = node
        return length, None, self._depth[node]

    def restart(self) -> None:
        """Forgets the text read so far: no stop string spans it and the next text."""
        self._at = 0

    def _add(self, stop: str) -> None:
        node = 0
        for char in stop:
            onward = self._next.get((node, char))
            if onward is None:
                onward = self._next[node, char] = len(self._depth)
                self._depth.append(self._depth[node] + 1)
                self._stop.append(None)
                self._other.append(0)
            node = onward
        self._stop[node] = stop

    def _link(self) -> None:
        """Sets `_other` of each node, from the root outwards."""
        for (before, char), node in sorted(self._next.items(), key=lambda edge: self._depth[edge[1]]):
            other = before
            while other:
                other = self._other[other]
                if (onward := self._next.get((other, char))) is not None:
                    self._other[node] = onward
                    break
            if self._stop[node] is None:
                self._stop[node] = self._stop[self._other[node]]
