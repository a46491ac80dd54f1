"""JSON text that comes in pieces: whether it is whole yet, told by its braces alone."""

import re

__all__ = ["JSONEnd"]

_OUTSIDE = re.compile(r'["{}\[\]]')
_INSIDE = re.compile(r'["\\]')  # a string


class JSONEnd:
    """Follows a text piece by piece and keeps nothing of it."""

    def __init__(self) -> None:
        self.begun = False
        self._depth = 0
        self._in_string = False
        self._escaped = False  # the next character means nothing

    @property
    def reached(self) -> bool:
        """Whether all that was opened is closed: nothing but blanks can follow."""
        return self.begun and self._depth <= 0 and not self._in_string

    def feed(self, text: str) -> None:
        """The next piece, of which the very first shows something visible."""
        self.begun = True
        at = 1 if self._escaped else 0
        self._escaped = bool(at) and not text
        while found := (_INSIDE if self._in_string else _OUTSIDE).search(text, at):
            at, mark = found.end(), found[0]
            if mark == '"':
                self._in_string = not self._in_string
            elif mark == "\\":
                self._escaped = at == len(text)
                at += 1
            else:
                self._depth += 1 if mark in "{[" else -1
