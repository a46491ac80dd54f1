"""Complaints about the lines of logs, on stderr: many equal ones are one line."""

import re
import sys
from typing import Final

from msgspec import Struct, field

__all__ = ["Complaints"]

_ALL: Final = 8
"""Equal complaints that are each printed."""

_MAX_KINDS: Final = 200
_PLACES = re.compile(r" \(byte \d+\)")


class _Kind(Struct):
    texts: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    count: int = 0
    last: str = ""


class Complaints:
    """Collects complaints. `write` prints them in the order in which they came, and forgets them.

    Its memory is bounded, however many there are.
    """

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._count = self._others = 0

    def add(self, place: str, what: str, why: str) -> None:
        """Adds a complaint: the place in a file, what happened to it, and the reason."""
        self._count += 1
        key = what, _PLACES.sub("", why)
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) >= _MAX_KINDS:
                self._others += 1
                return
            kind = self._kinds[key] = _Kind()
        kind.count += 1
        kind.last = place
        if len(kind.texts) < _ALL:
            kind.texts.append((self._count, f"{place}: {what}: {why}"))

    def write(self) -> None:
        """Prints the complaints so far."""
        lines: list[tuple[int, str]] = []
        for kind in self._kinds.values():
            if kind.count <= _ALL:
                lines += kind.texts
            else:
                number, text = kind.texts[0]
                lines.append((number, f"{text} (and {kind.count - 1:,} more like it, the last at {kind.last})"))
        for _, line in sorted(lines):
            print(line, file=sys.stderr)
        if self._others:
            print(f"and {self._others:,} complaints of other kinds", file=sys.stderr)
        self._kinds.clear()
        self._others = 0
