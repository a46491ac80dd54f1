"""Arguments of a tool call: JSON text that arrives whole or in pieces, cut short, or encoded twice."""

import re
import zlib
from typing import Any

import msgspec

from nexusflow_core.translation.held import Held, Pieces
from nexusflow_core.translation.json_lenient import decode_leniently
from nexusflow_core.untyped import MALFORMED, is_object

__all__ = ["NO_ARGUMENTS", "NO_OBJECT", "EncodedTwice", "JSONEnd", "read_arguments", "readable_prefix"]

NO_ARGUMENTS = frozenset({"{}", "null", "[]", '""', "0", "false"})
"""Texts that servers send for an input without members, beside no text at all."""

NO_OBJECT = "the upstream's answer has tool arguments that are no JSON object"

_BRACKETS = re.compile(r'\\.|["{}\[\],]', re.S)
_LONGEST_ESCAPE = 12  # two halves of a surrogate pair: \ud83d\ude00


def read_arguments(arguments: str) -> dict[str, Any] | None:
    """Returns the arguments as an object, also if encoded twice; None if they are not one."""
    return _read(arguments, twice=True)


def _read(arguments: str, *, twice: bool) -> dict[str, Any] | None:
    if arguments.strip() in ("", *NO_ARGUMENTS):
        return {}
    try:
        return msgspec.json.decode(arguments.encode(), type=dict[str, Any])
    except MALFORMED:  # read leniently below
        pass
    try:
        value = decode_leniently(arguments)
    except msgspec.DecodeError:
        return None
    if twice and isinstance(value, str):
        return _read(value, twice=False)
    return value if is_object(value) else None


def readable_prefix(arguments: str) -> dict[str, Any]:
    """Returns the longest readable beginning, closed; {} if there is none.

    A cut string is kept up to the cut. A cut number is left out: half of it means something else.
    """
    closing: list[str] = []
    whole, in_string = 0, False  # the end of the last member that is surely complete
    for found in _BRACKETS.finditer(arguments):
        mark = found[0]
        if mark == '"':
            in_string = not in_string
        elif in_string or mark[0] == "\\":
            continue
        elif mark in "{[":
            closing.append("}" if mark == "{" else "]")
            whole = found.end()
        elif mark == ",":
            whole = found.start()
        elif closing:
            closing.pop()
            whole = found.end()
    end = "".join(reversed(closing))
    tries = [arguments[:whole] + end]
    if in_string:  # try to remove an escape sequence that the cut may have split
        tries[:0] = [arguments[: len(arguments) - cut] + '"' + end for cut in range(_LONGEST_ESCAPE)]
    elif not arguments[-1:].isdigit():
        tries[:0] = [arguments + end]
    for text in tries:
        try:
            return msgspec.json.decode(text.encode(), type=dict[str, Any])
        except MALFORMED:
            continue
    return {}


# In pieces

_TOKEN = re.compile(r'[ \t\n\r]*([{}\[\],:"]|[^ \t\n\r{}\[\],:"]+)')
_MARKS = frozenset('{}[],:"')
_INSIDE = re.compile('["\\\\\x00-\x1f]')  # a string
_WORD = re.compile(r"true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_HEX = re.compile(r"[0-9a-fA-F]*")
_LONGEST_WORD = 1000
_DEEPEST = 1000
"""Bound on nested objects and lists. JSON readers accept no more."""

_ESCAPED = {**{chr(code): f"\\u{code:04x}" for code in range(32)}, "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LETTERS = frozenset('"\\/bfnrt')
_LETTER = 5
"""State after a backslash. Smaller numbers count the hexadecimal digits to come."""

_VALUE, _ITEM, _MEMBER, _KEY, _COLON, _COMMA, _END = range(7)
"""The next token: a value; a value or `]`; a key or `}`; a key; `:`; `,` or a closing bracket; nothing."""


class JSONEnd:
    """Follows a JSON text piece by piece. It keeps only the position of a parser, not the text."""

    def __init__(self) -> None:
        self.begun = False
        self.size = 0
        self.digest = 0
        """Length and checksum of the text, without blanks between tokens."""
        self._broken = False  # True once no continuation can make it JSON
        self._depth = 0
        self._lists: list[bool] = []  # for each open list or object, whether it is a list
        self._next = _VALUE
        self._in_string = False
        self._in_key = False
        self._escape = 0  # the rest of an escape sequence, see _LETTER
        self._word = ""  # the current number or literal, so far
        self._begins_as_object = False

    @property
    def reached(self) -> bool:
        """True if all brackets are closed: only blanks can follow."""
        return self.begun and self._depth <= 0 and not self._in_string

    @property
    def is_object(self) -> bool:
        """True if the text so far is one complete JSON object."""
        return self._begins_as_object and self._next == _END and not self._broken and not self._word

    def feed(self, text: str) -> str:
        """Takes the next piece; the first one must not be blank.

        Returns the piece, with bare control characters inside its strings escaped.
        """
        self.begun = True
        if self._in_string and not self._escape and _INSIDE.search(text) is None:  # most pieces
            self._count(text)
            return text
        out: list[str] = []
        kept: list[str] = []
        at, size = 0, len(text)
        while at < size:
            before, count = at, len(out)
            if self._in_string:
                at = self._string(text, at, out)
                kept += out[count:]
            else:
                at = self._token(text, at, kept)
                out.append(text[before:at])
        self._count("".join(kept))
        return "".join(out)

    def _count(self, visible: str) -> None:
        self.size += len(visible)
        self.digest = zlib.crc32(visible.encode(errors="surrogatepass"), self.digest)

    # In a string

    def _string(self, text: str, at: int, out: list[str]) -> int:
        """Reads to the next quote, backslash or control character. Returns the position after it."""
        start = at
        if self._escape:
            at = self._escape_sequence(text, at)
        found = _INSIDE.search(text, at)
        if found is None or self._escape:
            out.append(text[start:])
            return len(text)
        mark, end = found[0], found.end()
        if mark < " ":
            out += (text[start : end - 1], _ESCAPED[mark])
            return end
        if mark == "\\":
            self._escape = _LETTER
        else:
            self._in_string = False
            self._next = _COLON if self._in_key else self._behind_a_value()
        out.append(text[start:end])
        return end

    def _escape_sequence(self, text: str, at: int) -> int:
        if self._escape == _LETTER:
            letter, at = text[at], at + 1
            self._escape = 4 if letter == "u" else 0
            self._broken = self._broken or not (letter == "u" or letter in _LETTERS)
        if self._escape:
            found = _HEX.match(text, at, at + self._escape)
            came = len(found[0]) if found is not None else 0
            at += came
            self._escape -= came
            if self._escape and at < len(text):
                self._broken, self._escape = True, 0
        return at

    # Between strings

    def _token(self, text: str, at: int, kept: list[str]) -> int:
        found = _TOKEN.match(text, at)
        if found is None:  # only blanks
            self._end_word()
            return len(text)
        token = found[1]
        kept.append(token)
        if token in _MARKS:
            self._end_word()
            self._mark(token)
            return found.end()
        if found.start(1) > at:
            self._end_word()
        self._word += token
        if len(self._word) > _LONGEST_WORD:
            self._word, self._broken = "", True
        return found.end()

    def _end_word(self) -> None:
        if self._word:
            word, self._word = self._word, ""
            self._expects(_VALUE, _ITEM)
            self._broken = self._broken or _WORD.fullmatch(word) is None
            self._next = self._behind_a_value()

    def _mark(self, mark: str) -> None:
        if mark == '"':
            self._in_string, self._in_key = True, self._next in (_KEY, _MEMBER)
            self._expects(_VALUE, _ITEM, _KEY, _MEMBER)
        elif mark in "{[":
            self._expects(_VALUE, _ITEM)
            self._begins_as_object = self._begins_as_object or (mark == "{" and not self._lists)
            self._depth += 1
            self._lists.append(mark == "[")
            self._next = _ITEM if mark == "[" else _MEMBER
            if len(self._lists) > _DEEPEST:
                self._broken = True
                self._lists.clear()
        elif mark in "}]":
            self._expects(_COMMA, _ITEM if mark == "]" else _MEMBER)
            self._depth -= 1
            if self._lists:
                self._broken = self._lists.pop() is not (mark == "]") or self._broken
            self._next = self._behind_a_value()
        elif mark == ",":
            self._expects(_COMMA)
            self._next = _VALUE if self._lists and self._lists[-1] else _KEY
        else:
            self._expects(_COLON)
            self._next = _VALUE

    def _expects(self, *states: int) -> None:
        if self._next not in states:
            self._broken = True

    def _behind_a_value(self) -> int:
        return _COMMA if self._lists else _END


class EncodedTwice:
    """Holds an encoded string until it is complete: its content cannot be read from pieces."""

    def __init__(self, held: Held) -> None:
        self._pieces = Pieces(held)
        self._end = JSONEnd()

    def feed(self, fragment: str) -> str | None:
        """Returns the decoded text once the string is complete, else None. Invalid JSON stays unchanged."""
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
        """Returns the received part of an unfinished string."""
        return self._pieces.take()
